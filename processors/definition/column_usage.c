/* SPDX-License-Identifier: Apache-2.0
 *
 * In memory it is the text of the array in weir.column_usage, "{relation.column,relation,…}". Names
 * are in snake case, so that Postgres quotes none. */
#include "processors/definition/column_usage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/pg/sql_scan.h"
#include "lib/pg/statement.h"
#include "processors/definition/bind.h"

static void put_statements(const struct asset *asset, struct buf *sql)
{
    struct sql_cursor cursor = sql_open(asset->data, asset->size);
    struct sql_statement statement;
    while (sql_next(&cursor, &statement)) {
        buf_put(sql, statement.text, statement.size);
        buf_put_text(sql, "\n;");
    }
}

/* Empty tables named as the relations, and the procedure over them. */
static int make_procedure(PGconn *conn, const struct processor *processor)
{
    struct buf sql = {0};
    for (size_t i = 0; i < processor->relation_count; i++) {
        char type[128];
        bind_type_name(processor->relations[i], type);
        buf_printf(&sql, "CREATE TEMP TABLE \"%s\" OF weir_event.%s;",
                   processor->relations[i]->name, type);
    }
    struct error error;
    int code = pg_run(conn, buf_text(&sql), &error);
    buf_reset(&sql);
    buf_put_text(&sql, "CREATE PROCEDURE pg_temp.weir_reads() LANGUAGE sql BEGIN ATOMIC ");
    put_statements(processor->apply, &sql);
    if (processor->screen)
        put_statements(processor->screen, &sql);
    buf_put_text(&sql, " END");
    if (code == 0) /* as one statement, so that no author's text can end it and begin another */
        code = pg_query(conn, buf_text(&sql), 0, NULL, NULL, &error);
    buf_free(&sql);
    return code;
}

static char *find_columns(PGconn *conn, const struct processor *processor)
{
    PGresult *result = NULL;
    char *columns = NULL;
    struct error error;
    if (make_procedure(conn, processor) == 0 &&
        pg_query(conn, statement("find_column_usage"), 0, NULL, &result, &error) == 0 &&
        PQntuples(result) == 1 && !PQgetisnull(result, 0, 0))
        columns = xstrdup(PQgetvalue(result, 0, 0));
    PQclear(result);
    return columns;
}

int column_usage_record(PGconn *conn, const struct processor *processor,
                        const struct installed *installed, struct error *error)
{
    if (pg_runf(conn, error, "SAVEPOINT weir_reads; SET LOCAL search_path = %s, pg_catalog",
                installed->schema) != 0)
        return -1;
    char *columns = find_columns(conn, processor);
    const char *values[] = {installed->schema, installed->procedure, columns};
    int code = pg_run(conn, "ROLLBACK TO weir_reads; RELEASE weir_reads", error);
    if (code == 0)
        code = pg_query(conn, statement("record_column_usage"), 3, values, NULL, error);
    free(columns);
    return code;
}

int column_usage_load(PGconn *conn, const struct installed *installed, char **ret_usage,
                      struct error *error)
{
    const char *values[] = {installed->schema, installed->procedure};
    PGresult *result = NULL;
    *ret_usage = NULL;
    if (pg_query(conn,
                 "SELECT columns FROM weir.column_usage WHERE (schema_name, procedure) = ($1, $2)",
                 2, values, &result, error) != 0)
        return -1;
    if (PQntuples(result) > 0 && !PQgetisnull(result, 0, 0))
        *ret_usage = xstrdup(PQgetvalue(result, 0, 0));
    PQclear(result);
    return 0;
}

/* Whether the name is an element of the array, or the head of one that ends with a column. */
static int is_read(const char *usage, const char *name, const char *ends)
{
    size_t size = strlen(name);
    for (const char *at = usage; (at = strstr(at, name)); at += size)
        if (strchr("{,", at[-1]) && strchr(ends, at[size]))
            return 1;
    return 0;
}

int column_usage_trim(const char *usage, const struct relation_set *set, struct plan *plan,
                      struct error *error)
{
    for (size_t i = 0; i < relation_count(set); i++) {
        const struct relation *relation = relation_at(set, i);
        if (!is_read(usage, relation->name, ".,}"))
            plan_omit_relation(plan, i);
        for (size_t k = 0; k < relation->column_count; k++) {
            char *name = xasprintf("%s.%s", relation->name, relation->columns[k].name);
            if (!is_read(usage, name, ",}"))
                plan_omit_column(plan, i, k);
            free(name);
        }
    }
    return plan_trim(plan, error);
}
