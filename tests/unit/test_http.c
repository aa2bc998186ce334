/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP server as a client sees it, over raw sockets: answers at once and from another thread,
 * limits, framing, and a drain that loses no request. */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/http/listen.h"
#include "tests/unit/http_client.h"

enum { BODY_MAX = 1000 };

static atomic_int arrived;  /* requests for /slow */
static atomic_int released; /* they may be answered */

static void *answer_late(void *context)
{
    struct http_request *request = context;
    if (strcmp(http_path(request), "/slow") == 0) {
        atomic_fetch_add(&arrived, 1);
        while (!atomic_load(&released))
            pause_ms(1);
    }
    buf_put_text(http_reply(request), "late");
    http_respond(request, 202, "text/plain");
    return NULL;
}

static void handler(struct http_request *request, void *context)
{
    (void)context;
    if (strcmp(http_path(request), "/late") == 0 || strcmp(http_path(request), "/slow") == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, answer_late, request);
        pthread_detach(thread);
        return;
    }
    size_t size;
    const char *body = http_body(request, &size);
    buf_printf(http_reply(request), "%s %s %s %.*s", http_method(request), http_path(request),
               http_query(request, "verbose") ? "verbose" : "-", (int)size, body);
    http_reply_header(request, "X-Test", "yes");
    http_respond(request, 200, "text/plain");
}

static struct http_server *start(int threads)
{
    const struct http_options options = {.listen = "127.0.0.1:0",
                                         .handler = handler,
                                         .threads = threads,
                                         .connections_max = 300,
                                         .address_max = 300,
                                         .body_max = BODY_MAX,
                                         .head_timeout_ms = 5000,
                                         .idle_timeout_ms = 5000,
                                         .body_timeout_ms = 5000};
    struct http_server *server;
    struct error error;
    assert_int_equal(http_server_start(&options, &server, &error), 0);
    return server;
}

static void exchange(const struct http_server *server, const char *text, char answer[REPLY_BYTES])
{
    int fd = dial(server);
    put(fd, text, strlen(text));
    get_answer(fd, answer);
    close(fd);
}

static void answers(void **state)
{
    (void)state;
    static char answer[REPLY_BYTES];
    struct http_server *server = start(2);
    int fd = dial(server);
    for (int i = 0; i < 3; i++) { /* on one connection */
        const char *get = "GET /a%2Fb?verbose HTTP/1.1\r\nHost: localhost\r\n\r\n";
        put(fd, get, strlen(get));
        get_answer(fd, answer);
        assert_non_null(strstr(answer, "HTTP/1.1 200"));
        assert_non_null(strstr(answer, "X-Test: yes"));
        assert_non_null(strstr(answer, "GET /a%2Fb verbose "));
        const char *post = "POST /late HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";
        put(fd, post, strlen(post));
        get_answer(fd, answer);
        assert_non_null(strstr(answer, "HTTP/1.1 202"));
        assert_non_null(strstr(answer, "\r\n\r\nlate"));
    }
    close(fd);
    exchange(
        server,
        "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\n"
        "de\r\n0\r\n\r\n",
        answer);
    assert_non_null(strstr(answer, "POST /x - abcde"));
    assert_int_equal(http_server_drain(server, 2000), 0);
    http_server_free(server);
}

static void limits(void **state)
{
    (void)state;
    static char answer[REPLY_BYTES];
    static char text[REPLY_BYTES];
    struct http_server *server = start(1);
    int head =
        snprintf(text, sizeof text,
                 "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", BODY_MAX + 1);
    memset(text + head, 'x', BODY_MAX + 1);
    text[head + BODY_MAX + 1] = '\0';
    exchange(server, text, answer);
    assert_non_null(strstr(answer, "HTTP/1.1 413"));
    exchange(server, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n",
             answer);
    assert_non_null(strstr(answer, "HTTP/1.1 413"));
    exchange(
        server,
        "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        answer);
    assert_non_null(strstr(answer, "HTTP/1.1 400"));
    exchange(server,
             "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: "
             "chunked\r\n\r\n"
             "3\r\nabc\r\n0\r\n\r\n",
             answer);
    assert_non_null(strstr(answer, "HTTP/1.1 400"));
    head = snprintf(text, sizeof text, "GET /x HTTP/1.1\r\nHost: localhost\r\nBig: ");
    memset(text + head, 'x', HTTP_HEADER_BYTES_MAX);
    strcpy(text + head + HTTP_HEADER_BYTES_MAX, "\r\n\r\n");
    exchange(server, text, answer);
    assert_non_null(strstr(answer, "HTTP/1.1 431"));
    http_server_drain(server, 1000);
    http_server_free(server);
}

static void *slow_client(void *context)
{
    static const char text[] =
        "POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    char *answer = malloc(REPLY_BYTES);
    exchange(context, text, answer);
    int ok = strstr(answer, "HTTP/1.1 202") && strcasestr(answer, "\r\nConnection: close\r\n");
    free(answer);
    return ok ? context : NULL;
}

enum { CLIENTS = 20 };

static void drain_answers_everything(void **state)
{
    (void)state;
    struct http_server *server = start(2);
    pthread_t clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        pthread_create(&clients[i], NULL, slow_client, server);
    for (int i = 0; i < 30000 && atomic_load(&arrived) < CLIENTS; i++)
        pause_ms(1);
    /* All are waiting for their answer now, and get it when the server is draining. */
    assert_int_equal(http_server_drain(server, 1), CLIENTS);
    atomic_store(&released, 1);
    assert_int_equal(http_server_drain(server, 30000), 0);
    for (int i = 0; i < CLIENTS; i++) {
        void *ok;
        pthread_join(clients[i], &ok);
        assert_non_null(ok);
    }
    http_server_free(server);
}

static void addresses(void **state)
{
    (void)state;
    struct error error;
    int loopback;
    assert_int_equal(listen_is_loopback("127.0.0.1:80", &loopback, &error), 0);
    assert_true(loopback);
    assert_int_equal(listen_is_loopback("[::1]:80", &loopback, &error), 0);
    assert_true(loopback);
    assert_int_equal(listen_is_loopback("0.0.0.0:80", &loopback, &error), 0);
    assert_false(loopback);
    assert_int_equal(listen_is_loopback("80", &loopback, &error), -1);
    assert_int_equal(error.class, ERROR_USAGE);
    static const char *const bad[] = {"127.0.0.1:99999", "127.0.0.1:65536", "127.0.0.1:http",
                                      "127.0.0.1:-1", "127.0.0.1:18446744073709551616"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(listen_is_loopback(bad[i], &loopback, &error), -1);
        assert_non_null(strstr(error.message, "from 0 to 65535"));
    }
    struct http_server *server = start(1);
    struct http_server *second = NULL;
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%d", http_server_port(server));
    const struct http_options options = {.listen = address, .handler = handler, .threads = 1};
    assert_int_equal(http_server_start(&options, &second, &error), -1);
    assert_non_null(strstr(error.message, "another program"));
    http_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(limits),
        cmocka_unit_test(drain_answers_everything),
        cmocka_unit_test(addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
