/* SPDX-License-Identifier: Apache-2.0
 *
 * A TCP proxy that breaks connections on command, between the program under test and Postgres or
 * Kafka:
 *
 *   chaos_proxy LISTEN-PORT TARGET-PORT CONTROL-PORT        all on 127.0.0.1
 *
 * The control port takes a line and answers one, `ok` or `error`:
 *
 *   pass                 forward, and forget every other order
 *   cut                  reset all connections now
 *   cut-requests [MARK]  the next request (that holds MARK) is dropped and its connection reset:
 * the server never sees it; then pass cut-replies [MARK]   the next request (that holds MARK) is
 * forwarded, its reply dropped and the connection reset: the server acted, the client never learns;
 * then pass stall                forward nothing, close nothing refuse               reset all
 * connections, and new ones at once delay MS             forward each piece MS later slice BYTES
 * forward in pieces of at most BYTES stats                connections open, opened, and cut since
 * the start
 *
 * One thread, one poll. Each direction of a connection holds one piece: it is read when the piece
 * before it is forwarded, so that whoever is slow slows the other side. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    PIECE_SIZE = 65536,
    LINKS_MAX = 256,
    LINE_MAX_SIZE = 256,
    BACKLOG = 64,
    CLIENT = 0, /* the two sides of a link */
    SERVER = 1
};

enum mode { MODE_PASS, MODE_CUT_REQUESTS, MODE_CUT_REPLIES, MODE_STALL, MODE_REFUSE };

/* What one side sent and the other has not got yet. */
struct piece {
    unsigned char *bytes;
    size_t from, to;
    int64_t due_ms;
};

struct link {
    int fds[2];   /* CLIENT and SERVER; -1 in an empty place */
    int ended[2]; /* that side sends nothing more */
    int connecting;
    int marked;             /* its request went through: the reply is to be cut */
    struct piece pieces[2]; /* by the side that sent it */
};

struct proxy {
    uint16_t target;
    int listener, control, operator; /* operator: the one connection to the control port */
    enum mode mode;
    char mark[LINE_MAX_SIZE];
    long delay_ms, slice;
    char line[LINE_MAX_SIZE];
    size_t line_size;
    long opened, cuts;
    struct link links[LINKS_MAX];
};

static int64_t now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000) + time.tv_nsec / 1000000;
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, BACKLOG) != 0) {
        fprintf(stderr, "chaos_proxy: port %u: %s\n", port, strerror(errno));
        exit(1);
    }
    return fd;
}

/* Ends a connection with a reset, as a firewall or a crashed machine does. */
static void reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    if (fd < 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}

static void drop_link(struct link *link, int hard)
{
    for (int side = 0; side < 2; side++) {
        if (hard)
            reset(link->fds[side]);
        else if (link->fds[side] >= 0)
            close(link->fds[side]);
        link->fds[side] = -1;
        free(link->pieces[side].bytes);
        link->pieces[side] = (struct piece){0};
    }
}

static void cut_link(struct proxy *proxy, struct link *link)
{
    drop_link(link, 1);
    proxy->cuts++;
}

static void cut_all(struct proxy *proxy)
{
    for (int i = 0; i < LINKS_MAX; i++)
        if (proxy->links[i].fds[CLIENT] >= 0)
            cut_link(proxy, &proxy->links[i]);
}

