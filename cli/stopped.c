/* SPDX-License-Identifier: Apache-2.0
 *
 * The view weir.stopped, line by line. */
#include "cli/stopped.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/failed.h"
#include "lib/pg/statement.h"

int stopped_load(PGconn *conn, PGresult **ret_rows, struct error *error)
{
    return pg_query(conn, statement("stopped"), 0, NULL, ret_rows, error);
}

static int is_of(const PGresult *rows, int row, const char *processor, int generation)
{
    return strcmp(PQgetvalue(rows, row, STOPPED_PROCESSOR), processor) == 0 &&
           pg_int(rows, row, STOPPED_GENERATION) == generation;
}

void stopped_describe(const PGresult *rows, int row, struct buf *out)
{
    buf_put_text(out, PQgetvalue(rows, row, STOPPED_HOW));
    if (!PQgetisnull(rows, row, STOPPED_OFFSET))
        buf_printf(out, " at %s/%s/%s", PQgetvalue(rows, row, STOPPED_TOPIC),
                   PQgetvalue(rows, row, STOPPED_PARTITION), PQgetvalue(rows, row, STOPPED_OFFSET));
    else if (!PQgetisnull(rows, row, STOPPED_PARTITION))
        buf_printf(out, " in %s/%s", PQgetvalue(rows, row, STOPPED_TOPIC),
                   PQgetvalue(rows, row, STOPPED_PARTITION));
    buf_printf(out, " since %s: %s: %s", PQgetvalue(rows, row, STOPPED_SINCE),
               PQgetvalue(rows, row, STOPPED_CODE), PQgetvalue(rows, row, STOPPED_MESSAGE));
}

void stopped_print(const PGresult *rows, const char *processor, int generation)
{
    for (int i = 0; i < PQntuples(rows); i++) {
        struct buf line = {0};
        if (!is_of(rows, i, processor, generation))
            continue;
        stopped_describe(rows, i, &line);
        fputs("  ", stdout);
        failed_print(line.data, line.size);
        putchar('\n');
        buf_free(&line);
    }
}

json_t *stopped_json(const PGresult *rows, const char *processor, int generation)
{
    static const struct {
        const char *name;
        enum stopped_column column;
        int number;
    } members[] = {{"how", STOPPED_HOW, 0},
                   {"topic", STOPPED_TOPIC, 0},
                   {"partition", STOPPED_PARTITION, 1},
                   {"offset", STOPPED_OFFSET, 1},
                   {"since", STOPPED_SINCE, 0},
                   {"code", STOPPED_CODE, 0},
                   {"message", STOPPED_MESSAGE, 0}};
    json_t *array = json_array();
    for (int i = 0; i < PQntuples(rows); i++) {
        if (!is_of(rows, i, processor, generation))
            continue;
        json_t *object = json_object();
        for (size_t j = 0; j < sizeof members / sizeof *members; j++) {
            const char *text = PQgetvalue(rows, i, members[j].column);
            json_object_set_new(object, members[j].name,
                                PQgetisnull(rows, i, members[j].column) ? json_null()
                                : members[j].number ? json_integer(strtoll(text, NULL, 10))
                                                    : json_string(text));
        }
        json_array_append_new(array, object);
    }
    return array;
}
