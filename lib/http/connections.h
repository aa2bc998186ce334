/* SPDX-License-Identifier: Apache-2.0
 *
 * The open connections of a server: their number, the deadline of each phase, and which one makes
 * room when there are too many.
 *
 * A connection is ended by shutdown(2): the thread that serves it then reads the end of the stream
 * and closes it. Its descriptor is safe to use as long as the connection is in the list; whoever
 * closes it takes it out first. */
#ifndef WEIR_HTTP_CONNECTIONS_H
#define WEIR_HTTP_CONNECTIONS_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/base/error.h"

/* What a connection is doing. Its server thread moves it on; only the end comes from others. */
enum connection_phase {
    CONNECTION_FRESH, /* new: the headers of its first request are not there yet */
    CONNECTION_IDLE,  /* answered: the headers of the next request are not there yet */
    CONNECTION_BODY,  /* the headers are there, the rest of the request is not */
    CONNECTION_HELD,  /* the handler has the request: it is never ended from outside */
    CONNECTION_SEND,  /* the answer is being sent */
    CONNECTION_ENDED  /* shut down */
};

enum { CONNECTION_ADDRESS_BYTES = 16 };

/* One of them. Its owner frees the memory; only the list reads and writes it. */
struct connection {
    struct connection *next;
    struct connection **link; /* what points at it */
    int fd;
    unsigned char address[CONNECTION_ADDRESS_BYTES]; /* of the peer; IPv4 as IPv6 maps it */
    _Atomic enum connection_phase phase;
    _Atomic int64_t since_us;    /* when the phase began */
    _Atomic int64_t deadline_us; /* when it is over */
};

struct connections_options {
    int max;                 /* open at once */
    int address_max;         /* of them from one address */
    int64_t head_timeout_ms; /* from the accept to the end of the first headers */
};

/* Why connections were ended, in numbers since the start. */
enum connection_end {
    CONNECTION_END_HEAD,    /* its first headers took too long */
    CONNECTION_END_IDLE,    /* no next request came */
    CONNECTION_END_BODY,    /* a request took too long */
    CONNECTION_END_SEND,    /* an answer was taken too slowly */
    CONNECTION_END_EVICTED, /* it made room for another one */
    CONNECTION_END_REFUSED, /* there was no room for it */
    CONNECTION_END_COUNT
};

struct connections;

/* Starts the thread that watches the deadlines. Errors: ERROR_FATAL. */
int connections_start(const struct connections_options *options,
                      struct connections **ret_connections, struct error *error);
/* Ends the thread. The list must be empty. NULL-safe. */
void connections_free(struct connections *connections);

/* Takes a connection in that was just accepted, and ends another one, or this one, when there are
 * too many: in this order one whose first headers are slow, the one that has waited longest for
 * headers, one whose request or answer is slow. */
void connections_add(struct connections *connections, struct connection *connection, int fd,
                     const struct sockaddr *address);
/* Takes it out; its descriptor must not be closed before. */
void connections_remove(struct connections *connections, struct connection *connection);

/* Moves a connection to its next phase, which must be over in `timeout_ms`; a negative value
 * means no deadline. Called by its server thread alone. Returns 0, or -1 when it has been ended. */
int connection_move(struct connection *connection, enum connection_phase phase, int64_t timeout_ms);

/* How many are open, and how many were ended why. */
int connections_count(struct connections *connections, uint64_t ret_ended[CONNECTION_END_COUNT]);

#endif
