/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP load: one thread, epoll, a fixed number of connections, each with one request under way and
 * the next one sent when its answer is there. lines=1 posts single purchases, lines=N NDJSON bodies
 * of N. Bodies are made beforehand and used in turn. With path=FILE the paths in that file are read
 * with GET instead. With rate=N the loop is open: requests are due at that rate, and their latency
 * counts from then. An answer other than 202, or 200 to a GET, ends the run. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/purchase.h"
#include "bench/tool.h"
#include "lib/base/timestamp.h"

enum { BODIES = 512, READ_BYTES = 256 << 10, EVENTS_MAX = 256, PORT_MAX = 65535 };

struct connection {
    int fd;
    int64_t sent_us;
    const struct buf *request;
    size_t written;
    char *answer;
    size_t read;
};

struct load {
    const struct options *options;
    struct buf requests[BODIES];
    struct connection *connections;
    int epoll;
    int64_t wanted; /* requests */
    int64_t started;
    int64_t done;
    int64_t first_due_us; /* of an open loop */
    struct connection **idle;
    int64_t idle_count;
    size_t request_count;
    const char *expected;
    struct samples latencies;
};

static void make_reads(struct load *load)
{
    char path[512];
    FILE *file = fopen(load->options->path, "r");
    if (!file)
        fail("%s: %s", load->options->path, strerror(errno));
    while (load->request_count < BODIES && fgets(path, sizeof path, file)) {
        path[strcspn(path, "\n")] = '\0';
        buf_printf(&load->requests[load->request_count++], "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n",
                   path);
    }
    fclose(file);
    load->expected = "HTTP/1.1 200";
}

static void make_requests(struct load *load)
{
    struct assets *assets;
    struct catalog *catalog;
    struct error error;
    const struct options *options = load->options;
    if (assets_open(NULL, &assets, &error) != 0 || catalog_open(assets, &catalog, &error) != 0)
        fail("%s", error.message);
    struct purchases purchases =
        purchases_of(catalog, (uint64_t)options->seed, options->lines > 1 ? BODIES : 10000);
    for (size_t i = 0; i < BODIES; i++) {
        struct buf body = {0};
        for (int64_t j = 0; j < options->lines; j++) {
            purchase_json(&purchases, &body);
            if (options->lines > 1)
                buf_put_u8(&body, '\n');
        }
        buf_printf(&load->requests[i],
                   "POST /v1/spaces/%s/events/ProductPurchased HTTP/1.1\r\nHost: localhost\r\n"
                   "Content-Type: application/%s\r\nContent-Length: %zu\r\n\r\n",
                   purchases.space, options->lines > 1 ? "x-ndjson" : "json", body.size);
        buf_put(&load->requests[i], body.data, body.size);
        buf_free(&body);
    }
    load->request_count = BODIES;
    load->expected = "HTTP/1.1 202";
    catalog_free(catalog);
    assets_free(assets);
}

