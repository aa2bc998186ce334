/* SPDX-License-Identifier: Apache-2.0
 *
 * How an answer gets from any thread to the connection: a request is in one of three states.
 *
 *     PENDING ── http_respond ──► ANSWERED        the handler answered before it returned, or
 *        │                           ▲            another thread did while it ran
 *        └── server thread ► SUSPENDED ── http_respond, which resumes the connection
 *
 * The server thread suspends first and only then tries PENDING → SUSPENDED; when that fails the
 * answer has come in between and it resumes the connection itself. So exactly one side resumes, and
 * only a suspended connection. libmicrohttpd frees nothing while a connection is suspended; behind
 * the exchange of the state http_respond uses nothing of the request.
 *
 * poll and not epoll: with epoll libmicrohttpd 0.9.75 now and then sleeps although connections that
 * were resumed have data (128 clients stood still for seconds), and it takes a connection out of
 * the set and puts it back for each answer, which costs a third of a request's CPU. A suspended
 * connection is in no set, so poll's list is short.
 *
 * One request object with its buffers belongs to each connection and is reused by the requests on
 * it, so that a request costs no allocation of ours. */
#include "lib/http/server.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/json_text.h"
#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "lib/http/internal.h"
#include "lib/http/listen.h"

enum {
    CONNECTION_MEMORY = 32768, /* libmicrohttpd's own: headers, and the piece of body at hand */
    CONNECTION_INCREMENT = 8192,
    KEPT_BYTES_MAX = 65536, /* a buffer that grew beyond it is freed between requests */
    DRAIN_QUIET_MS = 50,
    DRAIN_STEP_MS = 5,
    SPARE_CONNECTIONS = 64,  /* those that are ended, but not closed yet */
    SEND_BYTES_MIN_MS = 128, /* a client takes an answer at least this fast, beside idle_timeout */
    LIBRARY_STRICT = 1       /* libmicrohttpd's version from which on it reads strictly */
};

void request_refuse(struct http_request *request, int status, const char *format, ...)
{
    va_list args;
    if (request->refusal_status)
        return;
    va_start(args, format);
    vsnprintf(request->refusal, sizeof request->refusal, format, args);
    va_end(args);
    request->refusal_status = status;
}

static void request_begin(struct http_request *request, const char *method, const char *path)
{
    request->method = method;
    request->path = path;
    request->header_count = 0;
    request->status = 0;
    request->content_type = NULL;
    request->refusal_status = 0;
    request->closes = 0;
    request->handled = 0;
    request->discarded = 0;
    request->ended = NULL;
    buf_reset(&request->body);
    buf_reset(&request->reply);
    atomic_store(&request->state, PENDING);
}

static void trim(struct buf *buf)
{
    if (buf->capacity > KEPT_BYTES_MAX)
        buf_free(buf);
}

static enum MHD_Result queue_reply(struct http_request *request)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        request->reply.size, request->reply.data, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    if (request->content_type)
        MHD_add_response_header(response, "Content-Type", request->content_type);
    for (int i = 0; i < request->header_count; i++)
        MHD_add_response_header(response, request->headers[i].name, request->headers[i].value);
    if (request->closes || atomic_load(&request->server->draining))
        MHD_add_response_header(response, "Connection", "close");
    connection_move(&request->entry, CONNECTION_SEND,
                    request->server->options.idle_timeout_ms +
                        (int64_t)request->reply.size / SEND_BYTES_MIN_MS);
    enum MHD_Result result =
        MHD_queue_response(request->connection, (unsigned int)request->status, response);
    MHD_destroy_response(response);
    return result;
}

static void default_refusal(struct http_request *request, void *context)
{
    (void)context;
    struct buf *out = http_reply(request);
    buf_put_u8(out, '{');
    json_text_member(out, "type", "about:blank");
    json_text_number(out, "status", request->refusal_status);
    json_text_member(out, "detail", request->refusal);
    buf_put_text(out, "}\n");
    http_respond(request, request->refusal_status, "application/problem+json");
}

static enum MHD_Result handle(struct http_request *request)
{
    struct http_server *server = request->server;
    const struct http_options *options = &server->options;
    http_handler handler = options->handler;
    if (connection_move(&request->entry, CONNECTION_HELD, -1) != 0)
        return MHD_NO;
    if (request->refusal_status)
        handler = options->refuse ? options->refuse : default_refusal;
    request->handled = 1;
    atomic_fetch_add(&server->unanswered, 1);
    handler(request, options->context);
    if (atomic_load(&request->state) == ANSWERED)
        return queue_reply(request);
    struct MHD_Connection *connection = request->connection;
    enum request_state expected = PENDING;
    MHD_suspend_connection(connection);
    if (!atomic_compare_exchange_strong(&request->state, &expected, SUSPENDED))
        MHD_resume_connection(connection);
    return MHD_YES;
}

static enum MHD_Result take_body(struct http_request *request, const char *data, size_t size)
{
    size_t limit = request->server->options.body_max;
    if (size > limit - request->body.size)
        request_refuse(request, 413, "at most %zu bytes are taken", limit);
    if (!request->refusal_status) {
        buf_put(&request->body, data, size);
        return MHD_YES;
    }
    request->discarded += size;
    return request->discarded / DISCARD_FACTOR > limit ? MHD_NO : MHD_YES;
}

