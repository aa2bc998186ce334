/* SPDX-License-Identifier: Apache-2.0
 *
 * A generation is one librdkafka handle. Senders hold the read lock while they hand a message over;
 * the thread takes the write lock only to exchange the generation, so a sender never has a handle
 * that is being destroyed. The old generation is purged, which makes a report of everything it
 * still has, then destroyed. */
#include "lib/kafka/producer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "lib/kafka/client.h"

enum {
    POLL_MS = 100,
    RETIRE_TIMEOUT_MS = 5000, /* for the reports of purged messages, which need no broker */
    QUEUE_KBYTES_MAX = 262144,
    MESSAGE_OVERHEAD_BYTES = 1024, /* key, headers and framing beside the value */
    REPLACE_PAUSE_MS = 500
};

struct generation {
    struct producer *producer;
    rd_kafka_t *kafka;
    atomic_int failed;
    rd_kafka_topic_t
        *topics[PRODUCER_TOPICS_MAX]; /* held so that librdkafka keeps what it looked up */
};

struct producer {
    rd_kafka_conf_t *conf; /* what each generation is a copy of */
    producer_on_report on_report;
    const char *topics[PRODUCER_TOPICS_MAX];
    size_t topic_count;
    pthread_rwlock_t lock; /* of `generation` */
    struct generation *generation;
    pthread_t thread;
    atomic_int stop;
    atomic_int pending;
    _Atomic int64_t replaced;
    int closed; /* under lock */
};

