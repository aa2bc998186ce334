/* SPDX-License-Identifier: Apache-2.0
 *
 * `weir audit`: whether what must hold does hold, on a live system. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/command.h"
#include "cli/support.h"
#include "lib/registry/ids.h"
#include "processors/audit/audit.h"

static const char *const state_names[] = {"holds", "broken", "skipped"};

static json_t *item_json(const struct audit_item *item)
{
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "state", state_names[item->state], "invariant",
                  item->invariant, "processor", item->processor, "rule", item->name, "message",
                  item->message, "rows", (json_int_t)item->rows);
    json_object_set_new(object, "first", item->first ? json_incref(item->first) : json_array());
    return object;
}

static void print_rows(const struct audit_item *item)
{
    size_t i;
    json_t *row;
    json_array_foreach(item->first, i, row)
    {
        const char *name;
        json_t *value;
        fputs("          ", stdout);
        json_object_foreach(row, name, value)
            printf(" %s=%s", name, json_is_null(value) ? "null" : json_string_value(value));
        putchar('\n');
    }
}

static void print_text(const struct audit_report *report, int64_t lag)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct audit_item *item = &report->items[i];
        printf("%-8s %-4s %-12s %s: %s\n", state_names[item->state], item->invariant,
               item->processor, item->name, item->message);
        if (item->first)
            print_rows(item);
    }
    size_t broken = audit_count(report, AUDIT_BROKEN);
    printf("audit: %s: %zu rules hold, %zu broken, %zu skipped; lag %" PRId64 "\n",
           broken ? "BROKEN" : "all is well", audit_count(report, AUDIT_HOLDS), broken,
           audit_count(report, AUDIT_SKIPPED), lag);
}

static void print_items(const struct audit_report *report, int64_t lag, enum output_format format)
{
    json_t *items = json_array();
    for (size_t i = 0; i < report->count; i++) {
        if (format == OUTPUT_JSONL)
            print_json(item_json(&report->items[i]));
        else
            json_array_append_new(items, item_json(&report->items[i]));
    }
    json_t *whole = json_pack(
        "{s:b, s:I, s:I, s:I, s:I, s:o}", "ok", audit_count(report, AUDIT_BROKEN) == 0, "holds",
        (json_int_t)audit_count(report, AUDIT_HOLDS), "broken",
        (json_int_t)audit_count(report, AUDIT_BROKEN), "skipped",
        (json_int_t)audit_count(report, AUDIT_SKIPPED), "lag", (json_int_t)lag, "rules", items);
    if (format == OUTPUT_JSON)
        print_json(whole);
    else
        json_decref(whole);
}

static int run(const struct config *config, struct error *error)
{
    static struct audit_report report;
    struct assets *assets = NULL;
    struct catalog *catalog = NULL;
    enum output_format format;
    int64_t lag = 0;
    if (config_argument_count(config) > 1) {
        error_set(error, ERROR_USAGE, "bad-argument", "takes one processor at most; see --help");
        return EXIT_USAGE;
    }
    if (output_format(config, &format, error) != 0)
        return EXIT_USAGE;
    int result = assets_open(config_text(config, OPT_HOME), &assets, error);
    if (result == 0)
        result = ids_open_catalog(config, assets, IDS_LOOK_UP, &catalog, error);
    if (result == 0) {
        struct audit_request request = {.config = config,
                                        .assets = assets,
                                        .catalog = catalog,
                                        .processor = config_argument(config, 0),
                                        .wait_ms = config_int(config, OPT_WAIT)};
        result = audit_run(&request, &report, &lag, error);
    }
    if (result == 0 && format == OUTPUT_TEXT)
        print_text(&report, lag);
    else if (result == 0)
        print_items(&report, lag, format);
    int broken = audit_count(&report, AUDIT_BROKEN) > 0;
    audit_report_clear(&report);
    catalog_free(catalog);
    assets_free(assets);
    return result != 0 ? EXIT_FAILED : broken ? EXIT_CHECK : EXIT_OK;
}

static const enum option_id options[] = {OPT_KAFKA_BROKERS,
                                         OPT_KAFKA,
                                         OPT_DATABASE,
                                         OPT_WAIT,
                                         OPT_SCHEMA_REGISTRY_URL,
                                         OPT_SCHEMA_REGISTRY_AUTH,
                                         OPT_SCHEMA_REGISTRY_CA};

const struct command command_audit = {
    .name = "audit",
    .arguments = "[PROCESSOR]",
    .summary = "whether what must hold does hold: every record once, books that balance",
    .help =
        "Examines a live system in one snapshot and changes nothing. For each processor:\n"
        "  I3  it reaches the end of the log; each record below its position is in exactly one of\n"
        "      applied, duplicate, parked and dead letter: the audit reads the topics and "
        "compares\n"
        "      them with the tables, offset by offset\n"
        "  I4  no event of a held-back Space is applied behind the event that failed\n"
        "  I10 the outbox is published within a minute; decisions are carried out within five\n"
        "  I7  its positions lie inside the log\n"
        "  and each query of its checks.sql returns no row: entries sum to zero (I1), balances "
        "are\n"
        "  the sums of their entries (I9), buckets are the sums of their events (I11), and so on\n"
        "\n"
        "With --wait TIME it waits for lag 0 first; lag that remains is a broken rule. Without\n"
        "--wait it only shows the lag.\n"
        "\n"
        "Examples:\n"
        "  weir audit --wait 30s\n"
        "  weir audit ledger -o json | jq '.rules[] | select(.state == \"broken\")'\n"
        "\n"
        "Exit codes: 0 nothing is broken; 1 Postgres or Kafka did not answer; 2 wrong usage, or "
        "not migrated; 3 a rule is\n"
        "broken: its first rows are shown.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .run = run,
};
