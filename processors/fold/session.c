/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening a session, and claiming partitions. */
#include "processors/fold/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "processors/definition/column_usage.h"

enum { CLAIM_TRIES = 3 };

struct session {
    struct session_options options;
    struct installed installed;
    PGconn *conn;
    char started_at[48]; /* of its backend */
    struct slice_types types;
    struct buf topics; /* wanted, as array literals without an end */
    struct buf partitions;
};

int session_connect(const struct session_options *options, struct session **ret_session,
                    struct error *error)
{
    struct session *session = xcalloc(1, sizeof *session);
    session->options = *options;
    if (pg_connect(config_text(options->config, OPT_DATABASE), options->application, &session->conn,
                   error) != 0) {
        free(session);
        return -1;
    }
    pg_set_patience(session->conn,
                    options->copies ? 0 : options->statement_timeout_ms + SESSION_GRACE_MS);
    *ret_session = session;
    return 0;
}

void session_free(struct session *session)
{
    if (!session)
        return;
    PQfinish(session->conn);
    buf_free(&session->topics);
    buf_free(&session->partitions);
    free(session);
}

PGconn *session_conn(const struct session *session)
{
    return session ? session->conn : NULL;
}

const struct slice_types *session_types(const struct session *session)
{
    return &session->types;
}

/* Has to be read before SET ROLE, which may not see it. */
static int read_start(struct session *session, struct error *error)
{
    PGresult *result = NULL;
    int code = pg_query(session->conn,
                        "SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()",
                        0, NULL, &result, error);
    if (code == 0)
        snprintf(session->started_at, sizeof session->started_at, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    return code;
}

static int load_usage(struct session *session, struct decoder *decoder, struct error *error)
{
    char *usage = NULL;
    int code = column_usage_load(session->conn, &session->installed, &usage, error);
    decoder_set_column_usage(decoder, usage);
    return code;
}

/* Kept plans are made while tables are still small, and a scan of all of a small table looks cheap:
 * 57 times the time per event once it had grown. Batches are no tables, so they do not care.
 * Positions and effects commit together, so that losing the last commits in a crash loses both, and
 * the topic is read again from there: waiting for the disk at each commit would buy nothing. */
static int set_up(struct session *session, struct error *error)
{
    const struct session_options *options = &session->options;
    return pg_runf(
        session->conn, error,
        "SET ROLE weir_processor; SET search_path = pg_catalog, pg_temp;"
        "SET plan_cache_mode = force_generic_plan; SET synchronous_commit = off; SET jit = off;"
        "SET enable_seqscan = off; SET work_mem = '%s';"
        "SET lock_timeout = %" PRId64 "; SET statement_timeout = %" PRId64 ";"
        "SET idle_in_transaction_session_timeout = '60s';"
        "SET client_connection_check_interval = '1s'",
        options->work_mem, options->lock_timeout_ms, options->statement_timeout_ms);
}

/* Prepares what bind_call or bind_search makes. */
static int prepare(struct session *session, const char *name,
                   void (*bind)(const struct processor *, const char *, const char *, struct buf *),
                   struct error *error)
{
    struct buf sql = {0};
    bind(session->options.processor, session->installed.schema, session->installed.procedure, &sql);
    int code = pg_prepare(session->conn, name, buf_text(&sql), error);
    buf_free(&sql);
    return code;
}

int session_prepare(struct session *session, const struct installed *installed,
                    struct decoder *decoder, struct error *error)
{
    session->installed = *installed;
    return load_usage(session, decoder, error) == 0 &&
                   decoder_load(decoder, session->conn, error) == 0 &&
                   read_start(session, error) == 0 && set_up(session, error) == 0 &&
                   slice_types_load(session->conn, session->options.processor, &session->types,
                                    error) == 0 &&
                   prepare(session, "apply", bind_call, error) == 0 &&
                   prepare(session, "search", bind_search, error) == 0
               ? 0
               : -1;
}

void session_want(struct session *session, const char *topic, int32_t partition)
{
    const char *lead = session->topics.size ? "," : "{";
    buf_printf(&session->topics, "%s%s", lead, topic);
    buf_printf(&session->partitions, "%s%" PRId32, lead, partition);
}

static const char *close_list(struct buf *list)
{
    buf_put_text(list, list->size ? "}" : "{}");
    return buf_text(list);
}

int session_claim(struct session *session, struct positions *positions, struct error *error)
{
    const struct installed *installed = &session->installed;
    char host[128] = "";
    char owner[192];
    gethostname(host, sizeof host - 1);
    snprintf(owner, sizeof owner, "%s:%d", host, (int)getpid());
    const char *values[] = {installed->generation ? session->options.processor->name
                                                  : installed->schema,
                            PG_NUMBER(installed->generation),
                            close_list(&session->topics),
                            close_list(&session->partitions),
                            session->options.live ? "true" : "false",
                            owner,
                            session->started_at};
    PGresult *result = NULL;
    int code = -1;
    for (int i = 0; code != 0 && i < CLAIM_TRIES; i++) {
        code = pg_query(session->conn,
                        "SELECT " POSITION_COLUMNS " FROM weir.claim($1, $2, $3, $4, $5, $6, $7)",
                        7, values, &result, error);
        if (code == 0 || strcmp(error->code, "55P03") != 0)
            break;
        log_warn("the previous owner holds a partition for longer than the lock timeout; ending "
                 "its database session");
        struct error failure;
        if (pg_query(session->conn, "SELECT weir.evict($1, $2, $3, $4)", 4, values, NULL,
                     &failure) != 0)
            log_warn("it could not be ended: %s", failure.message);
    }
    if (code == 0)
        positions_read(positions, result);
    PQclear(result);
    buf_reset(&session->topics);
    buf_reset(&session->partitions);
    return code;
}
