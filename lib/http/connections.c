/* SPDX-License-Identifier: Apache-2.0
 *
 * The phase of a connection is atomic, so that a request moves through its phases without a lock;
 * the lock is for coming, going, and looking through the list. Whoever ends a connection exchanges
 * the phase that it has looked at for CONNECTION_ENDED: a connection that has moved on in between
 * is left alone, and one that is ended takes no further request. So a request that has reached the
 * handler always gets its answer sent. */
#include "lib/http/connections.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/buf.h"
#include "lib/base/timestamp.h"

enum {
    TICK_MS = 100,       /* how late an end may come */
    PATIENCE_MS = 1000,  /* so long any request may take before it counts as slow */
    NEVER_EVICTED = 100, /* a rank */
    TRIES_MAX = 3,       /* to end one that has not moved on since it was looked at */
    MS_PER_S = 1000,
    NS_PER_MS = 1000000
};

struct connections {
    struct connections_options options;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_t thread;
    struct connection *first;
    int open; /* not ended */
    int stop;
    uint64_t ended[CONNECTION_END_COUNT];
};

/* With the lock. Returns 0 when it has moved on since `phase` was read. */
static int end(struct connections *connections, struct connection *connection,
               enum connection_phase phase, enum connection_end why)
{
    if (!atomic_compare_exchange_strong(&connection->phase, &phase, CONNECTION_ENDED))
        return 0;
    shutdown(connection->fd, SHUT_RDWR);
    connections->open--;
    connections->ended[why]++;
    return 1;
}

/* Which goes first when one must go: lower ranks, and of one rank who has waited longest. */
static int rank_of(enum connection_phase phase, int64_t age_us)
{
    int slow = age_us > PATIENCE_MS * 1000;
    switch (phase) {
    case CONNECTION_FRESH:
        return slow ? 0 : 1;
    case CONNECTION_IDLE:
        return 1;
    case CONNECTION_BODY:
    case CONNECTION_SEND:
        return slow ? 2 : NEVER_EVICTED;
    case CONNECTION_HELD:
    case CONNECTION_ENDED:
        break;
    }
    return NEVER_EVICTED;
}

struct victim {
    struct connection *connection;
    enum connection_phase phase;
    int rank;
    int64_t age_us;
};

/* Keeps the connection if it should go before the one kept so far. */
static void consider(struct victim *victim, struct connection *connection,
                     enum connection_phase phase, int64_t age_us)
{
    int rank = rank_of(phase, age_us);
    if (rank < victim->rank || (rank == victim->rank && age_us > victim->age_us))
        *victim = (struct victim){connection, phase, rank, age_us};
}

/* Who goes for a new connection; of rank NEVER_EVICTED when nobody can. */
static struct victim choose(struct connections *connections, const struct connection *new,
                            int *ret_needed)
{
    const struct connections_options *options = &connections->options;
    int64_t now_us = monotonic_now_us();
    struct victim any = {.rank = NEVER_EVICTED};
    struct victim same = {.rank = NEVER_EVICTED};
    int same_count = 0;
    for (struct connection *item = connections->first; item; item = item->next) {
        enum connection_phase phase = atomic_load(&item->phase);
        int64_t age_us = now_us - atomic_load(&item->since_us);
        if (phase == CONNECTION_ENDED)
            continue;
        consider(&any, item, phase, age_us);
        if (memcmp(item->address, new->address, sizeof item->address) == 0) {
            same_count++;
            consider(&same, item, phase, age_us);
        }
    }
    *ret_needed = connections->open >= options->max || same_count >= options->address_max;
    return same_count >= options->address_max ? same : any;
}

/* Whether there is room for it beside those in the list, after another was ended if need be. */
static int make_room(struct connections *connections, const struct connection *new)
{
    const struct connections_options *options = &connections->options;
    int needed;
    if (connections->open < options->max && connections->open < options->address_max)
        return 1;
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        struct victim victim = choose(connections, new, &needed);
        if (!needed)
            return 1;
        if (victim.rank == NEVER_EVICTED)
            return 0;
        if (end(connections, victim.connection, victim.phase, CONNECTION_END_EVICTED))
            return 1;
    }
    return 0;
}

static void set_address(struct connection *connection, const struct sockaddr *address)
{
    memset(connection->address, 0, sizeof connection->address);
    if (address && address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        memset(connection->address + 10, 0xff, 2);
        memcpy(connection->address + 12, &v4.sin_addr, 4);
    } else if (address && address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        memcpy(connection->address, &v6.sin6_addr, sizeof connection->address);
    }
}

