/* SPDX-License-Identifier: Apache-2.0
 *
 * One round is one step of a rebuild's following: where both generations are and what the live one
 * has not applied is read in one snapshot, and a worker folds up to there. The worker stays open
 * between rounds; when somebody else has claimed the generation meanwhile, its next batch is
 * refused and it is opened anew. */
#include "processors/rebuild/previous.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/buf.h"
#include "lib/base/timestamp.h"
#include "lib/pg/statement.h"
#include "processors/definition/bind.h"
#include "processors/fold/prune.h"

enum { TICK_MS = 5 }; /* how often a fold is looked at */

int previous_look(struct previous *previous, PGconn *conn, struct error *error)
{
    const struct processor *processor = previous->processor;
    const char *values[] = {processor->name};
    PGresult *result = NULL;
    if (pg_query(conn, statement("previous_generation"), 1, values, &result, error) != 0)
        return -1;
    previous->number = 0;
    previous->behind = 0;
    if (PQntuples(result) > 0) {
        previous->number = (int)pg_int(result, 0, 0);
        previous->live = (int)pg_int(result, 0, 3);
        previous->fits = pg_int(result, 0, 1) == processor->version &&
                         strcmp(PQgetvalue(result, 0, 2), processor->consumes) == 0;
        previous->behind = pg_int(result, 0, 4);
        previous->has_deferred = *PQgetvalue(result, 0, 5) == 't';
    }
    PQclear(result);
    return 0;
}

void previous_close(struct previous *previous)
{
    worker_free(previous->worker);
    previous->worker = NULL;
}

/* The procedure is there since the generation was live, unless this build has other schemas than
 * that one had: then `weir migrate` makes it. */
static int find_generation(struct previous *previous, PGconn *conn, struct error *error)
{
    struct generation found = {.number = previous->number,
                               .version = previous->processor->version,
                               .indexed = 1,
                               .resumed = 1};
    struct installed *installed = &found.installed;
    struct buf sql = {0};
    PGresult *result = NULL;
    installed->generation = found.number;
    snprintf(installed->schema, sizeof installed->schema, "%s_%d", previous->processor->name,
             found.number);
    int code =
        bind_procedure(previous->processor, installed->schema, &sql, installed->procedure, error);
    buf_free(&sql);
    const char *values[] = {installed->schema, installed->procedure};
    if (code == 0)
        code = pg_query(conn,
                        "SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
                        "WHERE n.nspname = $1 AND p.proname = $2",
                        2, values, &result, error);
    int there = code == 0 && PQntuples(result) > 0;
    PQclear(result);
    if (code == 0 && !there)
        code = error_set(error, ERROR_USAGE, "not-migrated",
                         "the previous generation %d of %s has no procedure of this build; run "
                         "`weir migrate`",
                         found.number, previous->processor->name);
    previous->generation = found;
    return code;
}

static int open_worker(struct previous *previous, PGconn *conn, struct error *error)
{
    if (previous->worker && previous->generation.number == previous->number)
        return 0;
    previous_close(previous);
    if (find_generation(previous, conn, error) != 0)
        return -1;
    const struct worker_options options = {.config = previous->config,
                                           .processor = previous->processor,
                                           .installed = &previous->generation.installed,
                                           .count = 1,
                                           .low_priority = 1,
                                           .follows = 1,
                                           .stop = &previous->over,
                                           .done = &previous->done};
    return worker_open(&options, &previous->worker, error);
}

/* Where both are, and what the live one has not applied, in one snapshot. *ret_there: both are
 * still what they were when they were looked at. */
