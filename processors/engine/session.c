/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's database session, for the generation that is live, if that is of this build. */
#include <stdio.h>
#include <string.h>

#include "lib/pg/statement.h"
#include "processors/definition/source.h"
#include "processors/engine/internal.h"

/* Another version than this build's is live. A roll-out is under way, or a rollback, when the
 * generation of this one is kept. */
static void find_previous(struct engine *engine, PGconn *conn, struct error *error)
{
    struct error failure;
    PGresult *result = NULL;
    const struct processor *processor = engine->processor;
    const char *values[] = {processor->name, PG_NUMBER(processor->version), processor->consumes};
    int code = pg_query(conn, statement("kept_generation"), 3, values, &result, &failure);
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

int engine_open_session(struct engine *engine, struct error *error)
{
    char name[128];
    const struct session_options options = {
        .config = engine->config,
        .processor = engine->processor,
        .application = name,
        .work_mem = "32MB",
        .lock_timeout_ms = config_int(engine->config, OPT_LOCK_TIMEOUT),
        .statement_timeout_ms = config_int(engine->config, OPT_STATEMENT_TIMEOUT),
        .live = 1};
    struct session *session = NULL;
    snprintf(name, sizeof name, "weir process %s", engine->processor->name);
    if (session_connect(&options, &session, error) != 0)
        return -1;
    PGconn *conn = session_conn(session);
    int code = install_find(conn, engine->processor, &engine->installed, error);
    engine->previous = 0;
    if (code != 0 && strcmp(error->code, "version-changed") == 0)
        find_previous(engine, conn, error);
    if (code == 0)
        code = source_check(conn, config_text(engine->config, OPT_SCHEMA_REGISTRY_URL), error);
    if (code == 0)
        code = session_prepare(session, &engine->installed, engine->decoder, error);
    if (code == 0)
        code = drain_prepare(conn, error);
    if (code == 0)
        code = decisions_prepare(conn, error);
    if (code != 0) {
        session_free(session);
        return -1;
    }
    engine->session = session;
    engine->past_known = 0;
    return 0;
}
