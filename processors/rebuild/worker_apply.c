/* SPDX-License-Identifier: Apache-2.0
 *
 * The Postgres side of a worker: one call, one transaction, as in the engine. The next batch fills
 * while one is under way. */
#include <stdio.h>
#include <time.h>

#include "processors/rebuild/worker_parts.h"

static void send_slice(struct worker *worker, size_t from)
{
    size_t to = slicing_end(&worker->slicing, from, worker->applying->count);
    session_send(worker->session, worker->applying, from, to, &worker->positions);
}

int worker_send(struct worker *worker, struct error *error)
{
    slicing_begin(&worker->slicing, 1);
    if (worker->seen)
        return worker_stage(worker, error);
    send_slice(worker, 0);
    return 0;
}

int worker_apply(struct worker *worker, struct error *error)
{
    struct batch *batch = worker->filling;
    worker->filling = worker->applying;
    worker->applying = batch;
    batch_reset(worker->filling, worker->positions.count);
    return worker_send(worker, error);
}

static void finish_slice(struct worker *worker)
{
    const struct slice *slice = slice_of(worker);
    *worker->options.done += session_moved(worker->session);
    slicing_passed(&worker->slicing, slice->applied);
    if (slice->to < worker->applying->count)
        send_slice(worker, slice->to);
    else
        batch_reset(worker->applying, worker->positions.count);
}

static int name_event(const struct worker *worker, struct error *error)
{
    char name[ENTRY_NAME_SIZE];
    const struct slice *slice = slice_of(worker);
    if (slice->to <= slice->from)
        return -1;
    entry_name(&worker->applying->entries[slice->from], name);
    return error_prefix(error, "%s", name);
}

static int handle_failure(struct worker *worker, struct error *error)
{
    size_t from = slice_of(worker)->from;
    size_t size = slice_of(worker)->to - from;
    if ((error->class == ERROR_RETRY || error->class == ERROR_UNSURE) &&
        !session_is_lost(worker->session) && slicing_resend(&worker->slicing, WORKER_RETRIES)) {
        const struct timespec pause = {.tv_nsec = (worker->options.index + 1) * 5000000L};
        nanosleep(&pause, NULL); /* not in step with the other worker of a deadlock */
        send_slice(worker, from);
        return 0;
    }
    if (error->class ==
        ERROR_UNSURE) /* as in the engine: after some tries it is an event's fault */
        error->class = ERROR_DEAD_LETTER;
    if (error->class == ERROR_SCREENED) /* what the live run took out is left out before this */
        session_name_screened(worker->session, error);
    if ((error->class == ERROR_SHRINK || error->class == ERROR_DEAD_LETTER) && size > 1) {
        slicing_bisect(&worker->slicing, from + size);
    } else if (error->class == ERROR_DEAD_LETTER && worker->parked && size == 1) {
        batch_park(worker->applying, &worker->applying->entries[from], worker->parked, 0,
                   error->code, error->message);
        slicing_found(&worker->slicing, 1);
        *error = (struct error){0};
    } else {
        return error->class == ERROR_DEAD_LETTER ? name_event(worker, error) : -1;
    }
    send_slice(worker, from);
    return 0;
}

int worker_poll(struct worker *worker, struct error *error)
{
    switch (session_poll(worker->session, error)) {
    case SESSION_IDLE:
    case SESSION_PENDING:
        return 0;
    case SESSION_COMMITTED:
        finish_slice(worker);
        return 0;
    case SESSION_REFUSED:
        return handle_failure(worker, error);
    default:
        return -1;
    }
}

int worker_wait(struct worker *worker, struct error *error)
{
    int code = 0;
    while (code == 0 && is_busy(worker)) {
        session_wait(worker->session, WORKER_IDLE_MS);
        code = worker_poll(worker, error);
    }
    return code;
}
