/* SPDX-License-Identifier: Apache-2.0
 *
 * weir rebuild: builds a processor's tables anew from its topics, beside the live ones, and swaps.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/bar.h"
#include "cli/command.h"
#include "cli/support.h"
#include "lib/avro/catalog.h"
#include "lib/base/buf.h"
#include "lib/base/uuid.h"
#include "lib/pg/statement.h"
#include "processors/rebuild/generation.h"
#include "processors/rebuild/rebuild.h"

enum { NAMES_MAX = 64 };

static atomic_int stop;

struct context {
    const struct config *config;
    enum output_format format;
    struct assets *assets;
    struct catalog *catalog;
    int bar; /* stderr is a terminal */
    char *names[NAMES_MAX];
    size_t name_count;
};

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static void on_progress(const struct rebuild_progress *p, void *opaque)
{
    const struct context *context = opaque;
    if (context->bar) {
        bar_draw(&(struct bar){p->processor, p->phase, p->done, p->total, p->rate, p->eta_s});
    } else if (context->format == OUTPUT_JSONL) {
        json_t *line =
            json_pack("{s:s, s:i, s:s, s:I, s:I, s:I}", "processor", p->processor, "generation",
                      p->generation, "phase", p->phase, "done", (json_int_t)p->done, "total",
                      (json_int_t)p->total, "rate", (json_int_t)p->rate);
        json_object_set_new(line, "eta_s", p->eta_s < 0 ? json_null() : json_integer(p->eta_s));
        print_json(line);
        fflush(stdout);
    }
}

static void print_findings(const json_t *findings)
{
    size_t i;
    json_t *finding;
    json_array_foreach(findings, i, finding)
    {
        const char *table = json_string_value(json_object_get(finding, "table"));
        const char *check = json_string_value(json_object_get(finding, "check"));
        printf("  %s %s: %" JSON_INTEGER_FORMAT " rows\n", table ? "table" : "check",
               table ? table : check, json_integer_value(json_object_get(finding, "rows")));
        size_t j;
        json_t *item;
        json_array_foreach(json_object_get(finding, "spaces"), j, item)
            printf("    space %s\n", json_string_value(item));
        json_array_foreach(json_object_get(finding, "sample"), j, item)
        {
            const char *side = json_string_value(json_object_get(item, "side"));
            char *text = json_dumps(side ? json_object_get(item, "row") : item, JSON_COMPACT);
            printf("    %-8s %s\n", side ? side : "", text);
            free(text);
        }
    }
}

static void print_report(const json_t *report)
{
    const char *name = json_string_value(json_object_get(report, "processor"));
    const char *verified = json_string_value(json_object_get(report, "verified"));
    double seconds = json_real_value(json_object_get(report, "seconds"));
    json_int_t records = json_integer_value(json_object_get(report, "records"));
    int previous = (int)json_integer_value(json_object_get(report, "former"));
    int number = (int)json_integer_value(json_object_get(report, "generation"));
    int swapped = json_is_true(json_object_get(report, "swapped"));
    const json_t *findings = json_object_get(report, "findings");
    printf("%-10s generation %d: %" JSON_INTEGER_FORMAT " records in %.1f s%s\n", name, number,
           records, seconds,
           json_is_true(json_object_get(report, "resumed")) ? " (taken up where it was left)" : "");
    printf("%-10s checks %s%s%s\n", name,
           json_array_size(findings) ? "and rows: see below" : "hold",
           verified ? ", against the live generation: " : "", verified ? verified : "");
    print_findings(findings);
    size_t i;
    json_t *dropped;
    json_array_foreach(json_object_get(report, "dropped"), i, dropped) printf(
        "%-10s dropped %s, which stood on a view that broke\n", name, json_string_value(dropped));
    if (swapped)
        printf("%-10s generation %d is live; generation %d is kept for --rollback until "
               "--drop-old\n",
               name, number, previous);
    else
        printf("%-10s generation %d is still the live one\n", name, previous);
}

static int run_rebuild(struct context *context, const struct processor *processor,
                       struct error *error)
{
    const struct config *config = context->config;
    const char *space = config_text(config, OPT_SPACE);
    struct rebuild_options options = {.config = config,
                                      .verify = config_int(config, OPT_VERIFY) || *space,
                                      .no_swap = (int)config_int(config, OPT_NO_SWAP),
                                      .break_views = (int)config_int(config, OPT_BREAK_VIEWS),
                                      .rollback = (int)config_int(config, OPT_ROLLBACK),
                                      .space = *space ? space : NULL,
                                      .workers = (int)config_int(config, OPT_WORKERS),
                                      .stop = &stop,
                                      .on_progress = on_progress,
                                      .opaque = context};
    enum rebuild_outcome outcome = REBUILD_DONE;
    json_t *report = NULL;
    int code = rebuild_run(processor, &options, &outcome, &report, error);
    if (context->bar)
        bar_clear();
    if (code == 0 && context->format == OUTPUT_TEXT)
        print_report(report);
    else if (code == 0)
        print_json(json_incref(report));
    json_decref(report);
    return code != 0 ? EXIT_FAILED : outcome == REBUILD_DIFFERS ? EXIT_CHECK : EXIT_OK;
}

