/* SPDX-License-Identifier: Apache-2.0
 *
 * The address is resolved by getaddrinfo; of a name with several addresses the first is bound. */
#include "lib/http/listen.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOST_BYTES_MAX = 256, PORT_MAX = 65535 };

/* Whether `text` is a port; getaddrinfo takes any number and keeps its low 16 bits. */
static int is_port(const char *text)
{
    int64_t port = 0;
    for (; isdigit((unsigned char)*text) && port <= PORT_MAX; text++)
        port = port * 10 + (*text - '0');
    return !*text && port <= PORT_MAX;
}

static int resolve(const char *address, struct addrinfo **ret_list, struct error *error)
{
    char host[HOST_BYTES_MAX];
    const char *colon = strrchr(address, ':');
    const char *start = address;
    const char *end = colon;
    if (colon && *start == '[' && colon > start + 1 && colon[-1] == ']') {
        start++;
        end--;
    }
    if (!colon || end == start || (size_t)(end - start) >= sizeof host || !colon[1])
        return error_set(error, ERROR_USAGE, "bad-address", "\"%s\" must be HOST:PORT", address);
    if (!is_port(colon + 1))
        return error_set(error, ERROR_USAGE, "bad-address",
                         "\"%s\": the port must be a number from 0 to %d", address, PORT_MAX);
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = '\0';
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int code = getaddrinfo(host, colon + 1, &hints, ret_list);
    if (code != 0)
        return error_set(error, ERROR_USAGE, "bad-address", "\"%s\": %s", address,
                         gai_strerror(code));
    return 0;
}

int listen_open(const char *address, int *ret_socket, struct error *error)
{
    struct addrinfo *list;
    if (resolve(address, &list, error) != 0)
        return -1;
    const int on = 1;
    int fd = socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, list->ai_addr, list->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
        error_set(error, ERROR_FATAL, "listen", "cannot listen on %s: %s%s", address,
                  strerror(errno), errno == EADDRINUSE ? "; another program uses this port" : "");
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(list);
    *ret_socket = fd;
    return fd >= 0 ? 0 : -1;
}

static int is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    }
    return 0;
}

int listen_is_loopback(const char *address, int *ret_loopback, struct error *error)
{
    struct addrinfo *list;
    if (resolve(address, &list, error) != 0)
        return -1;
    *ret_loopback = 1;
    for (const struct addrinfo *item = list; item; item = item->ai_next)
        *ret_loopback &= is_loopback(item->ai_addr);
    freeaddrinfo(list);
    return 0;
}

int listen_port(int socket)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    if (getsockname(socket, (struct sockaddr *)&address, &size) != 0)
        return -1;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    memcpy(&v4, &address, sizeof v4);
    memcpy(&v6, &address, sizeof v6);
    return ntohs(address.ss_family == AF_INET6 ? v6.sin6_port : v4.sin_port);
}
