/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables and the one large batch. Planned by statistics of what is in them, unlike batches. */
#include "processors/rebuild/stage.h"

#include <poll.h>
#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/base/failpoint.h"
#include "processors/definition/bind.h"
#include "processors/definition/place.h"
#include "processors/definition/sandbox.h"
#include "processors/rebuild/stage_events.h"

/* Of a sort or a hash of the one large batch, in each session; what is larger goes to disk. The
 * sample is small: distinct values and sizes are all that plans are made of here. */
#define STAGE_SETTINGS                                                                             \
    "SET LOCAL work_mem = '256MB'; SET LOCAL jit = off; SET LOCAL synchronous_commit = off;"       \
    "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s';"                             \
    "SET LOCAL max_parallel_workers_per_gather = 0"
#define STAGE_SAMPLE "SET default_statistics_target = 10"

enum { STOP_POLL_MS = 100 };

void stage_table(const struct installed *installed, int set, char ret_table[STAGE_PREFIX_SIZE])
{
    snprintf(ret_table, STAGE_PREFIX_SIZE, "%s.stage_%d", installed->schema, set);
}

void stage_prefix(const struct installed *installed, int set, char ret_prefix[STAGE_PREFIX_SIZE])
{
    snprintf(ret_prefix, STAGE_PREFIX_SIZE, "%s.stage_%d_", installed->schema, set);
}

/* The function that folds a set. */
static void fold_name(int set, char ret_name[BIND_NAME_MAX])
{
    snprintf(ret_name, BIND_NAME_MAX, "author_stage_%d", set);
}

int stage_create(PGconn *conn, const struct processor *processor, const struct installed *installed,
                 int sets, struct error *error)
{
    struct buf sql = {0};
    buf_printf(&sql,
               "CREATE UNLOGGED TABLE %s.stage (set integer PRIMARY KEY, folded boolean NOT NULL);"
               "GRANT SELECT ON %s.stage TO weir_processor;",
               installed->schema, installed->schema);
    for (int i = 0; i < sets; i++) {
        char prefix[STAGE_PREFIX_SIZE];
        char table[STAGE_PREFIX_SIZE];
        stage_prefix(installed, i, prefix);
        stage_table(installed, i, table);
        stage_events_create(table, &sql);
        buf_printf(&sql, "INSERT INTO %s.stage VALUES (%d, false);", installed->schema, i);
        for (size_t k = 0; k < processor->relation_count; k++) {
            char type[128];
            const char *name = processor->relations[k]->name;
            bind_type_name(processor->relations[k], type);
            buf_printf(&sql,
                       "CREATE UNLOGGED TABLE %s%s OF weir_event.%s;"
                       "GRANT SELECT, INSERT ON %s%s TO weir_processor;"
                       "GRANT SELECT ON %s%s TO weir_author_%s;",
                       prefix, name, type, prefix, name, prefix, name, processor->name);
        }
    }
    int code = pg_run(conn, buf_text(&sql), error);
    buf_reset(&sql);
    for (int i = 0; i < sets; i++) {
        char prefix[STAGE_PREFIX_SIZE];
        char name[BIND_NAME_MAX];
        stage_prefix(installed, i, prefix);
        fold_name(i, name);
        bind_fold(processor, installed->schema, prefix, name, &sql);
        buf_put_text(&sql, ";");
    }
    if (code == 0 && sets > 0)
        code = sandbox_enter(conn, processor->name, installed->schema, error);
    if (code == 0 && sets > 0)
        code = pg_run(conn, buf_text(&sql), error);
    if (code == 0 && sets > 0)
        code = sandbox_leave(conn, processor->name, installed->schema, error);
    buf_free(&sql);
    return code;
}

int stage_look(PGconn *conn, const struct installed *installed, enum stage_state *ret_state,
               int *ret_sets, struct error *error)
{
    char name[80];
    PGresult *result = NULL;
    snprintf(name, sizeof name, "%s.stage", installed->schema);
    const char *values[] = {name};
    *ret_state = STAGE_NONE;
    *ret_sets = 0;
    if (pg_query(conn, "SELECT to_regclass($1) IS NOT NULL", 1, values, &result, error) != 0)
        return -1;
    int there = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    if (!there)
        return 0;
    char *sql = xasprintf("SELECT count(*), count(*) FILTER (WHERE folded) FROM %s", name);
    int code = pg_query(conn, sql, 0, NULL, &result, error);
    free(sql);
    if (code != 0)
        return -1;
    *ret_sets = (int)pg_int(result, 0, 0);
    if (*ret_sets == 0)
        *ret_state = STAGE_LOST;
    else
        *ret_state = pg_int(result, 0, 1) > 0 ? STAGE_CLOSED : STAGE_OPEN;
    PQclear(result);
    return 0;
}

