/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker without a session takes nothing while another one has a session; when none has, it turns
 * reads down at once instead of letting them wait, and tries to connect now and then. A session
 * that turns out to be lost is opened anew once for the read at hand. */
#include "producers/gateway/reads.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "lib/pg/pg.h"
#include "producers/gateway/after.h"
#include "producers/gateway/ends.h"
#include "producers/gateway/turns.h"

enum {
    RECONNECT_FIRST_MS = 100,
    RECONNECT_LAST_MS = 5000,
    EXPIRY_MS = 50 /* how exactly the longest wait for a turn is kept */
};

struct worker {
    struct reads *reads;
    struct query_session *session; /* only its own thread touches it */
    int tried;
    int64_t pause_ms;
    int64_t retry_at_us;
    pthread_t thread;
};

struct reads {
    struct gateway *gateway;
    struct queries *queries;
    const char *conninfo;
    int64_t timeout_ms;
    int64_t wait_ms;
    int64_t bytes_max;
    struct ends *ends;
    struct after *after;
    struct metric *total;
    struct metric_series **durations;
    struct metric_series *queued_gauge;
    struct metric_series *bytes_gauge;
    struct metric_series *sessions_gauge;
    pthread_mutex_t lock;
    pthread_cond_t wake;       /* the workers */
    pthread_cond_t wake_clock; /* the thread that looks at the time */
    pthread_t clock;
    int clock_runs;
    /* Under the lock. */
    struct turns *turns;
    int sessions;
    int tried;       /* workers that have tried to connect at least once */
    int away;        /* and none of them can: it was logged */
    atomic_int stop; /* set under the lock; a session looks at it without */
    int worker_count;
    struct worker workers[READ_WORKERS_MAX];
};

static void note_sessions(struct reads *reads, int change, const struct error *error)
{
    pthread_mutex_lock(&reads->lock);
    reads->sessions += change;
    int now_away = reads->sessions == 0;
    int told = reads->away;
    if (error || reads->sessions > 0)
        reads->away = now_away;
    metrics_gauge_set(reads->sessions_gauge, reads->sessions);
    pthread_cond_broadcast(&reads->wake); /* who may take a read has changed */
    pthread_mutex_unlock(&reads->lock);
    if (error && now_away && !told)
        log_warn("reads: %s; until it is back they are answered 503", error->message);
    else if (!now_away && told)
        log_info("reads: the database is back");
}

/* Returns 0 when the worker has a session now. */
static int connect_worker(struct worker *worker, const struct pg_limit *limit, struct error *error)
{
    struct reads *reads = worker->reads;
    int code = query_session_open(reads->conninfo, reads->queries, reads->timeout_ms, limit,
                                  &worker->session, error);
    pthread_mutex_lock(&reads->lock);
    reads->tried += !worker->tried;
    worker->tried = 1;
    pthread_mutex_unlock(&reads->lock);
    if (code == 0) {
        worker->pause_ms = 0;
        note_sessions(reads, 1, NULL);
        return 0;
    }
    worker->pause_ms = worker->pause_ms ? worker->pause_ms * 2 : RECONNECT_FIRST_MS;
    if (worker->pause_ms > RECONNECT_LAST_MS)
        worker->pause_ms = RECONNECT_LAST_MS;
    worker->retry_at_us = monotonic_now_us() + worker->pause_ms * 1000;
    note_sessions(reads, 0, error);
    return -1;
}

static void drop_session(struct worker *worker, const struct error *error)
{
    query_session_free(worker->session);
    worker->session = NULL;
    worker->retry_at_us = 0;
    note_sessions(worker->reads, -1, strcmp(error->code, PG_STOPPED) == 0 ? NULL : error);
}

