/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches go to Postgres slice by slice, and what is refused is seen to by its class. While one
 * slice is under way the next batch fills. What became of a call that is lost is read from the
 * table of positions: the engine detaches, and attaches anew. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/failpoint.h"
#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "processors/definition/place.h"
#include "processors/engine/internal.h"

/* The first entry of a slice that is not known to fail. Those that are go along with what comes
 * behind them, so that many in a row cost one call each; but not too many. */
static size_t first_open(const struct engine *engine, size_t from)
{
    const struct batch *batch = engine->current;
    size_t at = from;
    while (at < batch->count && at - from < FAILED_RUN_MAX && batch->entries[at].failed)
        at++;
    return at;
}

static void send_from(struct engine *engine, size_t from)
{
    size_t open = first_open(engine, from);
    size_t to = open - from == FAILED_RUN_MAX
                    ? open
                    : slicing_end(&engine->slicing, open, engine->current->count);
    engine->searching = 0;
    session_send(engine->session, engine->current, from, to, &engine->positions);
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
    if (is_busy(engine) || !engine->attached || !apply_is_behind(engine) || may_grow(engine))
        return;
    struct batch *batch = engine->filling;
    engine->filling = engine->applying;
    engine->applying = batch;
    batch_reset(engine->filling, engine->positions.count);
    engine->drain.spent_us = 0;
    apply_batch(engine, batch);
}

void apply_batch(struct engine *engine, struct batch *batch)
{
    engine->current = batch;
    slicing_begin(&engine->slicing, batch == engine->applying);
    storm_hold_back(engine, 0);
    send_from(engine, 0);
}

int apply_is_behind(const struct engine *engine)
{
    return positions_await(&engine->positions, engine->filling);
}

static void count_latencies(struct engine *engine)
{
    int64_t now_us = timestamp_now_us();
    for (size_t i = slice_of(engine)->from; i < slice_of(engine)->to; i++)
        if (engine->current->entries[i].fate == FATE_APPLIED)
            metrics_observe(engine->metrics.latency,
                            now_us - engine->current->entries[i].record.timestamp_us);
}

static void log_dead_letters(const struct engine *engine)
{
    const struct slice *slice = slice_of(engine);
    for (size_t i = slice->from; i < slice->to; i++) {
        const struct entry *entry = &engine->current->entries[i];
        if (entry->fate != FATE_DEAD_LETTER)
            continue;
        log_warn("%zu records are dead letters now, the first of them %s [%d] offset %" PRId64
                 ": %s",
                 slice->dead_letters, entry->record.topic, entry->record.partition,
                 entry->record.offset, entry->reason);
        return;
    }
}

static void finish_slice(struct engine *engine)
{
    const struct slice *slice = slice_of(engine);
    engine->backoff_ms = 0;
    slicing_passed(&engine->slicing, slice->applied);
    metrics_counter_add(engine->metrics.batches, 1);
    metrics_counter_add(engine->metrics.events, (int64_t)slice->applied);
    metrics_counter_add(engine->metrics.duplicates, (int64_t)slice->duplicates);
    metrics_counter_add(engine->metrics.dead_letters, (int64_t)slice->dead_letters);
    metrics_counter_add(engine->metrics.parked, (int64_t)slice->parked);
    metrics_observe(engine->metrics.batch_rows, (int64_t)slice->applied);
    metrics_observe(engine->metrics.apply_time,
                    monotonic_now_us() - session_sent_us(engine->session));
    if (slice->applied) {
        breaker_passed(&engine->breaker);
        storm_trust(engine);
    }
    if (slice->dead_letters)
        log_dead_letters(engine);
    if (engine->current == engine->applying)
        count_latencies(engine);
    if (slice->to < engine->current->count)
        send_from(engine, slice->to);
    else if (engine->current == engine->applying)
        batch_reset(engine->applying, engine->positions.count);
    else
        drain_finish(engine);
}

/* Some event of the slice fails: looks for it, or has found it. */
static enum next bisect(struct engine *engine)
{
    const struct slice *slice = slice_of(engine);
    const struct error *error = &engine->failure;
    size_t open = first_open(engine, slice->from);
    int applies = open < slice->to && engine->current->entries[open].fate == FATE_APPLIED;
    if (open + 1 < slice->to) {
        if (search_helps(error) && storm_hold_back(engine, open))
            slicing_forget(&engine->slicing);
        else if (search_start(engine, open))
            return NEXT_OTHER;
        else
            slicing_bisect(&engine->slicing, slice->to);
        return NEXT_RESEND;
    }
    if (applies && engine->current == engine->applying)
        return park_entry(engine, open, error->code, error->message);
    if (applies)
        drain_fail(engine, open, error->code, error->message);
    else if (error->class == ERROR_SHRINK)
        attach_recover(engine, error); /* too slow, or short of memory, for anything */
    else
        halt(engine, error, NULL, NULL); /* no event is applied here */
    return NEXT_OTHER;
}

