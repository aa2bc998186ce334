/* SPDX-License-Identifier: Apache-2.0
 *
 * weir processor: what there is, whether one is a proper fold, and how a stopped one goes on. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/failed.h"
#include "cli/processor_skip.h"
#include "cli/stopped.h"
#include "cli/support.h"
#include "lib/base/buf.h"
#include "lib/pg/statement.h"
#include "processors/fold/verify.h"
#include "processors/processor_test/fold.h"

struct context {
    const struct config *config;
    enum output_format format;
    struct assets *assets;
    struct catalog *catalog;
    PGconn *conn;
    int shown; /* rows of a finding */
};

/* The folds that must all give the same tables; the first one is what the others are compared with,
 * and alone gets the columns that the SQL does not read. */
static const struct {
    size_t batch; /* 0: everything at once */
    enum corpus_order order;
} folds[] = {{1, ORDER_BY_TOPIC},    {7, ORDER_BY_TOPIC},
             {0, ORDER_BY_TOPIC},    {0, ORDER_BY_TOPIC_BACKWARDS},
             {7, ORDER_ROUND_ROBIN}, {0, ORDER_RANDOM},
             {7, ORDER_RANDOM},      {1, ORDER_BY_TOPIC_BACKWARDS}};
enum { FOLD_COUNT = sizeof folds / sizeof *folds };

/* Only the first findings are shown with rows: the same rows differ in fold after fold. */
static void print_findings(struct context *context, const json_t *findings)
{
    size_t i;
    json_t *finding;
    json_array_foreach(findings, i, finding)
    {
        const char *table = json_string_value(json_object_get(finding, "table"));
        const char *check = json_string_value(json_object_get(finding, "check"));
        size_t j;
        json_t *row;
        printf("    %s %s: %" JSON_INTEGER_FORMAT " rows\n", table ? "table" : "check",
               table ? table : check, json_integer_value(json_object_get(finding, "rows")));
        json_array_foreach(context->shown ? NULL : json_object_get(finding, "sample"), j, row)
        {
            const char *side = json_string_value(json_object_get(row, "side"));
            char *text = json_dumps(table ? json_object_get(row, "row") : row, JSON_COMPACT);
            printf("      %-11s%s\n",
                   !table                  ? ""
                   : !strcmp(side, "this") ? "this fold"
                                           : "first fold",
                   text);
            free(text);
        }
    }
    context->shown |= json_array_size(findings) > 0;
}

/* One fold: made, compared with the first, dropped unless it is the first. */
static int run_fold(struct context *context, const struct processor *processor,
                    const struct corpus *corpus, size_t index, json_t *report, struct error *error)
{
    char schema[64];
    char first[64];
    char batch[24] = "everything at once";
    int checks = 0;
    int tables = 0;
    json_t *findings = json_array();
    struct fold_options options = {.batch = folds[index].batch ? folds[index].batch : corpus->count,
                                   .bare = folds[index].batch == 0,
                                   .order = folds[index].order,
                                   .all_columns = index == 0,
                                   .seed = (uint64_t)config_int(context->config, OPT_SEED) + index};
    snprintf(schema, sizeof schema, "weir_test_%d_%zu", (int)getpid(), index);
    snprintf(first, sizeof first, "weir_test_%d_0", (int)getpid());
    int code =
        fold_corpus(context->config, context->conn, processor, corpus, schema, &options, error);
    if (code == 0)
        code = index == 0
                   ? verify_checks(context->conn, processor, schema, findings, &checks, error)
                   : verify_equal(context->conn, &(struct verify_side){"first", first},
                                  &(struct verify_side){"this", schema}, NULL, findings, &tables,
                                  error);
    if (index > 0)
        fold_drop(context->conn, schema, NULL);
    if (folds[index].batch)
        snprintf(batch, sizeof batch, "batches of %zu", folds[index].batch);
    if (code == 0 && context->format == OUTPUT_TEXT) {
        printf("%-10s %-20s %-18s %s\n", processor->name, batch, corpus_order_name(options.order),
               json_array_size(findings) == 0 ? (index == 0 ? "checks hold" : "equal")
                                              : (index == 0 ? "CHECKS FAIL" : "DIFFERENT"));
        print_findings(context, findings);
    }
    int found = json_array_size(findings) > 0;
    json_array_append_new(report, json_pack("{s:s, s:s, s:b, s:o}", "batch", batch, "order",
                                            corpus_order_name(options.order), "equal", !found,
                                            "findings", findings));
    return code == 0 ? found : -1;
}

