/* SPDX-License-Identifier: Apache-2.0
 *
 * One round is one step of a rebuild's following: where both generations are and what the live one
 * has not applied is read in one snapshot, and a worker folds up to there. The worker stays open
 * between rounds; when somebody else has claimed the generation meanwhile, its next batch is
 * refused and it is opened anew. */
#include "processors/rebuild/former.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/buf.h"
#include "lib/base/timestamp.h"
#include "processors/definition/bind.h"
#include "processors/fold/prune.h"

enum { TICK_MS = 5 }; /* how often a fold is looked at */

int former_look(struct former *former, PGconn *conn, struct error *error)
{
    const struct processor *processor = former->processor;
    const char *values[] = {processor->name};
    PGresult *result = NULL;
    if (pg_query(conn,
                 "SELECT f.generation, f.version, f.consumes, p.generation, "
                 "weir.records_behind(p.processor, f.generation), "
                 "EXISTS (SELECT FROM weir.left_out JOIN weir.position o USING (position_id) "
                 "WHERE (o.processor, o.generation) = (p.processor, f.generation)) "
                 "FROM weir.processor p CROSS JOIN LATERAL (SELECT * FROM weir.generation g "
                 "WHERE g.processor = p.processor AND g.state = 'previous' "
                 "ORDER BY live_at DESC NULLS LAST, generation DESC LIMIT 1) f "
                 "WHERE p.processor = $1",
                 1, values, &result, error) != 0)
        return -1;
    former->number = 0;
    former->behind = 0;
    if (PQntuples(result) > 0) {
        former->number = (int)pg_int(result, 0, 0);
        former->live = (int)pg_int(result, 0, 3);
        former->fits = pg_int(result, 0, 1) == processor->version &&
                       strcmp(PQgetvalue(result, 0, 2), processor->consumes) == 0;
        former->behind = pg_int(result, 0, 4);
        former->has_left_out = *PQgetvalue(result, 0, 5) == 't';
    }
    PQclear(result);
    return 0;
}

void former_close(struct former *former)
{
    worker_free(former->worker);
    former->worker = NULL;
}

/* The procedure is there since the generation was live, unless this build has other schemas than
 * that one had: then `weir migrate` makes it. */
static int find_generation(struct former *former, PGconn *conn, struct error *error)
{
    struct generation found = {.number = former->number,
                               .version = former->processor->version,
                               .indexed = 1,
                               .resumed = 1};
    struct installed *installed = &found.installed;
    struct buf sql = {0};
    PGresult *result = NULL;
    installed->generation = found.number;
    snprintf(installed->schema, sizeof installed->schema, "%s_%d", former->processor->name,
             found.number);
    int code =
        bind_procedure(former->processor, installed->schema, &sql, installed->procedure, error);
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
                         "the former generation %d of %s has no procedure of this build; run "
                         "`weir migrate`",
                         found.number, former->processor->name);
    former->generation = found;
    return code;
}

static int open_worker(struct former *former, PGconn *conn, struct error *error)
{
    if (former->worker && former->generation.number == former->number)
        return 0;
    former_close(former);
    if (find_generation(former, conn, error) != 0)
        return -1;
    const struct worker_options options = {.config = former->config,
                                           .processor = former->processor,
                                           .installed = &former->generation.installed,
                                           .count = 1,
                                           .gentle = 1,
                                           .stop = &former->over,
                                           .done = &former->done};
    return worker_open(&options, &former->worker, error);
}

/* Where both are, and what the live one has not applied, in one snapshot. *ret_there: both are
 * still what they were when they were looked at. */
