/* SPDX-License-Identifier: Apache-2.0
 *
 * The head of a request, read strictly (RFC 9112): what a proxy in front may have read otherwise is
 * refused, so that nothing can be smuggled past it.
 *
 * libmicrohttpd before 1.0 reads tolerantly and shows the outcome alone. It continues a folded
 * header's *name*, and it ends texts at a NUL and lines at a bare LF. But it reads in place: what
 * it shows are the bytes that came, with a NUL in place of each delimiter. So a head is whole when
 * each part begins where the one before ended; a gap is something that the library hides. From 1.0
 * on the library refuses these itself. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/http/internal.h"

enum {
    HEADER_SEPARATORS = 4, /* ": " and CRLF */
    HOST_BYTES_MAX = 256
};

struct head {
    struct http_request *request;
    const char *end; /* of the part before, for the layout; NULL: not looked at */
    size_t bytes;
    int lengths; /* Content-Length headers */
    int codings; /* Transfer-Encoding headers */
    int hosts;
    int expects;
    uint64_t length;
    const char *coding;
    const char *host;
};

static int is_token(const char *text)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    const char *at = text;
    while (isalnum((unsigned char)*at) || (*at && strchr(marks, *at)))
        at++;
    return at > text && !*at;
}

/* Whether `next` lies so many bytes behind the end of the part before. They are parts of one buffer
 * unless the library has moved one of them; numbers compare either way. */
static int follows(const char *end, const char *next, size_t gap)
{
    return (uintptr_t)next - (uintptr_t)end == gap;
}

/* Whether a header's line lies behind what came before, with nothing but blanks before its value.
 */
static int header_is_whole(const char *end, const char *name, const char *value)
{
    const char *at = name + strlen(name) + 1;
    if (!follows(end, name, strlen("\r\n")))
        return 0;
    while (*at == ' ' || *at == '\t')
        at++;
    return at == value;
}

static enum MHD_Result on_header(void *context, enum MHD_ValueKind kind, const char *name,
                                 const char *value)
{
    (void)kind;
    struct head *head = context;
    value = value ? value : "";
    if (!is_token(name))
        request_refuse(head->request, 400, "a header's name is a token, with a colon right behind");
    else if (head->end && !header_is_whole(head->end, name, value))
        request_refuse(head->request, 400,
                       "a header is one line, without NUL, and ends with CR and LF");
    head->end = head->end ? value + strlen(value) : NULL;
    head->bytes += strlen(name) + strlen(value) + HEADER_SEPARATORS;
    if (strcasecmp(name, "Content-Length") == 0) {
        head->lengths++;
        head->length = strtoull(value, NULL, 10);
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        head->codings++;
        head->coding = value;
    } else if (strcasecmp(name, "Host") == 0) {
        head->hosts++;
        head->host = value;
    }
    head->expects += strcasecmp(name, "Expect") == 0;
    return MHD_YES;
}

void head_target(struct http_request *request, const char *target)
{
    size_t size = 0;
    while (target && isgraph((unsigned char)target[size]))
        size++;
    request->target = target;
    request->target_size = target && *target == '/' && !target[size] ? size : 0;
}

static void check_line(struct http_request *request, const char *version)
{
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
        request_refuse(request, 400, "send HTTP/1.1");
    else if (!is_token(request->method))
        request_refuse(request, 400, "the method is no token");
    else if (!request->target_size ||
             !follows(request->method + strlen(request->method), request->target, 1) ||
             !follows(request->target + request->target_size, version, 1))
        request_refuse(request, 400,
                       "the target is a path of printable ASCII between two single blanks");
}

/* Whether the last header's line is followed by the empty line that ends the head. The library
 * takes a line that begins with a colon for that end as well. */
static int end_is_whole(const struct http_request *request, const char *end)
{
    size_t size =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)
            ->header_size;
    return follows(end, request->method + size, strlen("\r\n\r\n"));
}

/* Two lengths, or a length beside chunks, are how requests are smuggled past a proxy. */
static void check_framing(struct head *head, const char *version)
{
    int is_1_1 = strcmp(version, "HTTP/1.1") == 0;
    if (head->lengths > 1 || head->codings > 1 || (head->lengths && head->codings))
        request_refuse(head->request, 400, "bad-framing: one Content-Length, or chunks");
    else if (head->coding && (!is_1_1 || strcasecmp(head->coding, "chunked") != 0))
        request_refuse(head->request, 400,
                       "bad-framing: chunked is the only transfer coding, of HTTP/1.1");
    else if (head->hosts > 1 || (is_1_1 && !head->hosts))
        request_refuse(head->request, 400, "a request has one Host header");
}

/* Whether a page of another site cannot have made a browser send this Host here: it is an address
 * of this machine, the name for it, or one that was allowed. */
static int host_is_ours(const struct http_options *options, const char *host)
{
    char name[HOST_BYTES_MAX];
    struct in_addr v4;
    size_t size = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (size >= sizeof name)
        return 0;
    memcpy(name, host, size);
    name[size] = '\0';
    for (size_t i = 0; i < options->host_count; i++)
        if (strcasecmp(name, options->hosts[i]) == 0)
            return 1;
    return strcasecmp(name, "localhost") == 0 || strcmp(name, "[::1]") == 0 ||
           (inet_pton(AF_INET, name, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127);
}

int head_check(struct http_request *request, const char *version)
{
    const struct http_server *server = request->server;
    size_t body_max = server->options.body_max;
    struct head head = {.request = request,
                        .bytes = strlen(request->method) + request->target_size,
                        .end = server->checks_layout ? version + strlen(version) : NULL};
    check_line(request, version);
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, on_header, &head);
    if (head.end && !end_is_whole(request, head.end))
        request_refuse(request, 400, "a head ends with CR, LF, CR and LF");
    check_framing(&head, version);
    if (server->is_local && head.host && !host_is_ours(&server->options, head.host))
        request_refuse(request, 421,
                       "the Host header names another machine; it is localhost, an address of this "
                       "machine, or one that --allowed-host names");
    if (head.bytes > HTTP_HEADER_BYTES_MAX)
        request_refuse(request, 431, "at most %d bytes are taken", HTTP_HEADER_BYTES_MAX);
    request->closes = request->refusal_status != 0;
    if (request->closes)
        return 1;
    if (head.length <= body_max)
        return 0;
    request_refuse(request, 413, "at most %zu bytes are taken", body_max);
    return head.expects || head.length / DISCARD_FACTOR > body_max;
}
