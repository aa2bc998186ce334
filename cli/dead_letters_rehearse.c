/* SPDX-License-Identifier: Apache-2.0
 *
 * redrive --dry-run, patch --dry-run: which rows a redrive would change, or how it would fail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/dead_letters.h"
#include "cli/failed_event.h"
#include "lib/base/timestamp.h"
#include "lib/registry/ids.h"
#include "processors/processor_test/rehearse.h"

static const char *const fates[] = {[REHEARSED_APPLIED] = "applied",
                                    [REHEARSED_DUPLICATE] = "duplicate",
                                    [REHEARSED_NOT_CONSUMED] = "not-consumed",
                                    [REHEARSED_FAILED] = "failed"};

struct run {
    struct letters_context *context;
    struct assets *assets;
    struct catalog *catalog;
    struct processor *processor;
    struct rehearsal *rehearsal; /* of that processor */
    const PGresult *rows;
    const struct buf *value; /* instead of the records' own, or NULL */
    json_t *report;
    int counts[4]; /* by fate */
};

static json_t *tables_json(const struct rehearsed *rehearsed)
{
    json_t *array = json_array();
    for (size_t i = 0; i < rehearsed->table_count; i++) {
        const struct rehearsed_table *table = &rehearsed->tables[i];
        json_array_append_new(array, json_pack("{s:s, s:I, s:I, s:I}", "table", table->name,
                                               "inserted", (json_int_t)table->inserted, "updated",
                                               (json_int_t)table->updated, "deleted",
                                               (json_int_t)table->deleted));
    }
    return array;
}

static void print_change(const char *what, int64_t rows, int *count)
{
    if (rows)
        printf("%s%" JSON_INTEGER_FORMAT " %s", (*count)++ ? ", " : "", (json_int_t)rows, what);
}

static void print_text(struct run *run, int row, const struct rehearsed *rehearsed)
{
    static const char *const words[] = {
        [REHEARSED_APPLIED] = "would be applied",
        [REHEARSED_DUPLICATE] = "its event was applied before: nothing would change",
        [REHEARSED_NOT_CONSUMED] = "the processor does not consume it: nothing would "
                                   "change",
        [REHEARSED_FAILED] = "would fail"};
    char name[512];
    failed_name(run->rows, row, name, sizeof name);
    printf("%s: %s", name, words[rehearsed->fate]);
    if (rehearsed->fate == REHEARSED_FAILED) {
        printf(": %s: ", rehearsed->error.code);
        failed_print(rehearsed->error.message, strlen(rehearsed->error.message));
    }
    putchar('\n');
    for (size_t i = 0; i < rehearsed->table_count; i++) {
        const struct rehearsed_table *table = &rehearsed->tables[i];
        int count = 0;
        printf("  %-28s ", table->name);
        print_change("inserted", table->inserted, &count);
        print_change("updated", table->updated, &count);
        print_change("deleted", table->deleted, &count);
        putchar('\n');
    }
}

static void put_report(struct run *run, int row, const struct rehearsed *rehearsed)
{
    run->counts[rehearsed->fate]++;
    if (run->context->format == OUTPUT_TEXT) {
        print_text(run, row, rehearsed);
        return;
    }
    json_t *object = failed_json(run->rows, row);
    json_object_set_new(object, "outcome", json_string(fates[rehearsed->fate]));
    json_object_set_new(object, "tables", tables_json(rehearsed));
    json_object_set_new(object, "outcome_message",
                        rehearsed->fate == REHEARSED_FAILED ? json_string(rehearsed->error.message)
                                                            : json_null());
    if (run->context->format == OUTPUT_JSONL)
        print_json(object);
    else
        json_array_append_new(run->report, object);
}

static void close_processor(struct run *run)
{
    rehearse_free(run->rehearsal);
    processor_free(run->processor);
    run->rehearsal = NULL;
    run->processor = NULL;
}