static int load_target(struct former *former, PGconn *conn, struct vector *live, struct vector *own,
                       int *ret_there, struct error *error)
{
    const char *name = former->processor->name;
    char numbers[2][16];
    snprintf(numbers[0], sizeof numbers[0], "%d", former->live);
    snprintf(numbers[1], sizeof numbers[1], "%d", former->number);
    const char *values[] = {name, numbers[0], numbers[1]};
    PGresult *result = NULL;
    if (pg_run(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ", error) != 0)
        return -1;
    int code = pg_query(conn,
                        "SELECT FROM weir.processor p JOIN weir.generation g USING (processor) "
                        "WHERE p.processor = $1 AND p.generation = $2 AND g.generation = $3 "
                        "AND g.state = 'previous'",
                        3, values, &result, error);
    *ret_there = code == 0 && PQntuples(result) > 0;
    PQclear(result);
    if (*ret_there &&
        (vector_load(live, conn, name, former->live, 0, error) != 0 ||
         vector_load(own, conn, name, former->number, 0, error) != 0 ||
         pg_query(conn, "SELECT weir.note_left_out($1, $2, $3)", 3, values, NULL, error) != 0))
        code = -1;
    return pg_commit(conn, code, error);
}

struct fold {
    struct former *former;
    const struct vector *target;
    struct error error;
    int code;
    atomic_int running;
};

static void *run_fold(void *argument)
{
    struct fold *fold = argument;
    fold->code = worker_fold(fold->former->worker, fold->target, &fold->error);
    fold->running = 0;
    return NULL;
}

/* Folds until the target is reached, or the round is over and its last batch done. */
static int fold(struct former *former, const struct vector *target, struct error *error)
{
    const struct timespec tick = {.tv_nsec = TICK_MS * 1000000L};
    struct fold fold = {.former = former, .target = target, .running = 1};
    int64_t end_us = monotonic_now_us() + FORMER_ROUND_MS * INT64_C(1000);
    pthread_t thread;
    former->over = 0;
    if (pthread_create(&thread, NULL, run_fold, &fold) != 0)
        return error_set(error, ERROR_FATAL, "thread", "cannot start a thread");
    while (fold.running) {
        if (*former->stop || monotonic_now_us() > end_us)
            former->over = 1;
        nanosleep(&tick, NULL);
    }
    pthread_join(thread, NULL);
    if (fold.code != 0)
        *error = fold.error;
    return fold.code;
}

/* What was applied out of its turn is told by applied_event; once it is done nobody needs to look
 * there again. */
static int forget_left(const struct former *former, PGconn *conn, struct error *error)
{
    const char *values[] = {former->processor->name, PG_NUMBER(former->number)};
    return pg_query(conn,
                    "DELETE FROM weir.left_out l USING weir.position p "
                    "WHERE p.processor = $1 AND p.generation = $2 "
                    "AND l.position_id = p.position_id AND l.applied_after < p.next_offset",
                    2, values, NULL, error);
}

/* As the engine does for the live one. Nothing that was applied out of its turn is left to be
 * looked up any more. */
static int prune(struct former *former, PGconn *conn, struct error *error)
{
    int more = 0;
    int64_t now_us = monotonic_now_us();
    if (now_us - former->pruned_us < PRUNE_INTERVAL_MS * INT64_C(1000))
        return 0;
    int code = prune_old(conn, former->processor, former->number, former->live, &more, error);
    former->pruned_us =
        more ? now_us - (PRUNE_INTERVAL_MS - PRUNE_PAUSE_MS) * INT64_C(1000) : now_us;
    return code;
}

static int fold_to_live(struct former *former, PGconn *conn, struct error *error)
{
    int32_t partitions = (int32_t)config_int(former->config, OPT_PARTITIONS);
    struct vector live = vector_new(former->processor, partitions);
    struct vector own = vector_new(former->processor, partitions);
    int there = 0;
    int code = load_target(former, conn, &live, &own, &there, error);
    if (code == 0 && there) {
        struct vector target = vector_copy(&live);
        vector_raise(&target, &own);
        code = open_worker(former, conn, error);
        if (code == 0)
            code = fold(former, &target, error);
        if (code == 0) {
            worker_positions(former->worker, &own);
            former->behind = vector_sum(&target) - vector_sum(&own);
        }
        if (code == 0 && !former->over && former->has_left_out)
            code = forget_left(former, conn, error);
        if (code == 0 && !former->over)
            code = prune(former, conn, error);
        vector_free(&target);
    }
    vector_free(&live);
    vector_free(&own);
    return code;
}

int former_round(struct former *former, PGconn *conn, struct error *error)
{
    int taken = 0;
    int code = generation_try_lock(conn, former->processor->name, &taken, error);
    if (code == 0 && taken) {
        code = fold_to_live(former, conn, error);
        generation_unlock(conn, former->processor->name);
    }
    if (code != 0)
        former_close(former);
    return code;
}
