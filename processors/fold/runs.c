/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory may know more than the table: runs that were pruned, and hashes that are equal by chance.
 * It never knows less, so nothing is missed. */
#include "processors/fold/runs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "lib/base/idtable.h"
#include "lib/base/timestamp.h"

enum {
    RUNS_AT_ONCE = 100, /* that are read by one query */
    PREFETCH_AHEAD = 8, /* entries */
    SMALL_EVENTS = 64,  /* a run of fewer is merged with its neighbours … */
    MERGE_RUNS = 256,   /* … when there are so many in a row; a look-up reads a run as a whole */
    JOINED_GAP = 1024   /* ids between ranges that are read again together */
};

enum { COLUMN_RUN, COLUMN_NEWEST, COLUMN_VALUE }; /* of each_run */

/* A position whose hashes are in memory. */
struct held {
    int32_t id;
    int64_t epoch;
    int64_t next_run;
    int64_t small_first; /* the small runs at its end */
    int64_t small_count;
};

struct runs {
    char *schema;
    uint64_t seed;
    struct run_index *index;
    struct held *held;
    size_t held_count;
    struct idtable *wanted; /* of a look-up */
};

/* An event of a batch whose hash is known. */
struct wanted {
    struct idtable_key event; /* and Space */
    int64_t fingerprint;
    int64_t timestamp_us; /* of the newest copy; INT64_MIN: there is none */
};

int runs_open(PGconn *conn, const char *schema, struct runs **ret_runs, struct error *error)
{
    PGresult *result = NULL;
    if (pg_query(conn, "SELECT seed FROM weir.run_seed", 0, NULL, &result, error) != 0)
        return -1;
    struct runs *runs = xcalloc(1, sizeof *runs);
    runs->schema = xstrdup(schema);
    runs->seed = (uint64_t)pg_int(result, 0, 0);
    runs->index = run_index_new();
    runs->wanted = idtable_new(sizeof(struct wanted));
    PQclear(result);
    *ret_runs = runs;
    return 0;
}

void runs_free(struct runs *runs)
{
    if (!runs)
        return;
    free(runs->schema);
    run_index_free(runs->index);
    free(runs->held);
    idtable_free(runs->wanted);
    free(runs);
}

uint64_t runs_hash(const struct runs *runs, const struct uuid *event_id,
                   const struct uuid *space_id)
{
    const struct uuid both[] = {*event_id, *space_id};
    return XXH3_64bits_withSeed(both, sizeof both, runs->seed);
}

void runs_put_entry(char *out, const struct entry *entry)
{
    const uint64_t numbers[] = {htobe64((uint64_t)entry->fingerprint),
                                htobe64((uint64_t)entry->record.offset),
                                htobe64((uint64_t)entry->record.timestamp_us)};
    memcpy(out, &entry->event_id, 16);
    memcpy(out + 16, &entry->space_id, 16);
    memcpy(out + 32, numbers, sizeof numbers);
}

struct run_entry runs_entry(const char *at)
{
    struct run_entry entry;
    memcpy(&entry.event_id, at, 16);
    memcpy(&entry.space_id, at + 16, 16);
    entry.fingerprint = (int64_t)buf_get_be64(at + 32);
    entry.offset = (int64_t)buf_get_be64(at + 40);
    entry.timestamp_us = (int64_t)buf_get_be64(at + 48);
    return entry;
}

static struct held *find_held(const struct runs *runs, int32_t position_id)
{
    for (size_t i = 0; i < runs->held_count; i++)
        if (runs->held[i].id == position_id)
            return &runs->held[i];
    return NULL;
}

/* Hands over a column of each run of a range, in the order of their ids. The run that has what was
 * in the range's last one is the first from that on. */
