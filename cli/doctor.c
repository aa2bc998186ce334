/* SPDX-License-Identifier: Apache-2.0
 *
 * `weir doctor`: looks at everything that Weir stands on and says what is wrong and what to do. It
 * only reads. With
 * --probe it is a health check for containers, which have no other HTTP client. */
#include "cli/doctor.h"

#include <librdkafka/rdkafka.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>

#include "cli/command.h"
#include "cli/support.h"
#include "lib/avro/catalog.h"
#include "lib/base/timestamp.h"
#include "lib/http/client.h"

enum { PROBE_TIMEOUT_MS = 2500, DESCRIPTORS_WANTED = 1024 };

/* 2024-01-01: no machine that runs this program can be before it. */
static const int64_t CLOCK_LOWEST_US = INT64_C(1704067200000000);

static const char *const state_names[] = {"ok", "warn", "fail"};

void report_add(struct report *report, enum finding_state state, const char *subject,
                const char *advice, const char *format, ...)
{
    if (report->count == FINDINGS_MAX)
        return;
    struct finding *finding = &report->items[report->count++];
    finding->state = state;
    snprintf(finding->subject, sizeof finding->subject, "%s", subject);
    snprintf(finding->advice, sizeof finding->advice, "%s", advice ? advice : "");
    va_list args;
    va_start(args, format);
    vsnprintf(finding->message, sizeof finding->message, format, args);
    va_end(args);
    /* one line each: answers of health checks have several */
    for (char *c = finding->message; *c; c++)
        if (*c == '\n')
            *c = c[1] ? ';' : '\0';
}

static void examine_catalog(const struct config *config, struct report *report)
{
    struct error error = {0};
    struct assets *assets = NULL;
    struct catalog *catalog = NULL;
    const char *home = config_text(config, OPT_HOME);
    if (assets_open(home, &assets, &error) != 0 || catalog_open(assets, &catalog, &error) != 0)
        report_add(report, FINDING_FAIL, "catalog", "correct the file, or --home", "%s",
                   error.message);
    else
        report_add(report, FINDING_OK, "catalog", NULL, "%zu events on %zu topics, from %s",
                   catalog_event_count(catalog), catalog_topic_count(catalog),
                   *home ? home : "the program itself");
    catalog_free(catalog);
    assets_free(assets);
}

void doctor_program(const struct config *config, struct report *report)
{
    report_add(report, FINDING_OK, "program", NULL, "weir %s, librdkafka %s", WEIR_VERSION,
               rd_kafka_version_str());
    examine_catalog(config, report);
    char now[TIMESTAMP_TEXT_SIZE + 1];
    timestamp_format(timestamp_now_us(), now);
    if (timestamp_now_us() < CLOCK_LOWEST_US)
        report_add(report, FINDING_FAIL, "clock", "set the clock; run an NTP client",
                   "it is %s here", now);
    else
        report_add(report, FINDING_OK, "clock", NULL, "it is %s here", now);
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < DESCRIPTORS_WANTED)
        report_add(
            report, FINDING_WARN, "limits", "raise it: ulimit -n, or LimitNOFILE= of the unit",
            "only %llu files and connections may be open", (unsigned long long)limit.rlim_cur);
}

/* A role's own /readyz. One that is not there may not be meant to run here. */
static void ask_role(struct report *report, const char *subject, const char *base,
                     const char *start)
{
    struct error error = {0};
    struct buf body = {0};
    char url[512];
    int status;
    snprintf(url, sizeof url, "%s/readyz", base);
    if (http_get(url, PROBE_TIMEOUT_MS, &status, &body, &error) != 0)
        report_add(report, FINDING_WARN, subject, start, "does not answer: %s", error.message);
    else if (status != 200)
        report_add(report, FINDING_FAIL, subject, "its log says more", "%s answers %d: %.300s", url,
                   status, body.size ? body.data : "");
    else
        report_add(report, FINDING_OK, subject, NULL, "ready at %s", base);
    buf_free(&body);
}

void doctor_roles(const struct config *config, struct report *report)
{
    char base[256];
    listen_base(config_text(config, OPT_ADMIN_LISTEN), base, sizeof base);
    ask_role(report, "gateway", base, "`weir gateway` starts it; --admin-listen says where it is");
    listen_base(config_text(config, OPT_PROCESSOR_LISTEN), base, sizeof base);
    ask_role(report, "processors", base,
             "`weir process NAME...` starts them; --processor-listen says where they are");
}

