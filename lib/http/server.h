/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP/1.1 server, and the only user of libmicrohttpd. A few threads serve all connections by
 * poll. A handler gets a request with its whole body and answers it exactly once: at once, or
 * later and from any thread; while it waits the connection is suspended and costs no thread.
 *
 * Lifetime: a request belongs to its connection and is valid from the handler's call until
 * http_respond; a caller must not touch it after that. A client that goes away in between is not
 * noticed and changes nothing.
 *
 * Shutdown: http_server_drain stops accepting, then waits until everything accepted is answered and
 * sent; only then may the server be freed. */
#ifndef WEIR_HTTP_SERVER_H
#define WEIR_HTTP_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/error.h"
#include "lib/http/connections.h"

struct http_server;
struct http_request;

enum {
    HTTP_HEADER_BYTES_MAX = 16384, /* request line and headers together; more is 431 */
    HTTP_REPLY_HEADERS_MAX = 8,
    HTTP_REPLY_VALUE_BYTES = 520, /* of one of them; a key of 255 bytes fits, escaped */
    HTTP_THREADS_MAX = 16
};

/* Called on a server thread with the complete request. */
typedef void (*http_handler)(struct http_request *request, void *context);

struct http_options {
    const char *listen;   /* "127.0.0.1:18080", "[::1]:18080"; port 0 takes a free one */
    http_handler handler; /* must lead to exactly one http_respond */
    http_handler refuse;  /* answers, before it returns, a request that the server itself turns
                             down (http_refusal says why); NULL: a problem without a type */
    void *context;
    int threads;              /* 1 to HTTP_THREADS_MAX */
    int connections_max;      /* one more, and one that waits or is slow makes room for it */
    int address_max;          /* of them from one address */
    size_t body_max;          /* a larger body is 413 */
    int64_t head_timeout_ms;  /* from the accept to the end of the first headers */
    int64_t idle_timeout_ms;  /* from an answer to the end of the next headers, and without a byte
                                 that  is sent or taken; whole seconds */
    int64_t body_timeout_ms;  /* from the headers to the end of the request */
    const char *const *hosts; /* names that clients may call a server that is bound to loopback */
    size_t host_count;
};

/* Starts listening. Errors: ERROR_USAGE for the address, ERROR_FATAL when it cannot be bound. */
int http_server_start(const struct http_options *options, struct http_server **ret_server,
                      struct error *error);
/* The port that is listened on. */
int http_server_port(const struct http_server *server);
/* How many connections are open, and how many have been ended why: enum connection_end. */
int http_server_connections(struct http_server *server, uint64_t ret_ended[CONNECTION_END_COUNT]);
/* Stops accepting connections; those that exist are closed after their next answer. Waits until no
 * request has been under way for a moment, at most `timeout_ms`. Returns how many are still open.
 */
int http_server_drain(struct http_server *server, int64_t timeout_ms);
/* Waits until every request is answered (their handlers' owners must see to that), then stops. */
void http_server_free(struct http_server *server);

/* The request. Text is valid until http_respond. */
const char *http_method(const struct http_request *request);
/* What a %XX of a path or query stands for; -1 when `text` does not begin with one. */
int http_escaped_byte(const char *text);
/* GET or HEAD. */
int http_is_get(const struct http_request *request);
const char *http_path(const struct http_request *request); /* as sent, nothing unescaped */
/* The value of a header or a query parameter, or NULL; "" for a parameter without a value. */
const char *http_header(const struct http_request *request, const char *name);
const char *http_query(const struct http_request *request, const char *name);
/* Calls back for each query parameter in the order of the request, repeated ones too. Name and
 * value are as sent, with "+" for a blank undone. */
void http_query_each(const struct http_request *request,
                     void (*each)(const char *name, const char *value, void *context),
                     void *context);
const char *http_body(const struct http_request *request, size_t *ret_size);
/* For the refusing handler: why the server turns the request down, for people, and the status that
 * says so: 400, 413 (the body), 421 (the Host) or 431 (the
 * headers). */
const char *http_refusal(const struct http_request *request, int *ret_status);

/* Memory that lives as long as the request, zeroed; one call per request. */
void *http_scratch(struct http_request *request, size_t size);

/* Calls back once, on a server thread, when the answer was sent or the connection is gone. Call it
 * before http_respond. The scratch memory is still there. */
void http_on_end(struct http_request *request, void (*ended)(void *context), void *context);

/* The body of the answer: append to it, then respond. */
struct buf *http_reply(struct http_request *request);
/* Adds a header to the answer. `name` must be static; `value` is copied. */
void http_reply_header(struct http_request *request, const char *name, const char *value);
/* Answers, exactly once. `content_type` must be static; NULL for an empty body. Any thread. */
void http_respond(struct http_request *request, int status, const char *content_type);

#endif
