/* SPDX-License-Identifier: Apache-2.0
 *
 * Parked events are tried again, Space by Space: the first one alone while it fails, then those
 * behind it in batches. They take the way of new records, through the same procedure under the same
 * fence, except that no position moves. While a Space drains, its new events still queue up behind;
 * it flows again in the transaction that takes the last one out.
 *
 * With new records waiting, draining gets a share of the time. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/failpoint.h"
#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "lib/base/utf8.h"
#include "processors/engine/headers.h"
#include "processors/engine/internal.h"

/* A row of the query over parked events, whose columns are in Postgres' binary form. The batch
 * points into the result. */
enum {
    COLUMN_ATTEMPTS,
    COLUMN_EVENTS,
    COLUMN_BLOCKED_BY,
    COLUMN_AGE,
    COLUMN_OFFSET,
    COLUMN_TIME,
    COLUMN_HEADERS,
    COLUMN_KEY,
    COLUMN_VALUE,
    COLUMN_REDRIVEN
};

/* Asked every some milliseconds or for each Space, and planning takes longer than running them. */
static const char *const prepared[][2] = {
    {"due", "SELECT position_id, space_id FROM weir.parked_space "
            "WHERE position_id = ANY ($1::integer[]) AND next_attempt_at <= now() "
            "ORDER BY next_attempt_at LIMIT " DUE_MAX_TEXT},
    {"parked",
     "SELECT s.attempts::bigint, s.events, coalesce(s.blocked_by, -1), "
     "coalesce((extract(epoch FROM now() - s.first_failed_at) * 1000)::bigint, 0), "
     "p.kafka_offset, (extract(epoch FROM p.kafka_timestamp) * 1000000)::bigint, p.headers, "
     "p.key, p.value, EXISTS (SELECT FROM weir.dead_letter AS d WHERE d.state = 'redriving' "
     "AND (d.position_id, d.space_id, d.kafka_offset) = ($1, $2, p.kafka_offset)) "
     "FROM weir.parked_space AS s CROSS JOIN LATERAL ("
     "    SELECT q.*, sum(q.bytes) OVER (ORDER BY q.kafka_offset) - q.bytes AS bytes_before "
     "    FROM (SELECT *, coalesce(length(a.value), 0) + pg_column_size(a.headers) AS bytes "
     "FROM weir.parked AS a "
     "          WHERE a.position_id = s.position_id AND a.space_id = s.space_id "
     "          AND (s.blocked_by IS NULL OR a.kafka_offset <= s.blocked_by) "
     "          ORDER BY a.kafka_offset "
     "          LIMIT CASE WHEN s.attempts > 0 THEN 1 ELSE " DRAIN_ROWS_TEXT " END) AS q) AS p "
     "WHERE s.position_id = $1::integer AND s.space_id = $2::uuid "
     "AND p.bytes_before < " DRAIN_BYTES_TEXT " ORDER BY p.kafka_offset"}};

int drain_prepare(PGconn *conn, struct error *error)
{
    for (size_t i = 0; i < sizeof prepared / sizeof *prepared; i++)
        if (pg_prepare(conn, prepared[i][0], prepared[i][1], error) != 0)
            return -1;
    return 0;
}

static void release_nothing(void *owner)
{
    (void)owner;
}

/* The headers as they were read, which is how they are written. */
struct parked_headers {
    const char *data;
    int size;
};

static void copy_headers(const void *owner, uint32_t header_oid, struct buf *out)
{
    const struct parked_headers *headers = owner;
    (void)header_oid;
    buf_put(out, headers->data, (size_t)headers->size);
}

void drain_init(struct engine *engine)
{
    engine->parked = parked_new();
    engine->drain.batch = batch_new(engine->processor, DRAIN_ROWS_MAX, release_nothing);
    engine->drain.batch->put_headers = copy_headers;
    engine->drain.headers = xcalloc(DRAIN_ROWS_MAX, sizeof(struct parked_headers));
    engine->filling->parked = engine->parked;
    engine->applying->parked = engine->parked;
}

void drain_free(struct engine *engine)
{
    drain_drop(engine);
    batch_free(engine->drain.batch);
    free(engine->drain.headers);
    parked_free(engine->parked);
}

void drain_drop(struct engine *engine)
{
    if (!engine->drain.batch)
        return;
    batch_reset(engine->drain.batch, engine->position_count);
    PQclear(engine->drain.rows);
    engine->drain.rows = NULL;
    engine->current = engine->applying;
}

static int64_t find_position(const struct engine *engine, int64_t id)
{
    for (size_t i = 0; i < engine->position_count; i++)
        if (engine->positions[i].id == id)
            return (int64_t)i;
    return -1;
}

