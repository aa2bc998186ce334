/* SPDX-License-Identifier: Apache-2.0
 *
 * `weir position`: how far each processor has come in each partition. Kafka's own committed offsets
 * are only a hint; the rows that move with the effects are what counts. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/failed.h"
#include "cli/stopped.h"
#include "cli/support.h"
#include "processors/audit/positions.h"

static const struct audit_halt *find_halt(const struct audit_positions *positions,
                                          const struct audit_position *row)
{
    for (size_t i = 0; i < positions->halt_count; i++)
        if (positions->halts[i].generation == row->generation &&
            strcmp(positions->halts[i].processor, row->processor) == 0)
            return &positions->halts[i];
    return NULL;
}

static int same_processor(const struct audit_position *a, const struct audit_position *b)
{
    return a->generation == b->generation && strcmp(a->processor, b->processor) == 0;
}

static json_t *row_json(const struct audit_position *row)
{
    json_t *object = json_pack("{s:s, s:i}", "topic", row->topic, "partition", (int)row->partition);
    json_object_set_new(object, "position",
                        row->position_id ? json_integer(row->next_offset) : json_null());
    json_object_set_new(object, "low", json_integer(row->low));
    json_object_set_new(object, "end", json_integer(row->high));
    json_object_set_new(object, "lag", json_integer(audit_lag(row)));
    json_object_set_new(object, "epoch", json_integer(row->epoch));
    json_object_set_new(object, "owner", *row->owner ? json_string(row->owner) : json_null());
    json_object_set_new(object, "owner_alive", json_boolean(row->owner_alive));
    json_object_set_new(object, "updated_at",
                        *row->updated_at ? json_string(row->updated_at) : json_null());
    return object;
}

static json_t *halt_json(const struct audit_halt *halt)
{
    if (!halt)
        return json_null();
    return json_pack("{s:s, s:s, s:s}", "code", halt->code, "message", halt->message, "halted_at",
                     halt->halted_at);
}

static json_int_t depth_of(const PGresult *depths, const struct audit_position *row,
                           enum failed_depth_column column)
{
    return failed_depth(depths, row->processor, row->generation, column);
}

static json_t *positions_json(const struct audit_positions *positions, const PGresult *depths,
                              const PGresult *stopped)
{
    json_t *processors = json_array();
    for (size_t i = 0; i < positions->count;) {
        const struct audit_position *first = &positions->rows[i];
        json_t *rows = json_array();
        int64_t lag = 0;
        for (; i < positions->count && same_processor(first, &positions->rows[i]); i++) {
            lag += audit_lag(&positions->rows[i]);
            json_array_append_new(rows, row_json(&positions->rows[i]));
        }
        json_array_append_new(
            processors,
            json_pack("{s:s, s:i, s:b, s:o, s:o, s:I, s:I, s:I, s:o}", "processor",
                      first->processor, "generation", first->generation, "live", first->live,
                      "halted", halt_json(find_halt(positions, first)), "stopped",
                      stopped_json(stopped, first->processor, first->generation), "lag",
                      (json_int_t)lag, "dead_letters", depth_of(depths, first, DEPTH_LETTERS),
                      "parked", depth_of(depths, first, DEPTH_PARKED), "partitions", rows));
    }
    return json_pack("{s:o}", "processors", processors);
}

static void print_depth(const char *what, int64_t depth)
{
    if (depth)
        printf(", %s %" PRId64, what, depth);
}

static void print_text(const struct audit_positions *positions, const PGresult *depths,
                       const PGresult *stopped)
{
    for (size_t i = 0; i < positions->count;) {
        const struct audit_position *first = &positions->rows[i];
        const struct audit_halt *halt = find_halt(positions, first);
        size_t from = i;
        int64_t lag = 0;
        for (; i < positions->count && same_processor(first, &positions->rows[i]); i++)
            lag += audit_lag(&positions->rows[i]);
        printf("%s, generation %d%s: lag %" PRId64, first->processor, first->generation,
               first->live ? "" : " (not live)", lag);
        print_depth("parked", depth_of(depths, first, DEPTH_PARKED));
        print_depth("dead letters", depth_of(depths, first, DEPTH_LETTERS));
        printf("%s%s%s%s\n", halt ? ", HALTED: " : "", halt ? halt->code : "", halt ? ": " : "",
               halt ? halt->message : "");
        stopped_print(stopped, first->processor, first->generation);
        printf("  %-20s %9s %12s %12s %10s %6s  %s\n", "topic", "partition", "position", "end",
               "lag", "epoch", "owner");
        for (size_t j = from; j < i; j++) {
            const struct audit_position *row = &positions->rows[j];
            char position[24] = "-";
            if (row->position_id)
                snprintf(position, sizeof position, "%" PRId64, row->next_offset);
            printf("  %-20s %9d %12s %12" PRId64 " %10" PRId64 " %6" PRId64 "  %s%s\n", row->topic,
                   row->partition, position, row->high, audit_lag(row), row->epoch,
                   *row->owner ? row->owner : "nobody",
                   *row->owner && !row->owner_alive ? " (gone)" : "");
        }
    }
    if (positions->count == 0)
        puts("no processor has claimed a partition yet; `weir process NAME...` runs them");
}

static int load(const struct config *config, const char *processor,
                struct audit_positions *positions, PGresult **ret_depths, PGresult **ret_stopped,
                struct error *error)
{
    PGconn *conn = NULL;
    struct kafka_reader *reader = NULL;
    int result = pg_connect(config_text(config, OPT_DATABASE), "weir position", &conn, error);
    if (result == 0)
        pg_set_patience(conn, PG_PATIENCE_MS);
    if (result == 0)
        result = audit_positions_load(conn, processor, positions, error);
    if (result == 0)
        result = failed_depths(conn, ret_depths, error);
    if (result == 0)
        result = stopped_load(conn, ret_stopped, error);
    if (result == 0)
        result = kafka_reader_open(config, &reader, error);
    if (result == 0)
        result = audit_positions_extents(positions, reader, error);
    kafka_reader_free(reader);
    PQfinish(conn);
    return result;
}

static int run(const struct config *config, struct error *error)
{
    struct audit_positions positions = {0};
    PGresult *depths = NULL;
    PGresult *stopped = NULL;
    enum output_format format;
    if (config_argument_count(config) > 1) {
        error_set(error, ERROR_USAGE, "bad-argument", "takes one processor at most; see --help");
        return EXIT_USAGE;
    }
    if (output_format(config, &format, error) != 0)
        return EXIT_USAGE;
    int result = load(config, config_argument(config, 0), &positions, &depths, &stopped, error);
    if (result == 0 && format == OUTPUT_TEXT)
        print_text(&positions, depths, stopped);
    else if (result == 0)
        print_json(positions_json(&positions, depths, stopped));
    PQclear(depths);
    PQclear(stopped);
    audit_positions_free(&positions);
    return result == 0 ? EXIT_OK : EXIT_FAILED;
}

static const enum option_id options[] = {OPT_KAFKA_BROKERS, OPT_KAFKA, OPT_DATABASE};

const struct command command_position = {
    .name = "position",
    .arguments = "[PROCESSOR]",
    .summary = "how far each processor has come: position, end and lag per partition",
    .help =
        "Shows for each processor, topic and partition: the position (all records below it are "
        "dealt\n"
        "with, and none from it on), the end of the log, the lag between them, the owner and its\n"
        "epoch, the numbers of parked events and open dead letters, and where the processor "
        "halted\n"
        "or a partition waits, why and since when. An unclaimed partition has no position.\n"
        "\n"
        "Examples:\n"
        "  weir position\n"
        "  weir position ledger -o json | jq '.processors[].lag'\n"
        "\n"
        "Exit codes: 0 shown; 1 Postgres or Kafka did not answer; 2 wrong usage.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .run = run,
};
