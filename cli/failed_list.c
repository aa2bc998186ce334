/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of dead letters or of parked events, and below it how many there are and how old the
 * oldest is, by processor: what an alarm would say. */
#include <stdio.h>
#include <string.h>

#include "cli/failed.h"

#include "lib/pg/statement.h"

enum { TEXT_ROWS = 50, MESSAGE_SHOWN = 100 };

/* Text is for people: without --limit it ends early, and says so. */
static int64_t rows_wanted(const struct config *config, enum output_format format)
{
    if (config_is_set(config, OPT_LIMIT))
        return config_int(config, OPT_LIMIT);
    return format == OUTPUT_TEXT ? TEXT_ROWS : 0;
}

static const char *or_dash(const PGresult *rows, int row, enum failed_column column)
{
    const char *text = failed_text(rows, row, column);
    return text ? text : "-";
}

/* One line of a message, shortened between characters. */
static void put_message(const char *message)
{
    size_t size = message ? strcspn(message, "\n") : 0;
    size_t shown = size;
    if (shown > MESSAGE_SHOWN)
        for (shown = MESSAGE_SHOWN; shown > 0 && ((unsigned char)message[shown] & 0xc0) == 0x80;)
            shown--;
    fputs("  ", stdout);
    failed_print(message, shown);
    puts(shown < size ? "…" : "");
}

static void print_letter(const PGresult *rows, int row)
{
    char place[FAILED_PLACE_SIZE];
    char age[24];
    failed_place(rows, row, place);
    failed_age(pg_int(rows, row, FAILED_AGE_S), age);
    printf("%6s  %-10s %-9s %-26s %-20s %-36s %-20s %5s  %-7s", or_dash(rows, row, FAILED_ID),
           PQgetvalue(rows, row, FAILED_PROCESSOR), PQgetvalue(rows, row, FAILED_STATUS), place,
           or_dash(rows, row, FAILED_EVENT), or_dash(rows, row, FAILED_SPACE),
           PQgetvalue(rows, row, FAILED_CODE), PQgetvalue(rows, row, FAILED_ATTEMPTS), age);
    put_message(failed_text(rows, row, FAILED_MESSAGE));
}

static void print_parked(const PGresult *rows, int row)
{
    char place[FAILED_PLACE_SIZE];
    char age[24];
    failed_place(rows, row, place);
    failed_age(pg_int(rows, row, FAILED_AGE_S), age);
    printf("%-10s %-8s %-26s %-20s %-36s %-9s %5s %6s  %-27s  %-7s",
           PQgetvalue(rows, row, FAILED_PROCESSOR), PQgetvalue(rows, row, FAILED_STATUS), place,
           or_dash(rows, row, FAILED_EVENT), PQgetvalue(rows, row, FAILED_SPACE),
           or_dash(rows, row, FAILED_CODE), PQgetvalue(rows, row, FAILED_ATTEMPTS),
           PQgetvalue(rows, row, FAILED_HELD), or_dash(rows, row, FAILED_NEXT), age);
    put_message(failed_text(rows, row, FAILED_MESSAGE));
}

static void print_table(const PGresult *rows, int count, enum failed_kind kind)
{
    if (count && kind == FAILED_DEAD_LETTERS)
        printf("%6s  %-10s %-9s %-26s %-20s %-36s %-20s %5s  %-7s  %s\n", "ID", "PROCESSOR",
               "STATUS", "PLACE", "EVENT", "SPACE", "ERROR", "TRIES", "AGE", "MESSAGE");
    else if (count)
        printf("%-10s %-8s %-26s %-20s %-36s %-9s %5s %6s  %-27s  %-7s  %s\n", "PROCESSOR",
               "STATUS", "PLACE", "EVENT", "SPACE", "ERROR", "TRIES", "PARKED", "NEXT TRY", "AGE",
               "MESSAGE");
    for (int i = 0; i < count; i++)
        (kind == FAILED_DEAD_LETTERS ? print_letter : print_parked)(rows, i);
}

int failed_depths(PGconn *conn, PGresult **ret_depths, struct error *error)
{
    return pg_query(conn, statement("failures_by_generation"), 0, NULL, ret_depths, error);
}