static void on_delivery(rd_kafka_t *kafka, const rd_kafka_message_t *message, void *opaque)
{
    struct generation *generation = opaque;
    struct producer *producer = generation->producer;
    struct producer_report report = {.outcome = PRODUCER_ACKED,
                                     .partition = message->partition,
                                     .offset = message->offset,
                                     .timestamp_ms = rd_kafka_message_timestamp(message, NULL)};
    if (message->err) {
        report.offset = -1;
        report.code = rd_kafka_err2name(message->err);
        report.reason = rd_kafka_err2str(message->err);
        /* A producer in an impossible state is not believed when it says that nothing was sent. */
        int failed = rd_kafka_fatal_error(kafka, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR;
        int unsent = rd_kafka_message_status(message) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED;
        report.outcome = unsent && !failed ? PRODUCER_NOT_PERSISTED : PRODUCER_UNKNOWN;
        if (failed)
            atomic_store(&generation->failed, 1);
    }
    atomic_fetch_sub(&producer->pending, 1);
    producer->on_report(&report, message->_private);
}

static void on_error(rd_kafka_t *kafka, int code, const char *reason, void *opaque)
{
    struct generation *generation = opaque;
    char text[512];
    if (code != RD_KAFKA_RESP_ERR__FATAL) {
        log_debug("kafka producer: %s: %s", rd_kafka_err2name(code), reason);
        return;
    }
    rd_kafka_resp_err_t cause = rd_kafka_fatal_error(kafka, text, sizeof text);
    log_error("the Kafka producer failed for good and is replaced: %s: %s",
              rd_kafka_err2name(cause), text);
    atomic_store(&generation->failed, 1);
}

static struct generation *generation_new(struct producer *producer, struct error *error)
{
    char reason[512];
    struct generation *generation = xcalloc(1, sizeof *generation);
    generation->producer = producer;
    rd_kafka_conf_t *conf = rd_kafka_conf_dup(producer->conf);
    rd_kafka_conf_set_opaque(conf, generation);
    generation->kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    if (generation->kafka) {
        for (size_t i = 0; i < producer->topic_count; i++)
            generation->topics[i] =
                rd_kafka_topic_new(generation->kafka, producer->topics[i], NULL);
        return generation;
    }
    rd_kafka_conf_destroy(conf);
    free(generation);
    error_set(error, ERROR_USAGE, "kafka-producer", "cannot make the Kafka producer: %s", reason);
    return NULL;
}

/* Reports whatever the generation still has, then destroys it. No sender has it any more. */
static void generation_retire(struct generation *generation)
{
    int64_t deadline_us = monotonic_now_us() + RETIRE_TIMEOUT_MS * INT64_C(1000);
    rd_kafka_purge(generation->kafka, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    while (rd_kafka_outq_len(generation->kafka) > 0 && monotonic_now_us() < deadline_us)
        rd_kafka_poll(generation->kafka, POLL_MS);
    for (size_t i = 0; i < PRODUCER_TOPICS_MAX && generation->topics[i]; i++)
        rd_kafka_topic_destroy(generation->topics[i]);
    rd_kafka_destroy(generation->kafka);
    free(generation);
}

static void replace(struct producer *producer)
{
    struct error error;
    struct generation *old = producer->generation;
    struct generation *new = generation_new(producer, &error);
    if (!new) {
        const struct timespec pause = {.tv_nsec = REPLACE_PAUSE_MS * 1000000L};
        log_error("%s", error.message);
        nanosleep(&pause, NULL);
        return;
    }
    pthread_rwlock_wrlock(&producer->lock);
    producer->generation = new;
    pthread_rwlock_unlock(&producer->lock);
    atomic_fetch_add(&producer->replaced, 1);
    generation_retire(old);
}

static void *serve(void *context)
{
    struct producer *producer = context;
    while (!atomic_load(&producer->stop)) {
        /* Only this thread exchanges the generation, so it may look without the lock. */
        rd_kafka_poll(producer->generation->kafka, POLL_MS);
        if (atomic_load(&producer->generation->failed))
            replace(producer);
    }
    return NULL;
}

static int set_number(rd_kafka_conf_t *conf, const char *key, int64_t value, struct error *error)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return kafka_conf_set(conf, key, text, error);
}

/* What the guarantees rest on comes last, so that no --kafka property takes it away.
 *
 * With idempotence librdkafka (2.0.2, and still in 2.15) lets five messages of a partition be under
 * way; while more wait for them and are older than linger.ms, its broker thread polls without
 * sleeping. A linger above the broker's round trip avoids that; 0 is for one event at a time. */
static int configure(rd_kafka_conf_t *conf, const struct producer_options *options,
                     struct error *error)
{
    static const char *const fixed[][2] = {
        {"enable.idempotence", "true"},
        {"acks", "all"},
        {"socket.nagle.disable", "true"},
        {"allow.auto.create.topics", "false"},
    };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (kafka_conf_set(conf, fixed[i][0], fixed[i][1], error) != 0)
            return -1;
    if (set_number(conf, "linger.ms", options->linger_ms, error) != 0 ||
        set_number(conf, "message.timeout.ms", options->delivery_timeout_ms, error) != 0 ||
        set_number(conf, "queue.buffering.max.messages", options->messages_max, error) != 0 ||
        set_number(conf, "queue.buffering.max.kbytes", QUEUE_KBYTES_MAX, error) != 0 ||
        set_number(conf, "message.max.bytes",
                   (int64_t)options->message_bytes_max + MESSAGE_OVERHEAD_BYTES, error) != 0)
        return -1;
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_error_cb(conf, on_error);
    return 0;
}

/* A user's own choice wins over this one. */
static int prefer_lz4(const struct config *config, rd_kafka_conf_t *conf, struct error *error)
{
    const char *const *pairs;
    size_t count = config_list(config, OPT_KAFKA, &pairs);
    for (size_t i = 0; i < count; i++)
        if (strncmp(pairs[i], "compression.", 12) == 0)
            return 0;
    return kafka_conf_set(conf, "compression.codec", "lz4", error);
}

int producer_open(const struct config *config, const struct producer_options *options,
                  struct producer **ret_producer, struct error *error)
{
    struct producer *producer = xcalloc(1, sizeof *producer);
    producer->on_report = options->on_report;
    while (producer->topic_count < options->topic_count &&
           producer->topic_count < PRODUCER_TOPICS_MAX) {
        producer->topics[producer->topic_count] = options->topics[producer->topic_count];
        producer->topic_count++;
    }
    pthread_rwlock_init(&producer->lock, NULL);
    if (kafka_conf_new(config, &producer->conf, error) == 0 &&
        prefer_lz4(config, producer->conf, error) == 0 &&
        configure(producer->conf, options, error) == 0)
        producer->generation = generation_new(producer, error);
    if (producer->generation && pthread_create(&producer->thread, NULL, serve, producer) == 0) {
        *ret_producer = producer;
        return 0;
    }
    if (producer->generation) {
        generation_retire(producer->generation);
        error_set(error, ERROR_FATAL, "thread", "cannot start the producer's thread");
    }
    if (producer->conf)
        rd_kafka_conf_destroy(producer->conf);
    pthread_rwlock_destroy(&producer->lock);
    free(producer);
    return -1;
}

static void add_header(rd_kafka_headers_t *headers, const struct producer_header *header)
{
    rd_kafka_header_add(headers, header->name, -1, header->value, (ssize_t)header->size);
}

/* librdkafka takes the headers when it takes the message, and only then. */
static rd_kafka_resp_err_t produce(rd_kafka_t *kafka, const struct producer_message *message)
{
    rd_kafka_headers_t *headers =
        rd_kafka_headers_new(message->header_count + message->more_header_count);
    for (size_t i = 0; i < message->header_count; i++)
        add_header(headers, &message->headers[i]);
    for (size_t i = 0; i < message->more_header_count; i++)
        add_header(headers, &message->more_headers[i]);
    rd_kafka_resp_err_t code = rd_kafka_producev(
        kafka, RD_KAFKA_V_TOPIC(message->topic), RD_KAFKA_V_PARTITION(message->partition),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_KEY((void *)message->key, message->key_size),
        RD_KAFKA_V_VALUE((void *)message->value, message->value_size), RD_KAFKA_V_HEADERS(headers),
        RD_KAFKA_V_OPAQUE(message->opaque), RD_KAFKA_V_END);
    if (code)
        rd_kafka_headers_destroy(headers);
    return code;
}

int producer_send(struct producer *producer, const struct producer_message *message,
                  struct error *error)
{
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__DESTROY;
    /* Counted first: the report may come before produce() returns. */
    atomic_fetch_add(&producer->pending, 1);
    pthread_rwlock_rdlock(&producer->lock);
    if (!producer->closed)
        code = produce(producer->generation->kafka, message);
    pthread_rwlock_unlock(&producer->lock);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    atomic_fetch_sub(&producer->pending, 1);
    switch (code) {
    case RD_KAFKA_RESP_ERR__DESTROY:
        return error_set(error, ERROR_RETRY, "closed", "the producer is shutting down");
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        return error_set(error, ERROR_RETRY, "queue-full", "too many events wait for the broker");
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        return error_set(error, ERROR_DEAD_LETTER, "message-too-large", "the event is too large");
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        return error_set(error, ERROR_RETRY, "unknown-topic", "%s", rd_kafka_err2str(code));
    default:
        return error_set(error, ERROR_RETRY, "unavailable", "%s", rd_kafka_err2str(code));
    }
}

int producer_pending(struct producer *producer)
{
    return atomic_load(&producer->pending);
}

int64_t producer_replaced(const struct producer *producer)
{
    return atomic_load(&producer->replaced);
}

void producer_close(struct producer *producer, int64_t timeout_ms)
{
    pthread_rwlock_wrlock(&producer->lock);
    int closed = producer->closed;
    producer->closed = 1;
    pthread_rwlock_unlock(&producer->lock);
    if (closed)
        return;
    atomic_store(&producer->stop, 1);
    pthread_join(producer->thread, NULL);
    rd_kafka_flush(producer->generation->kafka, (int)timeout_ms);
    generation_retire(producer->generation);
    producer->generation = NULL;
}

void producer_free(struct producer *producer)
{
    if (!producer)
        return;
    producer_close(producer, 0);
    rd_kafka_conf_destroy(producer->conf);
    pthread_rwlock_destroy(&producer->lock);
    free(producer);
}

void producer_break(struct producer *producer)
{
    pthread_rwlock_rdlock(&producer->lock);
    rd_kafka_test_fatal_error(producer->generation->kafka,
                              RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "broken by a test");
    pthread_rwlock_unlock(&producer->lock);
}