static void print_text(const struct report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct finding *finding = &report->items[i];
        printf("%-5s %-24s %s\n", state_names[finding->state], finding->subject, finding->message);
        if (*finding->advice)
            printf("%-5s %-24s -> %s\n", "", "", finding->advice);
    }
}

static json_t *finding_json(const struct finding *finding)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "state", state_names[finding->state], "subject",
                     finding->subject, "message", finding->message, "advice", finding->advice);
}

static int print_report(const struct report *report, enum output_format format)
{
    size_t counts[3] = {0};
    json_t *array = json_array();
    for (size_t i = 0; i < report->count; i++) {
        counts[report->items[i].state]++;
        if (format == OUTPUT_JSONL)
            print_json(finding_json(&report->items[i]));
        else if (format == OUTPUT_JSON)
            json_array_append_new(array, finding_json(&report->items[i]));
    }
    if (format == OUTPUT_JSON)
        print_json(json_pack("{s:b, s:i, s:i, s:o}", "ok", counts[FINDING_FAIL] == 0, "warnings",
                             (int)counts[FINDING_WARN], "failures", (int)counts[FINDING_FAIL],
                             "findings", json_incref(array)));
    json_decref(array);
    if (format == OUTPUT_TEXT) {
        print_text(report);
        printf("%s: %zu ok, %zu warnings, %zu failures\n",
               counts[FINDING_FAIL] ? "NOT WELL" : "well", counts[FINDING_OK], counts[FINDING_WARN],
               counts[FINDING_FAIL]);
    }
    return counts[FINDING_FAIL] ? EXIT_CHECK : EXIT_OK;
}

static int probe(const char *url, struct error *error)
{
    struct buf body = {0};
    int status = 0;
    int result = http_get(url, PROBE_TIMEOUT_MS, &status, &body, error);
    if (result == 0 && status != 200)
        result = error_set(error, ERROR_RETRY, "not-ready", "%s answers %d: %.500s", url, status,
                           body.size ? body.data : "");
    buf_free(&body);
    return result == 0 ? EXIT_OK : EXIT_FAILED;
}

static int run(const struct config *config, struct error *error)
{
    static struct report report;
    enum output_format format;
    if (config_argument_count(config) > 0) {
        error_set(error, ERROR_USAGE, "bad-argument", "takes no argument; see --help");
        return EXIT_USAGE;
    }
    if (*config_text(config, OPT_PROBE))
        return probe(config_text(config, OPT_PROBE), error);
    if (output_format(config, &format, error) != 0)
        return EXIT_USAGE;
    doctor_program(config, &report);
    doctor_kafka(config, &report);
    doctor_registry(config, &report);
    doctor_database(config, &report);
    doctor_roles(config, &report);
    return print_report(&report, format);
}

static const enum option_id options[] = {OPT_KAFKA_BROKERS,
                                         OPT_KAFKA,
                                         OPT_PARTITIONS,
                                         OPT_DATABASE,
                                         OPT_ADMIN_LISTEN,
                                         OPT_PROCESSOR_LISTEN,
                                         OPT_PROBE,
                                         OPT_SCHEMA_REGISTRY_URL,
                                         OPT_SCHEMA_REGISTRY_AUTH,
                                         OPT_SCHEMA_REGISTRY_CA};

const struct command command_doctor = {
    .name = "doctor",
    .arguments = "",
    .summary = "what is wrong with this environment, and what to do",
    .help =
        "Checks the environment and changes nothing: the program and its catalog, the clock, the\n"
        "brokers, the topics and their pinned settings, the schema registry if there is one,\n"
        "Postgres, its version, migrations and roles, the source of schema ids, halted "
        "processors,\n"
        "and whether gateway and processors answer. Each finding is ok, warn or fail, and says "
        "what\n"
        "to do.\n"
        "\n"
        "With --probe URL it asks that URL alone and exits 0 if it answers 200: a health check for "
        "a container.\n"
        "\n"
        "Examples:\n"
        "  weir doctor\n"
        "  weir doctor -o json | jq '.findings[] | select(.state != \"ok\")'\n"
        "  weir doctor --probe http://127.0.0.1:18082/readyz\n"
        "\n"
        "Exit codes: 0 nothing failed (there may be warnings); 1 the probed URL does not answer "
        "200; 2 wrong usage;\n"
        "3 something failed.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .run = run,
};