static int each_run(struct runs *runs, PGconn *conn, const char *column, struct run_range range,
                    void (*take)(struct runs *runs, void *opaque, const PGresult *result, int row),
                    void *opaque, struct error *error)
{
    char *sql = xasprintf(
        "SELECT r.run_id, r.newest_timestamp, r.%s FROM %s.applied_run AS r "
        "WHERE r.position_id = $1::integer AND r.run_id BETWEEN $2::bigint AND coalesce("
        "(SELECT min(l.run_id) FROM %s.applied_run AS l WHERE l.position_id = $1::integer "
        "AND l.run_id >= $3::bigint), $3::bigint) ORDER BY r.run_id LIMIT $4::integer",
        column, runs->schema, runs->schema);
    int code = 0;
    for (int count = RUNS_AT_ONCE; code == 0 && count == RUNS_AT_ONCE;) {
        const char *values[] = {PG_NUMBER(range.position_id), PG_NUMBER(range.first_run),
                                PG_NUMBER(range.last_run), PG_NUMBER(RUNS_AT_ONCE)};
        PGresult *result = NULL;
        code = pg_answer(conn, PQsendQueryParams(conn, sql, 4, NULL, values, NULL, NULL, 1),
                         &result, error);
        count = code == 0 ? PQntuples(result) : 0;
        for (int i = 0; i < count; i++)
            take(runs, opaque, result, i);
        if (count > 0)
            range.first_run = pg_int8(result, count - 1, COLUMN_RUN) + 1;
        PQclear(result);
    }
    free(sql);
    return code;
}

static void note_run(struct held *held, size_t events)
{
    if (events >= SMALL_EVENTS)
        held->small_count = 0;
    else if (held->small_count++ == 0)
        held->small_first = held->next_run;
    held->next_run++;
}

/* Puts the hashes of a run into the index. Returns how many there are. */
static size_t add_hashes(struct runs *runs, int32_t position_id, int64_t newest_us,
                         const PGresult *result, int row)
{
    size_t count = (size_t)PQgetlength(result, row, COLUMN_VALUE) / RUN_HASH_SIZE;
    run_index_add(runs->index, position_id, pg_int8(result, row, COLUMN_RUN), newest_us,
                  PQgetvalue(result, row, COLUMN_VALUE), count);
    return count;
}

static void take_of_position(struct runs *runs, void *opaque, const PGresult *result, int row)
{
    struct held *held = opaque;
    int64_t newest_us = pg_int8(result, row, COLUMN_NEWEST) + POSTGRES_EPOCH_US;
    held->next_run = pg_int8(result, row, COLUMN_RUN);
    note_run(held, add_hashes(runs, held->id, newest_us, result, row));
}

/* Runs that are read again. */
struct again {
    struct run_range range;
    int64_t newest_us; /* as which they count now */
};

static void take_again(struct runs *runs, void *opaque, const PGresult *result, int row)
{
    const struct again *again = opaque;
    add_hashes(runs, again->range.position_id, again->newest_us, result, row);
}

static void forget_all(struct runs *runs)
{
    run_index_free(runs->index);
    runs->index = run_index_new();
    runs->held_count = 0;
}

/* Whether all that is in memory still is what the table has: nobody else claimed a position in
 * between, and none was given up. */
static int is_kept(const struct runs *runs, const struct position *positions, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        const struct held *held = find_held(runs, positions[i].id);
        if (held && held->epoch + 1 != positions[i].epoch)
            return 0;
        kept += held != NULL;
    }
    return kept == runs->held_count;
}

int runs_load(struct runs *runs, PGconn *conn, struct position *positions, size_t count,
              struct error *error)
{
    if (!is_kept(runs, positions, count))
        forget_all(runs);
    for (size_t i = 0; i < count; i++) {
        struct held *held = find_held(runs, positions[i].id);
        if (!held) {
            struct held added = {.id = positions[i].id, .next_run = 1};
            const struct run_range all = {
                .position_id = added.id, .first_run = INT64_MIN, .last_run = INT64_MAX};
            if (each_run(runs, conn, "hashes", all, take_of_position, &added, error) != 0) {
                forget_all(runs);
                return -1;
            }
            runs->held = xrealloc(runs->held, (runs->held_count + 1) * sizeof *runs->held);
            held = &runs->held[runs->held_count++];
            *held = added;
        }
        held->epoch = positions[i].epoch;
        positions[i].next_run = held->next_run;
    }
    return 0;
}

