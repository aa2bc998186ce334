/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors carry the SQLSTATE as their code. A failure without one is a lost connection. */
#include "lib/pg/pg.h"

#include <inttypes.h>
#include <libpq-events.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/buf.h"
#include "lib/base/timestamp.h"
#include "lib/pg/wait.h"

enum error_class pg_class_of(const char *sqlstate)
{
    /* The first match counts. */
    static const struct {
        const char *prefix;
        enum error_class class;
    } classes[] = {
        {PG_FENCED, ERROR_FENCED},
        {PG_RESET, ERROR_RETRY},
        {PG_SCREENED, ERROR_SCREENED},
        {"57014", ERROR_SHRINK},   /* statement timeout */
        {"53200", ERROR_SHRINK},   /* out of memory */
        {"54", ERROR_SHRINK},      /* program limit exceeded */
        {"08", ERROR_RETRY},       /* connection */
        {"25", ERROR_RETRY},       /* transaction state, such as read-only after a failover */
        {"26", ERROR_RETRY},       /* prepared statement lost, by a pooler */
        {"28", ERROR_RETRY},       /* authorization may be repaired outside */
        {"3D", ERROR_RETRY},       /* database missing, perhaps not yet restored */
        {"3F", ERROR_HALT},        /* schema missing */
        {"40", ERROR_RETRY},       /* serialization, deadlock */
        {"55P03", ERROR_RETRY},    /* lock timeout */
        {"53", ERROR_RETRY},       /* disk full, too many connections */
        {"55006", ERROR_RETRY},    /* object in use */
        {"57", ERROR_RETRY},       /* shutdown, crash */
        {"58", ERROR_RETRY},       /* input or output */
        {"42", ERROR_HALT},        /* the SQL itself is broken */
        {"0A", ERROR_HALT},        /* feature not supported */
        {"XX", ERROR_HALT},        /* internal error, data corrupted */
        {"20", ERROR_DEAD_LETTER}, /* no case matches */
        {"21", ERROR_DEAD_LETTER}, /* two rows where one belongs */
        {"22", ERROR_DEAD_LETTER}, /* data: out of range, division by zero */
        {"23", ERROR_DEAD_LETTER}, /* a constraint, deferred ones too */
        {"27", ERROR_DEAD_LETTER}, /* a trigger changed the row */
        {"2F", ERROR_DEAD_LETTER}, /* a function failed */
        {"38", ERROR_DEAD_LETTER},
        {"39", ERROR_DEAD_LETTER},
        {"44", ERROR_DEAD_LETTER}, /* the check of a view */
        {"P0", ERROR_DEAD_LETTER}, /* raised by the author */
    };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strncmp(sqlstate, classes[i].prefix, strlen(classes[i].prefix)) == 0)
            return classes[i].class;
    return ERROR_UNSURE;
}

int pg_is_contention(const struct error *error)
{
    return strncmp(error->code, "40", 2) == 0 || strcmp(error->code, "55P03") == 0;
}

int pg_describe(const char *state, const char *primary, const char *detail, struct error *error)
{
    /* Details of class 22 and 23 quote the row: what people sent has no place in a log. */
    if (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0)
        detail = NULL;
    return error_set(error, pg_class_of(state), state, "%s%s%s (SQLSTATE %s)",
                     primary ? primary : "failed", detail ? ": " : "", detail ? detail : "", state);
}

int pg_fail(PGconn *conn, const PGresult *result, struct error *error)
{
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    if (!state || PQstatus(conn) == CONNECTION_BAD) {
        const char *text = PQerrorMessage(conn);
        return error_set(error, ERROR_RETRY, "connection", "Postgres: %.*s",
                         (int)strcspn(text, "\n"), text);
    }
    return pg_describe(state, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY),
                       PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL), error);
}

int pg_conninfo_value(const char *conninfo, const char *keyword, char **ret_value,
                      struct error *error)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    int good = options != NULL;
    *ret_value = NULL;
    for (PQconninfoOption *option = options; good && option->keyword; option++) {
        if (strcmp(option->keyword, keyword) == 0 && option->val && *option->val)
            *ret_value = xstrdup(option->val);
        /* the end of a password: it would stand in every error about that host */
        if (strcmp(option->keyword, "host") == 0 && option->val && strchr(option->val, '@'))
            good = 0;
    }
    PQconninfoFree(options);
    if (good)
        return 0;
    free(*ret_value);
    *ret_value = NULL;
    return error_set(
        error, ERROR_USAGE, "bad-conninfo",
        "the connection string of the database cannot be read; it is keyword=value "
        "words, or postgresql://USER@HOST:PORT/NAME, with %%40 for an @ in a password");
}

/* `open` is PQconnectdbParams or PQconnectStartParams. */
static int begin(PGconn *(*open)(const char *const *, const char *const *, int),
                 const char *conninfo, const char *application, PGconn **ret_conn,
                 struct error *error)
{
    char timeout[16];
    char *theirs = NULL;
    if (pg_conninfo_value(conninfo, "options", &theirs, error) != 0)
        return -1;
    const char *environment = getenv("PGOPTIONS");
    char *settings = xasprintf("%s -c timezone=UTC -c datestyle=ISO -c bytea_output=hex "
                               "-c client_min_messages=warning",
                               theirs        ? theirs
                               : environment ? environment
                                             : "");
    snprintf(timeout, sizeof timeout, "%d", PG_CONNECT_TIMEOUT_S);
    /* What the connection string says wins over what stands before it, and yields to what stands
     * behind it. */
    const char *const names[] = {
        "connect_timeout",  "tcp_user_timeout", "keepalives_idle", "dbname",
        "application_name", "client_encoding",  "options",         NULL};
    const char *const values[] = {timeout,     "15000", "10",     conninfo,
                                  application, "UTF8",  settings, NULL};
    *ret_conn = open(names, values, 1);
    free(settings);
    free(theirs);
    if (!*ret_conn)
        return error_set(error, ERROR_FATAL, "memory", "out of memory");
    return 0;
}