static void answer_error(struct worker *worker, struct read *read, const struct error *error)
{
    /* What Postgres says of values that are none of their type: a time out of range, a zone of 23
     * hours. A cursor holds whatever somebody put into it, so all that data may be is its fault. */
    static const char *const values[] = {"22003", "22007", "22008", "22009", "22021", "22P02"};
    int bad = read->cursor && strncmp(error->code, "22", 2) == 0;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        bad |= strcmp(error->code, values[i]) == 0;
    if (bad) {
        read_problem(read, PROBLEM_INVALID_PARAMETER, "%s", error->message);
        return;
    }
    if (strcmp(error->code, PG_STOPPED) == 0) {
        read_problem(read, PROBLEM_SHUTTING_DOWN, "ask another gateway");
    } else if (strcmp(error->code, QUERY_TIMED_OUT) == 0 ||
               strcmp(error->code, PG_NO_ANSWER) == 0) {
        read_problem(read, PROBLEM_READ_TIMEOUT, "%s took longer than %lld ms", read->query->name,
                     (long long)worker->reads->timeout_ms);
    } else if (error->class == ERROR_RETRY) {
        read_problem(read, PROBLEM_DATABASE_AWAY, "reads are not possible at the moment");
    } else {
        log_error("reads: %s: %s", read->query->path, error->message);
        read_problem(read, PROBLEM_QUERY_FAILED, "the gateway's log says why");
    }
}

static struct pg_limit limit_of(const struct reads *reads, int64_t timeout_ms)
{
    return (struct pg_limit){.deadline_us = monotonic_now_us() + timeout_ms * 1000,
                             .stop = &reads->stop};
}

static void serve(struct worker *worker, struct read *read)
{
    struct reads *reads = worker->reads;
    struct error error = {0};
    PGresult *result = NULL;
    /* One limit for all: opening a session anew, preparing, and the query itself. */
    struct pg_limit limit = limit_of(reads, reads->timeout_ms + QUERY_GRACE_MS);
    int away = 0;
    for (int again = 0; again < 2; again++) {
        away = !worker->session && connect_worker(worker, &limit, &error) != 0;
        if (away)
            break;
        int code =
            query_session_run(worker->session, read->query, read->values, &limit, &result, &error);
        int lost = query_session_lost(worker->session);
        if (lost)
            drop_session(worker, &error);
        if (code == 0) {
            read_answer(read, result);
            PQclear(result);
            return;
        }
        if (!lost || strcmp(error.code, PG_NO_ANSWER) == 0)
            break;
    }
    if (away && strcmp(error.code, PG_STOPPED) != 0)
        read_problem(read, PROBLEM_DATABASE_AWAY, "reads are not possible at the moment");
    else
        answer_error(worker, read, &error);
}

