/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/pg/copy.h"

#include <stdlib.h>

#include "lib/base/buf.h"

enum { HEAD_SIZE = 19 };

int pg_copy_begin(PGconn *conn, const char *table, struct error *error)
{
    static const char head[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0";
    char *sql = xasprintf("COPY %s FROM STDIN (FORMAT binary)", table);
    PGresult *result = PQexec(conn, sql);
    int code = PQresultStatus(result) == PGRES_COPY_IN ? 0 : pg_fail(conn, result, error);
    PQclear(result);
    free(sql);
    return code == 0 ? pg_copy_put(conn, head, HEAD_SIZE, error) : -1;
}

int pg_copy_put(PGconn *conn, const void *rows, size_t size, struct error *error)
{
    return PQputCopyData(conn, rows, (int)size) == 1 ? 0 : pg_fail(conn, NULL, error);
}

int pg_copy_end(PGconn *conn, int failed, struct error *error)
{
    int code = failed ? -1 : pg_copy_put(conn, "\377\377", 2, error);
    if (PQputCopyEnd(conn, code == 0 ? NULL : "given up") != 1 && code == 0)
        code = pg_fail(conn, NULL, error);
    for (PGresult *result; (result = PQgetResult(conn)); PQclear(result))
        if (PQresultStatus(result) != PGRES_COMMAND_OK && code == 0)
            code = pg_fail(conn, result, error);
    return code;
}
