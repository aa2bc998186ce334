/* SPDX-License-Identifier: Apache-2.0
 *
 * A database session that answers queries: as the role weir_gateway, which sees the published
 * views and nothing else, in read-only transactions, with prepared statements, and with a limit
 * of our own beside Postgres' statement_timeout, so that a frozen server cannot hold the caller
 * for long: each call has one for all that it sends. A session that reaches it is closed;
 * Postgres ends its work by statement_timeout, or because nobody takes the answer. It belongs to
 * one thread. */
#ifndef WEIR_QUERY_SESSION_H
#define WEIR_QUERY_SESSION_H

#include "lib/pg/wait.h"
#include "lib/query/query.h"

enum { QUERY_GRACE_MS = 500 }; /* for Postgres to say itself that time ran out */

/* What Postgres says when its statement_timeout ran out. */
#define QUERY_TIMED_OUT "57014"

struct query_session;

/* `queries` must outlive the session; `timeout_ms` is Postgres' statement_timeout. Errors: those of
 * pg_connect_within; ERROR_HALT when the database is there but not migrated. */
int query_session_open(const char *conninfo, const struct queries *queries, int64_t timeout_ms,
                       const struct pg_limit *limit, struct query_session **ret_session,
                       struct error *error);
void query_session_free(struct query_session *session);

/* Runs a query with `query->bound_count` text values (NULL is null). The caller clears *ret_result.
 * Errors: ERROR_RETRY when the connection or a prepared statement was lost, or the limit was
 * reached (PG_NO_ANSWER, PG_STOPPED): this session is of no more use; QUERY_TIMED_OUT as the code;
 * otherwise as Postgres says. */
int query_session_run(struct query_session *session, const struct query *query,
                      const char *const *values, const struct pg_limit *limit,
                      PGresult **ret_result, struct error *error);

/* The same for any statement that returns rows; it is not kept prepared. */
int query_session_ask(struct query_session *session, const char *sql, int count,
                      const char *const *values, const struct pg_limit *limit,
                      PGresult **ret_result, struct error *error);

/* Whether something went wrong after which the session must be opened anew. */
int query_session_lost(const struct query_session *session);

/* Prepares every query as the role that will run it. Errors: ERROR_USAGE with file and line. */
int query_session_check(const char *conninfo, const struct queries *queries, struct error *error);

#endif