/* Returns how many folds differ, or -1. */
static int test_processor(struct context *context, const char *name, json_t *report,
                          struct error *error)
{
    struct processor *processor = NULL;
    struct corpus *corpus = NULL;
    struct corpus_options options = {.seed = (uint64_t)config_int(context->config, OPT_SEED),
                                     .events = (size_t)config_int(context->config, OPT_EVENTS),
                                     .spaces = (int)config_int(context->config, OPT_SPACES),
                                     .partitions =
                                         (int32_t)config_int(context->config, OPT_PARTITIONS)};
    char first[64];
    int different = 0;
    snprintf(first, sizeof first, "weir_test_%d_0", (int)getpid());
    int code = processor_load(context->assets, context->catalog, name, &processor, error);
    if (code == 0)
        code = corpus_make(processor, &options, &corpus, error);
    for (size_t i = 0; code == 0 && i < FOLD_COUNT; i++) {
        int found = run_fold(context, processor, corpus, i, report, error);
        code = found < 0 ? -1 : 0;
        different += found > 0;
    }
    if (context->conn)
        fold_drop(context->conn, first, NULL);
    if (code == 0 && context->format == OUTPUT_TEXT)
        printf("%-10s %s: %zu events, %zu folds%s\n", name, different ? "FAILED" : "passed",
               corpus->count, (size_t)FOLD_COUNT,
               different ? ". A fold must not depend on now(), random(), where a batch ends or how "
                           "topics interleave"
                         : "");
    corpus_free(corpus);
    processor_free(processor);
    return code == 0 ? different : -1;
}

static int test_one(const char *name, void *argument)
{
    (void)argument;
    return fprintf(stderr, "  %s\n", name) < 0;
}

static int run_test(struct context *context, struct error *error)
{
    size_t count = config_argument_count(context->config);
    int failed = 0;
    json_t *reports = json_object();
    if (count < 2) {
        fputs("weir processor test: name a processor:\n", stderr);
        processor_each(context->assets, test_one, NULL);
        json_decref(reports);
        return EXIT_USAGE;
    }
    for (size_t i = 1; i < count && failed >= 0; i++) {
        json_t *report = json_array();
        int different = test_processor(context, config_argument(context->config, i), report, error);
        failed = different < 0 ? -1 : failed + different;
        json_object_set_new(reports, config_argument(context->config, i), report);
    }
    if (failed >= 0 && context->format != OUTPUT_TEXT)
        print_json(reports);
    else
        json_decref(reports);
    return failed < 0 ? EXIT_FAILED : failed ? EXIT_CHECK : EXIT_OK;
}

static void print_listed(const struct context *context, const PGresult *rows, int row,
                         const PGresult *depths, const PGresult *stopped)
{
    const char *name = PQgetvalue(rows, row, 0);
    int generation = (int)pg_int(rows, row, 1);
    int64_t letters = failed_depth(depths, name, generation, DEPTH_LETTERS);
    int64_t parked = failed_depth(depths, name, generation, DEPTH_PARKED);
    const char *halted = PQgetvalue(rows, row, 4);
    if (context->format == OUTPUT_TEXT) {
        printf("%-16s generation %d  version %s  dead letters %" PRId64 "  parked %" PRId64
               "  %s%s%s%s\n",
               name, generation, PQgetvalue(rows, row, 2), letters, parked,
               *halted ? "HALTED: " : "", PQgetvalue(rows, row, 3), *halted ? ": " : "", halted);
        stopped_print(stopped, name, generation);
        return;
    }
    print_json(json_pack("{s:s, s:i, s:I, s:I, s:I, s:o, s:s*, s:s*, s:s*}", "processor", name,
                         "generation", generation, "version", (json_int_t)pg_int(rows, row, 2),
                         "dead_letters", (json_int_t)letters, "parked", (json_int_t)parked,
                         "stopped", stopped_json(stopped, name, generation), "halted",
                         *halted ? halted : NULL, "halt_code",
                         *halted ? PQgetvalue(rows, row, 3) : NULL, "halted_at",
                         *halted ? PQgetvalue(rows, row, 5) : NULL));
}

