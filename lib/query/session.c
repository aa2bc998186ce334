/* SPDX-License-Identifier: Apache-2.0
 *
 * Statements are sent, and the answer is waited for. They are prepared when they are first used.
 * Their plans are generic and made without scans of whole tables: they are kept, and were perhaps
 * made while the tables were small. */
#include "lib/query/session.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/timestamp.h"
#include "lib/pg/pg.h"

enum { CHECK_TIMEOUT_MS = 20000 };

struct query_session {
    PGconn *conn;
    const struct queries *queries;
    int lost;
    char *prepared; /* by the index of the query */
};

/* The result of what was sent; `sent` is what libpq said about sending. */
static int receive(struct query_session *session, int sent, const struct pg_limit *limit,
                   PGresult **ret_result, struct error *error)
{
    PGresult *last = NULL;
    PGresult *next;
    if (!sent) {
        session->lost = 1;
        return pg_fail(session->conn, NULL, error);
    }
    for (;;) {
        if (pg_await(session->conn, limit, error) != 0) {
            session->lost = 1;
            PQclear(last);
            return -1;
        }
        next = PQgetResult(session->conn);
        if (!next)
            break;
        if (last && PQresultStatus(last) == PGRES_FATAL_ERROR) {
            PQclear(next); /* the first error counts */
            continue;
        }
        PQclear(last);
        last = next;
    }
    ExecStatusType status = PQresultStatus(last);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
        *ret_result = last;
        return 0;
    }
    pg_fail(session->conn, last, error);
    PQclear(last);
    if (PQstatus(session->conn) != CONNECTION_OK || strncmp(error->code, "26", 2) == 0)
        session->lost = 1;
    return -1;
}

static int set_up(struct query_session *session, int64_t timeout_ms, const struct pg_limit *limit,
                  struct error *error)
{
    char sql[512];
    PGresult *result = NULL;
    snprintf(sql, sizeof sql,
             "SET ROLE weir_gateway; SET default_transaction_read_only = on; "
             "SET statement_timeout = %lld; SET client_connection_check_interval = %d; "
             "SET search_path = pg_catalog; "
             "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; "
             "SET enable_bitmapscan = off; SET jit = off",
             (long long)timeout_ms, QUERY_GRACE_MS);
    int code = receive(session, PQsendQuery(session->conn, sql), limit, &result, error);
    PQclear(result);
    if (code != 0 && strcmp(error->code, "22023") == 0)
        error_set(error, ERROR_HALT, "not-migrated",
                  "this database has no role weir_gateway; run `weir migrate`");
    return code;
}

int query_session_open(const char *conninfo, const struct queries *queries, int64_t timeout_ms,
                       const struct pg_limit *limit, struct query_session **ret_session,
                       struct error *error)
{
    PGconn *conn;
    if (pg_connect_within(conninfo, "weir gateway", limit, &conn, error) != 0)
        return -1;
    struct query_session *session = xcalloc(1, sizeof *session);
    session->conn = conn;
    session->queries = queries;
    session->prepared = xcalloc(queries_count(queries) + 1, 1);
    if (set_up(session, timeout_ms, limit, error) != 0) {
        query_session_free(session);
        return -1;
    }
    *ret_session = session;
    return 0;
}

void query_session_free(struct query_session *session)
{
    if (!session)
        return;
    PQfinish(session->conn);
    free(session->prepared);
    free(session);
}

int query_session_lost(const struct query_session *session)
{
    return session->lost;
}

static int prepare(struct query_session *session, const struct query *query,
                   const struct pg_limit *limit, struct error *error)
{
    PGresult *result = NULL;
    int code = receive(session,
                       PQsendPrepare(session->conn, query->name, query->sql,
                                     (int)query->bound_count, query->types),
                       limit, &result, error);
    PQclear(result);
    session->prepared[query->index] = code == 0;
    return code;
}

int query_session_run(struct query_session *session, const struct query *query,
                      const char *const *values, const struct pg_limit *limit,
                      PGresult **ret_result, struct error *error)
{
    if (!session->prepared[query->index] && prepare(session, query, limit, error) != 0)
        return -1;
    return receive(session,
                   PQsendQueryPrepared(session->conn, query->name, (int)query->bound_count, values,
                                       NULL, NULL, 0),
                   limit, ret_result, error);
}

int query_session_ask(struct query_session *session, const char *sql, int count,
                      const char *const *values, const struct pg_limit *limit,
                      PGresult **ret_result, struct error *error)
{
    return receive(session,
                   PQsendQueryParams(session->conn, sql, count, NULL, values, NULL, NULL, 0), limit,
                   ret_result, error);
}

/* Like receive, but the position in a query's SQL becomes a line of its file. */
static int check_query(struct query_session *session, const struct query *query,
                       struct error *error)
{
    PQsetnonblocking(session->conn, 0);
    PGresult *result =
        PQprepare(session->conn, "", query->sql, (int)query->bound_count, query->types);
    const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
    int code = 0;
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        int line = 0; /* one line of ours stands before the file */
        for (int i = 0, end = position ? atoi(position) : 0; i < end && query->sql[i]; i++)
            line += query->sql[i] == '\n';
        pg_fail(session->conn, result, error);
        code = line > 0 ? error_prefix(error, "%s:%d", query->path, line)
                        : error_prefix(error, "%s", query->path);
        if (error->class != ERROR_RETRY)
            error->class = ERROR_USAGE;
    }
    PQclear(result);
    return code;
}

int query_session_check(const char *conninfo, const struct queries *queries, struct error *error)
{
    struct query_session *session = NULL;
    struct pg_limit limit = {.deadline_us = monotonic_now_us() + CHECK_TIMEOUT_MS * 1000};
    int code = query_session_open(conninfo, queries, CHECK_TIMEOUT_MS, &limit, &session, error);
    for (size_t i = 0; code == 0 && i < queries_count(queries); i++)
        code = check_query(session, queries_at(queries, i), error);
    query_session_free(session);
    return code;
}
