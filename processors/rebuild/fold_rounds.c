/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs the workers, one thread each, and tells how far they are. What fails and may pass by itself
 * is waited out: workers are opened anew and go on from their positions. */
#include <string.h>
#include <time.h>

#include "lib/base/failpoint.h"
#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "processors/rebuild/rebuild_parts.h"

void rebuild_sleep(int ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&pause, NULL);
}

int rebuild_connect(const struct rebuild *rebuild, const char *name, PGconn **ret_conn,
                    struct error *error)
{
    if (pg_connect(config_text(rebuild->options->config, OPT_DATABASE), name, ret_conn, error) != 0)
        return -1;
    return pg_run(*ret_conn,
                  "SET client_connection_check_interval = '1s'; SET synchronous_commit = off",
                  error);
}

void rebuild_tell(struct rebuild *rebuild, int now)
{
    int64_t now_us = monotonic_now_us();
    if (!now && now_us - rebuild->told_us < REBUILD_NOTE_US)
        return;
    rebuild->told_us = now_us;
    double seconds = (double)(now_us - rebuild->phase_us) / 1e6;
    int64_t done = rebuild->done;
    int64_t rate = seconds > 0.05 ? (int64_t)((double)(done - rebuild->base) / seconds) : 0;
    const struct rebuild_progress progress = {.processor = rebuild->processor->name,
                                              .generation = rebuild->next.number,
                                              .phase = rebuild->phase,
                                              .done = done,
                                              .total = rebuild->total,
                                              .rate = rate,
                                              .eta_s =
                                                  rate > 0 ? (rebuild->total - done) / rate : -1};
    if (rebuild->options->on_progress)
        rebuild->options->on_progress(&progress, rebuild->options->opaque);
    struct error error;
    if (!rebuild->holding)
        generation_note(rebuild->conn, rebuild->processor->name, rebuild->next.number, NULL,
                        rebuild->phase, done, rebuild->total, rate, &error);
}

void rebuild_note_phase(struct rebuild *rebuild)
{
    json_t *phases = json_object_get(rebuild->report, "phases");
    double before = json_real_value(json_object_get(phases, rebuild->phase));
    double seconds = (double)(monotonic_now_us() - rebuild->phase_us) / 1e6;
    if (phases && *rebuild->phase)
        json_object_set_new(phases, rebuild->phase, json_real(before + seconds));
}

void rebuild_phase(struct rebuild *rebuild, const char *phase, int64_t total)
{
    rebuild_note_phase(rebuild);
    rebuild->phase = phase;
    rebuild->phase_us = monotonic_now_us();
    rebuild->base = rebuild->done;
    rebuild->total = total;
    rebuild_tell(rebuild, 1);
}

void rebuild_close_workers(struct rebuild *rebuild)
{
    for (int i = 0; i < rebuild->worker_count; i++) {
        worker_free(rebuild->threads[i].worker);
        rebuild->threads[i].worker = NULL;
    }
}

static int open_workers(struct rebuild *rebuild, struct error *error)
{
    for (int i = 0; i < rebuild->worker_count; i++) {
        const struct worker_options options = {.config = rebuild->options->config,
                                               .processor = rebuild->processor,
                                               .installed = &rebuild->next.installed,
                                               .index = i,
                                               .count = rebuild->worker_count,
                                               .bulk = !rebuild->next.indexed,
                                               .low_priority = rebuild->low_priority,
                                               .park = rebuild->to_end,
                                               .stop = &rebuild->stop,
                                               .done = &rebuild->done};
        if (!rebuild->threads[i].worker &&
            worker_open(&options, &rebuild->threads[i].worker, error) != 0)
            return -1;
    }
    int64_t done = 0;
    for (int i = 0; i < rebuild->worker_count; i++)
        worker_positions(rebuild->threads[i].worker, &rebuild->own);
    done = vector_sum(&rebuild->own);
    rebuild->done = done;
    return 0;
}

int rebuild_note_deferred(struct rebuild *rebuild, struct error *error)
{
    PGresult *result = NULL;
    const char *values[] = {
        rebuild->processor->name,
        PG_NUMBER(rebuild->to_end ? rebuild->next.number : rebuild->live.number),
        PG_NUMBER(rebuild->next.number)};
    if (pg_query(rebuild->side, "SELECT weir.note_left_out($1, $2, $3)", 3, values, &result,
                 error) != 0)
        return -1;
    rebuild->deferred = pg_int(result, 0, 0);
    PQclear(result);
    return 0;
}