static int open_processor(struct run *run, const char *name, struct error *error)
{
    if (run->processor && strcmp(run->processor->name, name) == 0)
        return 0;
    close_processor(run);
    if (processor_load(run->assets, run->catalog, name, &run->processor, error) != 0)
        return -1;
    return rehearse_open(run->context->config, run->processor, &run->rehearsal, error);
}

static int rehearse_row(struct run *run, int row, struct error *error)
{
    static struct rehearsed rehearsed; /* too large for a stack frame */
    struct failed_record bytes;
    const PGresult *rows = run->rows;
    const char *time = PQgetvalue(rows, row, FAILED_TIMESTAMP);
    if (failed_record_load(run->context->conn, run->context->kind, rows, row, &bytes, error) != 0)
        return -1;
    struct record record = {.topic = PQgetvalue(rows, row, FAILED_TOPIC),
                            .partition = (int32_t)pg_int(rows, row, FAILED_PARTITION),
                            .offset = pg_int(rows, row, FAILED_OFFSET),
                            .key = bytes.key,
                            .key_size = bytes.key_size,
                            .value = run->value ? (void *)run->value->data : bytes.value,
                            .value_size = run->value ? run->value->size : bytes.value_size};
    timestamp_parse(time, strlen(time), &record.timestamp_us);
    int code = rehearse_record(run->rehearsal, (int32_t)pg_int(rows, row, FAILED_POSITION), &record,
                               &rehearsed, error);
    failed_record_free(&bytes);
    if (code == 0)
        put_report(run, row, &rehearsed);
    return code;
}

/* Processor by processor: each has a transaction of its own. */
static int rehearse_rows(struct run *run, int count, int *ret_done, struct error *error)
{
    char *done = xcalloc((size_t)count, 1);
    int code = 0;
    *ret_done = 0;
    for (int i = 0; code == 0 && i < count; i++) {
        const char *name = PQgetvalue(run->rows, i, FAILED_PROCESSOR);
        for (int j = i; code == 0 && !done[i] && j < count; j++) {
            if (strcmp(PQgetvalue(run->rows, j, FAILED_PROCESSOR), name) != 0)
                continue;
            code = open_processor(run, name, error);
            if (code == 0)
                code = rehearse_row(run, j, error);
            if (code == 0)
                (*ret_done)++;
            if (j > i)
                done[j] = 1;
        }
    }
    free(done);
    close_processor(run);
    return code;
}

static void print_sum(struct run *run, int count, int done)
{
    if (run->context->format == OUTPUT_TEXT)
        printf("rehearsed %d of %d: %d would be applied, %d would change nothing, %d would fail; "
               "everything was taken back\n",
               done, count, run->counts[REHEARSED_APPLIED],
               run->counts[REHEARSED_DUPLICATE] + run->counts[REHEARSED_NOT_CONSUMED],
               run->counts[REHEARSED_FAILED]);
    else if (run->context->format == OUTPUT_JSON)
        print_json(json_pack("{s:O, s:i, s:i, s:i, s:i}", "rehearsed", run->report, "applied",
                             run->counts[REHEARSED_APPLIED], "unchanged",
                             run->counts[REHEARSED_DUPLICATE] + run->counts[REHEARSED_NOT_CONSUMED],
                             "failed", run->counts[REHEARSED_FAILED], "not_rehearsed",
                             count - done));
}

int letters_rehearse(struct letters_context *context, const PGresult *rows, int count,
                     const struct buf *value, struct error *error)
{
    struct run run = {.context = context, .rows = rows, .value = value, .report = json_array()};
    int done = 0;
    int code = assets_open(config_text(context->config, OPT_HOME), &run.assets, error);
    if (code == 0)
        code = ids_open_catalog(context->config, run.assets, IDS_LOOK_UP, &run.catalog, error);
    if (code == 0)
        code = rehearse_rows(&run, count, &done, error);
    if (done > 0)
        print_sum(&run, count, done);
    catalog_free(run.catalog);
    assets_free(run.assets);
    json_decref(run.report);
    return code != 0 ? EXIT_FAILED : run.counts[REHEARSED_FAILED] ? EXIT_CHECK : EXIT_OK;
}
