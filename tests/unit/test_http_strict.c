/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests that two readers may read in two ways, byte by byte: refused at once, the connection
 * closed, and what follows on it not taken for a request. */
#include <stdio.h>

#include "tests/unit/http_client.h"

enum { BODY_MAX = 1000, TIMEOUT_MS = 20000, PIECE = 7 };

/* Requests of this size fill the library's first buffer and make it grow. */
enum { LARGE = 11000 };

static void handler(struct http_request *request, void *context)
{
    (void)context;
    size_t size;
    const char *body = http_body(request, &size);
    buf_printf(http_reply(request), "took %s %s x=%s %.*s", http_method(request),
               http_path(request), http_header(request, "X") ? http_header(request, "X") : "-",
               (int)size, body);
    http_respond(request, 200, "text/plain");
}

static struct http_server *start(const char *const *hosts, size_t host_count)
{
    const struct http_options options = {.listen = "127.0.0.1:0",
                                         .handler = handler,
                                         .threads = 2,
                                         .connections_max = 100,
                                         .address_max = 100,
                                         .body_max = BODY_MAX,
                                         .head_timeout_ms = TIMEOUT_MS,
                                         .idle_timeout_ms = TIMEOUT_MS,
                                         .body_timeout_ms = TIMEOUT_MS,
                                         .hosts = hosts,
                                         .host_count = host_count};
    struct http_server *server;
    struct error error;
    assert_int_equal(http_server_start(&options, &server, &error), 0);
    return server;
}

#define TEXT(text) text, sizeof text - 1
#define HOST "Host: localhost\r\n"
#define NEXT "GET /smuggled HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"
#define CLOSE "Connection: close\r\n\r\n"