static void *run_set(void *argument)
{
    struct fold_thread *thread = argument;
    const struct rebuild *rebuild = thread->rebuild;
    thread->code = stage_fold(thread->conn, rebuild->processor, &rebuild->next.installed,
                              thread->set, &rebuild->stop, &thread->error);
    thread->running = 0;
    return NULL;
}

static void *run_worker(void *argument)
{
    struct fold_thread *thread = argument;
    thread->code = worker_fold(thread->worker, thread->target, &thread->error);
    thread->running = 0;
    return NULL;
}

/* Until all threads are done. One that fails stops the others. */
static void watch_threads(struct rebuild *rebuild, int count)
{
    for (int running = 1; running;) {
        running = 0;
        for (int i = 0; i < count; i++) {
            running += rebuild->threads[i].running;
            if (!rebuild->threads[i].running && rebuild->threads[i].code != 0)
                rebuild->stop = 1;
        }
        if (*rebuild->options->stop)
            rebuild->stop = 1;
        rebuild_tell(rebuild, 0);
        if (running)
            rebuild_sleep(rebuild->holding ? 1 : REBUILD_TICK_MS);
    }
}

/* Runs `function` on the first `count` threads, and waits for them. */
static int run_threads(struct rebuild *rebuild, int count, void *(*function)(void *),
                       struct error *error)
{
    int started = 0;
    int code = 0;
    rebuild->stop = 0;
    for (int i = 0; code == 0 && i < count; i++) {
        struct fold_thread *thread = &rebuild->threads[i];
        thread->code = 0;
        thread->running = 1;
        if (pthread_create(&thread->thread, NULL, function, thread) != 0)
            code = error_set(error, ERROR_FATAL, "thread", "cannot start a thread");
        else
            started++;
    }
    if (code == 0)
        watch_threads(rebuild, count);
    rebuild->stop = code != 0;
    for (int i = 0; i < started; i++)
        pthread_join(rebuild->threads[i].thread, NULL);
    for (int i = 0; i < started && code == 0; i++)
        if (rebuild->threads[i].code != 0 &&
            strcmp(rebuild->threads[i].error.code, "stopped") != 0) {
            *error = rebuild->threads[i].error;
            code = -1;
        }
    return code;
}

static int fold_once(struct rebuild *rebuild, const struct vector *target, struct error *error)
{
    if (open_workers(rebuild, error) != 0)
        return -1;
    for (int i = 0; i < rebuild->worker_count; i++)
        rebuild->threads[i].target = target;
    int code = run_threads(rebuild, rebuild->worker_count, run_worker, error);
    for (int i = 0; i < rebuild->worker_count; i++)
        worker_positions(rebuild->threads[i].worker, &rebuild->own);
    return code;
}

/* Folds the sets of the stage side by side. */
static int fold_sets(struct rebuild *rebuild, struct error *error)
{
    int count = rebuild->next.sets;
    int code = 0;
    for (int i = 0; code == 0 && i < count; i++) {
        rebuild->threads[i].set = i;
        rebuild->threads[i].rebuild = rebuild;
        code = rebuild_connect(rebuild, "weir rebuild fold", &rebuild->threads[i].conn, error);
    }
    if (code == 0)
        code = run_threads(rebuild, count, run_set, error);
    for (int i = 0; i < count; i++) {
        PQfinish(rebuild->threads[i].conn);
        rebuild->threads[i].conn = NULL;
    }
    return code;
}

/* Ends bulk: what is staged is folded, and indexed. */
static int end_bulk(struct rebuild *rebuild, struct error *error)
{
    rebuild_close_workers(rebuild);
    rebuild_phase(rebuild, "fold", rebuild->total);
    int code = fold_sets(rebuild, error);
    if (*rebuild->options->stop)
        return -1;
    if (code == 0 && FAILPOINT("rebuild.sets_folded"))
        code = error_set(error, ERROR_DEAD_LETTER, "failpoint", "what is folded does not fit");
    if (code == 0) {
        rebuild_phase(rebuild, "index", rebuild->total);
        code = generation_index(rebuild->conn, rebuild->processor, &rebuild->next,
                                rebuild->low_priority, error);
        FAILPOINT("rebuild.indexed");
    }
    rebuild->unfoldable = code != 0 && error->class != ERROR_RETRY;
    return code;
}