void connections_add(struct connections *connections, struct connection *connection, int fd,
                     const struct sockaddr *address)
{
    connection->fd = fd;
    set_address(connection, address);
    atomic_store(&connection->phase, CONNECTION_FRESH);
    connection_move(connection, CONNECTION_FRESH, connections->options.head_timeout_ms);
    pthread_mutex_lock(&connections->mutex);
    int room = make_room(connections, connection);
    connection->next = connections->first;
    connection->link = &connections->first;
    if (connection->next)
        connection->next->link = &connection->next;
    connections->first = connection;
    connections->open++;
    if (!room)
        end(connections, connection, CONNECTION_FRESH, CONNECTION_END_REFUSED);
    pthread_mutex_unlock(&connections->mutex);
}

void connections_remove(struct connections *connections, struct connection *connection)
{
    pthread_mutex_lock(&connections->mutex);
    *connection->link = connection->next;
    if (connection->next)
        connection->next->link = connection->link;
    if (atomic_exchange(&connection->phase, CONNECTION_ENDED) != CONNECTION_ENDED)
        connections->open--;
    pthread_mutex_unlock(&connections->mutex);
}

int connection_move(struct connection *connection, enum connection_phase phase, int64_t timeout_ms)
{
    int64_t now_us = monotonic_now_us();
    enum connection_phase before = atomic_load(&connection->phase);
    atomic_store(&connection->deadline_us,
                 timeout_ms < 0 ? INT64_MAX : now_us + timeout_ms * MS_PER_S);
    atomic_store(&connection->since_us, now_us);
    return before != CONNECTION_ENDED &&
                   atomic_compare_exchange_strong(&connection->phase, &before, phase)
               ? 0
               : -1;
}

int connections_count(struct connections *connections, uint64_t ret_ended[CONNECTION_END_COUNT])
{
    pthread_mutex_lock(&connections->mutex);
    int open = connections->open;
    memcpy(ret_ended, connections->ended, sizeof connections->ended);
    pthread_mutex_unlock(&connections->mutex);
    return open;
}

/* With the lock. */
static void end_late_ones(struct connections *connections)
{
    static const enum connection_end why[] = {[CONNECTION_FRESH] = CONNECTION_END_HEAD,
                                              [CONNECTION_IDLE] = CONNECTION_END_IDLE,
                                              [CONNECTION_BODY] = CONNECTION_END_BODY,
                                              [CONNECTION_SEND] = CONNECTION_END_SEND};
    int64_t now_us = monotonic_now_us();
    for (struct connection *item = connections->first; item; item = item->next) {
        enum connection_phase phase = atomic_load(&item->phase);
        if (phase != CONNECTION_HELD && phase != CONNECTION_ENDED &&
            now_us > atomic_load(&item->deadline_us))
            end(connections, item, phase, why[phase]);
    }
}

static void *watch(void *context)
{
    struct connections *connections = context;
    pthread_mutex_lock(&connections->mutex);
    while (!connections->stop) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TICK_MS * NS_PER_MS;
        until.tv_sec += until.tv_nsec / (MS_PER_S * NS_PER_MS);
        until.tv_nsec %= MS_PER_S * NS_PER_MS;
        pthread_cond_timedwait(&connections->wake, &connections->mutex, &until);
        end_late_ones(connections);
    }
    pthread_mutex_unlock(&connections->mutex);
    return NULL;
}

int connections_start(const struct connections_options *options,
                      struct connections **ret_connections, struct error *error)
{
    struct connections *connections = xcalloc(1, sizeof *connections);
    pthread_condattr_t clock;
    connections->options = *options;
    pthread_mutex_init(&connections->mutex, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&connections->wake, &clock);
    pthread_condattr_destroy(&clock);
    if (pthread_create(&connections->thread, NULL, watch, connections) != 0) {
        pthread_mutex_destroy(&connections->mutex);
        pthread_cond_destroy(&connections->wake);
        free(connections);
        return error_set(error, ERROR_FATAL, "thread", "cannot start a thread");
    }
    *ret_connections = connections;
    return 0;
}

void connections_free(struct connections *connections)
{
    if (!connections)
        return;
    pthread_mutex_lock(&connections->mutex);
    connections->stop = 1;
    pthread_cond_signal(&connections->wake);
    pthread_mutex_unlock(&connections->mutex);
    pthread_join(connections->thread, NULL);
    pthread_mutex_destroy(&connections->mutex);
    pthread_cond_destroy(&connections->wake);
    free(connections);
}
