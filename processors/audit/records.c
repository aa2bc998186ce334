/* SPDX-License-Identifier: Apache-2.0
 *
 * One bit per offset below the position, four times: skipped (a person made a dead letter of it),
 * expected (a record that must be accounted for), exempt (one that is too old to tell) and seen (it
 * was found in a table). Reading the log sets the second and third, reading the tables the others;
 * what then differs is lost, doubled or stray. */
#include "processors/audit/records.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/hash.h"
#include "lib/base/uuid.h"
#include "lib/pg/statement.h"
#include "processors/fold/message.h"
#include "processors/fold/runs.h"

enum { POLL_MS = 200 };

struct track {
    const struct audit_position *position;
    int64_t from; /* offset of bit 0 */
    int64_t count;
    int32_t partitions; /* of the topic */
    unsigned char *expected, *exempt, *seen, *skipped;
};

struct account {
    const struct processor *processor;
    struct track *tracks;
    size_t track_count;
    int64_t exempt_before_ms;
    int64_t expected, others, unknown;         /* records */
    int64_t applied, duplicates, dead, parked; /* rows */
    int64_t lost, doubled, stray, exempt;      /* offsets */
    char example[200];
    int64_t misplaced;      /* records in another partition than that of their key */
    char misplaced_at[160]; /* the first */
};

static int get_bit(const unsigned char *bits, int64_t at)
{
    return bits[at >> 3] >> (at & 7) & 1;
}

static void set_bit(unsigned char *bits, int64_t at)
{
    bits[at >> 3] = (unsigned char)(bits[at >> 3] | 1 << (at & 7));
}

static void give_example(struct account *account, const char *what, const struct track *track,
                         int64_t at)
{
    if (!*account->example)
        snprintf(account->example, sizeof account->example, "%s: %s partition %d offset %" PRId64,
                 what, track->position->topic, track->position->partition, track->from + at);
}

static int64_t open_tracks(struct account *account, const struct audit_positions *positions)
{
    int64_t records = 0;
    account->tracks = xcalloc(positions->count + 1, sizeof *account->tracks);
    for (size_t i = 0; i < positions->count; i++) {
        const struct audit_position *position = &positions->rows[i];
        if (!position->live || !position->position_id ||
            strcmp(position->processor, account->processor->name) != 0 || position->low < 0 ||
            position->next_offset <= position->low)
            continue;
        struct track *track = &account->tracks[account->track_count++];
        track->position = position;
        track->from = position->low;
        track->count =
            (position->next_offset < position->high ? position->next_offset : position->high) -
            track->from;
        records += track->count;
    }
    return records;
}

static void make_bits(struct account *account)
{
    for (size_t i = 0; i < account->track_count; i++) {
        struct track *track = &account->tracks[i];
        size_t bytes = (size_t)(track->count / 8 + 1);
        track->expected = xcalloc(4, bytes);
        track->exempt = track->expected + bytes;
        track->seen = track->exempt + bytes;
        track->skipped = track->seen + bytes;
    }
}

static void close_tracks(struct account *account)
{
    for (size_t i = 0; i < account->track_count; i++)
        free(account->tracks[i].expected);
    free(account->tracks);
}

/* Whether the processor has to account for the record. -1: this build does not know its schema. */
static int must_account(const struct processor *processor, rd_kafka_message_t *message)
{
    const struct record record = message_record(message, rd_kafka_topic_name(message->rkt));
    struct uuid space_id;
    int32_t schema_id;
    struct error error;
    if (decoder_check_record(&record, INT32_MAX, &space_id, &schema_id, &error) != 0)
        return 1;
    const struct catalog_version *version = catalog_find_id(processor->catalog, schema_id);
    if (!version)
        return -1;
    const struct catalog_event *event = version->event;
    return decoder_check_event(&record, version->schema->full_name, event->topic, &error) != 0 ||
           processor_consumes(processor, event) != NULL;
}

static void look_at_key(struct account *account, const struct track *track,
                        const rd_kafka_message_t *message)
{
    struct uuid space_id;
    int32_t right = hash_partition(message->key, message->key_len, track->partitions);
    if (right == message->partition || !message->key ||
        uuid_parse(message->key, message->key_len, &space_id) != 0)
        return;
    if (account->misplaced++ == 0)
        snprintf(account->misplaced_at, sizeof account->misplaced_at,
                 "%s partition %d offset %" PRId64 ", which belongs in %d", track->position->topic,
                 message->partition, message->offset, right);
}

