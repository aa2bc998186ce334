/* SPDX-License-Identifier: Apache-2.0
 *
 * One call of the processor's procedure is one transaction: Postgres runs it whole or not at all,
 * whatever happens to this process meanwhile, and a frozen process holds no lock. The call is sent
 * and its result taken without blocking, so that the next batch fills in the meantime.
 *
 * A lost connection leaves open whether the transaction committed. Nothing is ever sent again then:
 * the engine detaches and the position in the table says what happened. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/failpoint.h"
#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "processors/engine/internal.h"

static void send_slice(struct engine *engine, size_t from, const struct known *known,
                       size_t known_count)
{
    struct batch *batch = engine->applying;
    struct slice *slice = engine->slice;
    size_t to = from + engine->limit < batch->count ? from + engine->limit : batch->count;
    to = batch_judge(batch, from, to, known, known_count);
    slice_make(slice, batch, from, to, engine->positions, engine->position_count, &engine->types);
    engine->failure.class = ERROR_NONE;
    engine->duplicate_key = 0;
    engine->sent_us = monotonic_now_us();
    FAILPOINT_AT("batch.filled", PQsocket(engine->conn));
    int sent = PQsendQueryPrepared(engine->conn, "apply", slice->parameter_count, slice->values,
                                   slice->lengths, slice->formats, 1);
    slice_uncover(slice, batch);
    if (!sent) {
        struct error error;
        pg_fail(engine->conn, NULL, &error);
        attach_recover(engine, &error);
        return;
    }
    engine->in_flight = 1;
    PQflush(engine->conn);
    FAILPOINT_AT("batch.sent", PQsocket(engine->conn));
}

static int has_work(const struct engine *engine, const struct batch *batch)
{
    if (batch->count > 0)
        return 1;
    for (size_t i = 0; i < engine->position_count; i++)
        if (batch->ends[i] > engine->positions[i].next_offset)
            return 1;
    return 0;
}

/* While there is a backlog a batch may grow for a while: larger ones cost less per event. */
static int may_grow(const struct engine *engine)
{
    const struct batch *batch = engine->filling;
    if (batch->count == 0 || fetch_is_full(engine) || *engine->stop)
        return 0;
    int64_t newest_us = batch->entries[batch->count - 1].record.timestamp_us;
    return timestamp_now_us() - newest_us > BACKLOG_AGE_MS * 1000 &&
           monotonic_now_us() - batch->opened_us < engine->age_max_us;
}

void apply_start(struct engine *engine)
{
    if (engine->in_flight || !engine->attached || !has_work(engine, engine->filling) ||
        may_grow(engine))
        return;
    struct batch *batch = engine->filling;
    engine->filling = engine->applying;
    engine->applying = batch;
    batch_reset(engine->filling, engine->position_count);
    engine->limit = engine->rows_max;
    send_slice(engine, 0, NULL, 0);
}

static void count_latencies(struct engine *engine)
{
    int64_t now_us = timestamp_now_us();
    for (size_t i = engine->slice->from; i < engine->slice->to; i++)
        if (engine->applying->entries[i].fate == FATE_APPLIED)
            metrics_observe(engine->metrics.latency,
                            now_us - engine->applying->entries[i].record.timestamp_us);
}

static void finish_slice(struct engine *engine)
{
    const struct slice *slice = engine->slice;
    FAILPOINT_AT("batch.done", PQsocket(engine->conn));
    for (size_t i = 0; i < engine->position_count; i++) {
        struct position *position = &engine->positions[i];
        if (slice->next_offsets[i] < 0)
            continue;
        position->next_offset = slice->next_offsets[i];
        if (slice->anchors[i].offset >= 0) {
            position->anchor_offset = slice->anchors[i].offset;
            position->anchor_event_id = slice->anchors[i].event_id;
            position->anchor_timestamp_us = slice->anchors[i].timestamp_us;
        }
    }
    engine->backoff_ms = 0;
    metrics_counter_add(engine->metrics.batches, 1);
    metrics_counter_add(engine->metrics.events, (int64_t)slice->applied);
    metrics_counter_add(engine->metrics.duplicates, (int64_t)slice->duplicates);
    metrics_counter_add(engine->metrics.dead_letters, (int64_t)slice->dead_letters);
    metrics_observe(engine->metrics.batch_rows, (int64_t)slice->applied);
    metrics_observe(engine->metrics.apply_time, monotonic_now_us() - engine->sent_us);
    count_latencies(engine);
    if (slice->dead_letters)
        log_warn("%zu records could not be applied and are in weir.dead_letter",
                 slice->dead_letters);
    if (slice->to < engine->applying->count)
        send_slice(engine, slice->to, NULL, 0);
    else
        batch_reset(engine->applying, engine->position_count);
}

