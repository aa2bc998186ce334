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

#include <microhttpd.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "lib/http/listen.h"

enum {
    CONNECTION_MEMORY = 32768, /* libmicrohttpd's own: headers, and the piece of body at hand */
    CONNECTION_INCREMENT = 8192,
    KEPT_BYTES_MAX = 65536, /* a buffer that grew beyond it is freed between requests */
    DISCARD_FACTOR = 8,     /* a too large body up to so many times the limit is read off, so
                               that the client sees the answer and not a reset */
    DRAIN_QUIET_MS = 50,
    DRAIN_STEP_MS = 5,
    HEADER_SEPARATORS = 4 /* ": " and CRLF */
};

enum request_state { PENDING, SUSPENDED, ANSWERED };

struct http_server {
    struct http_options options;
    struct MHD_Daemon *daemon;
    int port;
    atomic_int open;       /* requests between their headers and their end */
    atomic_int unanswered; /* requests in the hands of the handler */
    atomic_int draining;
};

struct reply_header {
    const char *name;
    char value[HTTP_REPLY_VALUE_BYTES];
};

struct http_request {
    struct http_server *server;
    struct MHD_Connection *connection;
    const char *method;
    const char *path;
    struct buf body;
    struct buf reply;
    struct buf scratch;
    struct reply_header headers[HTTP_REPLY_HEADERS_MAX];
    int header_count;
    int status;
    const char *content_type;
    const char *refusal;
    int refusal_status;
    int handled;
    size_t discarded;
    int64_t body_deadline_us;
    void (*ended)(void *context);
    void *ended_context;
    _Atomic enum request_state state;
};

struct head_facts {
    size_t bytes;
    int lengths; /* Content-Length headers */
    int codings; /* Transfer-Encoding headers */
    int expects;
    uint64_t length;
};

static enum MHD_Result on_header(void *context, enum MHD_ValueKind kind, const char *name,
                                 const char *value)
{
    (void)kind;
    struct head_facts *facts = context;
    facts->bytes += strlen(name) + (value ? strlen(value) : 0) + HEADER_SEPARATORS;
    if (strcasecmp(name, "Content-Length") == 0) {
        facts->lengths++;
        facts->length = strtoull(value ? value : "", NULL, 10);
    }
    facts->codings += strcasecmp(name, "Transfer-Encoding") == 0;
    facts->expects += strcasecmp(name, "Expect") == 0;
    return MHD_YES;
}

static void refuse(struct http_request *request, const char *why, int status)
{
    request->refusal = why;
    request->refusal_status = status;
}

/* Returns 1 when the answer must not wait for the body. */
static int judge_head(struct http_request *request)
{
    const struct http_options *options = &request->server->options;
    struct head_facts facts = {.bytes = strlen(request->method) + strlen(request->path)};
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, on_header, &facts);
    if (facts.bytes > HTTP_HEADER_BYTES_MAX) {
        refuse(request, "headers-too-large", 431);
        return 1;
    }
    /* Two lengths, or a length beside chunks, are how requests are smuggled past a proxy. */
    if (facts.lengths > 1 || facts.codings > 1 || (facts.lengths && facts.codings)) {
        refuse(request, "bad-framing", 400);
        return 1;
    }
    if (facts.length > options->body_max) {
        refuse(request, "body-too-large", 413);
        return facts.expects || facts.length / DISCARD_FACTOR > options->body_max;
    }
    return 0;
}

static void request_begin(struct http_request *request, const char *method, const char *path)
{
    request->method = method;
    request->path = path;
    request->header_count = 0;
    request->status = 0;
    request->content_type = NULL;
    request->refusal = NULL;
    request->handled = 0;
    request->discarded = 0;
    request->ended = NULL;
    request->body_deadline_us =
        monotonic_now_us() + request->server->options.body_timeout_ms * 1000;
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
    if (atomic_load(&request->server->draining))
        MHD_add_response_header(response, "Connection", "close");
    enum MHD_Result result =
        MHD_queue_response(request->connection, (unsigned int)request->status, response);
    MHD_destroy_response(response);
    return result;
}

static void default_refusal(struct http_request *request, void *context)
{
    (void)context;
    buf_printf(&request->reply, "%s\n", request->refusal);
    http_respond(request, request->refusal_status, "text/plain; charset=utf-8");
}

