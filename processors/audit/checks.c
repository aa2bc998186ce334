/* SPDX-License-Identifier: Apache-2.0
 *
 * Each statement becomes a cursor inside a savepoint: the first rows are fetched, the rest only
 * counted, so that a rule broken a million times costs no memory. */
#include "processors/audit/checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/pg/sql_scan.h"

void audit_check_name(const char *lead, size_t lead_size, int line, char ret_name[160],
                      char ret_invariant[8])
{
    static const char mark[] = "-- name:";
    const char *found = NULL;
    ret_invariant[0] = '\0';
    for (size_t i = 0; i + sizeof mark - 1 <= lead_size; i++)
        if (memcmp(lead + i, mark, sizeof mark - 1) == 0)
            found = lead + i + sizeof mark - 1;
    if (!found) {
        snprintf(ret_name, 160, "statement in line %d", line);
        return;
    }
    const char *end = memchr(found, '\n', (size_t)(lead + lead_size - found));
    if (!end)
        end = lead + lead_size;
    while (found < end && *found == ' ')
        found++;
    snprintf(ret_name, 160, "%.*s", (int)(end - found), found);
    char *open = strrchr(ret_name, '(');
    char *close = open ? strchr(open, ')') : NULL;
    if (open && close && close - open < 8 && open[1] == 'I' && open[2] >= '0' && open[2] <= '9') {
        snprintf(ret_invariant, 8, "%.*s", (int)(close - open - 1), open + 1);
        while (open > ret_name && open[-1] == ' ')
            open--;
        *open = '\0';
    }
}

static json_t *rows_json(const PGresult *result)
{
    json_t *rows = json_array();
    for (int i = 0; i < PQntuples(result); i++) {
        json_t *row = json_object();
        for (int j = 0; j < PQnfields(result); j++)
            json_object_set_new(row, PQfname(result, j),
                                PQgetisnull(result, i, j) ? json_null()
                                                          : json_string(PQgetvalue(result, i, j)));
        json_array_append_new(rows, row);
    }
    return rows;
}

/* Runs the statement behind the cursor. Returns the number of rows, -1 with the error. */
static int64_t count_rows(PGconn *conn, const struct sql_statement *statement, json_t **ret_first,
                          struct error *error)
{
    struct buf sql = {0};
    PGresult *first = NULL;
    PGresult *rest = NULL;
    int64_t count = -1;
    buf_put_text(&sql, "DECLARE audit_check NO SCROLL CURSOR FOR ");
    buf_put(&sql, statement->text, statement->size);
    buf_put(&sql, "", 1);
    if (pg_run(conn, sql.data, error) == 0 &&
        pg_query(conn, "FETCH 3 FROM audit_check", 0, NULL, &first, error) == 0 &&
        pg_query(conn, "MOVE ALL IN audit_check", 0, NULL, &rest, error) == 0) {
        count = PQntuples(first) + strtoll(PQcmdTuples(rest), NULL, 10);
        if (count)
            *ret_first = rows_json(first);
    }
    PQclear(first);
    PQclear(rest);
    buf_free(&sql);
    return count;
}

static int run_check(PGconn *conn, const struct asset *checks, const char *processor,
                     const struct sql_statement *statement, struct audit_report *report,
                     struct error *error)
{
    char name[160];
    char invariant[8];
    json_t *first = NULL;
    struct error failure = {0};
    audit_check_name(statement->lead, statement->lead_size, statement->line, name, invariant);
    if (pg_run(conn, "SAVEPOINT audit_check", error) != 0)
        return -1;
    int64_t count = count_rows(conn, statement, &first, &failure);
    if (pg_run(conn, "ROLLBACK TO SAVEPOINT audit_check; RELEASE SAVEPOINT audit_check", error) !=
        0) {
        json_decref(first);
        return -1;
    }
    if (count < 0) {
        audit_add(report, invariant, processor, name, AUDIT_BROKEN, "%s:%d cannot be run: %s",
                  checks->path, statement->line, failure.message);
    } else {
        struct audit_item *item =
            count ? audit_add(report, invariant, processor, name, AUDIT_BROKEN, "%lld row%s it",
                              (long long)count, count == 1 ? " breaks" : "s break")
                  : audit_add(report, invariant, processor, name, AUDIT_HOLDS, "no row breaks it");
        item->rows = count;
        item->first = first;
    }
    return 0;
}

int audit_checks(PGconn *conn, const struct asset *checks, const char *processor,
                 const char *schema, struct audit_report *report, struct error *error)
{
    struct sql_statement statement;
    struct sql_cursor cursor = sql_open(checks->data, checks->size);
    if (pg_runf(conn, error, "SET LOCAL search_path = %s, pg_catalog", schema) != 0)
        return -1;
    while (sql_next(&cursor, &statement))
        if (run_check(conn, checks, processor, &statement, report, error) != 0)
            return -1;
    return 0;
}
