/* SPDX-License-Identifier: Apache-2.0
 *
 * views.sql qualifies views with the processor's name. For a trial that name is replaced by another
 * one wherever it stands in front of a dot, outside of strings and comments; lines stay what they
 * are. Checks run over empty tables, where each of them is planned and none can find anything. */
#include "processors/processor_test/published.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/buf.h"
#include "lib/pg/sql_scan.h"
#include "processors/fold/verify.h"

static int is_name(const char *at, const char *end, const char *name)
{
    size_t size = strlen(name);
    int quoted = *at == '"';
    if ((size_t)(end - at) != size + 2 * (size_t)quoted)
        return 0;
    return quoted ? memcmp(at + 1, name, size) == 0 : strncasecmp(at, name, size) == 0;
}

/* The statement with `schema` in place of the schema `name`. */
static void put_elsewhere(const struct sql_statement *statement, const char *name,
                          const char *schema, struct buf *out)
{
    const char *at = statement->text;
    const char *end = at + statement->size;
    const char *next;
    enum sql_token token;
    buf_reset(out);
    for (; (token = sql_token(at, end, &next)) != SQL_END; at = next) {
        int schema_here = (token == SQL_WORD || token == SQL_QUOTED) && next < end &&
                          *next == '.' && is_name(at, next, name);
        if (schema_here)
            buf_put_text(out, schema);
        else
            buf_put(out, at, (size_t)(next - at));
    }
}

static int count_lines(const char *text, const char *position)
{
    int lines = 0;
    for (int i = 1, stop = position ? atoi(position) : 0; i < stop && text[i - 1]; i++)
        lines += text[i - 1] == '\n';
    return lines;
}

static int run_view(PGconn *conn, const struct asset *file, const struct sql_statement *statement,
                    const char *sql, struct error *error)
{
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);
    int code = 0;
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY) {
        int line = statement->line +
                   count_lines(sql, PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION));
        pg_fail(conn, result, error);
        code = error_prefix(error, "%s:%d", file->path, line);
    }
    PQclear(result);
    return code;
}

static int compile_views(PGconn *conn, const struct processor *processor, const char *schema,
                         struct error *error)
{
    char shown[80];
    struct sql_cursor cursor = sql_open(processor->views->data, processor->views->size);
    struct sql_statement statement;
    struct buf sql = {0};
    int code;
    snprintf(shown, sizeof shown, "%s_shown", schema);
    code = pg_runf(conn, error, "CREATE SCHEMA %s; SET LOCAL search_path = %s, pg_catalog", shown,
                   schema);
    while (code == 0 && sql_next(&cursor, &statement)) {
        put_elsewhere(&statement, processor->name, shown, &sql);
        code = run_view(conn, processor->views, &statement, buf_text(&sql), error);
    }
    buf_free(&sql);
    return code;
}

int published_compile(PGconn *conn, const struct processor *processor, const char *schema,
                      struct error *error)
{
    json_t *findings = json_array();
    int code = processor->views ? compile_views(conn, processor, schema, error) : 0;
    if (code == 0)
        code = verify_checks(conn, processor, schema, findings, NULL, error);
    if (code != 0 && (error->class == ERROR_HALT || error->class == ERROR_DEAD_LETTER))
        error->class = ERROR_USAGE;
    json_decref(findings);
    return code;
}