/* As pg_run, for what may take hours. An error names the author's line. */
static int run_until_stopped(PGconn *conn, const char *sql, const struct processor *processor,
                             const atomic_int *stop, struct error *error)
{
    int code = PQsendQuery(conn, sql) ? 0 : pg_fail(conn, NULL, error);
    int cancelled = 0;
    while (code == 0 && PQisBusy(conn)) {
        struct pollfd fd = {.fd = PQsocket(conn), .events = POLLIN};
        char reason[256];
        if (*stop && !cancelled) {
            PGcancel *cancel = PQgetCancel(conn);
            cancelled = cancel && PQcancel(cancel, reason, sizeof reason);
            PQfreeCancel(cancel);
        }
        poll(&fd, 1, STOP_POLL_MS);
        if (!PQconsumeInput(conn))
            code = pg_fail(conn, NULL, error);
    }
    for (PGresult *result; (result = PQgetResult(conn)); PQclear(result)) {
        if (PQresultStatus(result) == PGRES_TUPLES_OK || code != 0)
            continue;
        code = pg_fail(conn, result, error);
        place_prefix(processor, PQresultErrorField(result, PG_DIAG_CONTEXT), error);
    }
    return code != 0 && cancelled ? error_set(error, ERROR_RETRY, "stopped", "stopped") : code;
}

static int is_folded(PGconn *conn, const struct installed *installed, int set, int *ret_folded,
                     struct error *error)
{
    PGresult *result = NULL;
    char *sql = xasprintf("SELECT folded FROM %s.stage WHERE set = %d", installed->schema, set);
    int code = pg_query(conn, sql, 0, NULL, &result, error);
    free(sql);
    if (code == 0)
        *ret_folded = PQntuples(result) > 0 && *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return code;
}

/* Appends "stage_0_a, stage_0_b". */
static void put_tables(const struct processor *processor, const char *prefix, struct buf *out)
{
    for (size_t i = 0; i < processor->relation_count; i++)
        buf_printf(out, "%s%s%s", i ? ", " : " ", prefix, processor->relations[i]->name);
}

static int fold(PGconn *conn, const struct processor *processor, const struct installed *installed,
                const char *name, const atomic_int *stop, struct error *error)
{
    if (pg_runf(conn, error, STAGE_SETTINGS "; SELECT weir.check_author('%s', '%s')",
                installed->schema, name) != 0)
        return -1;
    char *sql = xasprintf("SELECT %s.%s()", installed->schema, name);
    int code = run_until_stopped(conn, sql, processor, stop, error);
    free(sql);
    return code;
}

int stage_fold(PGconn *conn, const struct processor *processor, const struct installed *installed,
               int set, const atomic_int *stop, struct error *error)
{
    char prefix[STAGE_PREFIX_SIZE];
    char table[STAGE_PREFIX_SIZE];
    char name[BIND_NAME_MAX];
    int folded = 0;
    struct buf sql = {0};
    fold_name(set, name);
    if (is_folded(conn, installed, set, &folded, error) != 0 || folded)
        return folded ? 0 : -1;
    stage_prefix(installed, set, prefix);
    stage_table(installed, set, table);
    buf_put_text(&sql, STAGE_SAMPLE "; ANALYZE");
    put_tables(processor, prefix, &sql);
    int code = pg_run(conn, buf_text(&sql), error);
    if (code == 0)
        code = pg_run(conn, "BEGIN", error);
    if (code == 0)
        code = fold(conn, processor, installed, name, stop, error);
    if (code == 0)
        code = stage_events_copy_kept(conn, processor, installed, table, error);
    buf_reset(&sql);
    buf_put_text(&sql, "DROP TABLE");
    put_tables(processor, prefix, &sql);
    buf_printf(&sql,
               ", %s; DROP FUNCTION IF EXISTS %s.%s(); "
               "UPDATE %s.stage SET folded = true WHERE set = %d; COMMIT",
               table, installed->schema, name, installed->schema, set);
    if (code == 0)
        code = pg_run(conn, buf_text(&sql), error);
    if (code != 0)
        pg_run(conn, "ROLLBACK", NULL);
    else
        FAILPOINT("rebuild.folded");
    buf_free(&sql);
    return code;
}

int stage_drop(PGconn *conn, const struct installed *installed, struct error *error)
{
    return pg_runf(conn, error, "DROP TABLE IF EXISTS %s.stage", installed->schema);
}
