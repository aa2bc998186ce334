/* SPDX-License-Identifier: Apache-2.0
 *
 * CREATE OR REPLACE VIEW keeps the view's identity: what others built on it, prepared statements
 * and grants stay. Postgres itself refuses a column that changes its type, its name or goes away.
 */
#include "processors/rebuild/swap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/pg/statement.h"

/* Views outside of the published schema that stand on its views, over any number of others. */
static int find_dependents(PGconn *conn, const char *schema, json_t *names, struct error *error)
{
    const char *values[] = {schema};
    PGresult *result = NULL;
    if (pg_query(conn, statement("views_on_views"), 1, values, &result, error) != 0)
        return -1;
    for (int i = 0; i < PQntuples(result); i++)
        json_array_append_new(names, json_string(PQgetvalue(result, i, 0)));
    PQclear(result);
    return 0;
}

static void list_names(const json_t *names, struct buf *out)
{
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
        buf_printf(out, "%s%s", i ? ", " : "", json_string_value(name));
    if (json_array_size(names) == 0)
        buf_put_text(out, "nobody built on them");
}

/* Says why the views cannot be replaced, and who would be hit. */
static int refuse(PGconn *conn, const char *schema, const char *reason, struct error *error)
{
    json_t *names = json_array();
    struct buf list = {0};
    int code = find_dependents(conn, schema, names, error);
    if (code == 0) {
        list_names(names, &list);
        code = error_set(error, ERROR_USAGE, "views-break",
                         "the published views would break: %s. Readers use them by name and type; "
                         "views of others on them: %s. --break-views drops those and goes on",
                         reason, buf_text(&list));
    }
    json_decref(names);
    buf_free(&list);
    return code;
}

static int drop_views(PGconn *conn, const char *schema, json_t *dropped, struct error *error)
{
    const char *values[] = {schema};
    PGresult *result = NULL;
    if (find_dependents(conn, schema, dropped, error) != 0 ||
        pg_query(conn,
                 "SELECT format('DROP VIEW IF EXISTS %I.%I CASCADE', $1::text, relname) "
                 "FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relkind = 'v'",
                 1, values, &result, error) != 0)
        return -1;
    int code = 0;
    for (int i = 0; code == 0 && i < PQntuples(result); i++)
        code = pg_run(conn, PQgetvalue(result, i, 0), error);
    PQclear(result);
    return code;
}

/* Published views that still read another generation: views.sql does not make them any more. */
static int find_stale(PGconn *conn, const struct processor *processor,
                      const struct generation *next, char **ret_names, struct error *error)
{
    const char *values[] = {processor->name, next->installed.schema};
    PGresult *result = NULL;
    *ret_names = NULL;
    if (pg_query(conn, statement("stale_views"), 2, values, &result, error) != 0)
        return -1;
    if (!PQgetisnull(result, 0, 0))
        *ret_names = xstrdup(PQgetvalue(result, 0, 0));
    PQclear(result);
    return 0;
}

int swap_views(PGconn *conn, const struct processor *processor, const struct generation *next,
               int break_views, json_t *dropped, struct error *error)
{
    char *stale = NULL;
    if (pg_run(conn, "SAVEPOINT views", error) != 0)
        return -1;
    int code = install_views(conn, processor, &next->installed, error);
    if (code == 0 && find_stale(conn, processor, next, &stale, error) != 0)
        return -1;
    /* 42P16: Postgres cannot replace the view by one with other columns */
    int breaks = stale || (code != 0 && strcmp(error->code, "42P16") == 0);
    if (!breaks)
        return code;
    char *reason = stale ? xasprintf("%s would go away", stale) : xstrdup(error->message);
    free(stale);
    code = pg_run(conn, "ROLLBACK TO views", error);
    if (code == 0 && !break_views)
        code = refuse(conn, processor->name, reason, error);
    else if (code == 0 && (code = drop_views(conn, processor->name, dropped, error)) == 0)
        code = install_views(conn, processor, &next->installed, error);
    free(reason);
    return code;
}

int swap_generation(PGconn *conn, const struct processor *processor, const struct generation *live,
                    const struct generation *next, int restored, struct error *error)
{
    char numbers[3][16];
    snprintf(numbers[0], sizeof numbers[0], "%d", live->number);
    snprintf(numbers[1], sizeof numbers[1], "%d", next->number);
    snprintf(numbers[2], sizeof numbers[2], "%d", processor->version);
    const char *values[] = {processor->name, numbers[0], numbers[1], numbers[2],
                            processor->consumes};
    static const char *const steps[] = {
        /* the live engine's next batch is refused, and it looks for the new generation */
        "UPDATE weir.position SET epoch = epoch + 1 WHERE processor = $1 AND generation = $2",
        "UPDATE weir.generation SET state = 'previous', updated_at = now() "
        "WHERE processor = $1 AND generation = $2",
        "UPDATE weir.generation SET state = 'live', phase = '', owner = NULL, live_at = now(), "
        "updated_at = now() WHERE processor = $1 AND generation = $2"};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const char *pair[] = {processor->name, i == 2 ? numbers[1] : numbers[0]};
        if (pg_query(conn, steps[i], 2, pair, NULL, error) != 0)
            return -1;
    }
    PGresult *result = NULL;
    const char *move[] = {processor->name, numbers[0], numbers[1], restored ? "t" : "f"};
    if (pg_query(conn, "SELECT weir.move_failures($1, $2, $3, $4)", 4, move, NULL, error) != 0)
        return -1;
    if (pg_query(conn,
                 "UPDATE weir.processor SET generation = $3, version = $4, consumes = $5, "
                 "created_at = now() WHERE processor = $1 AND generation = $2 RETURNING 1",
                 5, values, &result, error) != 0)
        return -1;
    int changed = PQntuples(result);
    PQclear(result);
    if (!changed)
        return error_set(error, ERROR_FATAL, "not-live", "generation %d of %s is not live any more",
                         live->number, processor->name);
    const char *next_pair[] = {processor->name, numbers[1]};
    return pg_query(conn, "SELECT weir.publish_late($1, $2)", 2, next_pair, NULL, error);
}
