/* SPDX-License-Identifier: Apache-2.0
 *
 * A lost connection leaves open whether the transaction committed. Nothing is ever sent again then:
 * the position in the table says what happened. */
#include "processors/fold/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/failpoint.h"
#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "processors/definition/column_usage.h"
#include "processors/definition/place.h"

enum {
    CLAIM_TRIES = 3,
    WAIT_MS = 100 /* between two looks at the clock */
};

/* SQLSTATE of the statement timeout, and of a statement that somebody cancelled. */
static const char QUERY_CANCELED[] = "57014";

struct session {
    struct session_options options;
    struct installed installed;
    PGconn *conn;
    char started_at[48]; /* of its backend */
    struct slice_types types;
    struct runs *runs;
    struct buf topics; /* wanted, as array literals without an end */
    struct buf partitions;
    struct slice *slice;
    struct batch *batch; /* of what was sent last, as the rest */
    struct positions *positions;
    int busy;
    int unsent; /* `failure` says why */
    int searches;
    int given_up;
    int64_t sent_us;
    int64_t moved;
    struct error failure; /* the first one; class ERROR_NONE while there is none */
    char *detail;
};

int session_connect(const struct session_options *options, struct session **ret_session,
                    struct error *error)
{
    struct session *session = xcalloc(1, sizeof *session);
    session->options = *options;
    /* Waiting for a lock has to end before the statement does: what is told then is that another
     * transaction is in the way, not that the batch is too big. */
    if (options->lock_timeout_ms > options->statement_timeout_ms / 2)
        session->options.lock_timeout_ms = options->statement_timeout_ms / 2;
    session->slice = slice_new();
    if (pg_connect(config_text(options->config, OPT_DATABASE), options->application, &session->conn,
                   error) != 0) {
        session_free(session);
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
    runs_free(session->runs);
    slice_free(session->slice);
    free(session->detail);
    free(session);
}

PGconn *session_conn(const struct session *session)
{
    return session ? session->conn : NULL;
}

struct runs *session_runs(const struct session *session)
{
    return session->runs;
}

const struct slice_types *session_types(const struct session *session)
{
    return &session->types;
}

int session_is_lost(const struct session *session)
{
    return session->given_up || PQstatus(session->conn) == CONNECTION_BAD;
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
                   prepare(session, "search", bind_search, error) == 0 &&
                   runs_open(session->conn, installed->schema, &session->runs, error) == 0
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
    if (code == 0 && !session->options.copies)
        code = runs_load(session->runs, session->conn, positions->list, positions->count, error);
    PQclear(result);
    buf_reset(&session->topics);
    buf_reset(&session->partitions);
    return code;
}

int session_classify(struct session *session, struct batch *batch, size_t from, size_t to,
                     size_t *ret_to, struct error *error)
{
    struct known *known = NULL;
    size_t count = 0;
    if (runs_look_up(session->runs, session->conn, batch, from, to, &known, &count, error) != 0)
        return -1;
    *ret_to = batch_classify(batch, from, to, known, count);
    free(known);
    return 0;
}

/* The slice is made already. */
static void note_sent(struct session *session, int searches)
{
    session->busy = 1;
    session->unsent = 0;
    session->searches = searches;
    session->given_up = 0;
    session->failure.class = ERROR_NONE;
    free(session->detail);
    session->detail = NULL;
    session->sent_us = monotonic_now_us();
}

static void send_slice(struct session *session, size_t from, size_t to)
{
    struct slice *slice = session->slice;
    const struct positions *positions = session->positions;
    slice_make(slice, session->batch, from, to, positions->list, positions->count, &session->types);
    note_sent(session, 0);
    FAILPOINT_AT("batch.filled", PQsocket(session->conn));
    session->unsent = !PQsendQueryPrepared(session->conn, "apply", slice->parameter_count,
                                           slice->values, slice->lengths, slice->formats, 1);
    slice_uncover(slice, session->batch);
    if (session->unsent)
        pg_fail(session->conn, NULL, &session->failure);
    else
        PQflush(session->conn);
    FAILPOINT_AT("batch.sent", PQsocket(session->conn));
}

void session_send_classified(struct session *session, struct batch *batch, size_t from, size_t to,
                             struct positions *positions)
{
    session->batch = batch;
    session->positions = positions;
    send_slice(session, from, to);
}

void session_send(struct session *session, struct batch *batch, size_t from, size_t to,
                  struct positions *positions)
{
    if (session_classify(session, batch, from, to, &to, &session->failure) == 0)
        session_send_classified(session, batch, from, to, positions);
    else
        session->busy = session->unsent = 1;
}

int session_search(struct session *session, struct batch *batch, size_t from, size_t open,
                   size_t to, const struct positions *positions)
{
    struct slice *slice = session->slice;
    struct buf ends = {0};
    struct buf groups = {0};
    const char *values[PROCESSOR_RELATIONS_MAX + 2];
    int lengths[PROCESSOR_RELATIONS_MAX + 2] = {0};
    int formats[PROCESSOR_RELATIONS_MAX + 2] = {0};
    size_t count = session->options.processor->relation_count;
    slice_make(slice, batch, open, to, positions->list, positions->count, &session->types);
    int any = slice_bounds(batch, open, to, &ends, &groups) > 0;
    memcpy(values, slice->values + BIND_FIXED_PARAMETERS, count * sizeof *values);
    memcpy(lengths, slice->lengths + BIND_FIXED_PARAMETERS, count * sizeof *lengths);
    memcpy(formats, slice->formats + BIND_FIXED_PARAMETERS, count * sizeof *formats);
    values[count] = buf_text(&ends);
    values[count + 1] = buf_text(&groups);
    int sent = any && PQsendQueryPrepared(session->conn, "search", (int)count + 2, values, lengths,
                                          formats, 0);
    slice_uncover(slice, batch);
    slice->from = from; /* if the search fails, the failure is one of this slice */
    slice->to = to;
    buf_free(&ends);
    buf_free(&groups);
    if (!sent)
        return 0; /* if the connection is lost, the next call says so */
    note_sent(session, 1);
    PQflush(session->conn);
    FAILPOINT("search.sent");
    return 1;
}

/* Whether what failed is a search, as it does at its end. */
static int has_searched(const struct session *session)
{
    return session->searches && strcmp(session->failure.code, PG_SEARCHED) == 0;
}

static void note_failure(struct session *session, const PGresult *result)
{
    const struct processor *processor = session->options.processor;
    struct error *failure = &session->failure;
    if (failure->class != ERROR_NONE)
        return;
    pg_fail(session->conn, result, failure);
    /* Somebody cancelled it before its time was up: that says nothing about its size. */
    if (session_was_cancelled(failure) &&
        monotonic_now_us() - session->sent_us < session->options.statement_timeout_ms * 1000)
        failure->class = ERROR_RETRY;
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    int screened = failure->class == ERROR_SCREENED && processor->screen;
    if (detail && (screened || has_searched(session)))
        session->detail = xstrdup(detail);
    else if (failure->class == ERROR_SCREENED) /* the author's, not the engine's */
        failure->class = ERROR_UNSURE;
    else if (failure->class != ERROR_FENCED)
        place_prefix(processor, PQresultErrorField(result, PG_DIAG_CONTEXT), failure);
}

static enum session_outcome give_up(struct session *session)
{
    session->busy = 0;
    session->given_up = 1;
    return SESSION_LOST;
}

/* All results have been taken. */
static enum session_outcome end_call(struct session *session, struct error *error)
{
    session->busy = 0;
    if (session->failure.class == ERROR_NONE) {
        FAILPOINT_AT("batch.done", PQsocket(session->conn));
        session->moved = positions_advance(session->positions, session->slice);
        runs_committed(session->runs, session->slice, session->positions->list,
                       session->positions->count);
        return SESSION_COMMITTED;
    }
    *error = session->failure;
    return has_searched(session) && session->detail ? SESSION_SEARCHED : SESSION_REFUSED;
}

enum session_outcome session_poll(struct session *session, struct error *error)
{
    if (!session->busy)
        return SESSION_IDLE;
    if (session->unsent) {
        session->busy = 0;
        *error = session->failure;
        error->class = ERROR_RETRY;
        return SESSION_LOST;
    }
    if (PQflush(session->conn) < 0 || !PQconsumeInput(session->conn)) {
        pg_fail(session->conn, NULL, error);
        return give_up(session);
    }
    while (!PQisBusy(session->conn)) {
        PGresult *result = PQgetResult(session->conn);
        if (!result)
            return end_call(session, error);
        /* A commit that took the transaction back says so in its tag alone. */
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            note_failure(session, result);
        else if (strcmp(PQcmdStatus(result), "CALL") != 0)
            error_set(&session->failure, ERROR_RETRY, "not-committed",
                      "Postgres answered %s instead of CALL", PQcmdStatus(result));
        PQclear(result);
    }
    int64_t limit_ms = session->options.statement_timeout_ms + SESSION_GRACE_MS;
    if (monotonic_now_us() - session->sent_us <= limit_ms * 1000)
        return SESSION_PENDING;
    error_set(error, ERROR_RETRY, "connection", "Postgres has not answered for %" PRId64 " ms",
              limit_ms);
    return give_up(session);
}

int session_is_busy(const struct session *session)
{
    return session && session->busy;
}

struct pollfd session_pollfd(const struct session *session)
{
    int unsent = session->busy && PQflush(session->conn) > 0;
    return (struct pollfd){.fd = PQsocket(session->conn),
                           .events = (short)(unsent ? POLLIN | POLLOUT : POLLIN)};
}

void session_wait(struct session *session, int timeout_ms)
{
    struct pollfd fd = session_pollfd(session);
    poll(&fd, 1, timeout_ms);
}

enum session_outcome session_finish(struct session *session, struct error *error)
{
    enum session_outcome outcome;
    while ((outcome = session_poll(session, error)) == SESSION_PENDING)
        session_wait(session, WAIT_MS);
    return outcome;
}

const struct slice *session_slice(const struct session *session)
{
    return session->slice;
}

int64_t session_sent_us(const struct session *session)
{
    return session->sent_us;
}

int64_t session_moved(const struct session *session)
{
    return session->moved;
}

const char *session_detail(const struct session *session)
{
    return session->detail;
}

int session_was_cancelled(const struct error *error)
{
    return strcmp(error->code, QUERY_CANCELED) == 0;
}

void session_name_screened(const struct session *session, struct error *error)
{
    const char *reason = strchr(session->detail, '\t');
    reason = reason ? reason + 1 : "";
    error_set(error, ERROR_DEAD_LETTER, "screened", "%.*s", (int)strcspn(reason, "\n"), reason);
}
