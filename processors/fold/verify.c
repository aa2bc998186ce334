/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows are shown as JSON made by Postgres, so that any table can be shown. */
#include "processors/fold/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/pg/sql_scan.h"

static json_t *read_json(const PGresult *result, int row, int column)
{
    json_t *value = json_loads(PQgetvalue(result, row, column), JSON_DECODE_ANY, NULL);
    return value ? value : json_null();
}

static int compare_table(PGconn *conn, const struct verify_side *left,
                         const struct verify_side *right, const char *table, const char *space,
                         json_t *findings, struct error *error)
{
    char *where = space ? xasprintf("WHERE space_id = '%s'", space) : xstrdup("");
    /* By the row's text, so that both sides of the same key stand together. */
    char *sql = xasprintf(
        "WITH missing AS (SELECT * FROM %1$s.%3$s %4$s EXCEPT ALL SELECT * FROM %2$s.%3$s %4$s), "
        "extra AS (SELECT * FROM %2$s.%3$s %4$s EXCEPT ALL SELECT * FROM %1$s.%3$s %4$s), "
        "d AS MATERIALIZED (SELECT '%7$s' AS side, to_jsonb(m) AS content, m::text AS place "
        "FROM missing AS m UNION ALL SELECT '%8$s', to_jsonb(e), e::text FROM extra AS e) "
        "SELECT (SELECT count(*) FROM d), "
        "(SELECT coalesce(jsonb_agg(s ORDER BY s), '[]') FROM (SELECT DISTINCT "
        "content->>'space_id' "
        "AS s FROM d WHERE content ? 'space_id' ORDER BY 1 LIMIT %5$d) AS spaces), "
        "(SELECT coalesce(jsonb_agg(jsonb_build_object('side', side, 'row', content)), '[]') "
        "FROM (SELECT * FROM d ORDER BY place, side LIMIT %6$d) AS shown)",
        left->schema, right->schema, table, where, VERIFY_SPACES_SHOWN, VERIFY_ROWS_SHOWN,
        left->name, right->name);
    PGresult *result = NULL;
    int code = pg_query(conn, sql, 0, NULL, &result, error);
    free(sql);
    free(where);
    if (code == 0 && pg_int(result, 0, 0) > 0)
        json_array_append_new(findings, json_pack("{s:s, s:I, s:o, s:o}", "table", table, "rows",
                                                  (json_int_t)pg_int(result, 0, 0), "spaces",
                                                  read_json(result, 0, 1), "sample",
                                                  read_json(result, 0, 2)));
    PQclear(result);
    return code;
}

int verify_equal(PGconn *conn, const struct verify_side *left, const struct verify_side *right,
                 const char *space, json_t *findings, int *ret_tables, struct error *error)
{
    const char *values[] = {left->schema};
    PGresult *tables = NULL;
    int code = pg_query(conn,
                        "SELECT quote_ident(c.relname), EXISTS (SELECT FROM pg_attribute a WHERE "
                        "a.attrelid = c.oid AND a.attname = 'space_id' AND NOT a.attisdropped) "
                        "FROM pg_class c WHERE c.relnamespace = $1::regnamespace "
                        "AND c.relkind IN ('r', 'p') AND NOT c.relispartition "
                        "AND c.relname <> 'applied_run' ORDER BY c.relname",
                        1, values, &tables, error);
    *ret_tables = 0;
    for (int i = 0; code == 0 && i < PQntuples(tables); i++) {
        if (space && *PQgetvalue(tables, i, 1) != 't')
            continue;
        ++*ret_tables;
        code = compare_table(conn, left, right, PQgetvalue(tables, i, 0), space, findings, error);
    }
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
            json_array_append_new(sample, read_json(result, i, 0));
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