/* Reads which events of the slice were applied before, and sends it again with that knowledge. */
static void resolve_duplicates(struct engine *engine)
{
    size_t from = engine->slice->from;
    struct known *known = NULL;
    size_t count = 0;
    struct error error;
    if (duplicates_find(engine->conn, engine->applying, from, engine->slice->to, &engine->types,
                        &known, &count, &error) != 0)
        attach_recover(engine, &error);
    else
        send_slice(engine, from, known, count);
    free(known);
}

static void handle_failure(struct engine *engine)
{
    struct error *error = &engine->failure;
    size_t size = engine->slice->to - engine->slice->from;
    metrics_counter_add(engine->metrics.failures, 1);
    if (engine->duplicate_key) {
        resolve_duplicates(engine);
        return;
    }
    switch (error->class) {
    case ERROR_DEAD_LETTER:
    case ERROR_SHRINK:
        if (size > 1) {
            engine->limit = size / 2;
            send_slice(engine, engine->slice->from, NULL, 0);
        } else {
            /* The seam for parking: here the guilty event is known and everything before it is
             * applied. */
            const struct entry *entry =
                size ? &engine->applying->entries[engine->slice->from] : NULL;
            halt(engine, error, entry ? &engine->positions[entry->position] : NULL, entry);
        }
        break;
    case ERROR_FENCED:
        log_warn("another owner has claimed partitions of this instance; nothing was written");
        attach_detach(engine, FENCED_PAUSE_MS);
        break;
    case ERROR_HALT:
        halt(engine, error, NULL, NULL);
        break;
    default:
        attach_recover(engine, error);
    }
}

static void note_failure(struct engine *engine, const PGresult *result)
{
    const char *context = PQresultErrorField(result, PG_DIAG_CONTEXT);
    const char *line = context ? strstr(context, " line ") : NULL;
    if (engine->failure.class != ERROR_NONE)
        return;
    pg_fail(engine->conn, result, &engine->failure);
    engine->duplicate_key = duplicates_caused(result);
    if (line && engine->failure.class != ERROR_FENCED)
        error_prefix(&engine->failure, "%s: statement at line %d", engine->processor->apply->path,
                     atoi(line + 6));
}

void apply_poll(struct engine *engine)
{
    if (!engine->in_flight)
        return;
    int flushed = PQflush(engine->conn);
    if (flushed < 0 || !PQconsumeInput(engine->conn)) {
        struct error error;
        pg_fail(engine->conn, NULL, &error);
        attach_recover(engine, &error);
        return;
    }
    while (engine->in_flight && !PQisBusy(engine->conn)) {
        PGresult *result = PQgetResult(engine->conn);
        if (!result) {
            engine->in_flight = 0;
            if (engine->failure.class != ERROR_NONE)
                handle_failure(engine);
            else
                finish_slice(engine);
            return;
        }
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            note_failure(engine, result);
        PQclear(result);
    }
    int64_t limit_ms = config_int(engine->config, OPT_STATEMENT_TIMEOUT) + APPLY_GRACE_MS;
    if (engine->in_flight && monotonic_now_us() - engine->sent_us > limit_ms * 1000) {
        struct error error;
        error_set(&error, ERROR_RETRY, "connection", "Postgres has not answered for %" PRId64 " ms",
                  limit_ms);
        PQfinish(engine->conn);
        engine->conn = NULL;
        attach_recover(engine, &error);
    }
}

void apply_watch(struct engine *engine)
{
    if (PQconsumeInput(engine->conn) && !PQisBusy(engine->conn) &&
        PQstatus(engine->conn) == CONNECTION_OK)
        return;
    struct error error;
    pg_fail(engine->conn, NULL, &error);
    attach_recover(engine, &error);
}

