/* SPDX-License-Identifier: Apache-2.0
 *
 * Many and slow clients at the HTTP server: deadlines that no trickle moves, who makes room for
 * whom, and that a request which the handler has is never cut off. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "lib/base/timestamp.h"
#include "tests/unit/http_client.h"

enum {
    DEADLINE_MS = 600, /* of what is slow */
    LONG_MS = 120000,  /* of what is not */
    TRICKLE_MS = 50,
    END_MS = 60000 /* a test gives up */
};

static atomic_int held;     /* requests for /hold */
static atomic_int released; /* they may be answered */

static void *answer_when_released(void *context)
{
    struct http_request *request = context;
    atomic_fetch_add(&held, 1);
    while (!atomic_load(&released))
        pause_ms(1);
    buf_put_text(http_reply(request), "held");
    http_respond(request, 200, "text/plain");
    return NULL;
}

static void handler(struct http_request *request, void *context)
{
    (void)context;
    if (strcmp(http_path(request), "/hold") == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, answer_when_released, request);
        pthread_detach(thread);
        return;
    }
    buf_put_text(http_reply(request), "at once");
    http_respond(request, 200, "text/plain");
}

static struct http_options limits(void)
{
    return (struct http_options){.listen = "127.0.0.1:0",
                                 .handler = handler,
                                 .threads = 2,
                                 .connections_max = 20,
                                 .address_max = 20,
                                 .body_max = 1000,
                                 .head_timeout_ms = LONG_MS,
                                 .idle_timeout_ms = LONG_MS,
                                 .body_timeout_ms = LONG_MS};
}

static struct http_server *start(const struct http_options *options)
{
    struct http_server *server;
    struct error error;
    assert_int_equal(http_server_start(options, &server, &error), 0);
    return server;
}

static uint64_t ended(struct http_server *server, enum connection_end why)
{
    uint64_t counts[CONNECTION_END_COUNT];
    http_server_connections(server, counts);
    return counts[why];
}

static const char get[] = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";

/* Asks on an open connection; returns whether it was answered. */
static int ask(int fd, const char *text)
{
    static char answer[REPLY_BYTES];
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        return 0;
    answer[0] = '\0';
    get_answer(fd, answer);
    return strstr(answer, "HTTP/1.1 200") != NULL;
}

/* Whether the server has closed it. */
static int is_closed(int fd)
{
    char byte;
    ssize_t got = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
}

static void wait_closed(int fd)
{
    for (int ms = 0; !is_closed(fd); ms++) {
        if (ms > END_MS)
            fail_msg("the connection is still open");
        pause_ms(1);
    }
}

/* Sends a byte now and then until the server ends it. Returns how long that took, in ms. */
static int64_t trickle(const struct http_server *server, const char *begin)
{
    int fd = dial(server);
    int64_t start_us = monotonic_now_us();
    put(fd, begin, strlen(begin));
    while (!is_closed(fd)) {
        if (monotonic_now_us() - start_us > END_MS * 1000)
            fail_msg("it is still open: %s", begin);
        send(fd, "x", 1, MSG_NOSIGNAL);
        pause_ms(TRICKLE_MS);
    }
    close(fd);
    return (monotonic_now_us() - start_us) / 1000;
}

