/* SPDX-License-Identifier: Apache-2.0
 *
 * A client for the admin API is opened for each look-up and closed again: after the start there is
 * hardly ever one. */
#include "processors/outbox/topics.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "lib/kafka/admin.h"

enum { LOOK_UP_TIMEOUT_MS = 5000, HOLD_FIRST_MS = 500, HOLD_MOST_MS = 60000 };

static const char *const prefixes[OUTBOX_KINDS] = {
    [OUTBOX_DEAD_LETTERS] = "weir.dlt.", [OUTBOX_DECISIONS] = "weir.decisions."};

void outbox_topic_name(enum outbox_kind kind, const char *processor,
                       char ret_name[OUTBOX_TOPIC_SIZE])
{
    snprintf(ret_name, OUTBOX_TOPIC_SIZE, "%s%s", prefixes[kind], processor);
}

struct outbox_topic *outbox_topic_find(struct outbox_topics *topics, const char *name)
{
    for (size_t i = 0; i < topics->count; i++)
        if (strcmp(topics->topics[i].name, name) == 0)
            return &topics->topics[i];
    if (topics->count == OUTBOX_TOPICS_MAX)
        return NULL;
    struct outbox_topic *topic = &topics->topics[topics->count++];
    *topic = (struct outbox_topic){0};
    snprintf(topic->name, sizeof topic->name, "%s", name);
    return topic;
}

int64_t outbox_backoff_ms(int failures, int64_t first_ms, int64_t most_ms)
{
    int64_t wait_ms = first_ms;
    for (int i = 1; i < failures && wait_ms < most_ms; i++)
        wait_ms *= 2;
    return wait_ms < most_ms ? wait_ms : most_ms;
}

void outbox_topic_hold(struct outbox_topic *topic)
{
    topic->known = 0;
    topic->refusals++;
    topic->retry_at_us =
        monotonic_now_us() + outbox_backoff_ms(topic->refusals, HOLD_FIRST_MS, HOLD_MOST_MS) * 1000;
}

static int is_of_processor(const char *name)
{
    for (int i = 0; i < OUTBOX_KINDS; i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return 1;
    return 0;
}

/* Makes one topic. The broker's own default of replication is used unless the option says
 * otherwise: a topic with fewer copies than its cluster is used to would be a trap. */
static int make(const struct config *config, struct kafka_admin *admin, const char *name,
                struct error *error)
{
    struct topic_status status = {.name = name, .state = TOPIC_MISSING};
    int32_t replication = config_is_set(config, OPT_REPLICATION_FACTOR)
                              ? (int32_t)config_int(config, OPT_REPLICATION_FACTOR)
                              : -1;
    if (kafka_admin_create(admin, (int32_t)config_int(config, OPT_PARTITIONS), replication, &status,
                           1, error) != 0)
        return -1;
    if (status.state == TOPIC_CREATED)
        log_info("made the topic %s", name);
    return 0;
}

static int look_up(const struct config *config, struct kafka_admin *admin,
                   struct outbox_topic *const *asked, size_t count, struct error *error)
{
    const char *names[OUTBOX_TOPICS_MAX];
    int32_t partitions[OUTBOX_TOPICS_MAX];
    int result = 0;
    for (size_t i = 0; i < count; i++)
        names[i] = asked[i]->name;
    if (kafka_admin_partitions(admin, LOOK_UP_TIMEOUT_MS, names, count, partitions, error) != 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        struct error refusal = {0};
        if (partitions[i] == 0 && !is_of_processor(names[i]))
            error_set(&refusal, ERROR_USAGE, "unknown-topic", "the topic %s is not there",
                      names[i]);
        else if (partitions[i] == 0 && make(config, admin, names[i], &refusal) != 0)
            error_prefix(&refusal, "cannot make the topic %s", names[i]);
        asked[i]->known = refusal.class == ERROR_NONE;
        if (asked[i]->known) {
            if (asked[i]->missing)
                asked[i]->missing = asked[i]->refusals = 0;
            continue;
        }
        *error = refusal;
        result = -1;
        if (refusal.class == ERROR_RETRY)
            break; /* the broker went away: no fault of the topic */
        asked[i]->missing = 1;
        outbox_topic_hold(asked[i]);
    }
    return result;
}

int outbox_topics_look_up(const struct config *config, struct outbox_topics *topics,
                          struct error *error)
{
    struct outbox_topic *asked[OUTBOX_TOPICS_MAX];
    size_t count = 0;
    int64_t now_us = monotonic_now_us();
    for (size_t i = 0; i < topics->count; i++)
        if (!topics->topics[i].known && topics->topics[i].retry_at_us <= now_us)
            asked[count++] = &topics->topics[i];
    if (count == 0)
        return 0;
    struct kafka_admin *admin;
    if (kafka_admin_open(config, &admin, error) != 0)
        return -1;
    int result = look_up(config, admin, asked, count, error);
    kafka_admin_free(admin);
    return result;
}
