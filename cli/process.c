/* SPDX-License-Identifier: Apache-2.0
 *
 * weir process: runs processors, each in sessions that divide its partitions. A session has a
 * thread of its own with its own consumer and database session, so that none waits for another; on
 * one more thread runs the relay, which publishes what they leave in the outbox; and on another the
 * follower of previous generations. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"
#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/observe/endpoint.h"
#include "processors/engine/engine.h"
#include "processors/outbox/relay.h"
#include "processors/rebuild/follow.h"

enum {
    STOP_TICK_MS = 100, /* how soon a worker that gave up ends the program */
    SESSIONS_MAX = 8    /* of a processor without --sessions */
};

static atomic_int stop;

struct worker {
    pthread_t thread;
    int started;
    struct engine *engine;
    struct error error;
};

/* Workers are those of the first processor, then those of the next one. */
struct program {
    const struct config *config;
    const struct assets *assets;
    const struct catalog *catalog;
    const struct observe *observe;
    size_t processor_count;
    size_t session_count; /* of each processor */
    struct processor **processors;
    struct worker *workers;
};

/* Signals are taken by the main thread alone, in wait_for_signal; threads inherit the mask. */
static void block_signals(sigset_t *ret_signals)
{
    sigemptyset(ret_signals);
    sigaddset(ret_signals, SIGTERM);
    sigaddset(ret_signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, ret_signals, NULL);
}

/* Returns when a signal came or a worker set `stop`. */
static void wait_for_signal(const sigset_t *signals)
{
    const struct timespec tick = {.tv_nsec = STOP_TICK_MS * 1000000L};
    while (!stop && sigtimedwait(signals, NULL, &tick) < 0)
        ;
    stop = 1;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    if (engine_run(worker->engine, &worker->error) != 0) {
        log_error("%s", worker->error.message);
        stop = 1;
    }
    return NULL;
}

/* Without the option a processor gets its share of half of the cores: the other half is for
 * Postgres.
 */
static size_t count_sessions(const struct config *config)
{
    size_t wanted = (size_t)config_int(config, OPT_SESSIONS);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t share = cores > 0 ? (size_t)cores / 2 / config_argument_count(config) : 1;
    if (share > SESSIONS_MAX)
        share = SESSIONS_MAX;
    return wanted ? wanted : share ? share : 1;
}

static int start_worker(struct program *program, size_t index, struct error *error)
{
    struct worker *worker = &program->workers[index];
    const struct engine_options options = {.config = program->config,
                                           .processor =
                                               program->processors[index / program->session_count],
                                           .metrics = program->observe->metrics,
                                           .health = program->observe->health,
                                           .stop = &stop,
                                           .session = index % program->session_count,
                                           .session_count = program->session_count};
    if (engine_new(&options, &worker->engine, error) != 0)
        return -1;
    if (pthread_create(&worker->thread, NULL, work, worker) != 0)
        return error_set(error, ERROR_FATAL, "thread", "cannot start a thread");
    worker->started = 1;
    return 0;
}

static int start_workers(struct program *program, struct error *error)
{
    for (size_t i = 0; i < program->processor_count; i++)
        if (processor_load(program->assets, program->catalog, config_argument(program->config, i),
                           &program->processors[i], error) != 0)
            return -1;
    for (size_t i = 0; i < program->processor_count * program->session_count; i++)
        if (start_worker(program, i, error) != 0)
            return -1;
    return 0;
}

static int start_relay(const struct config *config, const struct observe *observe,
                       const char **names, struct relay **ret_relay, struct error *error)
{
    struct relay_options options = {.config = config,
                                    .processors = names,
                                    .processor_count = config_argument_count(config),
                                    .metrics = observe->metrics,
                                    .health = observe->health,
                                    .stop = &stop};
    for (size_t i = 0; i < options.processor_count; i++)
        names[i] = config_argument(config, i);
    return relay_start(&options, ret_relay, error);
}

static int start_follower(const struct program *program, struct follower **ret_follower,
                          struct error *error)
{
    const struct follow_options options = {.config = program->config,
                                           .processors =
                                               (const struct processor *const *)program->processors,
                                           .processor_count = program->processor_count,
                                           .metrics = program->observe->metrics,
                                           .stop = &stop};
    return follow_start(&options, ret_follower, error);
}

