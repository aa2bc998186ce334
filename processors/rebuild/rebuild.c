/* SPDX-License-Identifier: Apache-2.0
 *
 * The order of the steps. The live generation decides how far is far enough: the new one is folded
 * to where it is, so that what halted it, or what it left to others, does not meet the rebuild
 * first. Only when it has nothing at all, or does not know what the topics do, as after the loss of
 * the database, the logs' ends do. */
#include "processors/rebuild/rebuild.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "lib/pg/statement.h"
#include "processors/definition/source.h"
#include "processors/outbox/past.h"
#include "processors/rebuild/rebuild_parts.h"
#include "processors/rebuild/restore.h"
#include "processors/rebuild/swap.h"

/* One per core while nobody is at work on the live generation; otherwise one, so that live events
 * find a core of their own. */
static int count_workers(struct rebuild *rebuild, struct error *error)
{
    int32_t partitions = (int32_t)config_int(rebuild->options->config, OPT_PARTITIONS);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    PGresult *result = NULL;
    const char *values[] = {rebuild->processor->name, PG_NUMBER(rebuild->live.number)};
    if (pg_query(rebuild->conn, statement("is_owned"), 2, values, &result, error) != 0)
        return -1;
    rebuild->low_priority = *PQgetvalue(result, 0, 0) == 't' && !rebuild->options->workers;
    int count = *PQgetvalue(result, 0, 0) == 't' || cores < 1 ? 1 : (int)cores;
    PQclear(result);
    if (rebuild->options->workers)
        count = rebuild->options->workers;
    count = rebuild->alone ? 1 : count > partitions ? partitions : count;
    rebuild->worker_count = count > REBUILD_WORKERS_MAX ? REBUILD_WORKERS_MAX : count;
    return 0;
}

static int open_rebuild(struct rebuild *rebuild, struct error *error)
{
    const struct rebuild_options *options = rebuild->options;
    const struct processor *processor = rebuild->processor;
    int32_t partitions = (int32_t)config_int(options->config, OPT_PARTITIONS);
    rebuild->own = vector_new(processor, partitions);
    rebuild->at_live = vector_new(processor, partitions);
    if (rebuild_connect(rebuild, "weir rebuild", &rebuild->conn, error) != 0 ||
        rebuild_connect(rebuild, "weir rebuild", &rebuild->side, error) != 0 ||
        source_check(rebuild->conn, config_text(options->config, OPT_SCHEMA_REGISTRY_URL), error) !=
            0 ||
        generation_lock(rebuild->conn, processor->name, error) != 0 ||
        generation_live(rebuild->conn, processor, &rebuild->live, error) != 0 ||
        count_workers(rebuild, error) != 0)
        return -1;
    if (options->rollback)
        return generation_previous(rebuild->conn, processor, &rebuild->next, error);
    /* What screens events looks at batches: there is no taking one out of the whole. */
    int sets = rebuild->unfoldable || processor->screen ? 0 : rebuild->worker_count;
    if (generation_begin(rebuild->conn, processor, sets, &rebuild->next, error) != 0)
        return -1;
    if (!rebuild->next.indexed && rebuild->next.sets > 0)
        rebuild->worker_count = rebuild->next.sets;
    return 0;
}

/* Whether the database was lost, or is an older copy that does not know what its topics do: then
 * what the live generation says counts for nothing. */
static int find_lost(struct rebuild *rebuild, struct error *error)
{
    const struct rebuild_options *options = rebuild->options;
    rebuild->to_end = vector_sum(&rebuild->at_live) == 0;
    if (rebuild->to_end || options->rollback ||
        past_check(rebuild->conn, options->config, rebuild->processor, options->stop, error) == 0)
        return 0;
    if (strcmp(error->code, PAST_UNKNOWN) != 0)
        return -1;
    log_warn("%s", error->message);
    *error = (struct error){0};
    rebuild->to_end = 1;
    return 0;
}

/* What was not applied, and what was decided, comes back from its topics before anything is folded.
 * Positions must be there for it. */