static int compare_ranges(const void *left, const void *right)
{
    const struct run_range *a = left;
    const struct run_range *b = right;
    if (a->position_id != b->position_id)
        return a->position_id < b->position_id ? -1 : 1;
    return (a->first_run > b->first_run) - (a->first_run < b->first_run);
}

/* Puts the events of [from, to) whose hash is known among what is wanted, and the ranges in which
 * they may be into `ranges`. */
static void search_index(struct runs *runs, struct batch *batch, size_t from, size_t to,
                         struct buf *ranges)
{
    idtable_clear(runs->wanted);
    for (size_t i = from; i < to; i++) {
        struct entry *entry = &batch->entries[i];
        entry->hash = runs_hash(runs, &entry->event_id, &entry->space_id);
    }
    for (size_t i = from; i < to; i++) {
        const struct entry *entry = &batch->entries[i];
        struct run_search search = {0};
        if (i + PREFETCH_AHEAD < to)
            run_index_prefetch(runs->index, batch->entries[i + PREFETCH_AHEAD].hash);
        if (entry->decoded_fate != FATE_APPLIED)
            continue;
        for (const struct run_range *range;
             (range = run_index_next(runs->index, entry->hash, &search));) {
            const struct idtable_key key = {entry->event_id, entry->space_id};
            int is_new;
            struct wanted *wanted = idtable_put(runs->wanted, &key, &is_new);
            if (is_new)
                wanted->timestamp_us = INT64_MIN;
            buf_put(ranges, range, sizeof *range);
        }
    }
}

/* Of two copies further apart than the window the newer one counts. */
static void take_entries(struct runs *runs, void *opaque, const PGresult *result, int row)
{
    const char *at = PQgetvalue(result, row, COLUMN_VALUE);
    const char *end = at + PQgetlength(result, row, COLUMN_VALUE);
    (void)opaque;
    for (; at + RUN_ENTRY_SIZE <= end; at += RUN_ENTRY_SIZE) {
        const struct run_entry entry = runs_entry(at);
        const struct idtable_key key = {entry.event_id, entry.space_id};
        struct wanted *wanted = idtable_find(runs->wanted, &key);
        if (!wanted || entry.timestamp_us < wanted->timestamp_us)
            continue;
        wanted->timestamp_us = entry.timestamp_us;
        wanted->fingerprint = entry.fingerprint;
    }
}

int runs_look_up(struct runs *runs, PGconn *conn, struct batch *batch, size_t from, size_t to,
                 struct known **ret_known, size_t *ret_count, struct error *error)
{
    struct buf found = {0};
    int code = 0;
    *ret_known = NULL;
    *ret_count = 0;
    search_index(runs, batch, from, to, &found);
    struct run_range *ranges = (struct run_range *)(void *)found.data;
    size_t count = found.size / sizeof *ranges;
    if (count > 0)
        qsort(ranges, count, sizeof *ranges, compare_ranges);
    for (size_t i = 0; code == 0 && i < count; i++)
        if (i == 0 || compare_ranges(&ranges[i - 1], &ranges[i]) != 0)
            code = each_run(runs, conn, "entries", ranges[i], take_entries, NULL, error);
    buf_free(&found);
    if (code != 0 || count == 0)
        return code;
    struct known *known = xcalloc(idtable_count(runs->wanted), sizeof *known);
    for (size_t i = 0; i < idtable_count(runs->wanted); i++) {
        const struct wanted *wanted = idtable_at(runs->wanted, i);
        if (wanted->timestamp_us != INT64_MIN)
            known[(*ret_count)++] = (struct known){.event_id = wanted->event.id,
                                                   .space_id = wanted->event.scope,
                                                   .fingerprint = wanted->fingerprint,
                                                   .timestamp_us = wanted->timestamp_us};
    }
    *ret_known = known;
    return 0;
}

void runs_committed(struct runs *runs, const struct slice *slice, struct position *positions,
                    size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct slice_run *run = &slice->runs[i];
        struct held *held = run->count ? find_held(runs, positions[i].id) : NULL;
        if (!held)
            continue;
        held->next_run = positions[i].next_run;
        run_index_add(runs->index, held->id, held->next_run, run->newest_us,
                      slice_run_hashes(slice, i), run->count);
        note_run(held, run->count);
        positions[i].next_run = held->next_run;
    }
}

