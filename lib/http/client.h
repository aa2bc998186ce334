/* SPDX-License-Identifier: Apache-2.0
 *
 * An HTTP client for many requests at once on kept-alive connections (libcurl's multi interface,
 * one thread). The caller submits requests and polls; answers arrive as callbacks from within the
 * poll. A client belongs to one thread. */
#ifndef WEIR_HTTP_CLIENT_H
#define WEIR_HTTP_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/error.h"

enum { HTTP_CLIENT_HEADERS_MAX = 8, HTTP_CLIENT_BODY_MAX = 16 << 20 };

struct http_answer {
    int status;          /* 0: no answer came, `problem` says why */
    const char *problem; /* "" when there is an answer */
    int distrusted;      /* without an answer: the server's certificate is not to be trusted */
    int sent;            /* without an answer: whether the request may have reached the server */
    const char *body;    /* valid during the callback; NUL behind it */
    size_t body_size;
    int64_t retry_after_ms; /* of Retry-After in seconds, -1 when there was none */
    int64_t elapsed_us;
};

struct http_call {
    const char *method; /* "GET", "POST" */
    const char *url;
    const char *headers[HTTP_CLIENT_HEADERS_MAX]; /* "Name: value", up to the first NULL */
    const char *body;                             /* copied */
    size_t body_size;
    const char *ca_file; /* what to trust instead of the system's certificates; NULL or "": those */
    int timeout_ms;
    void (*on_answer)(const struct http_answer *answer, void *opaque);
    void *opaque;
};

struct http_client;

/* connections_max bounds both the requests under way and the connections. */
int http_client_open(int connections_max, struct http_client **ret_client, struct error *error);
/* Gives up the requests under way without calling back. */
void http_client_free(struct http_client *client);

size_t http_client_under_way(const struct http_client *client);

/* Errors: ERROR_FATAL when connections_max requests are under way, or the URL is no URL. */
int http_client_submit(struct http_client *client, const struct http_call *request,
                       struct error *error);

/* Waits up to timeout_ms for something to happen and calls back for each answer. */
int http_client_poll(struct http_client *client, int timeout_ms, struct error *error);

/* One GET. ret_body (may be NULL) is reset and filled, with a NUL behind its size. Errors:
 * ERROR_RETRY when no answer came. */
int http_get(const char *url, int timeout_ms, int *ret_status, struct buf *ret_body,
             struct error *error);

#endif