static void open_link(struct proxy *proxy)
{
    int client = accept4(proxy->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct link *link = NULL;
    if (client < 0)
        return;
    for (int i = 0; !link && i < LINKS_MAX; i++)
        if (proxy->links[i].fds[CLIENT] < 0)
            link = &proxy->links[i];
    int server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = loopback(proxy->target);
    int refused = !link || server < 0 || proxy->mode == MODE_REFUSE;
    if (!refused && connect(server, (struct sockaddr *)&address, sizeof address) != 0)
        refused = errno != EINPROGRESS;
    if (refused) {
        reset(client);
        reset(server);
        return;
    }
    int one = 1;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    *link = (struct link){.fds = {client, server}, .connecting = 1};
    for (int side = 0; side < 2; side++)
        if (!(link->pieces[side].bytes = malloc(PIECE_SIZE)))
            abort();
    proxy->opened++;
}

/* A piece has arrived from `side`. Returns 1 when it was the one to be lost. */
static int is_lost(struct proxy *proxy, struct link *link, int side)
{
    const struct piece *piece = &link->pieces[side];
    if (side == SERVER)
        return link->marked;
    if (proxy->mode != MODE_CUT_REQUESTS && proxy->mode != MODE_CUT_REPLIES)
        return 0;
    if (!memmem(piece->bytes, piece->to, proxy->mark, strlen(proxy->mark)))
        return 0;
    int lost = proxy->mode == MODE_CUT_REQUESTS;
    link->marked = !lost;
    proxy->mode = MODE_PASS;
    return lost;
}

static void take(struct proxy *proxy, struct link *link, int side)
{
    struct piece *piece = &link->pieces[side];
    ssize_t size = recv(link->fds[side], piece->bytes, PIECE_SIZE, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size < 0) {
        drop_link(link, 1);
        return;
    }
    if (size == 0) {
        link->ended[side] = 1;
        shutdown(link->fds[!side], SHUT_WR);
        return;
    }
    *piece = (struct piece){
        .bytes = piece->bytes, .to = (size_t)size, .due_ms = now_ms() + proxy->delay_ms};
    if (is_lost(proxy, link, side))
        cut_link(proxy, link);
}

static void give(struct proxy *proxy, struct link *link, int side)
{
    struct piece *piece = &link->pieces[side];
    size_t size = piece->to - piece->from;
    if (proxy->slice > 0 && size > (size_t)proxy->slice)
        size = (size_t)proxy->slice;
    ssize_t sent = send(link->fds[!side], piece->bytes + piece->from, size, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        drop_link(link, 1);
        return;
    }
    piece->from += sent > 0 ? (size_t)sent : 0;
    if (piece->from == piece->to)
        piece->from = piece->to = 0;
}

static int has_piece(const struct link *link, int side)
{
    return link->pieces[side].from < link->pieces[side].to;
}

/* What poll is to watch on a side, and in `ret_wait_ms` how long a piece has to wait still. */
static short wanted(const struct proxy *proxy, const struct link *link, int side, int *ret_wait_ms)
{
    short events = 0;
    if (link->connecting)
        return side == SERVER ? POLLOUT : 0;
    if (proxy->mode == MODE_STALL)
        return 0;
    if (!has_piece(link, side) && !link->ended[side])
        events |= POLLIN;
    if (has_piece(link, !side)) {
        int64_t left_ms = link->pieces[!side].due_ms - now_ms();
        if (left_ms <= 0)
            events |= POLLOUT;
        else if (*ret_wait_ms < 0 || left_ms < *ret_wait_ms)
            *ret_wait_ms = (int)left_ms;
    }
    return events;
}

static void serve_link(struct proxy *proxy, struct link *link, const short revents[2])
{
    if (link->connecting) {
        int failure = 0;
        socklen_t size = sizeof failure;
        if (!revents[SERVER])
            return;
        getsockopt(link->fds[SERVER], SOL_SOCKET, SO_ERROR, &failure, &size);
        link->connecting = 0;
        if (failure)
            drop_link(link, 1);
        return;
    }
    for (int side = 0; side < 2 && link->fds[CLIENT] >= 0; side++)
        if (revents[side] & POLLOUT)
            give(proxy, link, !side);
    for (int side = 0; side < 2 && link->fds[CLIENT] >= 0; side++)
        if (revents[side] & (POLLIN | POLLHUP | POLLERR) && !has_piece(link, side) &&
            !link->ended[side])
            take(proxy, link, side);
    if (link->fds[CLIENT] >= 0 && link->ended[CLIENT] && link->ended[SERVER] &&
        !has_piece(link, CLIENT) && !has_piece(link, SERVER))
        drop_link(link, 0);
}

/* Carries out one order; fills the answer. */
static void obey(struct proxy *proxy, const char *line, char *answer, size_t size)
{
    char word[32] = "";
    int used = 0;
    sscanf(line, "%31s %n", word, &used);
    const char *argument = line + used;
    long number = strtol(argument, NULL, 10);
    snprintf(answer, size, "ok\n");
    if (strcmp(word, "pass") == 0) {
        proxy->mode = MODE_PASS;
        proxy->delay_ms = proxy->slice = 0;
    } else if (strcmp(word, "cut") == 0) {
        cut_all(proxy);
    } else if (strcmp(word, "cut-requests") == 0 || strcmp(word, "cut-replies") == 0) {
        snprintf(proxy->mark, sizeof proxy->mark, "%s", argument);
        proxy->mode = word[6] == 'q' ? MODE_CUT_REQUESTS : MODE_CUT_REPLIES;
    } else if (strcmp(word, "stall") == 0) {
        proxy->mode = MODE_STALL;
    } else if (strcmp(word, "refuse") == 0) {
        proxy->mode = MODE_REFUSE;
        cut_all(proxy);
    } else if (strcmp(word, "delay") == 0 && number >= 0) {
        proxy->delay_ms = number;
    } else if (strcmp(word, "slice") == 0 && number >= 0) {
        proxy->slice = number;
    } else if (strcmp(word, "stats") == 0) {
        long open = 0;
        for (int i = 0; i < LINKS_MAX; i++)
            open += proxy->links[i].fds[CLIENT] >= 0;
        snprintf(answer, size, "ok %ld %ld %ld\n", open, proxy->opened, proxy->cuts);
    } else {
        snprintf(answer, size, "error: no order is called %s\n", word);
    }
}

static void serve_operator(struct proxy *proxy)
{
    char *line = proxy->line;
    ssize_t size =
        recv(proxy->operator, line + proxy->line_size, LINE_MAX_SIZE - 1 - proxy->line_size, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0 || proxy->line_size + (size_t)size >= LINE_MAX_SIZE - 1) {
        close(proxy->operator);
        proxy->operator= - 1;
        return;
    }
    proxy->line_size += (size_t)size;
    line[proxy->line_size] = '\0';
    for (char *end; (end = strchr(line, '\n'));) {
        char answer[LINE_MAX_SIZE];
        *end = '\0';
        obey(proxy, line, answer, sizeof answer);
        send(proxy->operator, answer, strlen(answer), MSG_NOSIGNAL);
        proxy->line_size -= (size_t)(end + 1 - line);
        memmove(line, end + 1, proxy->line_size + 1);
    }
}

static void run_once(struct proxy *proxy)
{
    struct pollfd fds[3 + 2 * LINKS_MAX];
    int wait_ms = -1;
    fds[0] = (struct pollfd){.fd = proxy->listener, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = proxy->control, .events = POLLIN};
    fds[2] = (struct pollfd){.fd = proxy->operator, .events = POLLIN };
    for (int i = 0; i < LINKS_MAX; i++) {
        const struct link *link = &proxy->links[i];
        for (int side = 0; side < 2; side++) {
            short events = link->fds[CLIENT] < 0 ? 0 : wanted(proxy, link, side, &wait_ms);
            /* a side that nothing is wanted of would wake poll with its end for ever */
            fds[3 + 2 * i + side] =
                (struct pollfd){.fd = events ? link->fds[side] : -1, .events = events};
        }
    }
    if (poll(fds, sizeof fds / sizeof *fds, wait_ms) < 0)
        return;
    for (int i = 0; i < LINKS_MAX; i++) {
        const short revents[2] = {fds[3 + 2 * i].revents, fds[4 + 2 * i].revents};
        if (proxy->links[i].fds[CLIENT] >= 0 && (revents[0] || revents[1]))
            serve_link(proxy, &proxy->links[i], revents);
    }
    if (fds[2].revents)
        serve_operator(proxy);
    if (fds[1].revents) {
        if (proxy->operator>= 0)
            close(proxy->operator);
        proxy->operator= accept4(proxy->control, NULL, NULL, SOCK_CLOEXEC);
        proxy->line_size = 0;
    }
    if (fds[0].revents)
        open_link(proxy);
}

static uint16_t port_of(const char *text)
{
    long port = strtol(text, NULL, 10);
    if (port < 1 || port > UINT16_MAX) {
        fprintf(stderr, "chaos_proxy: %s is no port\n", text);
        exit(2);
    }
    return (uint16_t)port;
}

int main(int argc, char **argv)
{
    static struct proxy proxy; /* large */
    if (argc != 4) {
        fprintf(stderr, "usage: chaos_proxy LISTEN-PORT TARGET-PORT CONTROL-PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    proxy.target = port_of(argv[2]);
    proxy.listener = listen_on(port_of(argv[1]));
    proxy.control = listen_on(port_of(argv[3]));
    proxy.operator= - 1;
    for (int i = 0; i < LINKS_MAX; i++)
        proxy.links[i].fds[CLIENT] = proxy.links[i].fds[SERVER] = -1;
    for (;;)
        run_once(&proxy);
}