int drain_load(struct engine *engine, struct error *error)
{
    const char *values[] = {buf_text(&engine->position_ids)};
    PGresult *result = NULL;
    int code = pg_query(engine->conn,
                        "SELECT position_id, space_id FROM weir.parked_space "
                        "WHERE position_id = ANY ($1::integer[])",
                        1, values, &result, error);
    parked_clear(engine->parked);
    engine->drain.due_count = 0;
    engine->drain.due_next = 0;
    for (int i = 0; code == 0 && i < PQntuples(result); i++) {
        struct uuid space_id;
        uuid_parse(PQgetvalue(result, i, 1), UUID_TEXT_SIZE, &space_id);
        parked_add(engine->parked, (uint32_t)find_position(engine, pg_int(result, i, 0)), &space_id,
                   0);
    }
    PQclear(result);
    return code;
}

/* The Spaces whose turn it is. */
static int find_due(struct engine *engine, struct error *error)
{
    struct drain *drain = &engine->drain;
    const char *values[] = {buf_text(&engine->position_ids)};
    PGresult *result = NULL;
    int code = pg_query_prepared(engine->conn, "due", 1, values, &result, error);
    drain->due_count = 0;
    drain->due_next = 0;
    for (int i = 0; code == 0 && i < PQntuples(result); i++) {
        struct due *due = &drain->due[drain->due_count++];
        due->position = (uint32_t)find_position(engine, pg_int(result, i, 0));
        uuid_parse(PQgetvalue(result, i, 1), UUID_TEXT_SIZE, &due->space_id);
    }
    PQclear(result);
    drain->find_at_us = monotonic_now_us() + (drain->due_count ? 0 : DUE_INTERVAL_MS * 1000);
    return code;
}

/* The first parked event of a Space while it fails, else as many as fit a batch. */
static int load_rows(struct engine *engine, const struct due *due, struct error *error)
{
    char id[16];
    char space[UUID_TEXT_SIZE + 1];
    snprintf(id, sizeof id, "%d", engine->positions[due->position].id);
    uuid_format(&due->space_id, space);
    const char *values[] = {id, space};
    return pg_answer(engine->conn,
                     PQsendQueryPrepared(engine->conn, "parked", 2, values, NULL, NULL, 1),
                     &engine->drain.rows, error);
}

static int fill_batch(struct engine *engine, const struct due *due, struct error *error)
{
    struct drain *drain = &engine->drain;
    const PGresult *rows = drain->rows;
    const struct position *position = &engine->positions[due->position];
    int code = 0;
    batch_reset(drain->batch, engine->position_count);
    drain->batch->drained_position = due->position;
    for (int i = 0; code == 0 && i < PQntuples(rows); i++) {
        drain->headers[i] = (struct parked_headers){PQgetvalue(rows, i, COLUMN_HEADERS),
                                                    PQgetlength(rows, i, COLUMN_HEADERS)};
        const struct record record = {
            .topic = position->topic,
            .partition = position->partition,
            .offset = pg_int8(rows, i, COLUMN_OFFSET),
            .timestamp_us = pg_int8(rows, i, COLUMN_TIME),
            .key = PQgetisnull(rows, i, COLUMN_KEY) ? NULL : PQgetvalue(rows, i, COLUMN_KEY),
            .key_size = (size_t)PQgetlength(rows, i, COLUMN_KEY),
            .value = PQgetisnull(rows, i, COLUMN_VALUE) ? NULL : PQgetvalue(rows, i, COLUMN_VALUE),
            .value_size = (size_t)PQgetlength(rows, i, COLUMN_VALUE),
            .owner = &drain->headers[i]};
        code = batch_add(drain->batch, engine->decoder, &record, due->position, error);
    }
    return code;
}

void drain_postpone(struct engine *engine, const struct error *reason, int64_t pause_ms)
{
    const struct due held = engine->drain.space;
    const struct position *position = &engine->positions[held.position];
    char id[16], epoch[24], space[UUID_TEXT_SIZE + 1], pause[24];
    struct error error;
    snprintf(id, sizeof id, "%d", position->id);
    snprintf(epoch, sizeof epoch, "%" PRId64, position->epoch);
    uuid_format(&held.space_id, space);
    snprintf(pause, sizeof pause, "%" PRId64, pause_ms);
    if (monotonic_now_us() - engine->postponed_said_us >= PARKED_LOG_INTERVAL_MS * 1000) {
        engine->postponed_said_us = monotonic_now_us();
        log_warn("parked events of Space %s in %s [%d]: %s; trying again in %" PRId64 " ms", space,
                 position->topic, position->partition, reason->message, pause_ms);
    }
    drain_drop(engine);
    engine->drain.spent_us += monotonic_now_us() - engine->drain.began_us;
    const char *values[] = {id, epoch, space, pause};
    if (pg_query(engine->conn, "SELECT weir.postpone($1, $2, $3, $4)", 4, values, NULL, &error) !=
        0)
        apply_fail(engine, &error);
}

