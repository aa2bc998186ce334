/* SPDX-License-Identifier: Apache-2.0
 *
 * Encodes as the gateway does (producers/gateway/event.h), with the same event ids, and produces.
 * Each event under way has an entry. Reports come on the producer's thread, which puts the entry on
 * a list; the sender's thread takes the list from there. Entries are made and given back on the
 * sender's thread only. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/hash.h"
#include "lib/base/timestamp.h"
#include "lib/registry/ids.h"
#include "producers/gateway/event.h"
#include "producers/simulate/transport.h"

enum { ENTRIES = 1024, MESSAGE_BYTES_MAX = 1 << 20, CLOSE_TIMEOUT_MS = 1000 };

struct entry {
    struct kafka_transport *kafka;
    struct entry *next;
    void *opaque;
    int status;
    int64_t sent_us;
    char problem[96];
    char body[80];
};

struct kafka_transport {
    struct transport transport; /* first */
    struct assets *assets;
    struct catalog *catalog;
    struct producer *producer;
    struct event_rules rules;
    struct event_record record;
    int32_t partitions;
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct entry *done; /* under the lock */
    struct entry *free_list;
    struct entry entries[ENTRIES];
};

static void put_done(struct entry *entry)
{
    struct kafka_transport *kafka = entry->kafka;
    pthread_mutex_lock(&kafka->lock);
    entry->next = kafka->done;
    kafka->done = entry;
    pthread_cond_signal(&kafka->answered);
    pthread_mutex_unlock(&kafka->lock);
}

static void on_report(const struct producer_report *report, void *opaque)
{
    static const int statuses[] = {
        [PRODUCER_ACKED] = 202, [PRODUCER_NOT_PERSISTED] = 503, [PRODUCER_UNKNOWN] = 504};
    struct entry *entry = opaque;
    entry->status = statuses[report->outcome];
    snprintf(entry->problem, sizeof entry->problem, "%s", report->reason ? report->reason : "");
    put_done(entry);
}

/* Fills kafka->record. Returns -1 with the first fault in entry->problem. */
static int encode(struct kafka_transport *kafka, const struct sim_event *event, const char *text,
                  struct entry *entry)
{
    struct faults faults = {0};
    struct key key;
    key.size = (size_t)snprintf(key.text, sizeof key.text, "%s", text);
    json_t *body = json_loadb(event->body.data, event->body.size, 0, NULL);
    struct event_input input = {.event =
                                    catalog_find_event(kafka->catalog, sim_type_name(event->type)),
                                .space = event->space_id,
                                .key = &key,
                                .body = body,
                                .now_us = timestamp_now_us()};
    int result =
        input.event && body ? event_encode(&input, &kafka->rules, &kafka->record, &faults) : -1;
    json_decref(body);
    if (result != 0)
        snprintf(entry->problem, sizeof entry->problem, "%.30s %.60s", faults.items[0].pointer,
                 faults.items[0].message);
    return result;
}

static int kafka_send(struct transport *transport, const struct sim_event *event, const char *key,
                      void *opaque, struct error *error)
{
    struct kafka_transport *kafka = (struct kafka_transport *)transport;
    struct entry *entry = kafka->free_list;
    struct error refusal = {0};
    if (!entry)
        return error_set(error, ERROR_FATAL, "full", "%d events are under way", ENTRIES);
    kafka->free_list = entry->next;
    transport->under_way++;
    entry->opaque = opaque;
    entry->sent_us = monotonic_now_us();
    entry->problem[0] = '\0';
    entry->body[0] = '\0';
    if (encode(kafka, event, key, entry) != 0) {
        entry->status = 422;
        put_done(entry);
        return 0;
    }
    snprintf(entry->body, sizeof entry->body, "{\"event_id\":\"%s\"}", kafka->record.event_id_text);
    struct producer_message *message = &kafka->record.message;
    message->partition = hash_partition(message->key, message->key_size, kafka->partitions);
    message->opaque = entry;
    if (producer_send(kafka->producer, message, &refusal) != 0) {
        entry->status = 503;
        snprintf(entry->problem, sizeof entry->problem, "%.90s", refusal.message);
        put_done(entry);
    }
    return 0;
}

