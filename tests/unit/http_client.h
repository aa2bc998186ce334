/* SPDX-License-Identifier: Apache-2.0
 *
 * A client on a raw socket, for the tests of the HTTP server. */
#ifndef WEIR_TESTS_HTTP_CLIENT_H
#define WEIR_TESTS_HTTP_CLIENT_H

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/http/server.h"

enum { REPLY_BYTES = 65536, ANSWER_S = 60 };

static inline void pause_ms(int ms)
{
    const struct timespec time = {.tv_nsec = ms * 1000000L};
    nanosleep(&time, NULL);
}

static inline int dial(const struct http_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)http_server_port(server)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct timeval limit = {.tv_sec = ANSWER_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static inline void put(int fd, const char *text, size_t size)
{
    assert_int_equal(send(fd, text, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* Reads one answer with its body, as its Content-Length says. */
static inline void get_answer(int fd, char ret_answer[REPLY_BYTES])
{
    size_t have = 0;
    for (;;) {
        ssize_t got = recv(fd, ret_answer + have, REPLY_BYTES - 1 - have, 0);
        if (got > 0)
            have += (size_t)got;
        ret_answer[have] = '\0';
        const char *end = strstr(ret_answer, "\r\n\r\n");
        const char *length = strcasestr(ret_answer, "\r\nContent-Length: ");
        if (got <= 0 || (end && length &&
                         have >= (size_t)(end + 4 - ret_answer) + strtoul(length + 18, NULL, 10)))
            return;
    }
}

/* Sends `size` bytes on a connection of its own and reads what comes until the server closes it. */
static inline size_t converse(const struct http_server *server, const char *text, size_t size,
                              char ret_answer[REPLY_BYTES])
{
    int fd = dial(server);
    size_t have = 0;
    ssize_t got;
    put(fd, text, size);
    while ((got = recv(fd, ret_answer + have, REPLY_BYTES - 1 - have, 0)) > 0)
        have += (size_t)got;
    ret_answer[have] = '\0';
    close(fd);
    return have;
}

#endif