/* Starts on one Space. Returns whether something was sent. */
static int drain_space(struct engine *engine, const struct due *due)
{
    struct drain *drain = &engine->drain;
    struct error error = {0};
    drain->space = *due;
    if (load_rows(engine, due, &error) != 0) {
        drain_drop(engine);
        apply_fail(engine, &error);
        return 0;
    }
    if (PQntuples(drain->rows) == 0) { /* a decision has emptied it meanwhile */
        drain_drop(engine);
        return 0;
    }
    drain->attempts = pg_int8(drain->rows, 0, COLUMN_ATTEMPTS);
    drain->events = pg_int8(drain->rows, 0, COLUMN_EVENTS);
    drain->blocked_by = pg_int8(drain->rows, 0, COLUMN_BLOCKED_BY);
    drain->age_ms = pg_int8(drain->rows, 0, COLUMN_AGE);
    FAILPOINT("drain.loaded");
    int code = fill_batch(engine, due, &error);
    /* Where it came from the partition waited for its schema, but that was another process. */
    while (code != 0 && strcmp(error.code, DECODER_UNKNOWN) == 0 &&
           monotonic_now_us() >= drain->look_up_at_us) {
        code = decoder_look_up(engine->decoder, decoder_unknown_id(engine->decoder), engine->conn,
                               &error);
        if (code == 0)
            code = fill_batch(engine, due, &error);
        else /* it may have taken long, and others may wait for the same */
            drain->look_up_at_us = monotonic_now_us() + LOOK_UP_INTERVAL_MS * 1000;
    }
    if (code != 0) {
        drain_postpone(engine, &error, DRAIN_SCHEMA_MS);
        return 0;
    }
    apply_batch(engine, drain->batch);
    FAILPOINT("drain.sent");
    return 1;
}

/* Nothing is in flight, and new records do not want their turn first. */
static int has_turn(const struct engine *engine)
{
    return !engine->in_flight && engine->attached &&
           !(apply_is_behind(engine) && engine->drain.spent_us > DRAIN_SHARE_MS * 1000);
}

void drain_start(struct engine *engine)
{
    struct drain *drain = &engine->drain;
    struct error error;
    if (!has_turn(engine) || parked_count(engine->parked) == 0)
        return;
    if (drain->due_next == drain->due_count && monotonic_now_us() >= drain->find_at_us &&
        find_due(engine, &error) != 0) {
        apply_fail(engine, &error);
        return;
    }
    drain->began_us = monotonic_now_us();
    while (engine->attached && drain->due_next < drain->due_count)
        if (drain_space(engine, &drain->due[drain->due_next++]))
            return;
}

int drain_is_due(const struct engine *engine)
{
    return engine->drain.due_next < engine->drain.due_count && has_turn(engine);
}

void drain_finish(struct engine *engine)
{
    struct drain *drain = &engine->drain;
    FAILPOINT("drain.done");
    int64_t last = drain->batch->entries[drain->batch->count - 1].record.offset;
    if ((int64_t)drain->batch->count == drain->events && drain->blocked_by <= last)
        parked_remove(engine->parked, drain->space.position, &drain->space.space_id);
    drain_drop(engine);
    drain->spent_us += monotonic_now_us() - drain->began_us;
}

void drain_fail(struct engine *engine, const char *code, const char *message)
{
    struct drain *drain = &engine->drain;
    const struct policy *policy = &engine->processor->policy;
    const struct position *position = &engine->positions[drain->space.position];
    const struct entry *entry = &drain->batch->entries[engine->slice->from];
    int first = engine->slice->from == 0;
    int64_t failures = (first ? drain->attempts : 0) + 1;
    int used_up = failures >= policy_attempts(policy, code);
    int64_t pause_ms = policy_pause_ms(policy, used_up ? 1 : failures);
    /* A dead letter that somebody redrives is known to fail: that proves nothing. */
    int redriven = *PQgetvalue(drain->rows, (int)engine->slice->from, COLUMN_REDRIVEN);
    if (!redriven && park_halts(engine, entry, message))
        return;
    used_up = (used_up && !breaker_doubts(&engine->breaker, policy)) ||
              (first && drain->age_ms >= policy->age_max_ms);
    char id[16], epoch[24], space[UUID_TEXT_SIZE + 1], offset[24], pause[24];
    struct error error;
    char *text = xstrdup(message);
    utf8_mend(text, strlen(text));
    snprintf(id, sizeof id, "%d", position->id);
    snprintf(epoch, sizeof epoch, "%" PRId64, position->epoch);
    uuid_format(&drain->space.space_id, space);
    snprintf(offset, sizeof offset, "%" PRId64, entry->record.offset);
    snprintf(pause, sizeof pause, "%" PRId64, pause_ms);
    if (used_up && !redriven)
        park_set_aside(engine, message);
    const char *values[] = {id,
                            epoch,
                            space,
                            offset,
                            code,
                            text,
                            pause,
                            used_up ? "true" : "false",
                            policy->block ? "true" : "false"};
    PGresult *result = NULL;
    FAILPOINT("head.failed");
    int failed =
        pg_query(engine->conn, "SELECT weir.head_failed($1, $2, $3, $4, $5, $6, $7, $8, $9)", 9,
                 values, &result, &error);
    FAILPOINT("head.sent");
    free(text);
    struct due held = drain->space;
    drain_drop(engine);
    drain->spent_us += monotonic_now_us() - drain->began_us;
    if (failed)
        apply_fail(engine, &error);
    else if (*PQgetvalue(result, 0, 0) != 't')
        parked_remove(engine->parked, held.position, &held.space_id);
    PQclear(result);
}