void apply_fail(struct engine *engine, const struct error *error)
{
    switch (error->class) {
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

/* The processor must stop, and where one event alone makes it, the halt is to name that one. */
static enum next find_halting(struct engine *engine)
{
    const struct slice *slice = slice_of(engine);
    const struct entry *entry = NULL;
    int count = 0;
    for (size_t i = slice->from; i < slice->to; i++) {
        if (engine->current->entries[i].fate != FATE_APPLIED)
            continue;
        entry = &engine->current->entries[i];
        count++;
    }
    if (count > 1) {
        slicing_bisect(&engine->slicing, slice->to);
        return NEXT_RESEND;
    }
    halt(engine, &engine->failure, entry ? &engine->positions.list[entry->position] : NULL, entry);
    return NEXT_OTHER;
}

/* The same once more, with a drawn pause before. */
static int may_resend(struct engine *engine)
{
    if (!slicing_resend(&engine->slicing, RESENDS_MAX))
        return 0;
    poll(NULL, 0, (int)(monotonic_now_us() % RESEND_PAUSE_MS));
    return 1;
}

/* Something passing, which may be in the way of one Space alone: that one waits if it is parked, so
 * that the others go on. */
static enum next wait_for_others(struct engine *engine)
{
    int64_t lock_timeout_ms = config_int(engine->config, OPT_LOCK_TIMEOUT);
    const struct error *error = &engine->failure;
    if (engine->current != engine->applying)
        drain_postpone(engine, error,
                       strcmp(error->code, "55P03") == 0 ? lock_timeout_ms * DRAIN_LOCK_SHARE
                                                         : DRAIN_DEADLOCK_MS);
    else if (may_resend(engine))
        return NEXT_RESEND;
    else
        apply_fail(engine, error);
    return NEXT_OTHER;
}

/* What is done about a failed call, by the class that lib/pg/pg.c gives to its SQLSTATE. A call is
 * a transaction, so the same holds for what fails in its commit. */
static enum next handle_failure(struct engine *engine)
{
    const struct error *error = &engine->failure;
    metrics_counter_add(engine->metrics.failures, 1);
    if (engine->searching && engine->current != engine->applying) {
        drain_part(engine);
        return NEXT_OTHER;
    }
    switch (error->class) {
    case ERROR_SCREENED:
        return park_screened(engine);
    case ERROR_UNSURE:
        return may_resend(engine) ? NEXT_RESEND : bisect(engine);
    case ERROR_DEAD_LETTER:
    case ERROR_SHRINK:
        return bisect(engine);
    case ERROR_HALT:
        return find_halting(engine);
    case ERROR_RETRY:
        if (pg_is_contention(error) || session_was_cancelled(error))
            return wait_for_others(engine);
        break;
    default:
        break;
    }
    apply_fail(engine, error);
    return NEXT_OTHER;
}

void apply_poll(struct engine *engine)
{
    enum next next = NEXT_OTHER;
    if (!engine->session)
        return;
    switch (session_poll(engine->session, &engine->failure)) {
    case SESSION_IDLE:
    case SESSION_PENDING:
        break;
    case SESSION_COMMITTED:
        finish_slice(engine);
        break;
    case SESSION_SEARCHED:
        next = search_finish(engine);
        break;
    case SESSION_REFUSED:
        next = handle_failure(engine);
        break;
    case SESSION_LOST:
        attach_recover(engine, &engine->failure);
    }
    if (next == NEXT_RESEND) {
        send_from(engine, slice_of(engine)->from);
        FAILPOINT("park.sent");
    }
}

void apply_watch(struct engine *engine)
{
    if (PQconsumeInput(conn_of(engine)) && !PQisBusy(conn_of(engine)) &&
        PQstatus(conn_of(engine)) == CONNECTION_OK)
        return;
    struct error error;
    pg_fail(conn_of(engine), NULL, &error);
    attach_recover(engine, &error);
}

void apply_wait(struct engine *engine, int64_t timeout_ms)
{
    int64_t deadline_us = monotonic_now_us() + timeout_ms * 1000;
    while (is_busy(engine) && monotonic_now_us() < deadline_us) {
        session_wait(engine->session, IDLE_WAIT_MS);
        apply_poll(engine);
    }
}
