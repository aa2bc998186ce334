/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows are shown as JSON made by Postgres, so that any table can be shown. */
#include "processors/rebuild/compare.h"

#include <stdlib.h>

#include "lib/base/buf.h"

static json_t *read_json(const PGresult *result, int row, int column)
{
    json_t *value = json_loads(PQgetvalue(result, row, column), JSON_DECODE_ANY, NULL);
    return value ? value : json_null();
}

static int compare_table(PGconn *conn, const char *live, const char *rebuilt, const char *table,
                         const char *space, json_t *findings, struct error *error)
{
    char *where = space ? xasprintf("WHERE space_id = '%s'", space) : xstrdup("");
    char *sql = xasprintf(
        "WITH missing AS (SELECT * FROM %1$s.%3$s %4$s EXCEPT ALL SELECT * FROM %2$s.%3$s %4$s), "
        "extra AS (SELECT * FROM %2$s.%3$s %4$s EXCEPT ALL SELECT * FROM %1$s.%3$s %4$s), "
        "d AS MATERIALIZED (SELECT 'live' AS side, to_jsonb(m) AS content, m::text AS place "
        "FROM missing AS m UNION ALL SELECT 'rebuilt', to_jsonb(e), e::text FROM extra AS e) "
        "SELECT (SELECT count(*) FROM d), "
        "(SELECT coalesce(jsonb_agg(s ORDER BY s), '[]') FROM (SELECT DISTINCT "
        "content->>'space_id' "
        "AS s FROM d WHERE content ? 'space_id' ORDER BY 1 LIMIT %5$d) AS spaces), "
        "(SELECT coalesce(jsonb_agg(jsonb_build_object('side', side, 'row', content)), '[]') "
        "FROM (SELECT * FROM d ORDER BY place, side LIMIT %6$d) AS shown)",
        live, rebuilt, table, where, COMPARE_SPACES_SHOWN, COMPARE_ROWS_SHOWN);
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

int compare_generations(PGconn *conn, const char *live, const char *rebuilt, const char *space,
                        json_t *findings, int *ret_tables, struct error *error)
{
    const char *values[] = {live};
    PGresult *tables = NULL;
    int code = pg_query(conn,
                        "SELECT quote_ident(c.relname), EXISTS (SELECT FROM pg_attribute a WHERE "
                        "a.attrelid = c.oid AND a.attname = 'space_id' AND NOT a.attisdropped) "
                        "FROM pg_class c WHERE c.relnamespace = $1::regnamespace "
                        "AND c.relkind IN ('r', 'p') AND NOT c.relispartition "
                        "AND c.relname <> 'applied_event' ORDER BY c.relname",
                        1, values, &tables, error);
    *ret_tables = 0;
    for (int i = 0; code == 0 && i < PQntuples(tables); i++) {
        if (space && *PQgetvalue(tables, i, 1) != 't')
            continue;
        ++*ret_tables;
        code = compare_table(conn, live, rebuilt, PQgetvalue(tables, i, 0), space, findings, error);
    }
    PQclear(tables);
    return code;
}