static int run_drop(struct context *context, const struct processor *processor, struct error *error)
{
    PGconn *conn = NULL;
    int count = 0;
    int code = pg_connect(config_text(context->config, OPT_DATABASE), "weir rebuild", &conn, error);
    if (code == 0)
        code = generation_lock(conn, processor->name, error);
    if (code == 0)
        code = generation_drop_previous(conn, processor->name, &count, error);
    if (code == 0)
        printf("%-10s %d previous generation%s dropped\n", processor->name, count,
               count == 1 ? "" : "s");
    PQfinish(conn);
    return code == 0 ? EXIT_OK : EXIT_FAILED;
}

static int run_abandon(struct context *context, const struct processor *processor,
                       struct error *error)
{
    struct generation dropped = {0};
    int64_t records = 0;
    PGconn *conn = NULL;
    int code = pg_connect(config_text(context->config, OPT_DATABASE), "weir rebuild", &conn, error);
    if (code == 0)
        code = generation_lock(conn, processor->name, error);
    if (code == 0)
        code = generation_abandon(conn, processor->name, &dropped, &records, error);
    PQfinish(conn);
    if (code != 0 && config_int(context->config, OPT_REBUILD_ALL) &&
        strcmp(error->code, "no-rebuild") == 0) {
        *error = (struct error){0};
        return EXIT_OK;
    }
    if (code == 0 && context->format == OUTPUT_TEXT)
        printf("%-10s generation %d is dropped, with the %" PRId64 " records that it had folded\n",
               processor->name, dropped.number, records);
    else if (code == 0)
        print_json(json_pack("{s:s, s:i, s:i, s:I}", "processor", processor->name, "generation",
                             dropped.number, "version", dropped.version, "records",
                             (json_int_t)records));
    return code == 0 ? EXIT_OK : EXIT_FAILED;
}

static void print_status_row(const PGresult *result, int row)
{
    int64_t done = pg_int(result, row, 5);
    int64_t total = pg_int(result, row, 6);
    int64_t rate = pg_int(result, row, 7);
    printf("%-16s generation %s  version %s  %-9s", PQgetvalue(result, row, 0),
           PQgetvalue(result, row, 1), PQgetvalue(result, row, 2), PQgetvalue(result, row, 3));
    int at_work = *PQgetvalue(result, row, 9) == 't';
    if (*PQgetvalue(result, row, 4) && (at_work || PQgetisnull(result, row, 10)))
        printf("  %s: %" PRId64 " of %" PRId64 " records, %" PRId64 "/s%s",
               PQgetvalue(result, row, 4), done, total, rate, at_work ? "" : ", nobody is at work");
    if (!PQgetisnull(result, row, 10))
        printf("  %" PRId64 " records behind", pg_int(result, row, 10));
    putchar('\n');
}

static json_t *status_json(const PGresult *result, int row)
{
    int64_t done = pg_int(result, row, 5);
    int64_t total = pg_int(result, row, 6);
    int64_t rate = pg_int(result, row, 7);
    json_t *json = json_pack(
        "{s:s, s:I, s:I, s:s, s:s, s:I, s:I, s:I, s:s, s:b}", "processor",
        PQgetvalue(result, row, 0), "generation", (json_int_t)pg_int(result, row, 1), "version",
        (json_int_t)pg_int(result, row, 2), "state", PQgetvalue(result, row, 3), "phase",
        PQgetvalue(result, row, 4), "done", (json_int_t)done, "total", (json_int_t)total, "rate",
        (json_int_t)rate, "updated_at", PQgetvalue(result, row, 8), "at_work",
        *PQgetvalue(result, row, 9) == 't');
    json_object_set_new(json, "eta_s",
                        rate > 0 && total >= done ? json_integer((total - done) / rate)
                                                  : json_null());
    if (!PQgetisnull(result, row, 10))
        json_object_set_new(json, "behind", json_integer(pg_int(result, row, 10)));
    return json;
}

static int run_status(struct context *context, struct error *error)
{
    PGconn *conn = NULL;
    PGresult *result = NULL;
    const char *values[] = {config_argument(context->config, 0), FOLLOWER_SESSION};
    int code = pg_connect(config_text(context->config, OPT_DATABASE), "weir rebuild", &conn, error);
    if (code == 0)
        code = pg_query(conn, statement("generations"), 2, values, &result, error);
    json_t *rows = json_array();
    for (int i = 0; code == 0 && i < PQntuples(result); i++) {
        if (context->format == OUTPUT_TEXT)
            print_status_row(result, i);
        else
            json_array_append_new(rows, status_json(result, i));
    }
    if (code == 0 && context->format != OUTPUT_TEXT)
        print_json(json_pack("{s:O}", "generations", rows));
    json_decref(rows);
    PQclear(result);
    PQfinish(conn);
    return code == 0 ? EXIT_OK : EXIT_FAILED;
}