static int take_record(void *opaque, rd_kafka_message_t *message, struct error *error)
{
    struct account *account = opaque;
    rd_kafka_timestamp_type_t kind;
    (void)error;
    for (size_t i = 0; i < account->track_count; i++) {
        struct track *track = &account->tracks[i];
        int64_t at = message->offset - track->from;
        if (track->position->partition != message->partition ||
            strcmp(track->position->topic, rd_kafka_topic_name(message->rkt)) != 0)
            continue;
        if (at < 0 || at >= track->count)
            break;
        look_at_key(account, track, message);
        int must = must_account(account->processor, message);
        if (must < 0 || rd_kafka_message_timestamp(message, &kind) < account->exempt_before_ms) {
            set_bit(track->exempt, at);
            account->unknown += must < 0;
            account->exempt++;
        } else if (must || get_bit(track->skipped, at)) {
            set_bit(track->expected, at);
            account->expected++;
        } else {
            account->others++;
        }
        break;
    }
    return 0;
}

static int read_log(const struct config *config, struct account *account, struct error *error)
{
    struct kafka_reader *reader;
    if (kafka_reader_open(config, &reader, error) != 0)
        return -1;
    int result = 0;
    for (size_t i = 0; result == 0 && i < account->track_count; i++) {
        struct track *track = &account->tracks[i];
        result = kafka_reader_partitions(reader, track->position->topic, &track->partitions, error);
        kafka_reader_add(reader, track->position->topic, track->position->partition, track->from);
    }
    if (result == 0)
        result = kafka_reader_each(reader, READER_STALL_MS, NULL, take_record, account, error);
    kafka_reader_free(reader);
    return result;
}

static void take_row(struct account *account, struct track *track, int64_t offset)
{
    int64_t at = offset - track->from;
    if (at < 0)
        return; /* the log no longer has it */
    if (at >= track->count || !(get_bit(track->expected, at) || get_bit(track->exempt, at))) {
        account->stray++;
        give_example(account, "recorded, but not consumed or not there", track, at);
    } else if (get_bit(track->seen, at)) {
        account->doubled++;
        give_example(account, "recorded twice", track, at);
    } else {
        set_bit(track->seen, at);
    }
}

static struct track *find_track(const struct account *account, int64_t position_id)
{
    for (size_t i = 0; i < account->track_count; i++)
        if (account->tracks[i].position->position_id == position_id)
            return &account->tracks[i];
    return NULL;
}

/* A run of applied events. */
static void take_run(struct account *account, const PGresult *row)
{
    struct track *track = find_track(account, (int32_t)buf_get_be32(PQgetvalue(row, 0, 0)));
    const char *at = PQgetvalue(row, 0, 1);
    const char *end = at + PQgetlength(row, 0, 1);
    for (; track && at + RUN_ENTRY_SIZE <= end; at += RUN_ENTRY_SIZE) {
        take_row(account, track, runs_entry(at).offset);
        account->applied++;
    }
}

static int was_seen(const struct track *track, int64_t offset)
{
    int64_t at = offset - track->from;
    return at >= 0 && at < track->count && get_bit(track->seen, at);
}

static void take_duplicate(struct account *account, const PGresult *row)
{
    struct track *track = find_track(account, pg_int8(row, 0, 0));
    if (!track)
        return;
    take_row(account, track, pg_int8(row, 0, 1));
    account->duplicates++;
}

/* What is redriven was applied, or is a duplicate, unless it turned out that the processor does not
 * consume it. */
static void take_dead_letter(struct account *account, const PGresult *row)
{
    struct track *track = find_track(account, pg_int8(row, 0, 0));
    int redriven = *PQgetvalue(row, 0, 2);
    if (!track || (redriven && was_seen(track, pg_int8(row, 0, 1))))
        return;
    take_row(account, track, pg_int8(row, 0, 1));
    account->dead++;
}

static void take_parked(struct account *account, const PGresult *row)
{
    struct track *track = find_track(account, pg_int8(row, 0, 0));
    if (!track)
        return;
    take_row(account, track, pg_int8(row, 0, 1));
    account->parked++;
}

/* Streams the rows of a query, in binary. */
static int each_row(PGconn *conn, struct account *account, const char *sql,
                    void (*take)(struct account *account, const PGresult *row), struct error *error)
{
    int result = 0;
    if (!PQsendQueryParams(conn, sql, 0, NULL, NULL, NULL, NULL, 1) || !PQsetSingleRowMode(conn))
        return pg_fail(conn, NULL, error);
    for (PGresult *row; (row = PQgetResult(conn));) {
        ExecStatusType status = PQresultStatus(row);
        if (status == PGRES_SINGLE_TUPLE)
            take(account, row);
        else if (status != PGRES_TUPLES_OK && result == 0)
            result = pg_fail(conn, row, error);
        PQclear(row);
    }
    return result;
}

/* Dead letters come last, as what was redriven shows elsewhere. Of what was skipped, or has a wrong
 * header, it may turn out that the processor does not consume it. */
