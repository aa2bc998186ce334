/* SPDX-License-Identifier: Apache-2.0
 *
 * A file runs inside of a function that the role owns, weir_run(text). What a file may leave behind
 * in the session is dealt with as that function ends: constraints are checked, and a cursor WITH
 * HOLD, which would be read at the commit, is refused. Names are looked up in the session's
 * temporary schema first, unless the search path says otherwise: so it does, afterwards. */
#include "processors/definition/sandbox.h"

#include <stdlib.h>

#include "lib/base/buf.h"

static const char RUN[] =
    "CREATE FUNCTION %s.weir_run(text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER "
    "SET search_path = %s, pg_catalog AS "
    "$$BEGIN EXECUTE $1; SET CONSTRAINTS ALL IMMEDIATE; "
    "IF EXISTS (SELECT FROM pg_catalog.pg_cursors AS c WHERE c.is_holdable) THEN "
    "RAISE EXCEPTION 'a cursor WITH HOLD outlives the file' USING ERRCODE = '0A000'; END IF; END$$";

int sandbox_make(PGconn *conn, const char *processor, struct error *error)
{
    return pg_query(conn, "SELECT weir.make_author($1)", 1, &processor, NULL, error);
}

int sandbox_enter(PGconn *conn, const char *processor, const char *schema, struct error *error)
{
    return pg_runf(conn, error,
                   "GRANT USAGE, CREATE ON SCHEMA %s TO weir_author_%s; "
                   "SET LOCAL ROLE weir_author_%s",
                   schema, processor, processor);
}

int sandbox_leave(PGconn *conn, const char *processor, const char *schema, struct error *error)
{
    return pg_runf(conn, error,
                   "RESET ROLE; REVOKE CREATE ON SCHEMA %s FROM weir_author_%s; "
                   "SET LOCAL search_path = pg_catalog, pg_temp",
                   schema, processor);
}

static int failed(PGconn *conn, const PGresult *result, const struct asset *file,
                  struct error *error)
{
    const char *position = PQresultErrorField(result, PG_DIAG_INTERNAL_POSITION);
    int line = 1;
    for (int i = 0, end = position ? atoi(position) : 0; i < end && file->data[i]; i++)
        line += file->data[i] == '\n';
    pg_fail(conn, result, error);
    if (error->class == ERROR_HALT || error->class == ERROR_DEAD_LETTER)
        error->class = ERROR_USAGE;
    return position ? error_prefix(error, "%s:%d", file->path, line)
                    : error_prefix(error, "%s", file->path);
}

int sandbox_run(PGconn *conn, const char *processor, const char *schema, const char *published,
                const struct asset *file, struct error *error)
{
    if (sandbox_enter(conn, processor, schema, error) != 0 ||
        pg_runf(conn, error, RUN, schema, schema) != 0 || pg_run(conn, "RESET ROLE", error) != 0 ||
        (published && pg_runf(conn, error, "GRANT USAGE, CREATE ON SCHEMA %s TO weir_author_%s",
                              published, processor) != 0))
        return -1;
    char *sql = xasprintf("SELECT %s.weir_run($1)", schema);
    const char *values[] = {file->data};
    PGresult *result = PQexecParams(conn, sql, 1, NULL, values, NULL, NULL, 0);
    int code = PQresultStatus(result) == PGRES_TUPLES_OK ? 0 : failed(conn, result, file, error);
    PQclear(result);
    free(sql);
    if (code == 0)
        code = pg_runf(conn, error, "DROP FUNCTION IF EXISTS %s.weir_run(text)", schema);
    if (code == 0 && published)
        code = pg_runf(conn, error, "REVOKE CREATE ON SCHEMA %s FROM weir_author_%s", published,
                       processor);
    return code == 0 ? sandbox_leave(conn, processor, schema, error) : -1;
}
