/* SPDX-License-Identifier: Apache-2.0
 *
 * The Postgres side of a worker: one call, one transaction, as in the engine. The next batch fills
 * while one is under way. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/buf.h"
#include "lib/base/timestamp.h"
#include "processors/rebuild/worker_parts.h"

int worker_has_work(const struct worker *worker)
{
    if (worker->filling->count > 0)
        return 1;
    for (size_t i = 0; i < worker->position_count; i++)
        if (worker->filling->ends[i] > worker->positions[i].next_offset)
            return 1;
    return 0;
}

/* What memory knows of the events of a range. */
static void look_up(struct worker *worker, size_t from, size_t to)
{
    const struct batch *batch = worker->applying;
    worker->known_count = 0;
    if (!worker->known)
        worker->known = xcalloc(worker->rows_max, sizeof *worker->known);
    for (size_t i = from; i < to; i++) {
        const struct entry *entry = &batch->entries[i];
        if (entry->decoded_fate != FATE_APPLIED)
            continue;
        const struct seen_event *seen = seen_find(worker->seen, &entry->event_id, &entry->space_id);
        if (seen)
            worker->known[worker->known_count++] =
                (struct known){.event_id = entry->event_id,
                               .space_id = entry->space_id,
                               .fingerprint = seen->fingerprint,
                               .timestamp_us = seen->timestamp_us};
    }
}

static int send_slice(struct worker *worker, size_t from, struct error *error)
{
    struct batch *batch = worker->applying;
    struct slice *slice = worker->slice;
    size_t to = from + worker->limit < batch->count ? from + worker->limit : batch->count;
    if (worker->seen)
        look_up(worker, from, to);
    to = batch_judge(batch, from, to, worker->known, worker->known_count);
    slice_make(slice, batch, from, to, worker->positions, worker->position_count, &worker->types);
    worker->failure = (struct error){0};
    worker->duplicate_key = 0;
    int sent = PQsendQueryPrepared(worker->conn, "apply", slice->parameter_count, slice->values,
                                   slice->lengths, slice->formats, 1);
    slice_uncover(slice, batch);
    if (!sent)
        return pg_fail(worker->conn, NULL, error);
    worker->in_flight = 1;
    PQflush(worker->conn);
    return 0;
}

int worker_send(struct worker *worker, struct error *error)
{
    return send_slice(worker, 0, error);
}

int worker_apply(struct worker *worker, struct error *error)
{
    struct batch *batch = worker->filling;
    worker->filling = worker->applying;
    worker->applying = batch;
    batch_reset(worker->filling, worker->position_count);
    worker->limit = worker->rows_max;
    worker->tries = 0;
    worker->known_count = 0;
    return send_slice(worker, 0, error);
}

/* Older records than this come from no partition any more. */
static void set_horizon(struct worker *worker)
{
    int64_t oldest_us = INT64_MAX;
    for (size_t i = 0; i < worker->position_count; i++) {
        const struct position *position = &worker->positions[i];
        if (position->anchor_offset >= 0 && position->anchor_timestamp_us < oldest_us)
            oldest_us = position->anchor_timestamp_us;
        else if (position->anchor_offset < 0 && worker->goals[i].offset > 0)
            oldest_us = INT64_MIN;
    }
    if (oldest_us != INT64_MAX)
        seen_set_horizon(worker->seen, oldest_us);
}

/* Returns -1 when there is no room: nothing more may be applied by what memory knows. */
static int remember(struct worker *worker, struct error *error)
{
    set_horizon(worker);
    for (size_t i = worker->slice->from; i < worker->slice->to; i++) {
        const struct entry *entry = &worker->applying->entries[i];
        if (entry->fate == FATE_APPLIED &&
            seen_put(worker->seen, &entry->event_id, &entry->space_id, entry->fingerprint,
                     entry->record.timestamp_us) != 0) {
            worker->full = 1;
            return error_set(error, ERROR_RETRY, "needs-index",
                             "the memory for duplicates is used up");
        }
    }
    return 0;
}

static int finish_slice(struct worker *worker, struct error *error)
{
    const struct slice *slice = worker->slice;
    int64_t done = 0;
    for (size_t i = 0; i < worker->position_count; i++) {
        struct position *position = &worker->positions[i];
        if (slice->next_offsets[i] < 0)
            continue;
        done += slice->next_offsets[i] - position->next_offset;
        position->next_offset = slice->next_offsets[i];
        if (slice->anchors[i].offset >= 0) {
            position->anchor_offset = slice->anchors[i].offset;
            position->anchor_event_id = slice->anchors[i].event_id;
            position->anchor_timestamp_us = slice->anchors[i].timestamp_us;
        }
    }
    *worker->options.done += done;
    worker->tries = 0;
    worker->known_count = 0;
    worker->limit = worker->limit * 2 < worker->rows_max ? worker->limit * 2 : worker->rows_max;
    if (worker->seen && remember(worker, error) != 0)
        return -1;
    if (slice->to < worker->applying->count)
        return send_slice(worker, slice->to, error);
    batch_reset(worker->applying, worker->position_count);
    return 0;
}

static int resolve_duplicates(struct worker *worker, struct error *error)
{
    size_t from = worker->slice->from;
    free(worker->known);
    worker->known = NULL;
    worker->known_count = 0;
    if (duplicates_find(worker->conn, worker->applying, from, worker->slice->to, &worker->types,
                        &worker->known, &worker->known_count, error) != 0)
        return -1;
    return send_slice(worker, from, error);
}