void apply_wait(struct engine *engine, int64_t timeout_ms)
{
    int64_t deadline_us = monotonic_now_us() + timeout_ms * 1000;
    while (engine->in_flight && monotonic_now_us() < deadline_us) {
        short events = PQflush(engine->conn) > 0 ? POLLIN | POLLOUT : POLLIN;
        struct pollfd fd = {.fd = PQsocket(engine->conn), .events = events};
        poll(&fd, 1, IDLE_WAIT_MS);
        apply_poll(engine);
    }
}

void apply_hint(struct engine *engine)
{
    int64_t now_us = monotonic_now_us();
    if (!engine->attached || now_us - engine->hinted_us < HINT_INTERVAL_MS * 1000)
        return;
    engine->hinted_us = now_us;
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)engine->position_count);
    for (size_t i = 0; i < engine->position_count; i++) {
        struct position *position = &engine->positions[i];
        char partition[16];
        int64_t low;
        int64_t high = -1;
        snprintf(partition, sizeof partition, "%d", position->partition);
        rd_kafka_get_watermark_offsets(engine->kafka, position->topic, position->partition, &low,
                                       &high);
        if (high >= 0)
            metrics_gauge_set(metrics_series(engine->metrics.lag, engine->processor->name,
                                             position->topic, partition),
                              high > position->next_offset ? high - position->next_offset : 0);
        if (position->next_offset == position->hinted_offset)
            continue;
        position->hinted_offset = position->next_offset;
        rd_kafka_topic_partition_list_add(list, position->topic, position->partition)->offset =
            position->next_offset;
    }
    if (list->cnt > 0 && !config_int(engine->config, OPT_FORCE_PARTITIONS))
        rd_kafka_commit(engine->kafka, list, 1);
    rd_kafka_topic_partition_list_destroy(list);
}

/* A batch would find out by itself; without one, a reset or another owner would go unnoticed. */
void apply_check_owner(struct engine *engine)
{
    int64_t now_us = monotonic_now_us();
    if (!engine->attached || engine->in_flight ||
        now_us - engine->sent_us < OWNER_INTERVAL_MS * 1000 ||
        now_us - engine->owner_checked_us < OWNER_INTERVAL_MS * 1000)
        return;
    engine->owner_checked_us = now_us;
    char generation[16];
    struct error error;
    PGresult *result = NULL;
    snprintf(generation, sizeof generation, "%d", engine->installed.generation);
    const char *values[] = {engine->processor->name, generation};
    if (pg_query(engine->conn,
                 "SELECT count(*) FROM weir.position WHERE processor = $1 AND generation = $2 "
                 "AND owner_pid = pg_backend_pid()",
                 2, values, &result, &error) != 0) {
        attach_recover(engine, &error);
    } else if ((size_t)pg_int(result, 0, 0) < engine->position_count) {
        log_warn("partitions of this instance were claimed by another owner or reset");
        attach_detach(engine, BACKOFF_MAX_MS);
    }
    PQclear(result);
}

void apply_prune(struct engine *engine)
{
    int64_t now_us = monotonic_now_us();
    if (!engine->attached || engine->in_flight ||
        now_us - engine->pruned_us < PRUNE_INTERVAL_MS * INT64_C(1000))
        return;
    engine->pruned_us = now_us;
    PGresult *result = NULL;
    char window[32];
    char generation[16];
    snprintf(window, sizeof window, "%" PRId64 " milliseconds",
             engine->processor->duplicate_window_ms);
    snprintf(generation, sizeof generation, "%d", engine->installed.generation);
    const char *values[] = {engine->processor->name, generation, window};
    struct error error;
    /* The first condition lets the block range index skip what is young; the second one is the
     * rule. */
    if (pg_query(
            engine->conn,
            "DELETE FROM applied_event WHERE ctid = ANY (ARRAY("
            "SELECT a.ctid FROM applied_event AS a JOIN weir.position AS p USING (position_id) "
            "WHERE a.kafka_timestamp < (SELECT max(anchor_timestamp) FROM weir.position "
            "WHERE processor = $1 AND generation = $2) - $3::interval "
            "AND a.kafka_timestamp < p.anchor_timestamp - $3::interval "
            "LIMIT " PRUNE_ROWS_TEXT "))",
            3, values, &result, &error) != 0)
        attach_recover(engine, &error);
    else if (atoi(PQcmdTuples(result)) == PRUNE_ROWS_MAX)
        engine->pruned_us = now_us - (PRUNE_INTERVAL_MS - PRUNE_PAUSE_MS) * INT64_C(1000);
    PQclear(result);
}
