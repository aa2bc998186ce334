/* SPDX-License-Identifier: Apache-2.0
 *
 * Parked events are tried again, Space by Space: the first one alone while it fails, then those
 * behind it in batches. They take the way of new records, through the same procedure under the same
 * fence, except that no position moves. While a Space drains, its new events still queue up behind;
 * it flows again in the transaction that takes the last one out.
 *
 * Where several Spaces are due, one search says which of their first events fail: these are seen to
 * in one transaction, and the other Spaces go the way above.
 *
 * With new records waiting, draining gets a share of the time. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/failpoint.h"
#include "lib/base/json_text.h"
#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "lib/pg/statement.h"
#include "processors/engine/internal.h"
#include "processors/fold/headers.h"

/* A row of the query over parked events, whose columns are in Postgres' binary form. The batch
 * points into the result. */
enum {
    COLUMN_DUE, /* which one of the Spaces asked for, from 1 on */
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
int drain_prepare(PGconn *conn, struct error *error)
{
    return pg_prepare(conn, "due", statement("due"), error) == 0 &&
                   pg_prepare(conn, "parked", statement("parked"), error) == 0
               ? pg_prepare(conn, "heads_failed", statement("heads_failed"), error)
               : -1;
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
    buf_free(&engine->drain.failed);
    free(engine->drain.headers);
    parked_free(engine->parked);
}

void drain_drop(struct engine *engine)
{
    if (!engine->drain.batch)
        return;
    batch_reset(engine->drain.batch, engine->positions.count);
    PQclear(engine->drain.rows);
    engine->drain.rows = NULL;
    buf_reset(&engine->drain.failed);
    engine->current = engine->applying;
}

void drain_part(struct engine *engine)
{
    struct drain *drain = &engine->drain;
    for (size_t i = 0; i < drain->taken_count; i++)
        if (drain->taken[i].state == DUE_ANY)
            drain->taken[i].state = DUE_ALONE;
    drain->due_next = (size_t)(drain->taken - drain->due);
    drain_drop(engine);
    drain->spent_us += monotonic_now_us() - drain->began_us;
}

int drain_load(struct engine *engine, struct error *error)
{
    engine->drain.due_count = 0;
    engine->drain.due_next = 0;
    return parked_load(engine->parked, conn_of(engine), &engine->positions, error);
}

/* The Spaces whose turn it is. */
static int find_due(struct engine *engine, struct error *error)
{
    struct drain *drain = &engine->drain;
    const char *values[] = {buf_text(&engine->positions.ids), PG_NUMBER(DUE_MAX)};
    PGresult *result = NULL;
    int code = pg_query_prepared(conn_of(engine), "due", 2, values, &result, error);
    drain->due_count = 0;
    drain->due_next = 0;
    for (int i = 0; code == 0 && i < PQntuples(result); i++) {
        struct due *due = &drain->due[drain->due_count++];
        due->position = positions_index(&engine->positions, pg_int(result, i, 0));
        uuid_parse(PQgetvalue(result, i, 1), UUID_TEXT_SIZE, &due->space_id);
        due->state = DUE_ANY;
    }
    PQclear(result);
    drain->find_at_us = monotonic_now_us() + (drain->due_count ? 0 : DUE_INTERVAL_MS * 1000);
    return code;
}

/* Of each of several Spaces the first parked event, and of one that while it fails, else as many as
 * fit a batch. */
static int load_rows(struct engine *engine, struct error *error)
{
    struct drain *drain = &engine->drain;
    struct buf ids = {0};
    struct buf spaces = {0};
    for (size_t i = 0; i < drain->taken_count; i++) {
        char space[UUID_TEXT_SIZE + 1];
        uuid_format(&drain->taken[i].space_id, space);
        buf_printf(&ids, "%s%d", i ? "," : "{",
                   engine->positions.list[drain->taken[i].position].id);
        buf_printf(&spaces, "%s%s", i ? "," : "{", space);
    }
    buf_put_text(&ids, "}");
    buf_put_text(&spaces, "}");
    const char *values[] = {buf_text(&ids), buf_text(&spaces),
                            PG_NUMBER(drain->taken_count > 1 ? 1 : DRAIN_ROWS_MAX),
                            PG_NUMBER(DRAIN_BYTES_MAX)};
    int code = pg_answer(conn_of(engine),
                         PQsendQueryPrepared(conn_of(engine), "parked", 4, values, NULL, NULL, 1),
                         &drain->rows, error);
    buf_free(&ids);
    buf_free(&spaces);
    return code;
}

/* The Space that a row is of. */
static struct due *due_of(const struct drain *drain, size_t row)
{
    return &drain->taken[pg_int8(drain->rows, (int)row, COLUMN_DUE) - 1];
}

static int fill_batch(struct engine *engine, struct error *error)
{
    struct drain *drain = &engine->drain;
    const PGresult *rows = drain->rows;
    int code = 0;
    batch_reset(drain->batch, engine->positions.count);
    drain->batch->drained_position = drain->taken->position;
    for (int i = 0; code == 0 && i < PQntuples(rows); i++) {
        uint32_t index = due_of(drain, (size_t)i)->position;
        const struct position *position = &engine->positions.list[index];
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
        code = batch_add(drain->batch, engine->decoder, &record, index, error);
    }
    return code;
}

void drain_postpone(struct engine *engine, const struct error *reason, int64_t pause_ms)
{
    const struct due held = *engine->drain.taken;
    const struct position *position = &engine->positions.list[held.position];
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
    if (pg_query(conn_of(engine), "SELECT weir.postpone($1, $2, $3, $4)", 4, values, NULL,
                 &error) != 0)
        apply_fail(engine, &error);
}

/* Fills the batch from the rows. Returns whether it may be tried. */
static int fill_known(struct engine *engine)
{
    struct drain *drain = &engine->drain;
    struct error error = {0};
    int code = fill_batch(engine, &error);
    /* Where it came from the partition waited for its schema, but that was another process. */
    while (code != 0 && strcmp(error.code, DECODER_UNKNOWN) == 0 &&
           monotonic_now_us() >= drain->look_up_at_us) {
        code = decoder_look_up(engine->decoder, decoder_unknown_id(engine->decoder),
                               conn_of(engine), &error);
        if (code == 0)
            code = fill_batch(engine, &error);
        else /* it may have taken long, and others may wait for the same */
            drain->look_up_at_us = monotonic_now_us() + LOOK_UP_INTERVAL_MS * 1000;
    }
    if (code != 0 && drain->taken_count == 1)
        drain_postpone(engine, &error, DRAIN_SCHEMA_MS);
    else if (code != 0)
        drain_part(engine);
    return code == 0;
}

static int has_untried(const struct drain *drain)
{
    for (int i = 0; i < PQntuples(drain->rows); i++)
        if (pg_int8(drain->rows, i, COLUMN_ATTEMPTS) == 0)
            return 1;
    return 0;
}

/* Starts on the Spaces that were taken. Returns whether something was sent. */
static int try_taken(struct engine *engine)
{
    struct drain *drain = &engine->drain;
    struct error error = {0};
    if (load_rows(engine, &error) != 0) {
        drain_drop(engine);
        apply_fail(engine, &error);
        return 0;
    }
    if (PQntuples(drain->rows) == 0) { /* a decision has emptied them meanwhile */
        drain_drop(engine);
        return 0;
    }
    FAILPOINT("drain.loaded");
    if (!fill_known(engine))
        return 0;
    if (drain->taken_count == 1)
        apply_batch(engine, drain->batch);
    else if (!search_drain(engine, has_untried(drain))) {
        drain_part(engine);
        return 0;
    }
    FAILPOINT("drain.sent");
    return 1;
}

/* Takes the next Space, or the next ones, whose first events can be searched together. */
static void take(struct drain *drain)
{
    drain->taken = &drain->due[drain->due_next];
    size_t limit = drain->due_count - drain->due_next;
    if (limit > DRAIN_SEARCH_MAX)
        limit = DRAIN_SEARCH_MAX;
    size_t count = 0;
    while (count < limit && drain->taken[count].state == DUE_ANY)
        count++;
    drain->taken_count = count ? count : 1;
    drain->due_next += drain->taken_count;
}

/* Nothing is in flight, and new records do not want their turn first. */
static int has_turn(const struct engine *engine)
{
    return !is_busy(engine) && engine->attached &&
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
    while (engine->attached && drain->due_next < drain->due_count) {
        take(drain);
        if (drain->taken->state != DUE_DONE && try_taken(engine))
            return;
    }
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
    if ((int64_t)drain->batch->count == pg_int8(drain->rows, 0, COLUMN_EVENTS) &&
        pg_int8(drain->rows, 0, COLUMN_BLOCKED_BY) <= last)
        parked_remove(engine->parked, drain->taken->position, &drain->taken->space_id);
    drain_drop(engine);
    drain->spent_us += monotonic_now_us() - drain->began_us;
}

int drain_mark(struct engine *engine, size_t row, const char *code, const char *message)
{
    struct drain *drain = &engine->drain;
    struct buf *out = &drain->failed;
    const struct policy *policy = &engine->processor->policy;
    struct due *due = due_of(drain, row);
    const struct position *position = &engine->positions.list[due->position];
    const struct entry *entry = &drain->batch->entries[row];
    int first = row == 0 || drain->taken_count > 1;
    int64_t failures = (first ? pg_int8(drain->rows, (int)row, COLUMN_ATTEMPTS) : 0) + 1;
    int used_up = failures >= policy_attempts(policy, code);
    int64_t pause_ms = policy_pause_ms(policy, used_up ? 1 : failures);
    /* A dead letter that somebody redrives is known to fail: that proves nothing. */
    int redriven = *PQgetvalue(drain->rows, (int)row, COLUMN_REDRIVEN);
    if (!redriven && park_halts(engine, entry, message))
        return -1;
    used_up = (used_up && !breaker_doubts(&engine->breaker, policy)) ||
              (first && pg_int8(drain->rows, (int)row, COLUMN_AGE) >= policy->age_max_ms);
    if (used_up && !redriven)
        park_set_aside(engine, message);
    char space[UUID_TEXT_SIZE + 1];
    uuid_format(&due->space_id, space);
    buf_put_text(out, out->size ? ",{" : "[{");
    json_text_number(out, "due", due - drain->taken);
    json_text_number(out, "position_id", position->id);
    json_text_number(out, "epoch", position->epoch);
    json_text_member(out, "space_id", space);
    json_text_number(out, "kafka_offset", entry->record.offset);
    json_text_member(out, "code", code);
    json_text_member(out, "message", message);
    json_text_number(out, "retry_after_ms", pause_ms);
    json_text_member(out, "used_up", used_up ? "true" : "false");
    json_text_member(out, "block", policy->block ? "true" : "false");
    buf_put_text(out, "}");
    due->state = DUE_DONE;
    return 0;
}

void drain_record(struct engine *engine)
{
    struct drain *drain = &engine->drain;
    struct error error;
    PGresult *result = NULL;
    if (drain->failed.size == 0) {
        drain_part(engine);
        return;
    }
    buf_put_text(&drain->failed, "]");
    const char *values[] = {buf_text(&drain->failed)};
    FAILPOINT("head.failed");
    int code = pg_query_prepared(conn_of(engine), "heads_failed", 1, values, &result, &error);
    FAILPOINT("head.sent");
    for (int i = 0; code == 0 && i < PQntuples(result); i++) {
        const struct due *due = &drain->taken[pg_int(result, i, 0)];
        if (*PQgetvalue(result, i, 1) != 't')
            parked_remove(engine->parked, due->position, &due->space_id);
    }
    PQclear(result);
    drain_part(engine);
    if (code != 0)
        apply_fail(engine, &error);
}

void drain_fail(struct engine *engine, size_t row, const char *code, const char *message)
{
    if (drain_mark(engine, row, code, message) == 0)
        drain_record(engine);
}