static int read_tables(PGconn *conn, struct account *account, const char *schema,
                       struct error *error)
{
    char sql[512];
    snprintf(sql, sizeof sql, "SELECT position_id, entries FROM %s.applied_run", schema);
    if (each_row(conn, account, sql, take_run, error) != 0)
        return -1;
    if (each_row(conn, account, "SELECT position_id::bigint, kafka_offset FROM weir.duplicate",
                 take_duplicate, error) != 0 ||
        each_row(conn, account, "SELECT position_id::bigint, kafka_offset FROM weir.parked",
                 take_parked, error) != 0)
        return -1;
    return each_row(conn, account, statement("letters_for_good"), take_dead_letter, error);
}

static void find_lost(struct account *account)
{
    for (size_t i = 0; i < account->track_count; i++) {
        const struct track *track = &account->tracks[i];
        for (int64_t at = 0; at < track->count; at++)
            if (get_bit(track->expected, at) && !get_bit(track->seen, at)) {
                account->lost++;
                give_example(account, "lost", track, at);
            }
    }
}

/* A record that was skipped is accounted for by that, consumed or not. */
static int find_skipped(PGconn *conn, struct account *account, struct error *error)
{
    const char *values[] = {account->processor->name};
    PGresult *rows = NULL;
    if (pg_query(conn, statement("skipped_records"), 1, values, &rows, error) != 0)
        return -1;
    for (int row = 0; row < PQntuples(rows); row++) {
        for (size_t i = 0; i < account->track_count; i++) {
            struct track *track = &account->tracks[i];
            int64_t at = pg_int(rows, row, 1) - track->from;
            if (track->position->position_id == pg_int(rows, row, 0) && at >= 0 &&
                at < track->count)
                set_bit(track->skipped, at);
        }
    }
    PQclear(rows);
    return 0;
}

static const char rule[] = "each record below the position is accounted for exactly once";

/* What does not speak against the tables, and is to be known. */
static void put_remarks(const struct account *account, char *ret_text, size_t room)
{
    size_t size = 0;
    *ret_text = '\0';
    if (account->exempt > account->unknown)
        size += (size_t)snprintf(ret_text, room, "; %" PRId64 " too old to tell",
                                 account->exempt - account->unknown);
    if (account->unknown)
        size += (size_t)snprintf(ret_text + size, room - size,
                                 "; %" PRId64 " of schemas that this build does not have: only a "
                                 "build that has them can tell",
                                 account->unknown);
    if (account->misplaced)
        snprintf(ret_text + size, room - size,
                 "; %" PRId64 " in another partition than their key's, so in no known order (%s): "
                 "their producer must use the partitioner murmur2",
                 account->misplaced, account->misplaced_at);
}

static void add_result(const struct account *account, struct audit_report *report)
{
    int64_t bad = account->lost + account->doubled + account->stray;
    char remarks[600];
    put_remarks(account, remarks, sizeof remarks);
    if (bad)
        audit_add(report, "I3", account->processor->name, rule, AUDIT_BROKEN,
                  "%" PRId64 " lost, %" PRId64 " recorded twice, %" PRId64
                  " recorded without a record; the first: %s",
                  account->lost, account->doubled, account->stray, account->example)
            ->rows = bad;
    else
        audit_add(report, "I3", account->processor->name, rule, AUDIT_HOLDS,
                  "%" PRId64 " records = %" PRId64 " applied + %" PRId64 " duplicates + %" PRId64
                  " dead letters + %" PRId64 " parked; %" PRId64 " not consumed%s",
                  account->expected, account->applied, account->duplicates, account->dead,
                  account->parked, account->others, remarks);
}

/* Broker time decides what is too old; the newest record that was dealt with stands for now. */
static int find_window(PGconn *conn, struct account *account, struct error *error)
{
    const char *values[] = {account->processor->name};
    PGresult *result = NULL;
    if (pg_query(conn,
                 "SELECT coalesce((extract(epoch FROM max(anchor_timestamp)) * 1000)::bigint, 0) "
                 "FROM weir.position WHERE processor = $1",
                 1, values, &result, error) != 0)
        return -1;
    account->exempt_before_ms = pg_int(result, 0, 0) - account->processor->duplicate_window_ms;
    PQclear(result);
    return 0;
}

int audit_records(const struct config *config, PGconn *conn,
                  const struct audit_positions *positions, const struct processor *processor,
                  const char *schema, struct audit_report *report, struct error *error)
{
    struct account account = {.processor = processor};
    int64_t records = open_tracks(&account, positions);
    int result = 0;
    if (records > AUDIT_RECORDS_MAX) {
        audit_add(report, "I3", processor->name, rule, AUDIT_SKIPPED,
                  "%" PRId64 " records are too many to read (at most %d)", records,
                  AUDIT_RECORDS_MAX);
    } else {
        make_bits(&account);
        result = find_window(conn, &account, error);
        if (result == 0)
            result = find_skipped(conn, &account, error);
        if (result == 0 && account.track_count)
            result = read_log(config, &account, error);
        if (result == 0)
            result = read_tables(conn, &account, schema, error);
        find_lost(&account);
        if (result == 0)
            add_result(&account, report);
    }
    close_tracks(&account);
    return result;
}
