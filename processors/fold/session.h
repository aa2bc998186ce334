/* SPDX-License-Identifier: Apache-2.0
 *
 * A database session that folds: connected, in the engine's role with the settings that a batch
 * needs, the procedure prepared. Live processors, rebuilds and tests of processors have the same.
 */
#ifndef WEIR_FOLD_SESSION_H
#define WEIR_FOLD_SESSION_H

#include "lib/base/config.h"
#include "processors/definition/install.h"
#include "processors/fold/positions.h"
#include "processors/fold/slice.h"

enum { SESSION_GRACE_MS = 5000 }; /* beyond the statement timeout; then it is given up */

struct session;

struct session_options {
    const struct config *config;
    const struct processor *processor;
    const char *application; /* shows in pg_stat_activity */
    const char *work_mem;
    int64_t lock_timeout_ms;
    int64_t statement_timeout_ms;
    int live;   /* claims partitions of the live generation, not of another one */
    int copies; /* COPY is used: what is sent blocks, and silence is not given up */
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

/* NULL of none. */
PGconn *session_conn(const struct session *session);
const struct slice_types *session_types(const struct session *session);

/* A partition that the next claim is to take. */
void session_want(struct session *session, const char *topic, int32_t partition);
/* Claims them in one transaction. A previous owner that holds one for longer than the lock timeout
 * loses its session. A scratch generation has positions under its schema's name. Errors:
 * ERROR_RETRY PG_RESET when there is no such generation any more, and those of Postgres. */
int session_claim(struct session *session, struct positions *positions, struct error *error);

#endif