static int run_list(struct context *context, struct error *error)
{
    PGresult *rows = NULL;
    PGresult *depths = NULL;
    PGresult *stopped = NULL;
    int code = pg_query(context->conn, statement("processors"), 0, NULL, &rows, error);
    if (code == 0)
        code = failed_depths(context->conn, &depths, error);
    if (code == 0)
        code = stopped_load(context->conn, &stopped, error);
    for (int i = 0; code == 0 && i < PQntuples(rows); i++)
        print_listed(context, rows, i, depths, stopped);
    PQclear(rows);
    PQclear(depths);
    PQclear(stopped);
    return code == 0 ? EXIT_OK : EXIT_FAILED;
}

/* The quoted name of the processor that is named behind the action, and its generation. */
static int find_named(struct context *context, const char *action, PGresult **ret_named,
                      struct error *error)
{
    const char *values[] = {config_argument(context->config, 1)};
    if (!values[0])
        return error_set(error, ERROR_USAGE, "bad-argument", "name the processor to %s", action);
    if (pg_query(
            context->conn,
            "SELECT quote_ident(processor), generation FROM weir.processor WHERE processor = $1", 1,
            values, ret_named, error) != 0)
        return -1;
    if (PQntuples(*ret_named) > 0)
        return 0;
    PQclear(*ret_named);
    return error_set(error, ERROR_USAGE, "unknown-processor",
                     "this database has no processor \"%s\"", values[0]);
}

static int run_resume(struct context *context, struct error *error)
{
    const char *values[] = {config_argument(context->config, 1)};
    PGresult *result = NULL;
    if (find_named(context, "resume", &result, error) != 0)
        return EXIT_FAILED;
    PQclear(result);
    result = NULL;
    if (pg_query(context->conn, "DELETE FROM weir.halt WHERE processor = $1 RETURNING message", 1,
                 values, &result, error) != 0)
        return EXIT_FAILED;
    printf(PQntuples(result) ? "%s goes on; it had halted: %s\n" : "%s was not halted%s\n",
           values[0], PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return EXIT_OK;
}

static int run_skip(struct context *context, struct error *error)
{
    return processor_skip(context->config, context->conn, context->format, error);
}

/* Forgets a processor with all its generations: what it wrote is in the topics. Raising the epochs
 * first fences an owner that still runs. */
static int reset(PGconn *conn, const char *name, const char *generation, struct error *error)
{
    const char *values[] = {name};
    static const char *const tables[] = {"position", "halt", "generation", "processor"};
    PGresult *result = NULL;
    int code = pg_run(conn, "BEGIN", error);
    if (code == 0)
        code = pg_query(conn, "UPDATE weir.position SET epoch = epoch + 1 WHERE processor = $1", 1,
                        values, NULL, error);
    if (code == 0)
        code =
            pg_runf(conn, error, "DROP SCHEMA IF EXISTS %s, %s_%s CASCADE", name, name, generation);
    if (code == 0)
        code = pg_query(conn,
                        "SELECT string_agg(processor || '_' || generation, ', ') "
                        "FROM weir.generation WHERE processor = $1",
                        1, values, &result, error);
    if (code == 0 && !PQgetisnull(result, 0, 0))
        code = pg_runf(conn, error, "DROP SCHEMA IF EXISTS %s CASCADE", PQgetvalue(result, 0, 0));
    PQclear(result);
    for (size_t i = 0; code == 0 && i < sizeof tables / sizeof *tables; i++) {
        char *sql = xasprintf("DELETE FROM weir.%s WHERE processor = $1", tables[i]);
        code = pg_query(conn, sql, 1, values, NULL, error);
        free(sql);
    }
    return pg_commit(conn, code, error);
}

/* Weir puts views into the schema of a processor's name, and nothing else. */
static int check_schema(PGconn *conn, const char *name, struct error *error)
{
    const char *values[] = {name};
    PGresult *result = NULL;
    if (pg_query(conn,
                 "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace($1) "
                 "AND relkind IN ('r', 'p', 'f') ORDER BY 1 LIMIT 1",
                 1, values, &result, error) != 0)
        return -1;
    int code = PQntuples(result) == 0
                   ? 0
                   : error_set(error, ERROR_USAGE, "schema-foreign",
                               "the schema %s holds the table %s, which Weir did not make; move it "
                               "elsewhere first (ALTER TABLE ... SET SCHEMA)",
                               name, PQgetvalue(result, 0, 0));
    PQclear(result);
    return code;
}

static int run_reset(struct context *context, struct error *error)
{
    const char *values[] = {config_argument(context->config, 1)};
    PGresult *result = NULL;
    if (find_named(context, "reset", &result, error) != 0)
        return EXIT_FAILED;
    int code = -1;
    if (!config_int(context->config, OPT_YES))
        error_set(error, ERROR_USAGE, "not-confirmed",
                  "this drops the schemas %s and %s_%s with everything that depends on them; `weir "
                  "migrate` makes them anew, and "
                  "the processor then reads its topics from the beginning. Say --yes to do it",
                  values[0], values[0], PQgetvalue(result, 0, 1));
    else if (check_schema(context->conn, PQgetvalue(result, 0, 0), error) == 0)
        code = reset(context->conn, PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1), error);
    if (code == 0)
        printf("%s is forgotten; `weir migrate` makes it anew\n", values[0]);
    PQclear(result);
    return code == 0 ? EXIT_OK : EXIT_FAILED;
}