static int open_connection(const char *address)
{
    char host[64];
    const char *colon = strrchr(address, ':');
    long port = colon ? strtol(colon + 1, NULL, 10) : 0;
    if (port < 1 || port > PORT_MAX)
        fail("address must be HOST:PORT");
    snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || inet_pton(AF_INET, host, &to.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        fail("cannot connect to %s: %s", address, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void write_more(struct connection *connection)
{
    const struct buf *request = connection->request;
    while (connection->written < request->size) {
        ssize_t size = send(connection->fd, request->data + connection->written,
                            request->size - connection->written, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (size < 0 && errno == EAGAIN)
            return; /* EPOLLOUT is edge-triggered and comes again */
        if (size < 0)
            fail("sending: %s", strerror(errno));
        connection->written += (size_t)size;
    }
}

static int64_t next_due_us(const struct load *load)
{
    return load->options->rate ? load->first_due_us + load->started * 1000000 / load->options->rate
                               : 0;
}

static void start_request(struct load *load, struct connection *connection)
{
    int64_t now_us = monotonic_now_us();
    int64_t due_us = next_due_us(load);
    connection->request = NULL;
    if (load->started == load->wanted || due_us > now_us) {
        load->idle[load->idle_count++] = connection;
        return;
    }
    connection->request = &load->requests[(size_t)load->started++ % load->request_count];
    connection->written = 0;
    connection->read = 0;
    connection->sent_us = due_us ? due_us : now_us;
    write_more(connection);
}

/* Sends what is due while there are connections for it; returns how long there is nothing to do. */
static struct timespec start_due(struct load *load)
{
    int64_t left_us = 1000000;
    while (load->idle_count > 0 && load->started < load->wanted) {
        left_us = next_due_us(load) - monotonic_now_us();
        if (left_us > 0)
            break;
        start_request(load, load->idle[--load->idle_count]);
    }
    if (left_us <= 0)
        left_us = 1000000;
    return (struct timespec){.tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000};
}

/* Whether the whole answer is there: its headers and as many bytes as Content-Length says. */
static int is_complete(const struct connection *connection)
{
    static const char name[] = "content-length:";
    const char *end = memmem(connection->answer, connection->read, "\r\n\r\n", 4);
    if (!end)
        return 0;
    for (const char *line = connection->answer; line < end;) {
        if (strncasecmp(line, name, sizeof name - 1) == 0)
            return connection->read >= (size_t)(end + 4 - connection->answer) +
                                           strtoul(line + sizeof name - 1, NULL, 10);
        line = (const char *)memchr(line, '\n', connection->read) + 1;
    }
    fail("an answer without Content-Length");
}

static void read_more(struct load *load, struct connection *connection)
{
    for (;;) {
        ssize_t size = recv(connection->fd, connection->answer + connection->read,
                            READ_BYTES - 1 - connection->read, MSG_DONTWAIT);
        if (size < 0 && errno == EAGAIN)
            return;
        if (size <= 0)
            fail("the server closed a connection or answered too much");
        connection->read += (size_t)size;
        connection->answer[connection->read] = '\0';
        if (!is_complete(connection))
            continue;
        if (strncmp(connection->answer, load->expected, strlen(load->expected)) != 0)
            fail("answered: %.300s", connection->answer);
        samples_add(&load->latencies, monotonic_now_us() - connection->sent_us);
        load->done++;
        start_request(load, connection);
        return;
    }
}

static void connect_all(struct load *load)
{
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->connections = xcalloc((size_t)load->options->connections, sizeof *load->connections);
    load->idle = xcalloc((size_t)load->options->connections, sizeof(struct connection *));
    for (int64_t i = 0; i < load->options->connections; i++) {
        struct connection *connection = &load->connections[i];
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection};
        connection->fd = open_connection(load->options->address);
        connection->answer = xmalloc(READ_BYTES);
        epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->fd, &event);
    }
}

int tool_load(const struct options *options)
{
    struct load load = {.options = options, .wanted = options->events / options->lines};
    if (*options->path)
        make_reads(&load);
    else
        make_requests(&load);
    connect_all(&load);
    int64_t started_us = monotonic_now_us();
    load.first_due_us = started_us;
    for (int64_t i = 0; i < options->connections; i++)
        start_request(&load, &load.connections[i]);
    while (load.done < load.wanted) {
        struct epoll_event events[EVENTS_MAX];
        struct timespec pause = start_due(&load);
        int count = epoll_pwait2(load.epoll, events, EVENTS_MAX, &pause, NULL);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection->request)
                continue;
            write_more(connection);
            read_more(&load, connection);
        }
        check_time(options, started_us);
    }
    double seconds = (double)(monotonic_now_us() - started_us) / 1e6;
    printf("{\"requests\": %" PRId64 ", \"events\": %" PRId64
           ", \"seconds\": %.4f, \"rate\": %.0f, \"cpu_s\": %.3f, ",
           load.done, load.done * options->lines, seconds, (double)load.done / seconds, cpu_s());
    samples_print(&load.latencies, "answer");
    printf("}\n");
    for (int64_t i = 0; i < options->connections; i++) {
        close(load.connections[i].fd);
        free(load.connections[i].answer);
    }
    for (size_t i = 0; i < BODIES; i++)
        buf_free(&load.requests[i]);
    free(load.connections);
    free(load.idle);
    free(load.latencies.values);
    return 0;
}
