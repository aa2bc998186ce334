/* SPDX-License-Identifier: Apache-2.0
 *
 * A look costs one query every two seconds and processor. Rounds take at most a part of the time,
 * so that live events find a core and a disk. Which process follows is decided by an advisory lock
 * that its session keeps, so that two of them do not take the generation from each other all the
 * time. */
#include "processors/rebuild/follow.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "processors/rebuild/previous.h"

enum {
    TICK_MS = 50, /* how soon the stop is noticed */
    LOOK_MS = 2000,
    BEHIND_MS = 500,     /* between two rounds while there is more to do */
    REST_SHARE = 2,      /* or so many times as long as a round took */
    DEFERRED_MS = 10000, /* how often deferred records are looked through, without new ones */
    IDLE_CLOSE_MS = 30000,
    BACKOFF_MOST_MS = 60000
};

struct followed {
    struct previous previous;
    struct metric_series *behind;
    int elected;       /* this process is the one that follows */
    int told;          /* of the generation with this number it was said that it is followed */
    int given_up;      /* the generation with this number failed … */
    int given_up_live; /* … beside this live one */
    int failures;      /* rounds in a row */
    int64_t next_us;   /* when it is looked at again */
    int64_t looked_us; /* through what was left out */
    int64_t folded_us; /* when a worker was needed last */
};

struct follower {
    struct follow_options options;
    pthread_t thread;
    PGconn *conn;
    struct followed *followed;
};

static int open_session(struct follower *follower, struct error *error)
{
    if (follower->conn && PQstatus(follower->conn) == CONNECTION_OK)
        return 0;
    PQfinish(follower->conn);
    follower->conn = NULL;
    for (size_t i = 0; i < follower->options.processor_count; i++)
        follower->followed[i].elected = 0; /* the locks went with the session */
    if (pg_connect(config_text(follower->options.config, OPT_DATABASE), FOLLOWER_SESSION,
                   &follower->conn, error) != 0)
        return -1;
    return pg_run(follower->conn,
                  "SET jit = off; SET lock_timeout = '1s'; SET statement_timeout = '10s';"
                  "SET idle_in_transaction_session_timeout = '10s'",
                  error);
}

/* Whether this process is the one that follows the processor. */
static int elect(struct follower *follower, struct followed *followed, int wanted)
{
    const char *values[] = {followed->previous.processor->name};
    PGresult *result = NULL;
    struct error error;
    if (wanted == followed->elected)
        return wanted;
    if (pg_query(follower->conn,
                 wanted ? "SELECT pg_try_advisory_lock(2003134836, hashtext($1))"
                        : "SELECT pg_advisory_unlock(2003134836, hashtext($1))",
                 1, values, &result, &error) != 0)
        return 0;
    followed->elected = wanted && *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return followed->elected;
}

static int is_wanted(const struct followed *followed)
{
    const struct previous *previous = &followed->previous;
    return previous->number && previous->fits &&
           !(followed->given_up == previous->number && followed->given_up_live == previous->live);
}

static void tell(struct followed *followed)
{
    const struct previous *previous = &followed->previous;
    const char *name = previous->processor->name;
    if (followed->told == previous->number)
        return;
    followed->told = previous->number;
    log_info("follows generation %d of %s, which was live before generation %d, for a rollback, "
             "until `weir rebuild %s --drop-old`",
             previous->number, name, previous->live, name);
}

/* What passes by itself is tried again; what does not is left until another generation is live. */
static void handle_failure(struct followed *followed, const struct error *error)
{
    struct previous *previous = &followed->previous;
    const char *name = previous->processor->name;
    if (error->class == ERROR_FENCED || strcmp(error->code, PG_RESET) == 0)
        return; /* a rebuild had it meanwhile */
    if (error->class == ERROR_RETRY || error->class == ERROR_SHRINK) {
        if (followed->failures++ == 0)
            log_warn("following generation %d of %s: %s; trying again", previous->number, name,
                     error->message);
        return;
    }
    followed->given_up = previous->number;
    followed->given_up_live = previous->live;
    log_error("generation %d of %s is not followed any more: %s. The live one goes on; "
              "`weir rebuild %s --rollback` would meet this again",
              previous->number, name, error->message, name);
}

