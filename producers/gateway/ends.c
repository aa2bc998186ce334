/* SPDX-License-Identifier: Apache-2.0
 *
 * A log only grows, so what is known of an end stays true of offsets before it. Of others it must
 * have been asked after the receipt came: an event that was acknowledged by then is in the log. */
#include "producers/gateway/ends.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/timestamp.h"

enum { ASK_TIMEOUT_MS = 1000, ASK_PAUSE_US = 200000 /* after a failure */ };

struct end {
    int64_t offset;   /* of the next event */
    int64_t asked_us; /* when the request that said so was begun */
    int wanted;
};

struct ends {
    const struct catalog *catalog;
    struct kafka_admin *admin;
    int32_t partitions;
    size_t count; /* topics times partitions */
    int started;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Under the lock. */
    struct end *items;
    int64_t pause_until_us;
    int stop;
};

static struct end *next_wanted(struct ends *ends)
{
    for (size_t i = 0; i < ends->count; i++)
        if (ends->items[i].wanted)
            return &ends->items[i];
    return NULL;
}

static void ask(struct ends *ends, struct end *end)
{
    struct error error;
    size_t number = (size_t)(end - ends->items);
    size_t partitions = (size_t)ends->partitions;
    int64_t offset;
    int64_t asked_us = monotonic_now_us();
    end->wanted = 0;
    pthread_mutex_unlock(&ends->lock);
    int code = kafka_admin_end(ends->admin, ASK_TIMEOUT_MS,
                               catalog_topic_at(ends->catalog, number / partitions),
                               (int32_t)(number % partitions), &offset, &error);
    pthread_mutex_lock(&ends->lock);
    if (code == 0) {
        end->offset = offset;
        end->asked_us = asked_us;
    } else {
        ends->pause_until_us = monotonic_now_us() + ASK_PAUSE_US;
    }
}

static void *work(void *context)
{
    struct ends *ends = context;
    pthread_mutex_lock(&ends->lock);
    while (!ends->stop) {
        struct end *end = next_wanted(ends);
        if (end)
            ask(ends, end);
        else
            pthread_cond_wait(&ends->wake, &ends->lock);
    }
    pthread_mutex_unlock(&ends->lock);
    return NULL;
}

int ends_is_beyond(struct ends *ends, const char *topic, int32_t partition, int64_t offset,
                   int64_t since_us)
{
    size_t number = 0;
    while (number < catalog_topic_count(ends->catalog) &&
           strcmp(catalog_topic_at(ends->catalog, number), topic) != 0)
        number++;
    if (number == catalog_topic_count(ends->catalog) || partition >= ends->partitions)
        return 0;
    pthread_mutex_lock(&ends->lock);
    struct end *end = &ends->items[number * (size_t)ends->partitions + (size_t)partition];
    int asked = end->asked_us >= since_us;
    int beyond = asked && offset >= end->offset;
    if (!asked && offset >= end->offset && monotonic_now_us() >= ends->pause_until_us) {
        end->wanted = 1;
        pthread_cond_signal(&ends->wake);
    }
    pthread_mutex_unlock(&ends->lock);
    return beyond;
}

int ends_start(const struct config *config, const struct catalog *catalog,
               struct kafka_admin *admin, struct ends **ret_ends, struct error *error)
{
    struct ends *ends = xcalloc(1, sizeof *ends);
    ends->catalog = catalog;
    ends->admin = admin;
    ends->partitions = (int32_t)config_int(config, OPT_PARTITIONS);
    ends->count = catalog_topic_count(catalog) * (size_t)ends->partitions;
    ends->items = xcalloc(ends->count + 1, sizeof *ends->items);
    pthread_mutex_init(&ends->lock, NULL);
    pthread_cond_init(&ends->wake, NULL);
    ends->started = pthread_create(&ends->thread, NULL, work, ends) == 0;
    if (!ends->started) {
        ends_free(ends);
        return error_set(error, ERROR_FATAL, "thread", "cannot start the threads for reads");
    }
    *ret_ends = ends;
    return 0;
}

void ends_free(struct ends *ends)
{
    if (!ends)
        return;
    pthread_mutex_lock(&ends->lock);
    ends->stop = 1;
    pthread_cond_signal(&ends->wake);
    pthread_mutex_unlock(&ends->lock);
    if (ends->started)
        pthread_join(ends->thread, NULL);
    pthread_cond_destroy(&ends->wake);
    pthread_mutex_destroy(&ends->lock);
    free(ends->items);
    free(ends);
}