static int add_name(const char *name, void *argument)
{
    struct context *context = argument;
    if (context->name_count == NAMES_MAX)
        return 1;
    context->names[context->name_count++] = xstrdup(name);
    return 0;
}

static int run_each(struct context *context, struct error *error)
{
    const struct config *config = context->config;
    int worst = EXIT_OK;
    for (size_t i = 0; i < context->name_count && worst != EXIT_FAILED; i++) {
        struct processor *processor = NULL;
        int code = EXIT_FAILED;
        if (processor_load(context->assets, context->catalog, context->names[i], &processor,
                           error) == 0)
            code = config_int(config, OPT_DROP_OLD)  ? run_drop(context, processor, error)
                   : config_int(config, OPT_ABANDON) ? run_abandon(context, processor, error)
                                                     : run_rebuild(context, processor, error);
        processor_free(processor);
        worst = code == EXIT_FAILED || worst == EXIT_OK ? code : worst;
    }
    return worst;
}

static int check_usage(const struct config *config, struct error *error)
{
    struct uuid space;
    const char *text = config_text(config, OPT_SPACE);
    if (*text && uuid_parse(text, strlen(text), &space) != 0)
        return error_set(error, ERROR_USAGE, "bad-option", "space is \"%s\", but must be a UUID",
                         text);
    if (config_int(config, OPT_ROLLBACK) + config_int(config, OPT_DROP_OLD) +
            config_int(config, OPT_ABANDON) + config_int(config, OPT_REBUILD_STATUS) >
        1)
        return error_set(error, ERROR_USAGE, "bad-option",
                         "--rollback, --drop-old, --abandon and --status are different things");
    if (config_argument_count(config) == 0 && !config_int(config, OPT_REBUILD_ALL) &&
        !config_int(config, OPT_REBUILD_STATUS))
        return error_set(error, ERROR_USAGE, "bad-argument",
                         "name a processor, such as ledger, or say --all");
    return 0;
}

static int run(const struct config *config, struct error *error)
{
    struct context context = {.config = config};
    int result = EXIT_FAILED;
    if (check_usage(config, error) != 0 || output_format(config, &context.format, error) != 0)
        return EXIT_USAGE;
    if (config_int(config, OPT_REBUILD_STATUS))
        return run_status(&context, error);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    context.bar = context.format == OUTPUT_TEXT && isatty(STDERR_FILENO);
    if (assets_open(config_text(config, OPT_HOME), &context.assets, error) == 0 &&
        catalog_open(context.assets, &context.catalog, error) == 0) { /* ids: of weir.schema */
        if (config_int(config, OPT_REBUILD_ALL))
            processor_each(context.assets, add_name, &context);
        for (size_t i = 0;
             i < config_argument_count(config) && !config_int(config, OPT_REBUILD_ALL); i++)
            add_name(config_argument(config, i), &context);
        result = run_each(&context, error);
    }
    for (size_t i = 0; i < context.name_count; i++)
        free(context.names[i]);
    catalog_free(context.catalog);
    assets_free(context.assets);
    return result;
}

static const enum option_id options[] = {OPT_KAFKA_BROKERS,
                                         OPT_KAFKA,
                                         OPT_PARTITIONS,
                                         OPT_DATABASE,
                                         OPT_VERIFY,
                                         OPT_SPACE,
                                         OPT_NO_SWAP,
                                         OPT_ROLLBACK,
                                         OPT_DROP_OLD,
                                         OPT_ABANDON,
                                         OPT_REBUILD_STATUS,
                                         OPT_REBUILD_ALL,
                                         OPT_BREAK_VIEWS,
                                         OPT_WORKERS,
                                         OPT_SCHEMA_REGISTRY_URL,
                                         OPT_SCHEMA_REGISTRY_AUTH,
                                         OPT_SCHEMA_REGISTRY_CA};

const struct command command_rebuild = {
    .name = "rebuild",
    .arguments = "NAME...",
    .summary = "build a processor's tables anew from its topics, and swap",
    .help =
        "Builds the next generation of a processor beside the live one, from the first record\n"
        "on. It catches up, stops both generations at one offset vector, runs checks.sql, and\n"
        "points the published views at the new tables in one transaction. Readers and the live\n"
        "processor go on meanwhile. After a kill, run the same command again: it continues.\n"
        "\n"
        "  weir rebuild ledger                     rebuild, check, swap\n"
        "  weir rebuild ledger --verify            also compare every row with the live "
        "generation\n"
        "  weir rebuild ledger --verify --no-swap  only compare the tables with their topics\n"
        "  weir rebuild --status                   show the progress, from another shell\n"
        "  weir rebuild ledger --rollback          go back to the previous generation\n"
        "  weir rebuild ledger --drop-old          drop the previous generations\n"
        "  weir rebuild ledger --abandon           drop what a rebuild has built so far\n"
        "\n"
        "Exit code 3: a check found rows, or the generations differ; then nothing is swapped.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .run = run,
};
