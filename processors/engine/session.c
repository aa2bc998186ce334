/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's database session: connected, in its role, with the settings that the batch needs and
 * the procedure prepared. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "processors/definition/column_usage.h"
#include "processors/definition/source.h"
#include "processors/engine/internal.h"

/* Has to be read before SET ROLE, which may not see it. */
static int read_start(struct engine *engine, PGconn *conn, struct error *error)
{
    PGresult *result = NULL;
    int code =
        pg_query(conn, "SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()", 0,
                 NULL, &result, error);
    if (code == 0)
        snprintf(engine->started_at, sizeof engine->started_at, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    return code;
}

/* Waiting for a lock has to end before the statement does: what is told then is that another
 * transaction is in the way, not that the batch is too big. */
static int64_t lock_timeout_ms(const struct engine *engine)
{
    int64_t lock_ms = config_int(engine->config, OPT_LOCK_TIMEOUT);
    int64_t half_ms = config_int(engine->config, OPT_STATEMENT_TIMEOUT) / 2;
    return lock_ms < half_ms ? lock_ms : half_ms;
}

/* Another version than this build's is live. A roll-out is under way, or a rollback, when the
 * generation of this one is kept. */
static void find_previous(struct engine *engine, PGconn *conn, struct error *error)
{
    struct error failure;
    PGresult *result = NULL;
    const struct processor *processor = engine->processor;
    const char *values[] = {processor->name, PG_NUMBER(processor->version), processor->consumes};
    int code = pg_query(conn,
                        "SELECT f.generation, p.generation, p.version FROM weir.processor p "
                        "CROSS JOIN LATERAL (SELECT * FROM weir.generation g "
                        "WHERE g.processor = p.processor AND g.state = 'previous' "
                        "ORDER BY live_at DESC NULLS LAST, generation DESC LIMIT 1) f "
                        "WHERE p.processor = $1 AND (f.version, f.consumes) = ($2::integer, $3)",
                        3, values, &result, &failure);
    if (code != 0 && failure.class == ERROR_RETRY)
        *error = failure;
    if (code == 0 && PQntuples(result) > 0) {
        engine->previous = (int)pg_int(result, 0, 0);
        error_set(
            error, ERROR_USAGE, "version-changed",
            "processor %s is version %d here, and generation %s, of version %s, is live: this "
            "instance stands aside, and follows generation %d, to which a rollback would go",
            processor->name, processor->version, PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 2),
            engine->previous);
    }
    PQclear(result);
}

int session_open(struct engine *engine, struct error *error)
{
    char name[128];
    struct buf call = {0};
    snprintf(name, sizeof name, "weir process %s", engine->processor->name);
    PGconn *conn = NULL;
    if (pg_connect(config_text(engine->config, OPT_DATABASE), name, &conn, error) != 0)
        return -1;
    pg_set_patience(conn, config_int(engine->config, OPT_STATEMENT_TIMEOUT) + APPLY_GRACE_MS);
    int code = install_find(conn, engine->processor, &engine->installed, error);
    engine->previous = 0;
    if (code != 0 && strcmp(error->code, "version-changed") == 0)
        find_previous(engine, conn, error);
    char *usage = NULL;
    if (code == 0)
        code = column_usage_load(conn, &engine->installed, &usage, error);
    decoder_set_column_usage(engine->decoder, usage);
    if (code == 0)
        code = source_check(conn, config_text(engine->config, OPT_SCHEMA_REGISTRY_URL), error);
    if (code == 0)
        code = decoder_load(engine->decoder, conn, error);
    if (code == 0)
        code = read_start(engine, conn, error);
    /* Kept plans are made while tables are still small, and a scan of all of a small table looks
     * cheap: 57 times the time per event once it had grown. Batches are no tables, so they do not
     * care. Positions and effects commit together, so that losing the last commits in a crash loses
     * both, and the topic is read again from there: waiting for the disk at each commit would buy
     * nothing. */
    if (code == 0)
        code = pg_runf(
            conn, error,
            "SET ROLE weir_processor; SET search_path = pg_catalog, pg_temp;"
            "SET plan_cache_mode = force_generic_plan; SET synchronous_commit = off; SET jit = off;"
            "SET enable_seqscan = off;"
            "SET work_mem = '32MB'; SET lock_timeout = %" PRId64
            "; SET statement_timeout = %" PRId64 ";"
            "SET idle_in_transaction_session_timeout = '60s'",
            lock_timeout_ms(engine), config_int(engine->config, OPT_STATEMENT_TIMEOUT));
    if (code == 0)
        code = slice_types_load(conn, engine->processor, &engine->types, error);
    if (code == 0) {
        bind_call(engine->processor, engine->installed.schema, engine->installed.procedure, &call);
        code = pg_prepare(conn, "apply", buf_text(&call), error);
        buf_reset(&call);
        bind_search(engine->processor, engine->installed.schema, engine->installed.procedure,
                    &call);
    }
    if (code == 0)
        code = pg_prepare(conn, "search", buf_text(&call), error);
    if (code == 0)
        code = drain_prepare(conn, error);
    if (code == 0)
        code = decisions_prepare(conn, error);
    buf_free(&call);
    if (code != 0) {
        PQfinish(conn);
        return -1;
    }
    engine->conn = conn;
    engine->past_known = 0;
    return 0;
}