static enum MHD_Result handle(struct http_request *request)
{
    struct http_server *server = request->server;
    const struct http_options *options = &server->options;
    http_handler handler = options->handler;
    if (request->refusal)
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
    if (monotonic_now_us() > request->body_deadline_us)
        return MHD_NO;
    if (!request->refusal && size > limit - request->body.size)
        refuse(request, "body-too-large", 413);
    if (!request->refusal) {
        buf_put(&request->body, data, size);
        return MHD_YES;
    }
    request->discarded += size;
    return request->discarded / DISCARD_FACTOR > limit ? MHD_NO : MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *data, size_t *size, void **request_context)
{
    (void)version;
    struct http_server *server = context;
    struct http_request *request = *request_context;
    if (!request) {
        request =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
        *request_context = request;
        request->connection = connection;
        atomic_fetch_add(&server->open, 1);
        request_begin(request, method, path);
        return judge_head(request) ? handle(request) : MHD_YES;
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
    if (!request)
        return;
    *request_context = NULL;
    if (request->ended)
        request->ended(request->ended_context);
    trim(&request->body);
    trim(&request->reply);
    trim(&request->scratch);
    atomic_fetch_sub(&server->open, 1);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    (void)connection;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        struct http_request *request = xcalloc(1, sizeof *request);
        request->server = context;
        *socket_context = request;
        return;
    }
    struct http_request *request = *socket_context;
    if (!request)
        return;
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
        {MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)keep_escaped, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, options->connections_max, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)((options->idle_timeout_ms + 999) / 1000), NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_INCREMENT, CONNECTION_INCREMENT, NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
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
    start_daemon(server, socket);
    if (!server->daemon) {
        close(socket);
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
    free(server);
}

const char *http_method(const struct http_request *request)
{
    return request->method;
}

const char *http_path(const struct http_request *request)
{
    return request->path;
}

const char *http_header(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *http_query(const struct http_request *request, const char *name)
{
    const char *value = NULL;
    if (MHD_lookup_connection_value_n(request->connection, MHD_GET_ARGUMENT_KIND, name,
                                      strlen(name), &value, NULL) != MHD_YES)
        return NULL;
    return value ? value : "";
}

struct query_visit {
    void (*each)(const char *name, const char *value, void *context);
    void *context;
};

static enum MHD_Result on_query(void *context, enum MHD_ValueKind kind, const char *name,
                                const char *value)
{
    (void)kind;
    struct query_visit *visit = context;
    visit->each(name, value ? value : "", visit->context);
    return MHD_YES;
}

void http_query_each(const struct http_request *request,
                     void (*each)(const char *name, const char *value, void *context),
                     void *context)
{
    struct query_visit visit = {each, context};
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, on_query, &visit);
}

const char *http_body(const struct http_request *request, size_t *ret_size)
{
    *ret_size = request->body.size;
    return request->body.data ? request->body.data : "";
}

const char *http_refusal(const struct http_request *request, int *ret_status)
{
    *ret_status = request->refusal_status;
    return request->refusal;
}

void *http_scratch(struct http_request *request, size_t size)
{
    buf_reset(&request->scratch);
    return memset(buf_reserve(&request->scratch, size), 0, size);
}

void http_on_end(struct http_request *request, void (*ended)(void *context), void *context)
{
    request->ended = ended;
    request->ended_context = context;
}

struct buf *http_reply(struct http_request *request)
{
    return &request->reply;
}

void http_reply_header(struct http_request *request, const char *name, const char *value)
{
    if (request->header_count == HTTP_REPLY_HEADERS_MAX)
        return;
    struct reply_header *header = &request->headers[request->header_count++];
    header->name = name;
    snprintf(header->value, sizeof header->value, "%s", value);
}

void http_respond(struct http_request *request, int status, const char *content_type)
{
    struct http_server *server = request->server;
    struct MHD_Connection *connection = request->connection;
    request->status = status;
    request->content_type = content_type;
    if (atomic_exchange(&request->state, ANSWERED) == SUSPENDED)
        MHD_resume_connection(connection);
    atomic_fetch_sub(&server->unanswered, 1);
}