static int load_target(struct previous *previous, PGconn *conn, struct vector *live,
                       struct vector *own, int *ret_there, struct error *error)
{
    const char *name = previous->processor->name;
    char numbers[2][16];
    snprintf(numbers[0], sizeof numbers[0], "%d", previous->live);
    snprintf(numbers[1], sizeof numbers[1], "%d", previous->number);
    const char *values[] = {name, numbers[0], numbers[1]};
    PGresult *result = NULL;
    if (pg_run(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ", error) != 0)
        return -1;
    int code = pg_query(conn, statement("is_live_and_previous"), 3, values, &result, error);
    *ret_there = code == 0 && PQntuples(result) > 0;
    PQclear(result);
    if (*ret_there &&
        (vector_load(live, conn, name, previous->live, 0, error) != 0 ||
         vector_load(own, conn, name, previous->number, 0, error) != 0 ||
         pg_query(conn, "SELECT weir.note_left_out($1, $2, $3)", 3, values, NULL, error) != 0))
        code = -1;
    return pg_commit(conn, code, error);
}

struct fold {
    struct previous *previous;
    const struct vector *target;
    struct error error;
    int code;
    atomic_int running;
};

static void *run_fold(void *argument)
{
    struct fold *fold = argument;
    fold->code = worker_fold(fold->previous->worker, fold->target, &fold->error);
    fold->running = 0;
    return NULL;
}

/* Folds until the target is reached, or the round is over and its last batch done. */
static int fold(struct previous *previous, const struct vector *target, struct error *error)
{
    const struct timespec tick = {.tv_nsec = TICK_MS * 1000000L};
    struct fold fold = {.previous = previous, .target = target, .running = 1};
    int64_t end_us = monotonic_now_us() + PREVIOUS_ROUND_MS * INT64_C(1000);
    pthread_t thread;
    previous->over = 0;
    if (pthread_create(&thread, NULL, run_fold, &fold) != 0)
        return error_set(error, ERROR_FATAL, "thread", "cannot start a thread");
    while (fold.running) {
        if (*previous->stop || monotonic_now_us() > end_us)
            previous->over = 1;
        nanosleep(&tick, NULL);
    }
    pthread_join(thread, NULL);
    if (fold.code != 0)
        *error = fold.error;
    return fold.code;
}

/* What was applied out of its turn is not left out any more. */
static int forget_deferred(const struct previous *previous, PGconn *conn, struct error *error)
{
    const char *values[] = {previous->processor->name, PG_NUMBER(previous->number)};
    return pg_query(conn, statement("forget_left_out"), 2, values, NULL, error);
}

/* As the engine does for the live one. */
static int prune(struct previous *previous, PGconn *conn, struct error *error)
{
    int more = 0;
    int64_t now_us = monotonic_now_us();
    if (now_us - previous->pruned_us < PRUNE_INTERVAL_MS * INT64_C(1000))
        return 0;
    int code = prune_old(conn, previous->processor, previous->number, previous->live, &more, error);
    previous->pruned_us =
        more ? now_us - (PRUNE_INTERVAL_MS - PRUNE_PAUSE_MS) * INT64_C(1000) : now_us;
    return code == 0 && !more ? worker_forget(previous->worker, error) : code;
}

static int fold_to_live(struct previous *previous, PGconn *conn, struct error *error)
{
    int32_t partitions = (int32_t)config_int(previous->config, OPT_PARTITIONS);
    struct vector live = vector_new(previous->processor, partitions);
    struct vector own = vector_new(previous->processor, partitions);
    int there = 0;
    int code = load_target(previous, conn, &live, &own, &there, error);
    if (code == 0 && there) {
        struct vector target = vector_copy(&live);
        vector_raise(&target, &own);
        code = open_worker(previous, conn, error);
        if (code == 0)
            code = fold(previous, &target, error);
        if (code == 0) {
            worker_positions(previous->worker, &own);
            previous->behind = vector_sum(&target) - vector_sum(&own);
        }
        if (code == 0 && !previous->over && previous->has_deferred)
            code = forget_deferred(previous, conn, error);
        if (code == 0 && !previous->over)
            code = prune(previous, conn, error);
        vector_free(&target);
    }
    vector_free(&live);
    vector_free(&own);
    return code;
}

int previous_round(struct previous *previous, PGconn *conn, struct error *error)
{
    int taken = 0;
    int code = generation_try_lock(conn, previous->processor->name, &taken, error);
    if (code == 0 && taken) {
        code = fold_to_live(previous, conn, error);
        generation_unlock(conn, previous->processor->name);
    }
    if (code != 0)
        previous_close(previous);
    return code;
}