static int restore(struct rebuild *rebuild, struct error *error)
{
    int64_t count = 0;
    struct buf values = {0};
    if (vector_load(&rebuild->at_live, rebuild->conn, rebuild->processor->name,
                    rebuild->live.number, 0, error) != 0 ||
        find_lost(rebuild, error) != 0)
        return -1;
    if (!rebuild->to_end || rebuild->options->rollback)
        return 0;
    /* Also of the live generation, so that people can decide to skip a record. */
    const int numbers[] = {rebuild->live.number, rebuild->next.number};
    for (size_t i = 0; i < 2 * rebuild->at_live.count; i++)
        buf_printf(&values, "%s('%s', %d, '%s', %d)", i ? ", " : "", rebuild->processor->name,
                   numbers[i % 2], rebuild->at_live.at[i / 2].topic,
                   rebuild->at_live.at[i / 2].partition);
    int code = pg_runf(rebuild->conn, error,
                       "INSERT INTO weir.position (processor, generation, topic, kafka_partition) "
                       "VALUES %s ON CONFLICT DO NOTHING",
                       buf_text(&values));
    buf_free(&values);
    if (code == 0)
        code = restore_failures(rebuild->conn, rebuild->options->config, rebuild->processor,
                                rebuild->next.number, rebuild->options->stop, &count, error);
    json_object_set_new(rebuild->report, "restored", json_integer(count));
    return code;
}

/* Where both generations are, and what the live one has not applied, in one snapshot. */
static int load_state(struct rebuild *rebuild, struct error *error)
{
    const char *name = rebuild->processor->name;
    int code = pg_run(rebuild->side, "BEGIN ISOLATION LEVEL REPEATABLE READ", error);
    if (code == 0)
        code = vector_load(&rebuild->at_live, rebuild->side, name, rebuild->live.number, 0, error);
    if (code == 0)
        code = vector_load(&rebuild->own, rebuild->side, name, rebuild->next.number, 0, error);
    if (code == 0)
        code = rebuild_note_deferred(rebuild, error);
    return pg_commit(rebuild->side, code, error);
}

/* How far the new generation has to come for now. */
static int load_target(struct rebuild *rebuild, struct vector *target, struct error *error)
{
    if (load_state(rebuild, error) != 0)
        return -1;
    *target = vector_copy(&rebuild->at_live);
    if (rebuild->to_end && vector_load_ends(target, rebuild->options->config, error) != 0)
        return -1;
    vector_raise(target, &rebuild->own);
    return 0;
}

static int fold_all(struct rebuild *rebuild, struct error *error)
{
    struct vector target = {0};
    int code = load_target(rebuild, &target, error);
    rebuild->done = vector_sum(&rebuild->own);
    if (code == 0) {
        rebuild_phase(rebuild, rebuild->next.indexed ? "follow" : "stage", vector_sum(&target));
        code = rebuild_fold(rebuild, &target, error);
    }
    vector_free(&target);
    if (code == 0)
        rebuild_tell(rebuild, 1);
    return code;
}

/* Comes so near to the live generation that the rest takes but a moment. */
static int follow(struct rebuild *rebuild, struct error *error)
{
    for (int i = 0; i < REBUILD_ROUNDS; i++) {
        struct vector target = {0};
        int code = load_target(rebuild, &target, error);
        int64_t missing = vector_sum(&target) - vector_sum(&rebuild->own);
        if (code == 0)
            rebuild_phase(rebuild, "follow", vector_sum(&target));
        if (code == 0)
            code = rebuild_fold(rebuild, &target, error);
        vector_free(&target);
        if (code != 0)
            return -1;
        if (missing < REBUILD_LITTLE)
            break;
    }
    return rebuild->options->rollback
               ? 0
               : generation_note(rebuild->conn, rebuild->processor->name, rebuild->next.number,
                                 "caught-up", NULL, -1, -1, -1, error);
}

/* One try, in one transaction. */
static int try_swap(struct rebuild *rebuild, json_t *dropped, struct error *error)
{
    int code = rebuild_hold(rebuild, error);
    if (code == 0 && !vector_covers(&rebuild->own, &rebuild->at_live))
        code = error_set(error, ERROR_FATAL, "vector",
                         "the generation has not come as far as the "
                         "live one");
    if (code == 0)
        code = pg_runf(rebuild->conn, error,
                       "SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = %d",
                       REBUILD_VIEW_LOCK_MS);
    if (code == 0)
        code = swap_views(rebuild->conn, rebuild->processor, &rebuild->next,
                          rebuild->options->break_views, dropped, error);
    if (code == 0)
        code = swap_generation(rebuild->conn, rebuild->processor, &rebuild->live, &rebuild->next,
                               rebuild->to_end, error);
    code = pg_commit(rebuild->conn, code, error);
    rebuild->holding = 0;
    return code;
}

