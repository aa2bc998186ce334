/* SPDX-License-Identifier: Apache-2.0
 *
 * poll in short steps, so that somebody who stops us is noticed without a descriptor of its own. */
#include "lib/pg/wait.h"

#include <errno.h>
#include <poll.h>

#include "lib/base/timestamp.h"
#include "lib/pg/pg.h"

enum { STEP_MS = 50 };

/* Until the socket is ready, in the way of `events` or broken. */
static int wait_ready(PGconn *conn, int events, const struct pg_limit *limit, struct error *error)
{
    for (;;) {
        struct pollfd poll_fd = {.fd = PQsocket(conn), .events = (short)events};
        int64_t left_us = limit->deadline_us - monotonic_now_us();
        if (limit->stop && atomic_load(limit->stop))
            return error_set(error, ERROR_RETRY, PG_STOPPED, "stopped while Postgres was asked");
        if (left_us <= 0)
            return error_set(error, ERROR_RETRY, PG_NO_ANSWER, "Postgres did not answer in time");
        int ready =
            poll(&poll_fd, 1, left_us < STEP_MS * 1000 ? (int)(left_us / 1000) + 1 : STEP_MS);
        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return pg_fail(conn, NULL, error);
    }
}

int pg_connect_within(const char *conninfo, const char *application, const struct pg_limit *limit,
                      PGconn **ret_conn, struct error *error)
{
    PGconn *conn;
    if (pg_connect_start(conninfo, application, &conn, error) != 0)
        return -1;
    int code = 0;
    for (PostgresPollingStatusType next = PGRES_POLLING_WRITING;
         code == 0 && next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED;
         next = code == 0 ? PQconnectPoll(conn) : next)
        code = wait_ready(conn, next == PGRES_POLLING_READING ? POLLIN : POLLOUT, limit, error);
    if (code != 0) {
        PQfinish(conn);
        return -1;
    }
    if (pg_connect_check(conn, error) != 0)
        return -1;
    PQsetnonblocking(conn, 1);
    *ret_conn = conn;
    return 0;
}

int pg_await(PGconn *conn, const struct pg_limit *limit, struct error *error)
{
    for (;;) {
        int unsent = PQflush(conn);
        if (unsent < 0)
            return pg_fail(conn, NULL, error);
        if (!unsent && !PQisBusy(conn))
            return 0;
        if (wait_ready(conn, unsent ? POLLIN | POLLOUT : POLLIN, limit, error) != 0)
            return -1;
        if (!PQconsumeInput(conn))
            return pg_fail(conn, NULL, error);
    }
}