static int name_event(const struct worker *worker, struct error *error)
{
    if (worker->slice->to <= worker->slice->from)
        return -1;
    const struct entry *entry = &worker->applying->entries[worker->slice->from];
    char id[UUID_TEXT_SIZE + 1];
    uuid_format(&entry->event_id, id);
    return error_prefix(error, "%s %s at %s [%d] offset %lld",
                        entry->event ? entry->event->name : "event", id, entry->record.topic,
                        entry->record.partition, (long long)entry->record.offset);
}

/* The guilty event is parked, as the engine does; what follows of its Space and topic behind it. */
static int park(struct worker *worker, struct error *error)
{
    struct entry *entry = &worker->applying->entries[worker->slice->from];
    const struct policy *policy = &worker->options.processor->policy;
    batch_blame(entry, error->code, error->message);
    if (policy->attempts == 1 && !policy->block) {
        entry->decoded_fate = FATE_DEAD_LETTER;
    } else {
        entry->failed = 1;
        entry->retry_after_ms = policy_pause_ms(policy, 1);
        parked_add(worker->parked, entry->position, &entry->space_id, entry->record.offset);
    }
    *error = (struct error){0};
    return send_slice(worker, worker->slice->from, error);
}

static int handle_failure(struct worker *worker, struct error *error)
{
    size_t size = worker->slice->to - worker->slice->from;
    *error = worker->failure;
    if (worker->duplicate_key && !worker->seen && worker->tries++ < WORKER_RETRIES)
        return resolve_duplicates(worker, error);
    if ((error->class == ERROR_RETRY || error->class == ERROR_UNSURE) &&
        PQstatus(worker->conn) == CONNECTION_OK && worker->tries++ < WORKER_RETRIES) {
        const struct timespec pause = {.tv_nsec = (worker->options.index + 1) * 5000000L};
        nanosleep(&pause, NULL); /* not in step with the other worker of a deadlock */
        return send_slice(worker, worker->slice->from, error);
    }
    if (error->class ==
        ERROR_UNSURE) /* as in the engine: after some tries it is an event's fault */
        error->class = ERROR_DEAD_LETTER;
    if (error->class == ERROR_SCREENED) { /* what the live run took out is left out before this */
        error->class = ERROR_DEAD_LETTER;
        snprintf(error->code, sizeof error->code, "screened");
    }
    if ((error->class == ERROR_SHRINK || error->class == ERROR_DEAD_LETTER) && size > 1) {
        worker->limit = size / 2;
        return send_slice(worker, worker->slice->from, error);
    }
    if (error->class != ERROR_DEAD_LETTER)
        return -1;
    return worker->parked && size == 1 ? park(worker, error) : name_event(worker, error);
}

static void note_failure(struct worker *worker, const PGresult *result)
{
    const char *context = PQresultErrorField(result, PG_DIAG_CONTEXT);
    const char *line = context ? strstr(context, " line ") : NULL;
    if (worker->failure.class != ERROR_NONE)
        return;
    pg_fail(worker->conn, result, &worker->failure);
    worker->duplicate_key = duplicates_caused(result);
    if (line && worker->failure.class != ERROR_FENCED)
        error_prefix(&worker->failure, "%s: statement at line %d",
                     worker->options.processor->apply->path, atoi(line + 6));
}

int worker_poll(struct worker *worker, struct error *error)
{
    if (!worker->in_flight)
        return 0;
    if (PQflush(worker->conn) < 0 || !PQconsumeInput(worker->conn))
        return pg_fail(worker->conn, NULL, error);
    while (worker->in_flight && !PQisBusy(worker->conn)) {
        PGresult *result = PQgetResult(worker->conn);
        if (!result) {
            worker->in_flight = 0;
            return worker->failure.class != ERROR_NONE ? handle_failure(worker, error)
                                                       : finish_slice(worker, error);
        }
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            note_failure(worker, result);
        PQclear(result);
    }
    return 0;
}

int worker_load_seen(struct worker *worker, struct error *error)
{
    struct buf ids = {0};
    for (size_t i = 0; i < worker->position_count; i++)
        buf_printf(&ids, "%s%d", i ? "," : "{", worker->positions[i].id);
    buf_put_text(&ids, worker->position_count ? "}" : "{}");
    const char *values[] = {buf_text(&ids)};
    int sent = PQsendQueryParams(
        worker->conn,
        "SELECT event_id, space_id, fingerprint, "
        "(extract(epoch FROM kafka_timestamp) * 1000000)::bigint FROM applied_event "
        "WHERE position_id = ANY ($1::integer[])",
        1, NULL, values, NULL, NULL, 0);
    buf_free(&ids);
    if (!sent || !PQsetSingleRowMode(worker->conn))
        return pg_fail(worker->conn, NULL, error);
    int code = 0;
    for (PGresult *result; (result = PQgetResult(worker->conn));) {
        ExecStatusType status = PQresultStatus(result);
        for (int i = 0; code == 0 && i < PQntuples(result); i++) {
            struct uuid event_id;
            struct uuid space_id;
            uuid_parse(PQgetvalue(result, i, 0), UUID_TEXT_SIZE, &event_id);
            uuid_parse(PQgetvalue(result, i, 1), UUID_TEXT_SIZE, &space_id);
            if (seen_put(worker->seen, &event_id, &space_id, pg_int(result, i, 2),
                         pg_int(result, i, 3)) != 0)
                worker->full = 1;
        }
        if (status != PGRES_SINGLE_TUPLE && status != PGRES_TUPLES_OK && code == 0)
            code = pg_fail(worker->conn, result, error);
        PQclear(result);
    }
    return code;
}