static int swap(struct rebuild *rebuild, struct error *error)
{
    int code = -1;
    rebuild_phase(rebuild, "swap", rebuild->total);
    for (int i = 0; code != 0 && i < REBUILD_SWAP_TRIES; i++) {
        json_t *dropped = json_array();
        code = try_swap(rebuild, dropped, error);
        json_object_set_new(rebuild->report, "dropped", dropped);
        if (code == 0)
            break;
        if (error->class != ERROR_RETRY || *rebuild->options->stop)
            return -1;
        rebuild_sleep(REBUILD_SWAP_PAUSE_MS);
        if (PQstatus(rebuild->conn) != CONNECTION_OK || follow(rebuild, error) != 0)
            return -1;
        rebuild_phase(rebuild, "swap", rebuild->total);
    }
    if (code == 0)
        json_object_set_new(rebuild->report, "swapped", json_true());
    return code;
}

static int run_steps(struct rebuild *rebuild, struct error *error)
{
    const struct rebuild_options *options = rebuild->options;
    int64_t started_us = monotonic_now_us();
    int code = open_rebuild(rebuild, error);
    if (code != 0)
        return -1;
    rebuild->report =
        json_pack("{s:s, s:i, s:i, s:i, s:b, s:n, s:[], s:{}, s:b}", "processor",
                  rebuild->processor->name, "generation", rebuild->next.number, "former",
                  rebuild->live.number, "version", rebuild->next.version, "resumed",
                  rebuild->next.resumed, "verified", "findings", "phases", "swapped", 0);
    code = restore(rebuild, error);
    if (code == 0)
        code = fold_all(rebuild, error);
    if (code == 0)
        rebuild_phase(rebuild, "follow", rebuild->total);
    if (code == 0)
        json_object_set_new(rebuild->report, "fold_seconds",
                            json_real((double)(monotonic_now_us() - started_us) / 1e6));
    if (code == 0 && !options->rollback)
        code = generation_analyze(rebuild->conn, &rebuild->next, error);
    if (code == 0)
        code = follow(rebuild, error);
    if (code == 0)
        code = rebuild_verify(rebuild, error);
    if (code == 0 && !rebuild->different && !options->no_swap)
        code = follow(rebuild, error) == 0 ? swap(rebuild, error) : -1;
    rebuild_note_phase(rebuild);
    json_object_set_new(rebuild->report, "left_out", json_integer(rebuild->deferred));
    json_object_set_new(rebuild->report, "records", json_integer(vector_sum(&rebuild->own)));
    json_object_set_new(rebuild->report, "seconds",
                        json_real((double)(monotonic_now_us() - started_us) / 1e6));
    return code;
}

static void close_rebuild(struct rebuild *rebuild)
{
    rebuild_close_workers(rebuild);
    PQfinish(rebuild->conn);
    PQfinish(rebuild->side);
    vector_free(&rebuild->own);
    vector_free(&rebuild->at_live);
}

/* Never a generation that has its indexes, such as the one that a rollback goes to. */
static int must_begin_anew(const struct rebuild *rebuild, const struct error *error)
{
    return rebuild->unfoldable || strcmp(error->code, STAGE_LOST_CODE) == 0 ||
           (!rebuild->next.indexed && strcmp(error->code, WORKER_MISPLACED) == 0);
}

int rebuild_run(const struct processor *processor, const struct rebuild_options *options,
                enum rebuild_outcome *ret_outcome, json_t **ret_report, struct error *error)
{
    struct rebuild *rebuild = xcalloc(1, sizeof *rebuild);
    rebuild->processor = processor;
    rebuild->options = options;
    rebuild->phase = "";
    int code = run_steps(rebuild, error);
    for (int i = 0; code != 0 && i < REBUILD_BEGINS && must_begin_anew(rebuild, error); i++) {
        int unfoldable = rebuild->unfoldable;
        int alone = rebuild->alone || strcmp(error->code, WORKER_MISPLACED) == 0;
        log_warn("%s; it is built anew%s", error->message, unfoldable ? ", batch by batch" : "");
        code = generation_drop(rebuild->conn, processor->name, rebuild->next.number, error);
        close_rebuild(rebuild);
        json_decref(rebuild->report);
        *rebuild = (struct rebuild){.processor = processor,
                                    .options = options,
                                    .phase = "",
                                    .unfoldable = unfoldable,
                                    .alone = alone};
        *error = (struct error){0};
        if (code == 0)
            code = run_steps(rebuild, error);
    }
    if (code == 0)
        *error = (struct error){0}; /* of what was tried again */
    close_rebuild(rebuild);
    *ret_outcome = rebuild->different ? REBUILD_DIFFERS : REBUILD_DONE;
    *ret_report = rebuild->report;
    free(rebuild);
    return code;
}
