/* SPDX-License-Identifier: Apache-2.0
 *
 * The Postgres side of a worker: one call, one transaction, as in the engine. The next batch fills
 * while one is under way. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "processors/definition/place.h"
#include "processors/rebuild/worker_parts.h"

int worker_has_work(const struct worker *worker)
{
    if (worker->filling->count > 0)
        return 1;
    for (size_t i = 0; i < worker->positions.count; i++)
        if (worker->filling->ends[i] > worker->positions.list[i].next_offset)
            return 1;
    return 0;
}

static int send_slice(struct worker *worker, size_t from, struct error *error)
{
    struct batch *batch = worker->applying;
    struct slice *slice = worker->slice;
    size_t to = from + worker->limit < batch->count ? from + worker->limit : batch->count;
    to = batch_classify(batch, from, to, worker->known, worker->known_count);
    slice_make(slice, batch, from, to, worker->positions.list, worker->positions.count,
               session_types(worker->session));
    worker->failure = (struct error){0};
    worker->duplicate_key = 0;
    int sent = PQsendQueryPrepared(session_conn(worker->session), "apply", slice->parameter_count,
                                   slice->values, slice->lengths, slice->formats, 1);
    slice_uncover(slice, batch);
    if (!sent)
        return pg_fail(session_conn(worker->session), NULL, error);
    worker->in_flight = 1;
    PQflush(session_conn(worker->session));
    return 0;
}

int worker_send(struct worker *worker, struct error *error)
{
    worker->limit = worker->rows_max;
    worker->tries = 0;
    worker->known_count = 0;
    return worker->seen ? worker_stage(worker, error) : send_slice(worker, 0, error);
}

int worker_apply(struct worker *worker, struct error *error)
{
    struct batch *batch = worker->filling;
    worker->filling = worker->applying;
    worker->applying = batch;
    batch_reset(worker->filling, worker->positions.count);
    return worker_send(worker, error);
}

void worker_move_on(struct worker *worker)
{
    const struct slice *slice = worker->slice;
    int64_t done = 0;
    for (size_t i = 0; i < worker->positions.count; i++) {
        struct position *position = &worker->positions.list[i];
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
}

static int finish_slice(struct worker *worker, struct error *error)
{
    worker_move_on(worker);
    worker->tries = 0;
    worker->known_count = 0;
    worker->limit = worker->limit * 2 < worker->rows_max ? worker->limit * 2 : worker->rows_max;
    if (worker->slice->to < worker->applying->count)
        return send_slice(worker, worker->slice->to, error);
    batch_reset(worker->applying, worker->positions.count);
    return 0;
}

static int resolve_duplicates(struct worker *worker, struct error *error)
{
    size_t from = worker->slice->from;
    free(worker->known);
    worker->known = NULL;
    worker->known_count = 0;
    if (duplicates_find(session_conn(worker->session), worker->options.installed->schema,
                        worker->applying, from, worker->slice->to, session_types(worker->session),
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
    batch_note_reason(entry, error->code, error->message);
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
    if (worker->duplicate_key && worker->tries++ < WORKER_RETRIES)
        return resolve_duplicates(worker, error);
    if ((error->class == ERROR_RETRY || error->class == ERROR_UNSURE) &&
        PQstatus(session_conn(worker->session)) == CONNECTION_OK &&
        worker->tries++ < WORKER_RETRIES) {
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
    if (worker->failure.class != ERROR_NONE)
        return;
    pg_fail(session_conn(worker->session), result, &worker->failure);
    worker->duplicate_key = duplicates_caused(result);
    if (worker->failure.class != ERROR_FENCED)
        place_prefix(worker->options.processor, PQresultErrorField(result, PG_DIAG_CONTEXT),
                     &worker->failure);
}

int worker_poll(struct worker *worker, struct error *error)
{
    if (!worker->in_flight)
        return 0;
    if (PQflush(session_conn(worker->session)) < 0 ||
        !PQconsumeInput(session_conn(worker->session)))
        return pg_fail(session_conn(worker->session), NULL, error);
    while (worker->in_flight && !PQisBusy(session_conn(worker->session))) {
        PGresult *result = PQgetResult(session_conn(worker->session));
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
