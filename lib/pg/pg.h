/* SPDX-License-Identifier: Apache-2.0
 *
 * Thin helpers over libpq: connect with a deadline, run a statement with parameters, and turn a
 * failure into an error whose class says what may be done about it (PostgreSQL documentation,
 * appendix A). */
#ifndef WEIR_PG_PG_H
#define WEIR_PG_PG_H

#include <libpq-fe.h>
#include <stdint.h>

#include "lib/base/error.h"

enum {
    PG_CONNECT_TIMEOUT_S = 5,
    PG_PATIENCE_MS = 60000 /* of a command with its questions; see pg_set_patience */
};

/* SQLSTATE raised by weir.advance: another owner holds the position. */
#define PG_FENCED "WR001"
/* Raised by weir.claim: the processor was reset, or another generation is live now. */
#define PG_RESET "WR002"
/* SQLSTATE of a processor's screen; the detail has a line per event: seq, tab, reason. */
#define PG_SCREENED "WR003"
/* SQLSTATE at the end of a search for the events that fail (processors/definition/bind.h). */
#define PG_SEARCHED "WR004"

/* What a connection string says about `keyword` (NULL when nothing); the caller frees *ret_value.
 * Errors (ERROR_USAGE, "bad-conninfo"): libpq cannot read it. */
int pg_conninfo_value(const char *conninfo, const char *keyword, char **ret_value,
                      struct error *error);

/* Connects; `application` shows in pg_stat_activity. Time zone is UTC, and text is UTF-8, whatever
 * the connection string, PGOPTIONS or the role's settings say. The caller ends it with PQfinish.
 * No error quotes the connection string, which may hold a password. */
int pg_connect(const char *conninfo, const char *application, PGconn **ret_conn,
               struct error *error);

/* The two halves of it, for who waits in between by PQconnectPoll (lib/pg/wait.h). The second one
 * ends the connection when it is none that can be used. */
int pg_connect_start(const char *conninfo, const char *application, PGconn **ret_conn,
                     struct error *error);
int pg_connect_check(PGconn *conn, struct error *error);

/* How long an answer to one of the calls below may take; then the connection is given up, and
 * the error is ERROR_RETRY PG_NO_ANSWER (lib/pg/wait.h). 0, as at first: as long as it takes.
 * Make it longer than the server's statement_timeout, so that only a frozen or unreachable
 * server exceeds it. From then on sending does not block, so COPY cannot be used. */
void pg_set_patience(PGconn *conn, int64_t patience_ms);

/* Waits for the answer to what was just sent; `sent` is what libpq's PQsend… returned. The caller
 * clears *ret_result; ret_result may be NULL. */
int pg_answer(PGconn *conn, int sent, PGresult **ret_result, struct error *error);

/* Runs a script of any number of statements without parameters. */
int pg_run(PGconn *conn, const char *sql, struct error *error);
int pg_runf(PGconn *conn, struct error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Ends a transaction: commits it when `code` is 0, otherwise rolls it back. Returns -1 unless it is
 * committed. */
int pg_commit(PGconn *conn, int code, struct error *error);

/* A number as text, to be a value of what follows. It lasts as long as the block around it. */
#define PG_NUMBER(number) pg_number(number, (char[24]){0})
const char *pg_number(int64_t number, char room[24]);

/* Runs one statement with `count` text parameters (NULL is NULL). The caller clears *ret_result;
 * ret_result may be NULL. */
int pg_query(PGconn *conn, const char *sql, int count, const char *const *values,
             PGresult **ret_result, struct error *error);
/* The same with a statement that is planned once: pg_prepare names it in this connection. */
int pg_prepare(PGconn *conn, const char *name, const char *sql, struct error *error);
int pg_query_prepared(PGconn *conn, const char *name, int count, const char *const *values,
                      PGresult **ret_result, struct error *error);

/* Describes an error of Postgres by its SQLSTATE, message and detail (which may be NULL). Returns
 * -1. */
int pg_describe(const char *state, const char *primary, const char *detail, struct error *error);

/* Fills `error` from a failed result, or from the connection when `result` is NULL. Returns -1. */
int pg_fail(PGconn *conn, const PGresult *result, struct error *error);
enum error_class pg_class_of(const char *sqlstate);

/* Whether another transaction was in the way (deadlock, serialization, a lock that was not had
 * in time): the class is ERROR_RETRY, and a retry at once makes sense. */
int pg_is_contention(const struct error *error);

int64_t pg_int(const PGresult *result, int row, int column);
/* Of a bigint in binary form. */
int64_t pg_int8(const PGresult *result, int row, int column);

#endif
