/* SPDX-License-Identifier: Apache-2.0
 *
 * The idempotent producer: acks=all, explicit partitions, a bounded queue, and exactly one report
 * for every message that it takes. A thread of its own serves the reports.
 *
 * librdkafka's idempotent producer can fail for good (a sequence number out of order after a broker
 * was killed). It is then replaced, and what it still had is reported as PRODUCER_UNKNOWN: those
 * messages may or may not be in the log. */
#ifndef WEIR_KAFKA_PRODUCER_H
#define WEIR_KAFKA_PRODUCER_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/config.h"
#include "lib/base/error.h"

enum producer_outcome {
    PRODUCER_ACKED,         /* written, and acknowledged by all in-sync replicas */
    PRODUCER_NOT_PERSISTED, /* certainly not written: sending it again cannot double it */
    PRODUCER_UNKNOWN        /* may have been written */
};

struct producer_report {
    enum producer_outcome outcome;
    int32_t partition;
    int64_t offset;       /* -1 when the broker knew the message already, or not acked */
    int64_t timestamp_ms; /* the broker's (LogAppendTime), -1 when it gave none */
    const char *code;     /* librdkafka's name of the error, NULL when acked */
    const char *reason;   /* and its description */
};

/* Called once per message on the producer's thread, or on the thread of producer_close. Must not
 * block. */
typedef void (*producer_on_report)(const struct producer_report *report, void *opaque);

enum { PRODUCER_HEADERS_MAX = 8, PRODUCER_TOPICS_MAX = 128 };

struct producer_header {
    const char *name;
    const char *value; /* NULL: a header without one */
    size_t size;
};

struct producer_message {
    const char *topic;
    int32_t partition;
    const void *key;
    size_t key_size;
    const void *value; /* copied, as key and headers are */
    size_t value_size;
    struct producer_header headers[PRODUCER_HEADERS_MAX];
    size_t header_count;
    const struct producer_header *more_headers; /* any number, behind those; or NULL */
    size_t more_header_count;
    void *opaque; /* given to on_report */
};

struct producer_options {
    int64_t delivery_timeout_ms; /* until then every message is reported */
    int64_t linger_ms;
    int messages_max;         /* in the queue or under way; more are refused */
    size_t message_bytes_max; /* of one message */
    producer_on_report on_report;
    /* Topics that will be written to, or NULL. They are looked up at once; otherwise the first
     * message to each would wait for that, up to a second. The texts must outlive the producer. */
    const char *const *topics;
    size_t topic_count;
};

struct producer;

/* Starts the producer; no broker has to be there. Errors: ERROR_USAGE names a bad property. */
int producer_open(const struct config *config, const struct producer_options *options,
                  struct producer **ret_producer, struct error *error);

/* Hands a message over. Returns 0: it will be reported. Returns -1: it was not taken and will not
 * be reported; ERROR_RETRY "queue-full", "closed", "unknown-topic", "unavailable", or
 * ERROR_DEAD_LETTER "message-too-large". Any thread, never blocks. */
int producer_send(struct producer *producer, const struct producer_message *message,
                  struct error *error);

/* Messages taken and not yet reported. */
int producer_pending(struct producer *producer);
/* How often the producer had to be replaced after it failed for good. */
int64_t producer_replaced(const struct producer *producer);

/* Takes nothing more, waits for reports at most `timeout_ms`, and gives up the rest, which is
 * reported too. May be called once. */
void producer_close(struct producer *producer, int64_t timeout_ms);
/* Closes it at once unless it is closed. */
void producer_free(struct producer *producer);

/* For tests: makes the present producer fail for good, as librdkafka would. */
void producer_break(struct producer *producer);

#endif
