/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads topics from end to end without joining a consumer group and without leaving a trace in the
 * cluster: for tools that look, not for processors. Records come in order within a partition. Not
 * for several threads. */
#ifndef WEIR_KAFKA_READER_H
#define WEIR_KAFKA_READER_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdint.h>

#include "lib/base/config.h"
#include "lib/base/error.h"

enum {
    READER_TIMEOUT_MS = 10000, /* of one answer */
    READER_STALL_MS = 30000    /* without a record; then Kafka is away */
};

/* Where one partition's log begins and ends. */
struct kafka_extent {
    const char *topic; /* the caller's */
    int32_t partition;
    int64_t low;  /* first offset that is there */
    int64_t high; /* the offset that the next record gets */
};

struct kafka_reader;

/* Errors: ERROR_USAGE. */
int kafka_reader_open(const struct config *config, struct kafka_reader **ret_reader,
                      struct error *error);
void kafka_reader_free(struct kafka_reader *reader);

/* How many partitions a topic has; 0 when it is not there. Creates no topic.
 * Errors: ERROR_RETRY when no broker answers. */
int kafka_reader_partitions(struct kafka_reader *reader, const char *topic, int32_t *ret_count,
                            struct error *error);

/* Asks for the ends of one partition's log. */
int kafka_reader_extent(struct kafka_reader *reader, struct kafka_extent *extent,
                        struct error *error);

/* Adds a partition to those that are read. `offset` is absolute, or RD_KAFKA_OFFSET_BEGINNING,
 * RD_KAFKA_OFFSET_END, or RD_KAFKA_OFFSET_TAIL(n). */
void kafka_reader_add(struct kafka_reader *reader, const char *topic, int32_t partition,
                      int64_t offset);

/* Starts reading what was added. */
int kafka_reader_start(struct kafka_reader *reader, struct error *error);

/* The next record, or NULL when none came within timeout_ms. The caller destroys it with
 * rd_kafka_message_destroy. */
int kafka_reader_next(struct kafka_reader *reader, int timeout_ms, rd_kafka_message_t **ret_message,
                      struct error *error);

/* Takes a record, which stays the reader's. Returns 0, or -1 to end with *error. */
typedef int (*kafka_reader_take)(void *opaque, rd_kafka_message_t *message, struct error *error);

/* Starts reading what was added, and hands over each record up to the ends of the logs. `stop` may
 * be NULL. Errors: those of `take`; ERROR_RETRY "kafka-stalled" when nothing comes for `stall_ms`,
 * "stopped" when *stop is set. */
int kafka_reader_each(struct kafka_reader *reader, int stall_ms, const atomic_int *stop,
                      kafka_reader_take take, void *opaque, struct error *error);

/* Hands over the `newest` records of each partition of a topic, or what there are, to the ends of
 * the logs; nothing when there is no topic. Errors as above. */
int kafka_reader_topic(const struct config *config, const char *topic, int64_t newest,
                       const atomic_int *stop, kafka_reader_take take, void *opaque,
                       struct error *error);

/* Whether every partition has been read to its end at least once since the start. */
int kafka_reader_at_end(const struct kafka_reader *reader);

#endif