static int run_action(struct context *context, struct error *error)
{
    static const struct {
        const char *name;
        int (*run)(struct context *context, struct error *error);
    } actions[] = {{"list", run_list},
                   {"test", run_test},
                   {"resume", run_resume},
                   {"skip", run_skip},
                   {"reset", run_reset}};
    const char *name = config_argument(context->config, 0);
    for (size_t i = 0; name && i < sizeof actions / sizeof *actions; i++)
        if (strcmp(name, actions[i].name) == 0)
            return actions[i].run(context, error);
    error_set(error, ERROR_USAGE, "bad-argument",
              "say what to do: list, test, resume, skip or reset; see --help");
    return EXIT_USAGE;
}

static int run(const struct config *config, struct error *error)
{
    struct context context = {.config = config};
    int result = EXIT_FAILED;
    if (output_format(config, &context.format, error) == 0 &&
        assets_open(config_text(config, OPT_HOME), &context.assets, error) == 0 &&
        catalog_open(context.assets, &context.catalog, error) == 0 &&
        pg_connect(config_text(config, OPT_DATABASE), "weir processor", &context.conn, error) == 0)
        result = run_action(&context, error);
    PQfinish(context.conn);
    catalog_free(context.catalog);
    assets_free(context.assets);
    return result;
}

static const enum option_id options[] = {OPT_DATABASE,   OPT_EVENTS,        OPT_SPACES, OPT_SEED,
                                         OPT_PARTITIONS, OPT_YES,           OPT_BY,     OPT_REASON,
                                         OPT_WAIT,       OPT_KAFKA_BROKERS, OPT_KAFKA};

const struct command command_processor = {
    .name = "processor",
    .arguments = "list|test NAME...|resume NAME|skip NAME PLACE|reset NAME",
    .summary = "list processors, test that one is a fold, resume a halted one, skip a record",
    .help = "list    each processor with its generation, its version, how many dead letters are "
            "open and how many events parked,\n"
            "        and where it halted or a partition waits, why and since when\n"
            "test    folds one made-up corpus (--events, --spaces, --seed) at batch sizes 1, 7 and "
            "all at once and with\n"
            "        several interleavings of the topics, and compares the tables row for row; "
            "runs checks.sql. It finds\n"
            "        SQL that uses now() or random(), or that depends on where a batch ends. It "
            "needs a migrated database,\n"
            "        works in schemas of its own and drops them\n"
            "resume  lets a halted processor go on, once the cause is gone\n"
            "skip    makes a dead letter of a record that a partition waits at, that the processor "
            "halts at, or that is still to\n"
            "        come; PLACE is topic/partition/offset; needs --reason. It is recorded with "
            "who and why, the processor that\n"
            "        owns the partition carries it out, and a halt at that record ends\n"
            "reset   forgets a processor and drops its tables; after `weir migrate` it reads its "
            "topics from the\n"
            "        beginning. For a processor under development; it needs --yes\n"
            "\n"
            "  weir processor test ledger\n"
            "  weir processor skip ledger commerce/3/17 --reason 'a schema that is lost, INC-112'\n"
            "  weir processor test mine --home ./mine --events 5000\n"
            "\n"
            "Exit code 3: the folds differ, or a check found rows.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .run = run,
};
