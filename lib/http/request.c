/* SPDX-License-Identifier: Apache-2.0
 *
 * What a handler sees of a request, and how it answers. */
#include <stdio.h>
#include <string.h>

#include "lib/http/internal.h"

const char *http_method(const struct http_request *request)
{
    return request->method;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int http_escaped_byte(const char *text)
{
    int high = *text == '%' ? hex_digit(text[1]) : -1;
    int low = high < 0 ? -1 : hex_digit(text[2]);
    return low < 0 ? -1 : high << 4 | low;
}

int http_is_get(const struct http_request *request)
{
    const char *method = http_method(request);
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
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
