/* SPDX-License-Identifier: Apache-2.0
 *
 * Waits for Postgres with a deadline; libpq's own calls wait as long as TCP does when a server
 * is frozen. */
#ifndef WEIR_PG_WAIT_H
#define WEIR_PG_WAIT_H

#include <libpq-fe.h>
#include <stdatomic.h>
#include <stdint.h>

#include "lib/base/error.h"

/* The codes of errors when a wait was given up; both are of the class ERROR_RETRY. */
#define PG_NO_ANSWER "no-answer"
#define PG_STOPPED "stopped"

/* The end of a wait: a time of the monotonic clock, or *stop not 0. */
struct pg_limit {
    int64_t deadline_us;
    const atomic_int *stop; /* NULL: nobody stops it */
};

/* pg_connect that gives up in time; what it opens does not block when it sends. Looking up a host's
 * name still waits for the resolver. */
int pg_connect_within(const char *conninfo, const char *application, const struct pg_limit *limit,
                      PGconn **ret_conn, struct error *error);

/* Sends what is unsent and waits until PQgetResult does not block. After an error the connection is
 * of no more use. */
int pg_await(PGconn *conn, const struct pg_limit *limit, struct error *error);

#endif