/* The first small runs; there may be many more, when whoever wrote them did not merge. */
static int merge(struct runs *runs, PGconn *conn, struct held *held, struct error *error)
{
    PGresult *result = NULL;
    char *sql = xasprintf(
        "WITH first AS (SELECT run_id FROM %1$s.applied_run WHERE position_id = $1::integer "
        "AND run_id BETWEEN $2::bigint AND $3::bigint ORDER BY run_id LIMIT $4::integer), "
        "gone AS (DELETE FROM %1$s.applied_run AS r USING first "
        "WHERE (r.position_id, r.run_id) = ($1::integer, first.run_id) RETURNING r.*) "
        "INSERT INTO %1$s.applied_run (position_id, run_id, newest_timestamp, hashes, entries) "
        "SELECT position_id, max(run_id), max(newest_timestamp), "
        "string_agg(hashes, ''::bytea ORDER BY run_id), "
        "string_agg(entries, ''::bytea ORDER BY run_id) FROM gone GROUP BY position_id "
        "RETURNING run_id",
        runs->schema);
    const char *values[] = {PG_NUMBER(held->id), PG_NUMBER(held->small_first),
                            PG_NUMBER(held->next_run - 1), PG_NUMBER(MERGE_RUNS)};
    int code = pg_query(conn, sql, 4, values, &result, error);
    int merged = code == 0 && PQntuples(result) > 0; /* else they have been pruned */
    if (merged)
        held->small_first = pg_int(result, 0, 0) + 1;
    held->small_count = merged ? held->small_count - MERGE_RUNS : 0;
    PQclear(result);
    free(sql);
    return code;
}

int runs_merge(struct runs *runs, PGconn *conn, struct error *error)
{
    for (size_t i = 0; i < runs->held_count; i++) {
        struct held *held = &runs->held[i];
        if (held->small_count < MERGE_RUNS)
            continue;
        return merge(runs, conn, held, error) == 0 ? 1 : -1;
    }
    return 0;
}

/* What is still stored of ranges. Neighbours are read by one query: it would else read a run that
 * was merged for each of them. */
static int read_again(struct runs *runs, PGconn *conn, struct run_range *ranges, size_t count,
                      int64_t newest_us, struct error *error)
{
    int code = 0;
    qsort(ranges, count, sizeof *ranges, compare_ranges);
    for (size_t i = 0; code == 0 && i < count;) {
        struct again again = {.range = ranges[i], .newest_us = newest_us};
        struct run_range *joined = &again.range;
        for (i++; i < count && ranges[i].position_id == joined->position_id &&
                  ranges[i].first_run <= joined->last_run + JOINED_GAP;
             i++)
            if (ranges[i].last_run > joined->last_run)
                joined->last_run = ranges[i].last_run;
        code = each_run(runs, conn, "hashes", *joined, take_again, &again, error);
    }
    return code;
}

/* Time is that of the partition that is furthest: one that gets no records would else keep all of
 * them in memory. What is read again stays for another window, so that it is not read all the
 * time: of partitions that are far behind, and what a parked event may be a copy of. */
int runs_forget(struct runs *runs, PGconn *conn, const struct positions *positions,
                int64_t window_us, struct error *error)
{
    int64_t now_us = 0;
    int code = 0;
    for (size_t i = 0; i < positions->count; i++)
        if (positions->list[i].anchor_offset >= 0 &&
            positions->list[i].anchor_timestamp_us > now_us)
            now_us = positions->list[i].anchor_timestamp_us;
    for (size_t count = 1; code == 0 && count > 0;) {
        struct run_range *ranges = NULL;
        count = run_index_forget(runs->index, now_us - window_us, &ranges);
        if (count > 0)
            code = read_again(runs, conn, ranges, count, now_us, error);
        free(ranges);
    }
    if (code != 0)
        forget_all(runs);
    return code;
}

size_t runs_count(const struct runs *runs)
{
    return run_index_count(runs->index);
}

size_t runs_bytes(const struct runs *runs)
{
    return run_index_bytes(runs->index);
}
