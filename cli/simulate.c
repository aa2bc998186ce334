/* SPDX-License-Identifier: Apache-2.0
 *
 * `weir simulate`: a creator platform's traffic through the gateway. The counters go to stderr, on
 * a terminal as one line that is written over; the totals at the end go to stdout. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/support.h"
#include "lib/base/timestamp.h"
#include "producers/simulate/simulation.h"

enum { LIVE_TERMINAL_MS = 200, LIVE_PLAIN_MS = 5000, STEP_MS = 100 };

static volatile sig_atomic_t interrupted;

/* The first signal ends the traffic and lets what is under way finish; the second ends the program.
 */
static void on_signal(int number)
{
    interrupted = 1;
    signal(number, SIG_DFL);
}

static void print_live(const struct simulation *simulation, int terminal)
{
    struct simulation_progress p;
    simulation_progress(simulation, &p);
    double seconds = (double)p.elapsed_us / 1e6;
    fprintf(stderr,
            "%s%5.1f s  sent %" PRIu64 "  acked %" PRIu64 "  retried %" PRIu64 "  failed %" PRIu64
            "  %.0f/s  ack p50 %.1f ms  p99 %.1f ms%s",
            terminal ? "\r\033[K" : "", seconds, p.sent, p.acked, p.retried, p.failed + p.refused,
            seconds > 0 ? (double)p.acked / seconds : 0.0, (double)p.p50_us / 1000.0,
            (double)p.p99_us / 1000.0, terminal ? "" : "\n");
    fflush(stderr);
}

static int64_t total_of(const json_t *report, const char *currency, const char *flow,
                        const char *member)
{
    const json_t *money = json_object_get(json_object_get(report, "money"), currency);
    return json_integer_value(json_object_get(json_object_get(money, flow), member));
}

static void print_report(const json_t *report)
{
    static const char *const flows[] = {"purchases", "refunds", "memberships", "tips"};
    const char *currency;
    const char *event;
    json_t *value;
    printf("%-24s %12s\n", "acknowledged", "events");
    json_object_foreach(json_object_get(report, "events"), event,
                        value) if (json_integer_value(value))
        printf("%-24s %12" JSON_INTEGER_FORMAT "\n", event, json_integer_value(value));
    printf("%-24s %12" JSON_INTEGER_FORMAT "\n\n", "total",
           json_integer_value(json_object_get(report, "acked")));
    printf("%-24s %8s %16s %16s\n", "money", "events", "amount", "platform fee");
    json_object_foreach(json_object_get(report, "money"), currency,
                        value) for (size_t i = 0; i < sizeof flows / sizeof *flows; i++)
    {
        int64_t count = total_of(report, currency, flows[i], "count");
        if (count)
            printf("%s %-20s %8" PRId64 " %16" PRId64 " %16" PRId64 "\n", currency, flows[i], count,
                   total_of(report, currency, flows[i], "amount"),
                   total_of(report, currency, flows[i], "fee"));
    }
    printf("(in minor units; seed %" JSON_INTEGER_FORMAT ")\n",
           json_integer_value(json_object_get(report, "seed")));
}

static int run_to_end(struct simulation *simulation, struct error *error)
{
    int terminal = isatty(STDERR_FILENO);
    int64_t every_us = (terminal ? LIVE_TERMINAL_MS : LIVE_PLAIN_MS) * INT64_C(1000);
    int64_t next_us = monotonic_now_us() + every_us;
    int done = 0;
    while (done == 0) {
        if (interrupted)
            simulation_stop(simulation);
        done = simulation_step(simulation, STEP_MS, error);
        if (monotonic_now_us() >= next_us) {
            print_live(simulation, terminal);
            next_us += every_us;
        }
    }
    print_live(simulation, terminal);
    if (terminal)
        fputc('\n', stderr);
    return done > 0 ? 0 : -1;
}

static int check_outcome(const struct simulation *simulation, struct error *error)
{
    struct simulation_progress p;
    simulation_progress(simulation, &p);
    if (p.failed + p.refused + p.doubled == 0)
        return EXIT_OK;
    error_set(error, ERROR_FATAL, "not-as-meant",
              "%" PRIu64 " given up (%" PRIu64 " of unknown outcome), %" PRIu64
              " refused or wrongly taken, %" PRIu64 " doubled; the first: %s",
              p.failed, p.unknown, p.refused, p.doubled, simulation_complaint(simulation));
    return EXIT_FAILED;
}

