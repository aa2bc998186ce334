/* SPDX-License-Identifier: Apache-2.0
 *
 * Reports come on the producer's thread; the last one wakes the relay's. The producer promises one
 * report for each record within its delivery timeout, so no wait here needs a limit of its own. */
#include "processors/outbox/publisher.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/timestamp.h"

enum {
    DELIVERY_TIMEOUT_MS = 10000,
    STOP_TIMEOUT_MS = 2000,
    TICK_MS = 50,
    LINGER_MS = 5,
    RECORD_BYTES_MAX = 64 * 1024 * 1024 /* the broker says what is too large, not this client */
};

struct publisher {
    const struct config *config;
    const atomic_int *stop;
    struct producer *producer;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t reported;
    struct delivery deliveries[OUTBOX_ROWS_MAX];
    size_t waiting;
};

/* What one record or one topic causes; anything else may pass by itself. */
static enum verdict classify(const char *code)
{
    static const struct {
        const char *code;
        enum verdict verdict;
    } refusals[] = {
        {"MSG_SIZE_TOO_LARGE", VERDICT_REFUSED_RECORD},
        {"message-too-large", VERDICT_REFUSED_RECORD},
        {"INVALID_MSG_SIZE", VERDICT_REFUSED_RECORD},
        {"INVALID_MSG", VERDICT_REFUSED_RECORD},
        {"INVALID_RECORD", VERDICT_REFUSED_RECORD},
        {"_UNKNOWN_TOPIC", VERDICT_REFUSED_TOPIC},
        {"_UNKNOWN_PARTITION", VERDICT_REFUSED_TOPIC},
        {"unknown-topic", VERDICT_REFUSED_TOPIC},
        {"UNKNOWN_TOPIC_OR_PART", VERDICT_REFUSED_TOPIC},
        {"TOPIC_EXCEPTION", VERDICT_REFUSED_TOPIC},
        {"TOPIC_AUTHORIZATION_FAILED", VERDICT_REFUSED_TOPIC},
        {"POLICY_VIOLATION", VERDICT_REFUSED_TOPIC},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (strcmp(code, refusals[i].code) == 0)
            return refusals[i].verdict;
    return VERDICT_FAILED;
}

static void finish_delivery(struct delivery *delivery, enum verdict verdict, const char *code)
{
    struct publisher *publisher = delivery->publisher;
    pthread_mutex_lock(&publisher->lock);
    delivery->verdict = verdict;
    snprintf(delivery->code, sizeof delivery->code, "%s", code ? code : "");
    if (--publisher->waiting == 0)
        pthread_cond_signal(&publisher->reported);
    pthread_mutex_unlock(&publisher->lock);
}

static void on_report(const struct producer_report *report, void *opaque)
{
    int acked = report->outcome == PRODUCER_ACKED;
    finish_delivery(opaque, acked ? VERDICT_ACKED : classify(report->code), report->code);
}

struct publisher *publisher_new(const struct config *config, const atomic_int *stop)
{
    struct publisher *publisher = xcalloc(1, sizeof *publisher);
    publisher->config = config;
    publisher->stop = stop;
    pthread_mutex_init(&publisher->lock, NULL);
    pthread_cond_init(&publisher->reported, NULL);
    return publisher;
}

void publisher_free(struct publisher *publisher)
{
    if (!publisher)
        return;
    producer_free(publisher->producer);
    pthread_cond_destroy(&publisher->reported);
    pthread_mutex_destroy(&publisher->lock);
    free(publisher);
}

static int open_producer(struct publisher *publisher, struct error *error)
{
    const struct producer_options options = {
        .delivery_timeout_ms = DELIVERY_TIMEOUT_MS,
        .linger_ms = LINGER_MS,
        .messages_max = OUTBOX_ROWS_MAX,
        .message_bytes_max = RECORD_BYTES_MAX,
        .on_report = on_report,
    };
    if (publisher->producer)
        return 0;
    return producer_open(publisher->config, &options, &publisher->producer, error);
}

static void send_row(struct publisher *publisher, const struct outbox_row *row,
                     struct delivery *delivery)
{
    struct error error;
    const struct producer_message message = {.topic = row->topic,
                                             .partition = row->partition,
                                             .key = row->key,
                                             .key_size = row->key_size,
                                             .value = row->value,
                                             .value_size = row->value_size,
                                             .more_headers = row->headers,
                                             .more_header_count = row->header_count,
                                             .opaque = delivery};
    if (producer_send(publisher->producer, &message, &error) != 0)
        finish_delivery(delivery, classify(error.code), error.code);
}

/* One tick, or less when the last report comes. Returns how many are waited for. The caller holds
 * the lock. */
static size_t wait_tick(struct publisher *publisher)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += TICK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    if (publisher->waiting)
        pthread_cond_timedwait(&publisher->reported, &publisher->lock, &until);
    return publisher->waiting;
}

static void wait_for_reports(struct publisher *publisher)
{
    int64_t stopped_us = 0;
    int closed = 0;
    pthread_mutex_lock(&publisher->lock);
    while (wait_tick(publisher) > 0) {
        if (!*publisher->stop || closed)
            continue;
        if (stopped_us == 0)
            stopped_us = monotonic_now_us();
        if (monotonic_now_us() - stopped_us > STOP_TIMEOUT_MS * INT64_C(1000)) {
            pthread_mutex_unlock(&publisher->lock);
            producer_close(publisher->producer, 0); /* reports the rest */
            closed = 1;
            pthread_mutex_lock(&publisher->lock);
        }
    }
    pthread_mutex_unlock(&publisher->lock);
}

int publisher_send(struct publisher *publisher, const struct outbox_rows *rows,
                   struct outbox_topics *topics, const struct delivery **ret_deliveries,
                   struct error *error)
{
    if (open_producer(publisher, error) != 0)
        return -1;
    publisher->waiting = rows->count;
    for (size_t i = 0; i < rows->count; i++)
        publisher->deliveries[i] = (struct delivery){.publisher = publisher};
    for (size_t i = 0; i < rows->count; i++) {
        const struct outbox_topic *topic = outbox_topic_find(topics, rows->rows[i].topic);
        if (topic && topic->known)
            send_row(publisher, &rows->rows[i], &publisher->deliveries[i]);
        else
            finish_delivery(&publisher->deliveries[i], VERDICT_NONE, NULL);
    }
    wait_for_reports(publisher);
    *ret_deliveries = publisher->deliveries;
    return 0;
}
