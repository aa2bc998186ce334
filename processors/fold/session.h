/* SPDX-License-Identifier: Apache-2.0
 *
 * A database session that folds: connected, in the engine's role with the settings that a batch
 * needs, the procedure prepared. Live processors, rebuilds and tests of processors have the same.
 *
 * One call of the procedure is one transaction: Postgres runs it whole or not at all, whatever
 * happens to this process meanwhile, and a frozen process holds no lock. It is sent and its result
 * taken without blocking, so that the next batch fills in the meantime. Events that were applied
 * before are found in here (runs.h). */
#ifndef WEIR_FOLD_SESSION_H
#define WEIR_FOLD_SESSION_H

#include <poll.h>

#include "lib/base/config.h"
#include "processors/definition/install.h"
#include "processors/fold/positions.h"
#include "processors/fold/runs.h"

enum { SESSION_GRACE_MS = 5000 }; /* beyond the statement timeout; then it is given up */

struct session;

struct session_options {
    const struct config *config;
    const struct processor *processor;
    const char *application; /* shows in pg_stat_activity */
    const char *work_mem;
    int64_t lock_timeout_ms; /* at most half of the next one */
    int64_t statement_timeout_ms;
    int live;   /* claims partitions of the live generation, not of another one */
    int copies; /* COPY is used: what is sent blocks, silence is not given up, and a claim does not
                   read what was applied */
};

/* Connects. Every wait for an answer has a deadline from here on (pg_set_patience). Errors: those
 * of pg_connect. */
int session_connect(const struct session_options *options, struct session **ret_session,
                    struct error *error);
/* Takes the role and the settings on, for one generation of the processor. The decoder learns from
 * the database what it needs to know: schemas, and which columns are read. Errors: those of
 * Postgres. */
int session_prepare(struct session *session, const struct installed *installed,
                    struct decoder *decoder, struct error *error);
void session_free(struct session *session);

PGconn *session_conn(const struct session *session); /* NULL of NULL */
const struct slice_types *session_types(const struct session *session);
/* What its positions have applied; known once it is prepared. */
struct runs *session_runs(const struct session *session);
/* It is of no more use: its connection is broken, or was given up. */
int session_is_lost(const struct session *session);

/* A partition that the next claim is to take. */
void session_want(struct session *session, const char *topic, int32_t partition);
/* Claims them in one transaction. A previous owner that holds one for longer than the lock timeout
 * loses its session. A scratch generation has positions under its schema's name. Errors:
 * ERROR_RETRY PG_RESET when there is no such generation any more, and those of Postgres. */
int session_claim(struct session *session, struct positions *positions, struct error *error);

/* Decides the fates of entries [from, to) of a batch, by what was applied before. *ret_to is as
 * batch_classify returns it. Errors: of Postgres. */
int session_classify(struct session *session, struct batch *batch, size_t from, size_t to,
                     size_t *ret_to, struct error *error);

/* Classifies entries [from, to) and sends them, or the first of them (session_slice). Batch and
 * positions must stay as they are until the call has ended. */
void session_send(struct session *session, struct batch *batch, size_t from, size_t to,
                  struct positions *positions);
/* Sends entries that were classified. */
void session_send_classified(struct session *session, struct batch *batch, size_t from, size_t to,
                             struct positions *positions);
/* Has classified entries [open, to) tried one by one, and taken back (bind_search). The slice is
 * [from, to) afterwards. Returns whether it was sent: not when none of them is applied. */
int session_search(struct session *session, struct batch *batch, size_t from, size_t open,
                   size_t to, const struct positions *positions);

enum session_outcome {
    SESSION_IDLE, /* nothing was sent */
    SESSION_PENDING,
    SESSION_COMMITTED, /* and the positions are behind it */
    SESSION_REFUSED,   /* nothing has changed, and the error says why */
    SESSION_SEARCHED,  /* session_detail says what was found */
    SESSION_LOST /* the table of positions knows what became of it; nothing may be sent again */
};

/* Takes what has arrived. A refusal has the class that lib/pg/pg.c gives it, except that a
 * statement which was cancelled before its time was up is ERROR_RETRY, and one that the author's
 * SQL called screened without a screen.sql is ERROR_UNSURE. Every loss is ERROR_RETRY. */
enum session_outcome session_poll(struct session *session, struct error *error);
/* Whether something is under way; 0 of NULL. */
int session_is_busy(const struct session *session);
/* Waits until something arrives or may be sent, at most `timeout_ms`. */
void session_wait(struct session *session, int timeout_ms);
/* The same for who waits for more. */
struct pollfd session_pollfd(const struct session *session);
/* Polls and waits until the call has ended. */
enum session_outcome session_finish(struct session *session, struct error *error);

/* What was sent last. */
const struct slice *session_slice(const struct session *session);
int64_t session_sent_us(const struct session *session); /* monotonic */
/* By how many offsets the last commit has moved positions. */
int64_t session_moved(const struct session *session);
/* Whether an error is that somebody cancelled the statement. */
int session_was_cancelled(const struct error *error);
/* What a search found, or the rows that screen.sql returned; NULL when there is nothing. */
const char *session_detail(const struct session *session);
/* Makes an ERROR_SCREENED one of the first event that was taken out: ERROR_DEAD_LETTER "screened",
 * with its reason. */
void session_name_screened(const struct session *session, struct error *error);

#endif