static struct timespec deadline(int64_t us)
{
    return (struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
}

static void show_turns(const struct reads *reads)
{
    metrics_gauge_set(reads->queued_gauge, turns_queued(reads->turns));
    metrics_gauge_set(reads->bytes_gauge, turns_bytes(reads->turns));
}

/* There may be something for a worker now. */
static void wake_worker(struct reads *reads)
{
    /* A worker without a session would swallow the signal. */
    if (reads->sessions == reads->worker_count)
        pthread_cond_signal(&reads->wake);
    else
        pthread_cond_broadcast(&reads->wake);
}

/* The next read for this worker; NULL when it is time to connect, or to stop (*ret_stop). */
static struct read *next_read(struct worker *worker, int *ret_stop)
{
    struct reads *reads = worker->reads;
    struct read *read = NULL;
    pthread_mutex_lock(&reads->lock);
    for (;;) {
        int may_take = worker->session || (worker->tried && reads->sessions == 0);
        *ret_stop = atomic_load(&reads->stop);
        if (*ret_stop)
            break;
        read = may_take ? turns_take(reads->turns) : NULL;
        if (read)
            break;
        if (worker->session) {
            pthread_cond_wait(&reads->wake, &reads->lock);
        } else if (monotonic_now_us() >= worker->retry_at_us) {
            break;
        } else {
            struct timespec until = deadline(worker->retry_at_us);
            pthread_cond_timedwait(&reads->wake, &reads->lock, &until);
        }
    }
    show_turns(reads);
    pthread_mutex_unlock(&reads->lock);
    return read;
}

static void *work(void *context)
{
    struct worker *worker = context;
    struct error error;
    int stop = 0;
    while (!stop) {
        struct read *read = next_read(worker, &stop);
        struct pg_limit limit = limit_of(worker->reads, PG_CONNECT_TIMEOUT_S * 1000);
        if (!read && !stop)
            connect_worker(worker, &limit, &error);
        else if (read && !worker->session && monotonic_now_us() < worker->retry_at_us)
            read_problem(read, PROBLEM_DATABASE_AWAY, "reads are not possible at the moment");
        else if (read)
            serve(worker, read);
    }
    query_session_free(worker->session);
    return NULL;
}

static void refuse_full(struct read *read)
{
    read_problem(read, PROBLEM_READS_FULL, "too many reads wait, or too many of this Space");
}

static void enqueue(struct read *read, void *context)
{
    struct reads *reads = context;
    struct read *out = NULL; /* made room */
    pthread_mutex_lock(&reads->lock);
    int stop = atomic_load(&reads->stop);
    int away = reads->sessions == 0 && reads->tried > 0;
    int full = !stop && !away && turns_put(reads->turns, read, &out) != 0;
    if (!stop && !away && !full) {
        show_turns(reads);
        wake_worker(reads);
        if (turns_queued(reads->turns) == 1)
            pthread_cond_signal(&reads->wake_clock);
    }
    pthread_mutex_unlock(&reads->lock);
    if (stop)
        read_problem(read, PROBLEM_SHUTTING_DOWN, "ask another gateway");
    else if (away)
        read_problem(read, PROBLEM_DATABASE_AWAY, "reads are not possible at the moment");
    else if (full)
        refuse_full(read);
    if (out)
        refuse_full(out);
}

/* Those that have waited too long by now, as a list. */
static struct read *take_expired(struct reads *reads, int64_t now_us)
{
    struct read *list = NULL;
    for (struct read *read; (read = turns_expired(reads->turns, now_us)); list = read)
        read->next = list;
    show_turns(reads);
    return list;
}

static void *watch_clock(void *context)
{
    struct reads *reads = context;
    pthread_mutex_lock(&reads->lock);
    while (!atomic_load(&reads->stop)) {
        struct timespec until = deadline(monotonic_now_us() + EXPIRY_MS * 1000);
        if (turns_queued(reads->turns) == 0)
            pthread_cond_wait(&reads->wake_clock, &reads->lock);
        else
            pthread_cond_timedwait(&reads->wake_clock, &reads->lock, &until);
        struct read *late = take_expired(reads, monotonic_now_us());
        pthread_mutex_unlock(&reads->lock);
        while (late) {
            struct read *next = late->next;
            read_problem(late, PROBLEM_READS_FULL, "it waited %lld ms for its turn",
                         (long long)reads->timeout_ms);
            late = next;
        }
        pthread_mutex_lock(&reads->lock);
    }
    pthread_mutex_unlock(&reads->lock);
    return NULL;
}

static void on_sent(void *context)
{
    struct read *read = context;
    struct reads *reads = read->gateway->reads;
    if (!read->turn)
        return;
    pthread_mutex_lock(&reads->lock);
    turns_sent(reads->turns, read);
    show_turns(reads);
    if (turns_queued(reads->turns) > 0)
        wake_worker(reads);
    pthread_mutex_unlock(&reads->lock);
}

void reads_submit(struct reads *reads, struct read *read)
{
    http_on_end(read->request, on_sent, read);
    if (read->receipt_count > 0)
        after_submit(reads->after, read);
    else
        enqueue(read, reads);
}

const struct queries *reads_queries(const struct reads *reads)
{
    return reads->queries;
}

int64_t reads_bytes(const struct reads *reads)
{
    return reads->bytes_max;
}

int64_t reads_wait_ms(const struct reads *reads)
{
    return reads->wait_ms;
}

void reads_answered(struct reads *reads, struct read *read, int status, size_t bytes)
{
    char code[8];
    snprintf(code, sizeof code, "%d", status);
    metrics_counter_add(metrics_series(reads->total, code, read->query->name), 1);
    metrics_observe(reads->durations[read->query->index], monotonic_now_us() - read->started_us);
    pthread_mutex_lock(&reads->lock);
    turns_answered(reads->turns, read, bytes);
    pthread_mutex_unlock(&reads->lock);
}

static void open_metrics(struct reads *reads, struct metrics *metrics)
{
    struct metric *duration =
        metrics_register(metrics, METRICS_HISTOGRAM_TIME, "weir_gateway_read_duration_seconds",
                         "From a read to its answer.", "query");
    size_t count = queries_count(reads->queries);
    reads->total = metrics_register(metrics, METRICS_COUNTER, "weir_gateway_reads_total",
                                    "Answers of queries by status.", "code,query");
    reads->queued_gauge = metrics_single(metrics, METRICS_GAUGE, "weir_gateway_queued_reads",
                                         "Reads that wait for a worker.");
    reads->bytes_gauge = metrics_single(
        metrics, METRICS_GAUGE, "weir_gateway_read_bytes",
        "Bytes of answers that are made or sent; a read that runs counts as the largest answer.");
    reads->sessions_gauge = metrics_single(metrics, METRICS_GAUGE, "weir_gateway_read_sessions",
                                           "Workers that have a database session.");
    reads->durations = xcalloc(count + 1, sizeof(struct metric_series *));
    for (size_t i = 0; i < count; i++)
        reads->durations[i] = metrics_series(duration, queries_at(reads->queries, i)->name);
}

static int start_threads(struct reads *reads, int count, struct error *error)
{
    for (; reads->worker_count < count; reads->worker_count++) {
        struct worker *worker = &reads->workers[reads->worker_count];
        worker->reads = reads;
        if (pthread_create(&worker->thread, NULL, work, worker) != 0)
            return error_set(error, ERROR_FATAL, "thread", "cannot start the threads for reads");
    }
    reads->clock_runs = pthread_create(&reads->clock, NULL, watch_clock, reads) == 0;
    if (!reads->clock_runs)
        return error_set(error, ERROR_FATAL, "thread", "cannot start the threads for reads");
    const struct after_options options = {.conninfo = reads->conninfo,
                                          .queries = reads->queries,
                                          .ends = reads->ends,
                                          .timeout_ms = reads->timeout_ms,
                                          .on_applied = enqueue,
                                          .context = reads};
    return after_start(&options, &reads->after, error);
}

int reads_start(const struct config *config, const struct assets *assets, struct gateway *gateway,
                struct reads **ret_reads, struct error *error)
{
    struct reads *reads = xcalloc(1, sizeof *reads);
    pthread_condattr_t clock;
    reads->gateway = gateway;
    reads->conninfo = config_text(config, OPT_DATABASE);
    reads->timeout_ms = config_int(config, OPT_READ_TIMEOUT);
    reads->wait_ms = config_int(config, OPT_READ_WAIT);
    reads->bytes_max = config_int(config, OPT_READ_BYTES);
    int workers = (int)config_int(config, OPT_READ_WORKERS);
    struct turns_limits limits = {.queued_max = (int)config_int(config, OPT_READ_QUEUE),
                                  .running_of_space_max = workers > 1 ? workers / 2 : 1,
                                  .wait_us = reads->timeout_ms * 1000,
                                  .read_bytes = reads->bytes_max,
                                  .bytes_max = config_int(config, OPT_READ_MEMORY)};
    reads->turns = turns_new(&limits);
    pthread_mutex_init(&reads->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&reads->wake, &clock);
    pthread_cond_init(&reads->wake_clock, &clock);
    pthread_condattr_destroy(&clock);
    int code = queries_open(assets, &reads->queries, error);
    if (code == 0)
        code =
            ends_start(config, gateway->catalog, watch_admin(gateway->watch), &reads->ends, error);
    if (code == 0) {
        open_metrics(reads, gateway->observe.metrics);
        code = start_threads(reads, workers, error);
    }
    if (code != 0) {
        reads_free(reads);
        return -1;
    }
    *ret_reads = reads;
    return 0;
}

void reads_stop(struct reads *reads)
{
    if (!reads)
        return;
    pthread_mutex_lock(&reads->lock);
    int stopped = atomic_exchange(&reads->stop, 1);
    struct read *left = take_expired(reads, INT64_MAX);
    pthread_cond_broadcast(&reads->wake);
    pthread_cond_signal(&reads->wake_clock);
    pthread_mutex_unlock(&reads->lock);
    while (left) {
        struct read *next = left->next;
        read_problem(left, PROBLEM_SHUTTING_DOWN, "ask another gateway");
        left = next;
    }
    after_stop(reads->after);
    for (int i = 0; !stopped && i < reads->worker_count; i++)
        pthread_join(reads->workers[i].thread, NULL);
    if (!stopped && reads->clock_runs)
        pthread_join(reads->clock, NULL);
}

void reads_free(struct reads *reads)
{
    if (!reads)
        return;
    reads_stop(reads);
    after_free(reads->after);
    ends_free(reads->ends);
    queries_free(reads->queries);
    free(reads->durations);
    turns_free(reads->turns);
    pthread_cond_destroy(&reads->wake_clock);
    pthread_cond_destroy(&reads->wake);
    pthread_mutex_destroy(&reads->lock);
    free(reads);
}
