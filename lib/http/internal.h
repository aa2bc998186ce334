/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the HTTP server share. */
#ifndef WEIR_HTTP_INTERNAL_H
#define WEIR_HTTP_INTERNAL_H

#include <microhttpd.h>
#include <stdatomic.h>

#include "lib/http/connections.h"
#include "lib/http/server.h"

enum {
    REFUSAL_BYTES = 160,
    DISCARD_FACTOR = 8 /* a body up to this many times the limit is read and dropped, so that the
                        * client sees the answer and not a reset */
};

enum request_state { PENDING, SUSPENDED, ANSWERED };

struct http_server {
    struct http_options options;
    struct MHD_Daemon *daemon;
    struct connections *connections;
    int port;
    int is_local;          /* bound to a loopback address */
    int checks_layout;     /* the library hides what it has changed in the head */
    atomic_int open;       /* requests between their headers and their end */
    atomic_int unanswered; /* requests in the hands of the handler */
    atomic_int draining;
};

struct reply_header {
    const char *name;
    char value[HTTP_REPLY_VALUE_BYTES];
};

struct http_request {
    struct connection entry;
    struct http_server *server;
    struct MHD_Connection *connection;
    const char *method;
    const char *path;
    const char *target; /* the request's target before the library divides it */
    size_t target_size; /* 0: it is none that is taken */
    int begun;          /* its headers are there */
    struct buf body;
    struct buf reply;
    struct buf scratch;
    struct reply_header headers[HTTP_REPLY_HEADERS_MAX];
    int header_count;
    int status;
    const char *content_type;
    int refusal_status; /* 0: it is not refused */
    int closes;         /* the connection, after the answer */
    char refusal[REFUSAL_BYTES];
    int handled;
    size_t discarded;
    void (*ended)(void *context);
    void *ended_context;
    _Atomic enum request_state state;
};

/* Turns a request down; the first reason counts. */
void request_refuse(struct http_request *request, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Keeps the target of a request as it came, before the library splits it. */
void head_target(struct http_request *request, const char *target);

/* Looks at the head of a request and refuses what is not strictly HTTP/1.1, could be read in two
 * ways, or is too large. Returns 1 when the answer must not wait for the body. */
int head_check(struct http_request *request, const char *version);

#endif