/* The control session holds the lock: without it nothing may be done. */
static int reconnect(struct rebuild *rebuild, struct error *error)
{
    if (PQstatus(rebuild->side) != CONNECTION_OK || pg_run(rebuild->side, "SELECT 1", error) != 0) {
        PQfinish(rebuild->side);
        rebuild->side = NULL;
        if (rebuild_connect(rebuild, "weir rebuild", &rebuild->side, error) != 0)
            return -1;
    }
    if (PQstatus(rebuild->conn) == CONNECTION_OK && pg_run(rebuild->conn, "SELECT 1", error) == 0)
        return 0;
    PQfinish(rebuild->conn);
    rebuild->conn = NULL;
    return rebuild_connect(rebuild, "weir rebuild", &rebuild->conn, error) == 0
               ? generation_lock(rebuild->conn, rebuild->processor->name, error)
               : -1;
}

/* A crash of Postgres empties the stage. It is gone when only the reply to its end was lost. */
static int look_again(struct rebuild *rebuild, struct error *error)
{
    struct generation *next = &rebuild->next;
    if (PQstatus(rebuild->conn) != CONNECTION_OK)
        return 0;
    if (stage_look(rebuild->conn, &next->installed, &next->stage, &next->sets, error) != 0)
        return error->class == ERROR_RETRY ? 0 : -1;
    next->indexed = next->stage == STAGE_NONE;
    return next->stage == STAGE_LOST ? error_set(error, ERROR_FATAL, STAGE_LOST_CODE,
                                                 "Postgres crashed, and what was staged is lost")
                                     : 0;
}

/* One try. *ret_more: bulk ended before the target. */
static int fold_try(struct rebuild *rebuild, const struct vector *target, int *ret_more,
                    struct error *error)
{
    int bulk = !rebuild->next.indexed;
    int open = rebuild->next.stage == STAGE_OPEN;
    int code = bulk && !open ? 0 : fold_once(rebuild, target, error);
    int full = code != 0 && strcmp(error->code, WORKER_NEEDS_INDEX) == 0;
    *ret_more = 0;
    if (*rebuild->options->stop || !bulk || (code != 0 && !full))
        return code;
    if (open)
        rebuild_tell(rebuild, 1);
    *ret_more = full || !open;
    rebuild->next.stage = STAGE_CLOSED;
    return end_bulk(rebuild, error);
}

int rebuild_fold(struct rebuild *rebuild, const struct vector *target, struct error *error)
{
    int64_t reached = -1;
    for (int attempt = 0; attempt < REBUILD_ATTEMPTS; attempt++) {
        int more = 0;
        *error = (struct error){0};
        int code = fold_try(rebuild, target, &more, error);
        if (*rebuild->options->stop)
            return error_set(error, ERROR_RETRY, "stopped",
                             "stopped; run it again to go on from here");
        if (code == 0 && !more)
            return 0;
        if (code == 0) {
            rebuild_phase(rebuild, "follow", rebuild->total);
            continue;
        }
        if (rebuild->next.indexed && strcmp(error->code, WORKER_MISPLACED) == 0) {
            log_warn("%s", error->message);
            rebuild_close_workers(rebuild);
            rebuild->worker_count = 1; /* which never meets this again */
            continue;
        }
        if (error->class != ERROR_RETRY || rebuild->holding)
            return -1;
        rebuild_close_workers(rebuild);
        if (rebuild->done > reached) { /* it moved since */
            reached = rebuild->done;
            attempt = 0;
        }
        log_warn("%s; trying again", error->message);
        rebuild_sleep(REBUILD_PAUSE_MS);
        if (reconnect(rebuild, error) != 0 && error->class != ERROR_RETRY)
            return -1;
        if (!rebuild->next.indexed && look_again(rebuild, error) != 0)
            return -1;
    }
    return -1;
}