static void run_round(struct follower *follower, struct followed *followed)
{
    struct previous *previous = &followed->previous;
    struct error error = {0};
    int64_t began_us = monotonic_now_us();
    followed->looked_us = followed->folded_us = began_us;
    int code = previous_round(previous, follower->conn, &error);
    if (code == 0)
        followed->failures = 0;
    else
        handle_failure(followed, &error);
    int64_t now_us = monotonic_now_us();
    int64_t rest_us = previous->behind ? BEHIND_MS * INT64_C(1000) : LOOK_MS * INT64_C(1000);
    if (rest_us < (now_us - began_us) * REST_SHARE)
        rest_us = (now_us - began_us) * REST_SHARE;
    for (int i = 0; i < followed->failures && rest_us < BACKOFF_MOST_MS * INT64_C(1000); i++)
        rest_us *= 2;
    followed->next_us = now_us + rest_us;
}

static void take_turn(struct follower *follower, struct followed *followed)
{
    struct previous *previous = &followed->previous;
    struct error error = {0};
    int64_t now_us = monotonic_now_us();
    followed->next_us = now_us + LOOK_MS * INT64_C(1000);
    if (previous_look(previous, follower->conn, &error) != 0)
        return; /* the engine says it, if it lasts */
    metrics_gauge_set(followed->behind, previous->behind);
    if (!previous->number) /* dropped, or reset: numbers may come again */
        followed->given_up = followed->failures = 0;
    if (!elect(follower, followed, is_wanted(followed))) {
        previous_close(previous);
        followed->told = 0;
        return;
    }
    tell(followed);
    int look_through =
        previous->has_deferred && now_us - followed->looked_us > DEFERRED_MS * INT64_C(1000);
    if (previous->behind || look_through)
        run_round(follower, followed);
    else if (now_us - followed->folded_us > IDLE_CLOSE_MS * INT64_C(1000))
        previous_close(previous);
    metrics_gauge_set(followed->behind, previous->behind);
}

static void *run(void *argument)
{
    const struct timespec tick = {.tv_nsec = TICK_MS * 1000000L};
    struct follower *follower = argument;
    struct error error;
    int64_t connect_us = 0;
    log_context("part", "follower");
    while (!*follower->options.stop) {
        for (size_t i = 0; i < follower->options.processor_count; i++) {
            struct followed *followed = &follower->followed[i];
            int64_t now_us = monotonic_now_us();
            if (*follower->options.stop || now_us < followed->next_us || now_us < connect_us)
                continue;
            if (open_session(follower, &error) == 0)
                take_turn(follower, followed);
            else
                connect_us = monotonic_now_us() + LOOK_MS * INT64_C(1000);
        }
        nanosleep(&tick, NULL);
    }
    return NULL;
}

static void free_all(struct follower *follower)
{
    for (size_t i = 0; i < follower->options.processor_count; i++)
        previous_close(&follower->followed[i].previous);
    PQfinish(follower->conn);
    free(follower->followed);
    free(follower);
}

int follow_start(const struct follow_options *options, struct follower **ret_follower,
                 struct error *error)
{
    struct follower *follower = xcalloc(1, sizeof *follower);
    struct metric *metric = metrics_register(
        options->metrics, METRICS_GAUGE, "weir_processor_former_behind_records",
        "Records that the previous generation is behind the live one; 0 without one.", "processor");
    follower->options = *options;
    follower->followed = xcalloc(options->processor_count, sizeof *follower->followed);
    for (size_t i = 0; i < options->processor_count; i++) {
        struct followed *followed = &follower->followed[i];
        followed->behind = metrics_series(metric, options->processors[i]->name);
        followed->previous.config = options->config;
        followed->previous.processor = options->processors[i];
        followed->previous.stop = options->stop;
        followed->next_us = monotonic_now_us() + LOOK_MS * INT64_C(1000); /* live ones first */
    }
    if (pthread_create(&follower->thread, NULL, run, follower) != 0) {
        free_all(follower);
        return error_set(error, ERROR_FATAL, "thread", "cannot start a thread");
    }
    *ret_follower = follower;
    return 0;
}

void follow_free(struct follower *follower)
{
    if (!follower)
        return;
    pthread_join(follower->thread, NULL);
    free_all(follower);
}