static struct http_request *request_of(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void *on_target(void *context, const char *target, struct MHD_Connection *connection)
{
    (void)context;
    struct http_request *request = request_of(connection);
    head_target(request, target);
    return request;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *data, size_t *size, void **request_context)
{
    struct http_server *server = context;
    struct http_request *request = *request_context;
    if (!request->begun) {
        request->connection = connection;
        request->begun = 1;
        atomic_fetch_add(&server->open, 1);
        request_begin(request, method, path);
        if (head_check(request, version))
            return handle(request);
        return connection_move(&request->entry, CONNECTION_BODY, server->options.body_timeout_ms) ==
                       0
                   ? MHD_YES
                   : MHD_NO;
    }
    if (*size) {
        size_t taken = *size;
        *size = 0;
        return take_body(request, data, taken);
    }
    return request->handled ? queue_reply(request) : handle(request);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request_context,
                         enum MHD_RequestTerminationCode code)
{
    (void)connection;
    (void)code;
    struct http_server *server = context;
    struct http_request *request = *request_context;
    *request_context = NULL;
    if (!request || !request->begun)
        return;
    request->begun = 0;
    if (request->ended)
        request->ended(request->ended_context);
    connection_move(&request->entry, CONNECTION_IDLE, server->options.idle_timeout_ms);
    trim(&request->body);
    trim(&request->reply);
    trim(&request->scratch);
    atomic_fetch_sub(&server->open, 1);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        struct http_request *request = xcalloc(1, sizeof *request);
        request->server = server;
        *socket_context = request;
        int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        connections_add(
            server->connections, &request->entry, fd,
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
        return;
    }
    struct http_request *request = *socket_context;
    if (!request)
        return;
    connections_remove(server->connections, &request->entry);
    buf_free(&request->body);
    buf_free(&request->reply);
    buf_free(&request->scratch);
    free(request);
    *socket_context = NULL;
}

/* A path is compared as it was sent: an escaped byte never matches, and no NUL can hide in it. */
static size_t keep_escaped(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context;
    (void)connection;
    return strlen(text);
}

__attribute__((format(printf, 2, 0))) static void on_log(void *context, const char *format,
                                                         va_list args)
{
    (void)context;
    char text[512];
    vsnprintf(text, sizeof text, format, args);
    log_debug("http: %s", text);
}

static void start_daemon(struct http_server *server, int socket)
{
    const struct http_options *options = &server->options;
    unsigned int threads = (unsigned int)options->threads;
    struct MHD_OptionItem items[] = {
        /* The logger comes first, so that it gets what the others say. */
        {MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)on_log, NULL},
        {MHD_OPTION_LISTEN_SOCKET, socket, NULL},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, server},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, server},
        {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)on_target, NULL},
        {MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)keep_escaped, NULL},
        /* Each thread has its share of this; ours is the limit that counts. */
        {MHD_OPTION_CONNECTION_LIMIT,
         (options->connections_max + SPARE_CONNECTIONS) * options->threads, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)((options->idle_timeout_ms + 999) / 1000), NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_INCREMENT, CONNECTION_INCREMENT, NULL},
        /* Where it is not strict in all, it is not at all: the answers are ours then. */
        {MHD_OPTION_STRICT_FOR_CLIENT, !server->checks_layout, NULL},
        {MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, NULL}, /* main ignores it */
        /* A pool of one is no pool. */
        {threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, threads, NULL},
        {MHD_OPTION_END, 0, NULL}};
    server->daemon = MHD_start_daemon(
        MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        on_request, server, MHD_OPTION_ARRAY, items, MHD_OPTION_END);
}

int http_server_start(const struct http_options *options, struct http_server **ret_server,
                      struct error *error)
{
    int socket;
    if (listen_open(options->listen, &socket, error) != 0)
        return -1;
    struct http_server *server = xcalloc(1, sizeof *server);
    server->options = *options;
    server->port = listen_port(socket);
    if (server->options.threads < 1)
        server->options.threads = 1;
    if (server->options.threads > HTTP_THREADS_MAX)
        server->options.threads = HTTP_THREADS_MAX;
    server->checks_layout = atoi(MHD_get_version()) < LIBRARY_STRICT;
    const struct connections_options limits = {options->connections_max, options->address_max,
                                               options->head_timeout_ms};
    if (listen_is_loopback(options->listen, &server->is_local, error) != 0 ||
        connections_start(&limits, &server->connections, error) != 0) {
        close(socket);
        free(server);
        return -1;
    }
    start_daemon(server, socket);
    if (!server->daemon) {
        close(socket);
        connections_free(server->connections);
        free(server);
        return error_set(error, ERROR_FATAL, "http-start",
                         "cannot start the HTTP server on %s: too few file descriptors or threads "
                         "for connections-max?",
                         options->listen);
    }
    *ret_server = server;
    return 0;
}

int http_server_port(const struct http_server *server)
{
    return server->port;
}

int http_server_connections(struct http_server *server, uint64_t ret_ended[CONNECTION_END_COUNT])
{
    return connections_count(server->connections, ret_ended);
}

static void sleep_ms(int ms)
{
    const struct timespec time = {.tv_nsec = ms * 1000000L};
    nanosleep(&time, NULL);
}

int http_server_drain(struct http_server *server, int64_t timeout_ms)
{
    if (!atomic_exchange(&server->draining, 1)) {
        int socket = MHD_quiesce_daemon(server->daemon);
        if (socket >= 0)
            close(socket);
    }
    int64_t deadline_us = monotonic_now_us() + timeout_ms * 1000;
    int quiet_ms = 0;
    while (quiet_ms < DRAIN_QUIET_MS && monotonic_now_us() < deadline_us) {
        sleep_ms(DRAIN_STEP_MS);
        quiet_ms = atomic_load(&server->open) ? 0 : quiet_ms + DRAIN_STEP_MS;
    }
    return atomic_load(&server->open);
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    while (atomic_load(&server->unanswered))
        sleep_ms(1);
    MHD_stop_daemon(server->daemon);
    connections_free(server->connections);
    free(server);
}