/* Waits for the workers. Returns -1 with the error of the first one that failed. */
static int end_workers(struct program *program, struct error *error)
{
    int code = 0;
    for (size_t i = 0; i < program->processor_count * program->session_count; i++) {
        struct worker *worker = &program->workers[i];
        if (worker->started)
            pthread_join(worker->thread, NULL);
        if (worker->error.class != ERROR_NONE && code == 0) {
            *error = worker->error;
            code = -1;
        }
        engine_free(worker->engine);
    }
    return code;
}

static int run_workers(struct program *program, const sigset_t *signals, struct error *error)
{
    struct error failure;
    const char **names = xcalloc(program->processor_count, sizeof *names);
    struct relay *relay = NULL;
    struct follower *follower = NULL;
    program->processors = xcalloc(program->processor_count, sizeof *program->processors);
    program->workers =
        xcalloc(program->processor_count * program->session_count, sizeof *program->workers);
    int code = start_workers(program, error);
    if (code == 0)
        code = start_relay(program->config, program->observe, names, &relay, error);
    if (code == 0)
        code = start_follower(program, &follower, error);
    if (code == 0)
        wait_for_signal(signals);
    stop = 1;
    follow_free(follower);
    if (end_workers(program, &failure) != 0 && code == 0) {
        *error = failure;
        code = -1;
    }
    for (size_t i = 0; i < program->processor_count; i++)
        processor_free(program->processors[i]);
    relay_free(relay);
    free(names);
    free(program->processors);
    free(program->workers);
    return code;
}

static int run(const struct config *config, struct error *error)
{
    struct assets *assets = NULL;
    struct catalog *catalog = NULL;
    struct http_server *server = NULL;
    sigset_t signals;
    struct observe observe = {.metrics = metrics_new(), .health = health_new()};
    if (config_argument_count(config) == 0) {
        error_set(error, ERROR_USAGE, "bad-argument",
                  "name at least one processor, such as ledger");
        return EXIT_USAGE;
    }
    observe.host_count = config_list(config, OPT_ALLOWED_HOST, &observe.hosts);
    block_signals(&signals);
    int code = assets_open(config_text(config, OPT_HOME), &assets, error);
    if (code == 0)
        code = catalog_open(assets, &catalog, error);
    struct program program = {.config = config,
                              .assets = assets,
                              .catalog = catalog,
                              .observe = &observe,
                              .processor_count = config_argument_count(config),
                              .session_count = count_sessions(config)};
    if (code == 0)
        code = observe_serve(&observe, config_text(config, OPT_PROCESSOR_LISTEN), &server, error);
    if (code == 0)
        code = run_workers(&program, &signals, error);
    http_server_free(server);
    metrics_free(observe.metrics);
    health_free(observe.health);
    catalog_free(catalog);
    assets_free(assets);
    return code == 0 ? EXIT_OK : EXIT_FAILED;
}

static const enum option_id options[] = {OPT_KAFKA_BROKERS,
                                         OPT_KAFKA,
                                         OPT_PARTITIONS,
                                         OPT_REPLICATION_FACTOR,
                                         OPT_DATABASE,
                                         OPT_PROCESSOR_LISTEN,
                                         OPT_ALLOWED_HOST,
                                         OPT_SESSIONS,
                                         OPT_BATCH_MAX_ROWS,
                                         OPT_BATCH_MAX_BYTES,
                                         OPT_BATCH_MAX_AGE,
                                         OPT_LOCK_TIMEOUT,
                                         OPT_STATEMENT_TIMEOUT,
                                         OPT_SESSION_TIMEOUT,
                                         OPT_FORCE_PARTITIONS,
                                         OPT_SCHEMA_REGISTRY_URL,
                                         OPT_SCHEMA_REGISTRY_AUTH,
                                         OPT_SCHEMA_REGISTRY_CA};

const struct command command_process = {
    .name = "process",
    .arguments = "NAME...",
    .summary = "run processors: fold events into Postgres",
    .help = "Runs the named processors (folders of sql/processors/) until SIGTERM, which finishes "
            "the batch under way.\n"
            "Start it on several machines to share the partitions. It waits while Kafka or "
            "Postgres is away.\n"
            "It serves /livez, /readyz and /metrics on --processor-listen.\n"
            "\n"
            "  weir process ledger analytics overview",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .login = "weir_processor",
    .run = run,
};