static const struct {
    const char *what;
    const char *text;
    size_t size;
    int status; /* 0: closed without an answer, or refused */
} cases[] = {
    {"blank before the colon", TEXT("GET /a HTTP/1.1\r\n" HOST "X : y\r\n\r\n" NEXT), 400},
    {"tab before the colon", TEXT("GET /a HTTP/1.1\r\n" HOST "X\t: y\r\n\r\n" NEXT), 400},
    {"blank before a length's colon",
     TEXT("POST /a HTTP/1.1\r\n" HOST "Content-Length : 3\r\n\r\nabc" NEXT), 400},
    {"no name", TEXT("GET /a HTTP/1.1\r\n" HOST ": y\r\n\r\n" NEXT), 400},
    {"nothing but a colon", TEXT("GET /a HTTP/1.1\r\n" HOST ":\r\n\r\n" NEXT), 400},
    {"colon first", TEXT("GET /a HTTP/1.1\r\n:\r\n" HOST "\r\n" NEXT), 400},
    {"NUL in the last value", TEXT("GET /a HTTP/1.1\r\n" HOST "X: y\0\0\0\0z\r\n\r\n" NEXT), 400},
    {"folded header", TEXT("GET /a HTTP/1.1\r\n" HOST "X: y\r\n z\r\nY: z\r\n\r\n" NEXT), 400},
    {"folded last header", TEXT("GET /a HTTP/1.1\r\n" HOST "X: y\r\n\tz\r\n\r\n" NEXT), 400},
    {"folded first header", TEXT("GET /a HTTP/1.1\r\n x: y\r\n" HOST "\r\n" NEXT), 400},
    {"name made by folding",
     TEXT("POST /a HTTP/1.1\r\n" HOST "Content-Lengt: 3\r\n h\r\n\r\nabc" NEXT), 400},
    {"NUL in the path", TEXT("GET /a\0b HTTP/1.1\r\n" HOST "\r\n" NEXT), 0},
    {"NUL in the query", TEXT("GET /a?x=y\0b HTTP/1.1\r\n" HOST "\r\n" NEXT), 0},
    {"NUL in the method", TEXT("GE\0T /a HTTP/1.1\r\n" HOST "\r\n" NEXT), 0},
    {"NUL in a value", TEXT("GET /a HTTP/1.1\r\nX: y\0z\r\n" HOST "\r\n" NEXT), 400},
    {"NUL in a name", TEXT("GET /a HTTP/1.1\r\n" HOST "X\0y: z\r\n\r\n" NEXT), 0},
    {"bare LF behind a header", TEXT("GET /a HTTP/1.1\r\nX: y\n" HOST "\r\n" NEXT), 400},
    {"bare LF behind the request line", TEXT("GET /a HTTP/1.1\n" HOST "\r\n" NEXT), 0},
    {"no Host", TEXT("GET /a HTTP/1.1\r\n\r\n" NEXT), 400},
    {"two Hosts", TEXT("GET /a HTTP/1.1\r\n" HOST HOST "\r\n" NEXT), 400},
    {"two blanks", TEXT("GET  /a HTTP/1.1\r\n" HOST "\r\n" NEXT), 0},
    {"blank in the path", TEXT("GET /a b HTTP/1.1\r\n" HOST "\r\n" NEXT), 0},
    {"no version", TEXT("GET /a\r\n" HOST "\r\n" NEXT), 0},
    {"other version", TEXT("GET /a HTTP/1.2\r\n" HOST "\r\n" NEXT), 0},
    {"another server's URL", TEXT("GET http://elsewhere/a HTTP/1.1\r\n" HOST "\r\n" NEXT), 400},
    {"no path", TEXT("OPTIONS * HTTP/1.1\r\n" HOST "\r\n" NEXT), 400},
    {"byte beyond ASCII", TEXT("GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n" NEXT), 400},
    {"unknown coding",
     TEXT("POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n" NEXT),
     400},
    {"coding before chunks",
     TEXT("POST /a HTTP/1.1\r\n" HOST
          "Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" NEXT),
     400},
    {"nearly chunked",
     TEXT("POST /a HTTP/1.1\r\n" HOST
          "Transfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" NEXT),
     400},
    {"chunks in HTTP/1.0",
     TEXT("POST /a HTTP/1.0\r\n" HOST
          "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" NEXT),
     400},
    {"two codings",
     TEXT("POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: "
          "identity\r\n\r\n3\r\nabc\r\n0\r\n\r\n" NEXT),
     400},
    {"two lengths",
     TEXT("POST /a HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc" NEXT),
     400},
    {"length beside chunks",
     TEXT("POST /a HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
          "3\r\nabc\r\n0\r\n\r\n" NEXT),
     400},
    {"list of lengths", TEXT("POST /a HTTP/1.1\r\n" HOST "Content-Length: 3, 3\r\n\r\nabc" NEXT),
     0},
    {"signed length", TEXT("POST /a HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\nabc" NEXT), 0},
    {"length in hex", TEXT("POST /a HTTP/1.1\r\n" HOST "Content-Length: 0x3\r\n\r\nabc" NEXT), 0},
    {"chunk that is no number",
     TEXT("POST /a HTTP/1.1\r\n" HOST
          "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n" NEXT),
     0},
    {"foreign Host", TEXT("GET /a HTTP/1.1\r\nHost: evil.example\r\n\r\n" NEXT), 421},
    {"foreign Host with our port", TEXT("GET /a HTTP/1.1\r\nHost: evil.example:18080\r\n\r\n" NEXT),
     421},
    {"name that begins like ours",
     TEXT("GET /a HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n" NEXT), 421},
    {"address that begins like ours",
     TEXT("GET /a HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n" NEXT), 421},
    {"empty Host", TEXT("GET /a HTTP/1.1\r\nHost: \r\n\r\n" NEXT), 421},
    /* and these are taken */
    {"plain", TEXT("GET /a HTTP/1.1\r\n" HOST "X: y\r\n" CLOSE), 200},
    {"HTTP/1.0 without a Host", TEXT("GET /a HTTP/1.0\r\nX:y\r\n\r\n"), 200},
    {"address", TEXT("GET /a HTTP/1.1\r\nHost: 127.0.0.1:18080\r\nX:  y\r\n" CLOSE), 200},
    {"address of version 6", TEXT("GET /a HTTP/1.1\r\nHost: [::1]:18080\r\nX: y\r\n" CLOSE), 200},
    {"name in capitals", TEXT("GET /a HTTP/1.1\r\nHost: LocalHost\r\nX:\ty\r\n" CLOSE), 200},
    {"allowed name", TEXT("GET /a HTTP/1.1\r\nHost: Weir.Test:80\r\nX: y\r\n" CLOSE), 200},
    {"cookies and a query",
     TEXT("GET /a?b=c&d HTTP/1.1\r\n" HOST "Cookie: a=b; c=d\r\nX: y\r\nCookie: e=f\r\n" CLOSE),
     200},
    {"chunks and a trailer",
     TEXT("POST /a HTTP/1.1\r\n" HOST "X: y\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
          "\r\n3\r\nabc\r\n0\r\nX: z\r\n\r\n"),
     200},
};

