/* SPDX-License-Identifier: Apache-2.0
 *
 * One thread and one cheap metadata request at a time. The state of a topic is one atomic; why it
 * is closed is one of a few constant texts, so that readers need no lock. */
#include "producers/gateway/watch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/kafka/admin.h"

enum {
    WATCH_INTERVAL_MS = 3000,
    WATCH_RETRY_MS = 500, /* until everything is as it must be */
    WATCH_TIMEOUT_MS = 2000
};

enum topic_door { DOOR_UNCHECKED, DOOR_MISSING, DOOR_MISCOUNTED, DOOR_OPEN };

struct watch {
    const struct catalog *catalog;
    struct health *health;
    struct kafka_admin *admin;
    int32_t partitions;
    size_t count;
    const char **topics;
    int32_t *found;
    _Atomic enum topic_door *doors;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int stop; /* under lock */
};

static void report(struct watch *watch, const char *check, int ok, const char *text)
{
    if (!health_set(watch->health, check, ok, text))
        return;
    if (ok)
        log_info("%s: ok", check);
    else
        log_warn("%s: %s", check, text);
}

static void set_doors(struct watch *watch, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < watch->count; i++) {
        enum topic_door door = DOOR_OPEN;
        if (watch->found[i] == 0)
            door = DOOR_MISSING;
        else if (watch->found[i] != watch->partitions)
            door = DOOR_MISCOUNTED;
        atomic_store(&watch->doors[i], door);
        if (door == DOOR_OPEN || used >= size)
            continue;
        int more =
            door == DOOR_MISSING
                ? snprintf(text + used, size - used, "%s%s does not exist", used ? "; " : "",
                           watch->topics[i])
                : snprintf(text + used, size - used, "%s%s has %d partitions instead of %d",
                           used ? "; " : "", watch->topics[i], watch->found[i], watch->partitions);
        used += more > 0 ? (size_t)more : 0;
    }
}

/* Returns 1 when all is well. */
static int look(struct watch *watch)
{
    struct error error;
    char text[HEALTH_TEXT_BYTES];
    if (kafka_admin_partitions(watch->admin, WATCH_TIMEOUT_MS, watch->topics, watch->count,
                               watch->found, &error) != 0) {
        report(watch, "kafka", 0, error.message);
        return 0;
    }
    report(watch, "kafka", 1, NULL);
    set_doors(watch, text, sizeof text);
    report(watch, "topics", !*text, text);
    return !*text;
}

static void *watch_loop(void *context)
{
    struct watch *watch = context;
    pthread_mutex_lock(&watch->lock);
    while (!watch->stop) {
        pthread_mutex_unlock(&watch->lock);
        int pause_ms = look(watch) ? WATCH_INTERVAL_MS : WATCH_RETRY_MS;
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += pause_ms / 1000;
        until.tv_nsec += pause_ms % 1000 * 1000000L;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000L;
        }
        pthread_mutex_lock(&watch->lock);
        if (!watch->stop)
            pthread_cond_timedwait(&watch->wake, &watch->lock, &until);
    }
    pthread_mutex_unlock(&watch->lock);
    return NULL;
}

static void release(struct watch *watch)
{
    kafka_admin_free(watch->admin);
    pthread_cond_destroy(&watch->wake);
    pthread_mutex_destroy(&watch->lock);
    free(watch->topics);
    free(watch->found);
    free(watch->doors);
    free(watch);
}

int watch_start(const struct config *config, const struct catalog *catalog, struct health *health,
                struct watch **ret_watch, struct error *error)
{
    struct watch *watch = xcalloc(1, sizeof *watch);
    watch->catalog = catalog;
    watch->health = health;
    watch->partitions = (int32_t)config_int(config, OPT_PARTITIONS);
    watch->count = catalog_topic_count(catalog);
    watch->topics = xcalloc(watch->count, sizeof *watch->topics);
    watch->found = xcalloc(watch->count, sizeof *watch->found);
    watch->doors = xcalloc(watch->count, sizeof *watch->doors);
    for (size_t i = 0; i < watch->count; i++)
        watch->topics[i] = catalog_topic_at(catalog, i);
    pthread_mutex_init(&watch->lock, NULL);
    pthread_cond_init(&watch->wake, NULL);
    health_set(health, "kafka", 0, "not reached yet");
    health_set(health, "topics", 0, "not checked yet");
    int result = kafka_admin_open(config, &watch->admin, error);
    if (result == 0 && pthread_create(&watch->thread, NULL, watch_loop, watch) != 0)
        result =
            error_set(error, ERROR_FATAL, "thread", "cannot start the thread that watches Kafka");
    if (result != 0) {
        release(watch);
        return -1;
    }
    *ret_watch = watch;
    return 0;
}

void watch_free(struct watch *watch)
{
    if (!watch)
        return;
    pthread_mutex_lock(&watch->lock);
    watch->stop = 1;
    pthread_cond_signal(&watch->wake);
    pthread_mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
    release(watch);
}

struct kafka_admin *watch_admin(const struct watch *watch)
{
    return watch->admin;
}

int watch_topic_open(const struct watch *watch, const char *topic, const char **ret_why)
{
    static const char *const reasons[] = {
        [DOOR_UNCHECKED] = "no broker has answered since this gateway started",
        [DOOR_MISSING] = "the event's topic does not exist; `weir topics create` makes it",
        [DOOR_MISCOUNTED] = "the event's topic has another number of partitions than is pinned",
        [DOOR_OPEN] = ""};
    enum topic_door door = DOOR_MISSING;
    for (size_t i = 0; i < watch->count; i++)
        if (strcmp(watch->topics[i], topic) == 0)
            door = atomic_load(&watch->doors[i]);
    *ret_why = reasons[door];
    return door == DOOR_OPEN;
}
