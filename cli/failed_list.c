/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of dead letters or of parked events, and below it how many there are and how old the
 * oldest is, by processor: what an alarm would say. */
#include <stdio.h>
#include <string.h>

#include "cli/failed.h"

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
    printf("  %.*s%s\n", (int)shown, message ? message : "", shown < size ? "…" : "");
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

/* How deep and how old, whatever was chosen: what the metrics show too. */
static int load_depth(PGconn *conn, enum failed_kind kind, PGresult **ret_rows, struct error *error)
{
    static const char letters[] =
        "SELECT p.processor, count(*), max(extract(epoch FROM now() - d.recorded_at))::bigint, "
        "count(DISTINCT d.space_id) FROM weir.dead_letter AS d JOIN weir.position AS p USING "
        "(position_id) JOIN weir.processor AS live USING (processor, generation) "
        "WHERE d.state = 'open' GROUP BY 1 ORDER BY 1";
    static const char parked[] =
        "SELECT p.processor, sum(s.events), max(extract(epoch FROM now() - q.parked_at))::bigint, "
        "count(DISTINCT s.space_id) FROM weir.parked_space AS s JOIN weir.position AS p USING "
        "(position_id) JOIN weir.processor AS live USING (processor, generation) "
        "CROSS JOIN LATERAL (SELECT w.parked_at FROM weir.parked AS w WHERE w.position_id = "
        "s.position_id AND w.space_id = s.space_id ORDER BY w.kafka_offset LIMIT 1) AS q "
        "GROUP BY 1 ORDER BY 1";
    return pg_query(conn, kind == FAILED_PARKED ? parked : letters, 0, NULL, ret_rows, error);
}

static void print_depth(const PGresult *depth, enum failed_kind kind)
{
    for (int i = 0; i < PQntuples(depth); i++) {
        char age[24];
        failed_age(pg_int(depth, i, 2), age);
        printf("%s: %s %s of %s Space%s, the oldest for %s\n", PQgetvalue(depth, i, 0),
               PQgetvalue(depth, i, 1),
               kind == FAILED_PARKED      ? "parked"
               : pg_int(depth, i, 1) == 1 ? "open dead letter"
                                          : "open dead letters",
               PQgetvalue(depth, i, 3), pg_int(depth, i, 3) == 1 ? "" : "s", age);
    }
    if (PQntuples(depth) == 0)
        puts(kind == FAILED_PARKED ? "nothing is parked" : "no dead letter is open");
}

static json_t *depth_json(const PGresult *depth)
{
    json_t *array = json_array();
    for (int i = 0; i < PQntuples(depth); i++)
        json_array_append_new(
            array,
            json_pack("{s:s, s:I, s:I, s:I}", "processor", PQgetvalue(depth, i, 0), "events",
                      (json_int_t)pg_int(depth, i, 1), "spaces", (json_int_t)pg_int(depth, i, 3),
                      "oldest_age_seconds", (json_int_t)pg_int(depth, i, 2)));
    return array;
}

static void print_as_json(const PGresult *rows, int count, const PGresult *depth,
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
                             "depth", depth_json(depth)));
    json_decref(array);
}

int failed_list(const struct config *config, PGconn *conn, enum failed_kind kind,
                enum output_format format, struct error *error)
{
    static struct failed_choice choice; /* too large for a stack frame */
    PGresult *rows = NULL;
    PGresult *depth = NULL;
    int64_t wanted = rows_wanted(config, format);
    if (failed_choose(config, kind, &choice, error) != 0)
        return EXIT_USAGE;
    int code = failed_load(conn, &choice, wanted ? wanted + 1 : 0, &rows, error);
    if (code == 0)
        code = load_depth(conn, kind, &depth, error);
    if (code == 0) {
        int more = wanted && PQntuples(rows) > wanted;
        int count = more ? (int)wanted : PQntuples(rows);
        if (format == OUTPUT_TEXT) {
            print_table(rows, count, kind);
            if (more)
                puts("… and more: --limit 0 shows all of them");
            print_depth(depth, kind);
        } else {
            print_as_json(rows, count, depth, kind, format);
        }
    }
    PQclear(rows);
    PQclear(depth);
    return code == 0 ? EXIT_OK : EXIT_FAILED;
}