static int status_of(const char *answer)
{
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0;
}

/* Whether a case is answered as it says. */
static int is_right(size_t i, const char *answer)
{
    int status = status_of(answer);
    if (cases[i].status == 200)
        return status == 200 && strstr(answer, " /a x=y ");
    if (strstr(answer, "took"))
        return 0;
    return cases[i].status ? status == cases[i].status
                           : !status || status / 100 == 4 || status == 505;
}

static void head_is_read_strictly(void **state)
{
    (void)state;
    static const char *const hosts[] = {"weir.test"};
    static char answer[REPLY_BYTES];
    struct http_server *server = start(hosts, 1);
    int wrong = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        converse(server, cases[i].text, cases[i].size, answer);
        if (is_right(i, answer))
            continue;
        print_error("%s: %s\n", cases[i].what, answer);
        wrong++;
    }
    assert_int_equal(wrong, 0);
    http_server_free(server);
}

/* Large heads that come in pieces make the library's buffer grow; they are as whole as others. */
static void heads_in_pieces_are_whole(void **state)
{
    (void)state;
    static char text[REPLY_BYTES];
    static char answer[REPLY_BYTES];
    struct http_server *server = start(NULL, 0);
    int fd = dial(server);
    for (int round = 0; round < 6; round++) {
        size_t size = (size_t)snprintf(text, sizeof text, "GET /a?b=c HTTP/1.1\r\n" HOST);
        for (int i = 0; size < LARGE / (round % 2 ? 1 : 20); i++)
            size += (size_t)snprintf(text + size, sizeof text - size, "Filler-%d: %0*d\r\n", i,
                                     50 + 37 * i % 400, i);
        size += (size_t)snprintf(text + size, sizeof text - size, "X: y\r\n\r\n");
        size_t piece = (size_t)PIECE << round;
        for (size_t at = 0; at < size; at += piece)
            put(fd, text + at, size - at < piece ? size - at : piece);
        get_answer(fd, answer);
        if (!strstr(answer, "took GET /a x=y "))
            fail_msg("round %d: %.300s", round, answer);
    }
    close(fd);
    http_server_free(server);
}

static void refusals_are_problems(void **state)
{
    (void)state;
    static char answer[REPLY_BYTES];
    struct http_server *server = start(NULL, 0);
    converse(server, TEXT("GET /a HTTP/1.1\r\nHost: weir.test\r\n\r\n"), answer);
    assert_int_equal(status_of(answer), 421);
    assert_non_null(strstr(answer, "Content-Type: application/problem+json"));
    assert_non_null(strcasestr(answer, "Connection: close"));
    assert_non_null(strstr(answer, "\"status\":421"));
    assert_non_null(strstr(answer, "--allowed-host"));
    http_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_is_read_strictly),
        cmocka_unit_test(heads_in_pieces_are_whole),
        cmocka_unit_test(refusals_are_problems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
