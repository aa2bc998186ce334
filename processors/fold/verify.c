/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows are shown as JSON made by Postgres, so that any table can be shown. */
#include "processors/fold/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/pg/sql_scan.h"

static json_t *read_row(const PGresult *result, int row, int column)
{
    json_t *value = json_loads(PQgetvalue(result, row, column), JSON_DECODE_ANY, NULL);
    return value ? value : json_null();
}

static int compare_table(PGconn *conn, const char *left, const char *right, const char *table,
                         json_t *findings, struct error *error)
{
    /* By the row's text, so that both sides of the same key stand together. */
    char *sql = xasprintf(
        "SELECT side, content, count(*) OVER () FROM ("
        "(SELECT 'first' AS side, to_jsonb(l) AS content, l::text AS place "
        "FROM (TABLE %s.%s EXCEPT ALL TABLE %s.%s) AS l) UNION ALL "
        "(SELECT 'this', to_jsonb(r), r::text "
        "FROM (TABLE %s.%s EXCEPT ALL TABLE %s.%s) AS r)) AS d ORDER BY place, side LIMIT %d",
        left, table, right, table, right, table, left, table, VERIFY_ROWS_SHOWN);
    PGresult *result = NULL;
    int code = pg_query(conn, sql, 0, NULL, &result, error);
    free(sql);
    if (code == 0 && PQntuples(result) > 0) {
        json_t *sample = json_array();
        for (int i = 0; i < PQntuples(result); i++)
            json_array_append_new(sample, json_pack("{s:s, s:o}", "side", PQgetvalue(result, i, 0),
                                                    "row", read_row(result, i, 1)));
        json_array_append_new(findings,
                              json_pack("{s:s, s:I, s:o}", "table", table, "rows",
                                        (json_int_t)pg_int(result, 0, 2), "sample", sample));
    }
    PQclear(result);
    return code;
}

int verify_equal(PGconn *conn, const char *left, const char *right, json_t *findings,
                 struct error *error)
{
    const char *values[] = {left};
    PGresult *tables = NULL;
    int code = pg_query(conn,
                        "SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = "
                        "$1::regnamespace AND relkind IN ('r', 'p') "
                        "AND NOT relispartition AND relname <> 'applied_event' ORDER BY relname",
                        1, values, &tables, error);
    for (int i = 0; code == 0 && i < PQntuples(tables); i++)
        code = compare_table(conn, left, right, PQgetvalue(tables, i, 0), findings, error);
    PQclear(tables);
    return code;
}

/* The last comment line before the check is its name. */
static char *check_name(const struct sql_statement *statement)
{
    const char *start = NULL;
    const char *end = statement->lead + statement->lead_size;
    for (const char *at = statement->lead; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        while (at < stop && (*at == ' ' || *at == '\t'))
            at++;
        if (stop - at > 2 && at[0] == '-' && at[1] == '-' && !start)
            start = at + 2 + (at[2] == ' ');
        else if (stop == at)
            start = NULL;
        at = stop + 1;
    }
    return start ? xstrndup(start, strcspn(start, "\n")) : xasprintf("line %d", statement->line);
}

static int run_check(PGconn *conn, const struct processor *processor,
                     const struct sql_statement *statement, json_t *findings, struct error *error)
{
    char *sql = xasprintf("SELECT to_jsonb(d), count(*) OVER () FROM (%.*s) AS d LIMIT %d",
                          (int)statement->size, statement->text, VERIFY_ROWS_SHOWN);
    PGresult *result = NULL;
    int code = pg_query(conn, sql, 0, NULL, &result, error);
    free(sql);
    if (code != 0)
        return error_prefix(error, "%s:%d", processor->checks->path, statement->line);
    if (PQntuples(result) > 0) {
        char *name = check_name(statement);
        json_t *sample = json_array();
        for (int i = 0; i < PQntuples(result); i++)
            json_array_append_new(sample, read_row(result, i, 0));
        json_array_append_new(findings,
                              json_pack("{s:s, s:I, s:o}", "check", name, "rows",
                                        (json_int_t)pg_int(result, 0, 1), "sample", sample));
        free(name);
    }
    PQclear(result);
    return 0;
}

int verify_checks(PGconn *conn, const struct processor *processor, const char *schema,
                  json_t *findings, int *ret_count, struct error *error)
{
    struct sql_cursor cursor = sql_open(processor->checks->data, processor->checks->size);
    struct sql_statement statement;
    int count = 0;
    if (pg_runf(conn, error, "SET search_path = %s, pg_catalog", schema) != 0)
        return -1;
    for (; sql_next(&cursor, &statement); count++)
        if (run_check(conn, processor, &statement, findings, error) != 0)
            return -1;
    if (ret_count)
        *ret_count = count;
    return 0;
}