int pg_connect_start(const char *conninfo, const char *application, PGconn **ret_conn,
                     struct error *error)
{
    return begin(PQconnectStartParams, conninfo, application, ret_conn, error);
}

int pg_connect_check(PGconn *conn, struct error *error)
{
    if (PQstatus(conn) != CONNECTION_OK) {
        int result = pg_fail(conn, NULL, error);
        PQfinish(conn);
        return result;
    }
    if (PQserverVersion(conn) < 150000) {
        int version = PQserverVersion(conn) / 10000;
        PQfinish(conn);
        return error_set(error, ERROR_USAGE, "postgres-too-old",
                         "Postgres %d is too old: 15 or newer is needed", version);
    }
    return 0;
}

int pg_connect(const char *conninfo, const char *application, PGconn **ret_conn,
               struct error *error)
{
    PGconn *conn;
    if (begin(PQconnectdbParams, conninfo, application, &conn, error) != 0 ||
        pg_connect_check(conn, error) != 0)
        return -1;
    *ret_conn = conn;
    return 0;
}

/* Its address is the key under which libpq keeps a connection's patience. */
static int keep_patience(PGEventId id, void *info, void *context)
{
    (void)id;
    (void)info;
    (void)context;
    return 1;
}

void pg_set_patience(PGconn *conn, int64_t patience_ms)
{
    PQregisterEventProc(conn, keep_patience, "weir patience", NULL);
    PQsetInstanceData(conn, keep_patience, (void *)(intptr_t)patience_ms);
    PQsetnonblocking(conn, patience_ms > 0);
}

/* The connection is broken from now on, also for libpq. */
static void give_up(PGconn *conn)
{
    shutdown(PQsocket(conn), SHUT_RDWR);
    while (PQstatus(conn) == CONNECTION_OK && PQconsumeInput(conn))
        continue;
}

/* The last result, or the first that is an error. */
static int collect(PGconn *conn, const struct pg_limit *limit, PGresult **ret_result,
                   struct error *error)
{
    PGresult *last = NULL;
    for (;;) {
        if (pg_await(conn, limit, error) != 0) {
            PQclear(last);
            if (strcmp(error->code, PG_NO_ANSWER) == 0)
                give_up(conn);
            return -1;
        }
        PGresult *next = PQgetResult(conn);
        if (!next)
            break;
        if (last && PQresultStatus(last) == PGRES_FATAL_ERROR) {
            PQclear(next);
            continue;
        }
        PQclear(last);
        last = next;
    }
    *ret_result = last;
    return 0;
}

int pg_answer(PGconn *conn, int sent, PGresult **ret_result, struct error *error)
{
    int64_t patience_ms = (intptr_t)PQinstanceData(conn, keep_patience);
    const struct pg_limit limit = {
        .deadline_us = patience_ms ? monotonic_now_us() + patience_ms * 1000 : INT64_MAX};
    struct error unwanted;
    PGresult *result = NULL;
    if (!error) /* nobody wants to know */
        error = &unwanted;
    if (!sent)
        return pg_fail(conn, NULL, error);
    if (collect(conn, &limit, &result, error) != 0)
        return -1;
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        pg_fail(conn, result, error);
        PQclear(result);
        return -1;
    }
    if (ret_result)
        *ret_result = result;
    else
        PQclear(result);
    return 0;
}

int pg_run(PGconn *conn, const char *sql, struct error *error)
{
    return pg_answer(conn, PQsendQuery(conn, sql), NULL, error);
}

int pg_runf(PGconn *conn, struct error *error, const char *format, ...)
{
    char *sql = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&sql, format, args);
    va_end(args);
    if (length < 0)
        return error_set(error, ERROR_FATAL, "memory", "out of memory");
    int code = pg_run(conn, sql, error);
    free(sql);
    return code;
}

int pg_commit(PGconn *conn, int code, struct error *error)
{
    if (code == 0 && pg_run(conn, "COMMIT", error) == 0)
        return 0;
    pg_run(conn, "ROLLBACK", NULL);
    return -1;
}

const char *pg_number(int64_t number, char room[24])
{
    snprintf(room, 24, "%" PRId64, number);
    return room;
}

int pg_query(PGconn *conn, const char *sql, int count, const char *const *values,
             PGresult **ret_result, struct error *error)
{
    return pg_answer(conn, PQsendQueryParams(conn, sql, count, NULL, values, NULL, NULL, 0),
                     ret_result, error);
}

int pg_prepare(PGconn *conn, const char *name, const char *sql, struct error *error)
{
    return pg_answer(conn, PQsendPrepare(conn, name, sql, 0, NULL), NULL, error);
}

int pg_query_prepared(PGconn *conn, const char *name, int count, const char *const *values,
                      PGresult **ret_result, struct error *error)
{
    return pg_answer(conn, PQsendQueryPrepared(conn, name, count, values, NULL, NULL, 0),
                     ret_result, error);
}

int64_t pg_int(const PGresult *result, int row, int column)
{
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

int64_t pg_int8(const PGresult *result, int row, int column)
{
    return (int64_t)buf_get_be64(PQgetvalue(result, row, column));
}