int64_t failed_depth(const PGresult *depths, const char *processor, int generation,
                     enum failed_depth_column column)
{
    for (int i = 0; i < PQntuples(depths); i++)
        if (pg_int(depths, i, DEPTH_GENERATION) == generation &&
            strcmp(PQgetvalue(depths, i, DEPTH_PROCESSOR), processor) == 0)
            return pg_int(depths, i, column);
    return 0;
}

/* Of the live generations, whatever was chosen: what the metrics show too. */
static int is_shown(const PGresult *depths, int row, int first)
{
    return *PQgetvalue(depths, row, DEPTH_LIVE) == 't' && pg_int(depths, row, first) > 0;
}

static void print_depths(const PGresult *depths, enum failed_kind kind)
{
    int first = kind == FAILED_PARKED ? DEPTH_PARKED : DEPTH_LETTERS;
    int shown = 0;
    for (int i = 0; i < PQntuples(depths); i++) {
        char age[24];
        if (!is_shown(depths, i, first))
            continue;
        failed_age(pg_int(depths, i, first + 2), age);
        printf("%s: %s %s of %s Space%s, the oldest for %s\n", PQgetvalue(depths, i, 0),
               PQgetvalue(depths, i, first),
               kind == FAILED_PARKED           ? "parked"
               : pg_int(depths, i, first) == 1 ? "open dead letter"
                                               : "open dead letters",
               PQgetvalue(depths, i, first + 1), pg_int(depths, i, first + 1) == 1 ? "" : "s", age);
        shown++;
    }
    if (!shown)
        puts(kind == FAILED_PARKED ? "nothing is parked" : "no dead letter is open");
}

static json_t *depths_json(const PGresult *depths, enum failed_kind kind)
{
    int first = kind == FAILED_PARKED ? DEPTH_PARKED : DEPTH_LETTERS;
    json_t *array = json_array();
    for (int i = 0; i < PQntuples(depths); i++)
        if (is_shown(depths, i, first))
            json_array_append_new(
                array, json_pack("{s:s, s:I, s:I, s:I}", "processor", PQgetvalue(depths, i, 0),
                                 "events", (json_int_t)pg_int(depths, i, first), "spaces",
                                 (json_int_t)pg_int(depths, i, first + 1), "oldest_age_seconds",
                                 (json_int_t)pg_int(depths, i, first + 2)));
    return array;
}

static void print_as_json(const PGresult *rows, int count, const PGresult *depths,
                          enum failed_kind kind, enum output_format format)
{
    json_t *array = json_array();
    for (int i = 0; i < count; i++) {
        if (format == OUTPUT_JSONL)
            print_json(failed_json(rows, i));
        else
            json_array_append_new(array, failed_json(rows, i));
    }
    if (format == OUTPUT_JSON)
        print_json(json_pack("{s:O, s:o}", kind == FAILED_PARKED ? "parked" : "dead_letters", array,
                             "depth", depths_json(depths, kind)));
    json_decref(array);
}

int failed_list(const struct config *config, PGconn *conn, enum failed_kind kind,
                enum output_format format, struct error *error)
{
    static struct failed_choice choice; /* too large for a stack frame */
    PGresult *rows = NULL;
    PGresult *depths = NULL;
    int64_t wanted = rows_wanted(config, format);
    if (failed_choose(config, kind, &choice, error) != 0)
        return EXIT_USAGE;
    int code = failed_load(conn, &choice, wanted ? wanted + 1 : 0, &rows, error);
    if (code == 0)
        code = failed_depths(conn, &depths, error);
    if (code == 0) {
        int more = wanted && PQntuples(rows) > wanted;
        int count = more ? (int)wanted : PQntuples(rows);
        if (format == OUTPUT_TEXT) {
            print_table(rows, count, kind);
            if (more)
                puts("… and more: --limit 0 shows all of them");
            print_depths(depths, kind);
        } else {
            print_as_json(rows, count, depths, kind, format);
        }
    }
    PQclear(rows);
    PQclear(depths);
    return code == 0 ? EXIT_OK : EXIT_FAILED;
}