static void no_trickle_moves_a_deadline(void **state)
{
    (void)state;
    struct http_options options = limits();
    options.head_timeout_ms = DEADLINE_MS;
    struct http_server *server = start(&options);
    assert_true(trickle(server, "") >= DEADLINE_MS);
    trickle(server, "GET /a HTTP/1.1\r\nHost: localhost\r\nX: ");
    assert_int_equal(ended(server, CONNECTION_END_HEAD), 2);
    http_server_free(server);
    options = limits();
    options.body_timeout_ms = DEADLINE_MS;
    server = start(&options);
    trickle(server, "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n");
    trickle(server, "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "1\r\na\r\n0\r\nTrailer: ");
    assert_int_equal(ended(server, CONNECTION_END_BODY), 2);
    http_server_free(server);
}

static void a_kept_connection_has_a_deadline_too(void **state)
{
    (void)state;
    struct http_options options = limits();
    options.idle_timeout_ms = 1000;
    struct http_server *server = start(&options);
    int fd = dial(server);
    assert_true(ask(fd, get));
    int64_t start_us = monotonic_now_us();
    while (!is_closed(fd) && monotonic_now_us() - start_us < END_MS * 1000) {
        send(fd, "x", 1, MSG_NOSIGNAL); /* of the next request's method */
        pause_ms(TRICKLE_MS);
    }
    assert_true(is_closed(fd));
    assert_int_equal(ended(server, CONNECTION_END_IDLE), 1);
    close(fd);
    http_server_free(server);
}

/* Three times as many slow clients as there may be connections, and requests that wait for their
 * answer meanwhile. */
static void slow_clients_make_room(void **state)
{
    (void)state;
    enum { HELD = 5, SLOW = 60, HONEST = 20 };
    struct http_options options = limits();
    struct http_server *server = start(&options);
    int waiting[HELD];
    int slow[SLOW];
    atomic_store(&held, 0);
    atomic_store(&released, 0);
    for (int i = 0; i < HELD; i++) {
        static const char hold[] = "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n";
        waiting[i] = dial(server);
        put(waiting[i], hold, strlen(hold));
    }
    while (atomic_load(&held) < HELD)
        pause_ms(1);
    int kept = dial(server);
    assert_true(ask(kept, get));
    for (int i = 0; i < SLOW; i++) {
        slow[i] = dial(server);
        send(slow[i], "GET /a HTTP/1.1\r\nHo", 19, MSG_NOSIGNAL);
        assert_true(ask(kept, get));
    }
    for (int i = 0; i < HONEST; i++) {
        int fd = dial(server);
        assert_true(ask(fd, get));
        close(fd);
    }
    atomic_store(&released, 1);
    for (int i = 0; i < HELD; i++) {
        assert_true(ask(waiting[i], ""));
        close(waiting[i]);
    }
    assert_true(ended(server, CONNECTION_END_EVICTED) >= SLOW - 20);
    assert_int_equal(ended(server, CONNECTION_END_REFUSED), 0);
    for (int i = 0; i < SLOW; i++)
        close(slow[i]);
    close(kept);
    http_server_free(server);
}

static void the_longest_idle_goes_first(void **state)
{
    (void)state;
    struct http_options options = limits();
    options.connections_max = 3;
    options.threads = 1; /* so that it has finished with one request before the next */
    struct http_server *server = start(&options);
    int fds[4];
    for (int i = 0; i < 4; i++) {
        fds[i] = dial(server);
        assert_true(ask(fds[i], get));
        if (i == 1) /* the first is not the one that has been idle for longest */
            assert_true(ask(fds[0], get));
    }
    wait_closed(fds[1]);
    assert_true(ask(fds[0], get) && ask(fds[2], get) && ask(fds[3], get));
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    http_server_free(server);
}

static int dial_from(const struct http_server *server, const char *address)
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    struct sockaddr_in there = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)http_server_port(server)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval limit = {.tv_sec = ANSWER_S};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, address, &here.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof here), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&there, sizeof there), 0);
    return fd;
}

static void an_address_has_a_limit(void **state)
{
    (void)state;
    struct http_options options = limits();
    options.address_max = 2;
    options.threads = 1;
    struct http_server *server = start(&options);
    int other = dial_from(server, "127.0.0.3");
    assert_true(ask(other, get));
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = dial_from(server, "127.0.0.2");
        assert_true(ask(fds[i], get));
    }
    wait_closed(fds[0]);
    assert_true(ask(fds[1], get) && ask(fds[2], get) && ask(other, get));
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    close(other);
    http_server_free(server);
}

/* Below the server: what is with the handler stays, what is sent slowly goes. */
static void held_ones_stay(void **state)
{
    (void)state;
    const struct connections_options options = {2, 2, LONG_MS};
    struct connections *connections;
    struct connection items[3];
    int pairs[3][2];
    struct error error;
    uint64_t counts[CONNECTION_END_COUNT];
    assert_int_equal(connections_start(&options, &connections, &error), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]), 0);
        connections_add(connections, &items[i], pairs[i][0], NULL);
        if (i < 2)
            assert_int_equal(connection_move(&items[i], CONNECTION_HELD, -1), 0);
    }
    assert_int_equal(connections_count(connections, counts), 2);
    assert_int_equal(counts[CONNECTION_END_REFUSED], 1);
    assert_true(is_closed(pairs[2][1]) && !is_closed(pairs[0][1]) && !is_closed(pairs[1][1]));
    assert_int_equal(connection_move(&items[2], CONNECTION_BODY, LONG_MS), -1);
    assert_int_equal(connection_move(&items[0], CONNECTION_SEND, 1), 0);
    wait_closed(pairs[0][1]);
    assert_int_equal(connection_move(&items[0], CONNECTION_IDLE, LONG_MS), -1);
    assert_false(is_closed(pairs[1][1]));
    assert_int_equal(connections_count(connections, counts), 1);
    assert_int_equal(counts[CONNECTION_END_SEND], 1);
    for (int i = 0; i < 3; i++) {
        connections_remove(connections, &items[i]);
        close(pairs[i][0]);
        close(pairs[i][1]);
    }
    connections_free(connections);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_trickle_moves_a_deadline),
        cmocka_unit_test(a_kept_connection_has_a_deadline_too),
        cmocka_unit_test(slow_clients_make_room),
        cmocka_unit_test(the_longest_idle_goes_first),
        cmocka_unit_test(an_address_has_a_limit),
        cmocka_unit_test(held_ones_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