static int run(const struct config *config, struct error *error)
{
    static char target[512];
    struct simulation *simulation;
    enum output_format format;
    if (config_argument_count(config) > 0) {
        error_set(error, ERROR_USAGE, "bad-argument", "takes no argument; see --help");
        return EXIT_USAGE;
    }
    gateway_base(config, target, sizeof target);
    int64_t seed = config_int(config, OPT_SEED);
    int bounded = config_is_set(config, OPT_EVENTS);
    struct simulation_options options = {
        .config = config,
        .target = target,
        /* the same seed means the same idempotency keys: a second run must be a new platform, not a
           copy */
        .seed =
            (uint64_t)(config_is_set(config, OPT_SEED) && seed ? seed : timestamp_now_us() / 1000),
        .spaces = config_int(config, OPT_SPACES),
        .rate = config_int(config, OPT_RATE),
        .duration_ms =
            bounded && !config_is_set(config, OPT_DURATION) ? 0 : config_int(config, OPT_DURATION),
        .events_max = bounded ? config_int(config, OPT_EVENTS) : 0};
    if (output_format(config, &format, error) != 0)
        return EXIT_USAGE;
    if (simulation_open(&options, &simulation, error) != 0)
        return EXIT_FAILED;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    int code = EXIT_FAILED;
    if (run_to_end(simulation, error) == 0) {
        json_t *report = simulation_report(simulation);
        if (format == OUTPUT_TEXT) {
            print_report(report);
            json_decref(report);
        } else {
            print_json(report);
        }
        code = check_outcome(simulation, error);
    }
    simulation_free(simulation);
    return code;
}

static const enum option_id options[] = {OPT_TARGET,
                                         OPT_GATEWAY_LISTEN,
                                         OPT_DURATION,
                                         OPT_EVENTS,
                                         OPT_RATE,
                                         OPT_SPACES,
                                         OPT_SEED,
                                         OPT_KAFKA_BROKERS,
                                         OPT_KAFKA,
                                         OPT_PARTITIONS,
                                         OPT_LINGER,
                                         OPT_SCHEMA_REGISTRY_URL,
                                         OPT_SCHEMA_REGISTRY_AUTH,
                                         OPT_SCHEMA_REGISTRY_CA};

const struct command command_simulate = {
    .name = "simulate",
    .arguments = "",
    .summary = "send a creator platform's traffic through the gateway",
    .help =
        "Plays a platform: Spaces of which a few are very popular (Zipf), with products, members, "
        "livestreams and posts;\n"
        "purchases, refunds, memberships, tips and credits that refer to one another as they "
        "should. On purpose, some\n"
        "events occurred days ago, some contradict the facts (refunds larger than the purchase, "
        "spends without funds),\n"
        "some are sent twice under the same Idempotency-Key, and some are invalid and must be "
        "refused.\n"
        "\n"
        "Events are due at --rate a second whether or not earlier ones were answered. 429, 503, "
        "504 and lost connections\n"
        "are tried again under the same key until there is an answer. A line of counters goes to\n"
        "stderr. At the end the totals of the acknowledged events go to stdout, to be compared "
        "with\n"
        "the ledger. The command gives up a target that answers nothing for 10 s. SIGINT and "
        "SIGTERM\n"
        "end the traffic; the command waits for events under way as long as the target accepts "
        "some.\n"
        "\n"
        "The same --seed makes the same events under the same keys (on the same day), so sending "
        "them twice has one\n"
        "effect. Without --seed each run is a new platform. The run ends after --events or "
        "--duration.\n"
        "\n"
        "Examples:\n"
        "  weir simulate\n"
        "  weir simulate --duration 5m --rate 2000 --spaces 5000\n"
        "  weir simulate --seed 7 --events 10000 -o json >totals.json\n"
        "  weir simulate --target kafka --rate 20000     (encodes by itself; needs no gateway)\n"
        "\n"
        "Exit codes: 0 every event had its due answer; 1 an event was given up, refused or "
        "doubled; 2 wrong usage.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .run = run,
};