static int kafka_poll(struct transport *transport, int timeout_ms, struct error *error)
{
    struct kafka_transport *kafka = (struct kafka_transport *)transport;
    struct timespec until;
    (void)error;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (timeout_ms % 1000) * 1000000L;
    until.tv_sec += timeout_ms / 1000 + until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&kafka->lock);
    while (!kafka->done && pthread_cond_timedwait(&kafka->answered, &kafka->lock, &until) == 0)
        ;
    struct entry *entry = kafka->done;
    kafka->done = NULL;
    pthread_mutex_unlock(&kafka->lock);
    while (entry) {
        struct entry *next = entry->next;
        struct http_answer answer = {.status = entry->status,
                                     .problem = entry->problem,
                                     .sent = entry->status == 504,
                                     .body = entry->body,
                                     .body_size = strlen(entry->body),
                                     .retry_after_ms = -1,
                                     .elapsed_us = monotonic_now_us() - entry->sent_us};
        transport->on_answer(&answer, entry->opaque);
        entry->next = kafka->free_list;
        kafka->free_list = entry;
        transport->under_way--;
        entry = next;
    }
    return 0;
}

static void kafka_free(struct transport *transport)
{
    struct kafka_transport *kafka = (struct kafka_transport *)transport;
    if (kafka->producer)
        producer_close(kafka->producer, CLOSE_TIMEOUT_MS);
    producer_free(kafka->producer);
    event_record_free(&kafka->record);
    catalog_free(kafka->catalog);
    assets_free(kafka->assets);
    pthread_cond_destroy(&kafka->answered);
    pthread_mutex_destroy(&kafka->lock);
    free(kafka);
}

int transport_kafka_open(const struct config *config, transport_on_answer on_answer,
                         struct transport **ret_transport, struct error *error)
{
    struct kafka_transport *kafka = xcalloc(1, sizeof *kafka);
    pthread_condattr_t attributes;
    struct producer_options options = {.delivery_timeout_ms =
                                           config_int(config, OPT_DELIVERY_TIMEOUT),
                                       .linger_ms = config_int(config, OPT_LINGER),
                                       .messages_max = ENTRIES * 2,
                                       .message_bytes_max = MESSAGE_BYTES_MAX,
                                       .on_report = on_report};
    kafka->transport = (struct transport){.limit = ENTRIES,
                                          .on_answer = on_answer,
                                          .send = kafka_send,
                                          .poll = kafka_poll,
                                          .free = kafka_free};
    kafka->rules =
        (struct event_rules){.past_us = config_int(config, OPT_OCCURRED_PAST) * 1000,
                             .future_us = config_int(config, OPT_OCCURRED_FUTURE) * 1000};
    kafka->partitions = (int32_t)config_int(config, OPT_PARTITIONS);
    pthread_mutex_init(&kafka->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&kafka->answered, &attributes);
    pthread_condattr_destroy(&attributes);
    for (size_t i = 0; i < ENTRIES; i++) {
        kafka->entries[i].kafka = kafka;
        kafka->entries[i].next = kafka->free_list;
        kafka->free_list = &kafka->entries[i];
    }
    const char *topics[PRODUCER_TOPICS_MAX];
    int result = assets_open(config_text(config, OPT_HOME), &kafka->assets, error);
    if (result == 0)
        result = ids_open_catalog(config, kafka->assets, IDS_LOOK_UP, &kafka->catalog, error);
    while (result == 0 && options.topic_count < catalog_topic_count(kafka->catalog) &&
           options.topic_count < PRODUCER_TOPICS_MAX) {
        topics[options.topic_count] = catalog_topic_at(kafka->catalog, options.topic_count);
        options.topic_count++;
    }
    options.topics = topics;
    if (result == 0)
        result = producer_open(config, &options, &kafka->producer, error);
    if (result != 0) {
        kafka_free(&kafka->transport);
        return -1;
    }
    *ret_transport = &kafka->transport;
    return 0;
}
