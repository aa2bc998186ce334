/* SPDX-License-Identifier: Apache-2.0
 *
 * A consumer with partitions assigned by hand and commits off. librdkafka wants a group name even
 * so; no group is ever joined under it. The end of a partition comes as an event of its own, and is
 * counted once per partition. */
#include "lib/kafka/reader.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/timestamp.h"
#include "lib/kafka/client.h"

/* The end of a partition is only known when a fetch comes back empty: waiting long would make every
 * tool slow. */
#define FETCH_WAIT_MS "100"
enum { POLL_MS = 200 };

struct kafka_reader {
    rd_kafka_t *kafka;
    rd_kafka_topic_partition_list_t *partitions; /* opaque is set when the end was seen */
    int ends_seen;
    int64_t *ends; /* where each partition's log ended when it was asked for; NULL: nobody asked */
    char *brokers;
};

int kafka_reader_open(const struct config *config, struct kafka_reader **ret_reader,
                      struct error *error)
{
    static const char *const properties[][2] = {{"group.id", "weir-reader"},
                                                {"fetch.wait.max.ms", FETCH_WAIT_MS}};
    rd_kafka_conf_t *conf;
    rd_kafka_t *kafka = NULL;
    if (kafka_conf_new(config, &conf, error) != 0 ||
        kafka_consumer_new(conf, properties, sizeof properties / sizeof *properties, &kafka,
                           error) != 0)
        return -1;
    struct kafka_reader *reader = xcalloc(1, sizeof *reader);
    reader->kafka = kafka;
    reader->brokers = xstrdup(config_text(config, OPT_KAFKA_BROKERS));
    reader->partitions = rd_kafka_topic_partition_list_new(64);
    *ret_reader = reader;
    return 0;
}

void kafka_reader_free(struct kafka_reader *reader)
{
    if (!reader)
        return;
    rd_kafka_topic_partition_list_destroy(reader->partitions);
    rd_kafka_consumer_close(reader->kafka);
    rd_kafka_destroy(reader->kafka);
    free(reader->brokers);
    free(reader->ends);
    free(reader);
}

int kafka_reader_partitions(struct kafka_reader *reader, const char *topic, int32_t *ret_count,
                            struct error *error)
{
    /* all topics: asking for one by name could create it */
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(reader->kafka, 1, NULL, &metadata, READER_TIMEOUT_MS);
    if (code)
        return error_set(
            error, ERROR_RETRY, rd_kafka_err2name(code),
            "no broker answered at %s within %d s (%s): is Kafka up, and is --kafka-brokers right?",
            reader->brokers, READER_TIMEOUT_MS / 1000, rd_kafka_err2str(code));
    *ret_count = 0;
    for (int i = 0; i < metadata->topic_cnt; i++)
        if (strcmp(metadata->topics[i].topic, topic) == 0)
            *ret_count = metadata->topics[i].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    return 0;
}

int kafka_reader_extent(struct kafka_reader *reader, struct kafka_extent *extent,
                        struct error *error)
{
    rd_kafka_resp_err_t code =
        rd_kafka_query_watermark_offsets(reader->kafka, extent->topic, extent->partition,
                                         &extent->low, &extent->high, READER_TIMEOUT_MS);
    if (!code)
        return 0;
    kafka_error(error, code, "asking for the ends of the log", NULL);
    return error_prefix(error, "%s partition %d", extent->topic, extent->partition);
}

void kafka_reader_add(struct kafka_reader *reader, const char *topic, int32_t partition,
                      int64_t offset)
{
    rd_kafka_topic_partition_list_add(reader->partitions, topic, partition)->offset = offset;
}

int kafka_reader_start(struct kafka_reader *reader, struct error *error)
{
    reader->ends_seen = 0;
    rd_kafka_resp_err_t code = rd_kafka_assign(reader->kafka, reader->partitions);
    return code ? kafka_error(error, code, "starting to read", NULL) : 0;
}

static void note_end(struct kafka_reader *reader, const rd_kafka_message_t *message)
{
    rd_kafka_topic_partition_t *found = rd_kafka_topic_partition_list_find(
        reader->partitions, rd_kafka_topic_name(message->rkt), message->partition);
    if (found && !found->opaque) {
        found->opaque = reader;
        reader->ends_seen++;
    }
}

/* The last record that there was says so at once; Kafka says it after FETCH_WAIT_MS. */
static void note_last(struct kafka_reader *reader, const rd_kafka_message_t *message)
{
    const rd_kafka_topic_partition_t *found = rd_kafka_topic_partition_list_find(
        reader->partitions, rd_kafka_topic_name(message->rkt), message->partition);
    if (found && message->offset + 1 >= reader->ends[found - reader->partitions->elems])
        note_end(reader, message);
}

int kafka_reader_next(struct kafka_reader *reader, int timeout_ms, rd_kafka_message_t **ret_message,
                      struct error *error)
{
    *ret_message = NULL;
    rd_kafka_message_t *message = rd_kafka_consumer_poll(reader->kafka, timeout_ms);
    if (!message)
        return 0;
    if (!message->err) {
        if (reader->ends)
            note_last(reader, message);
        *ret_message = message;
        return 0;
    }
    int result = 0;
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
        note_end(reader, message);
    else if (message->err != RD_KAFKA_RESP_ERR__TRANSPORT &&
             message->err != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        result = kafka_error(error, message->err, "reading", rd_kafka_message_errstr(message));
    rd_kafka_message_destroy(message);
    return result;
}

int kafka_reader_at_end(const struct kafka_reader *reader)
{
    return reader->ends_seen == reader->partitions->cnt;
}

int kafka_reader_each(struct kafka_reader *reader, int stall_ms, const atomic_int *stop,
                      kafka_reader_take take, void *opaque, struct error *error)
{
    int code = reader->partitions->cnt > 0 ? kafka_reader_start(reader, error) : 0;
    int64_t last_us = monotonic_now_us();
    while (code == 0 && !kafka_reader_at_end(reader)) {
        rd_kafka_message_t *message;
        if (stop && *stop)
            return error_set(error, ERROR_RETRY, "stopped", "stopped while Kafka was read");
        if (kafka_reader_next(reader, POLL_MS, &message, error) != 0)
            return -1;
        if (!message && monotonic_now_us() - last_us > stall_ms * INT64_C(1000))
            return error_set(error, ERROR_RETRY, "kafka-stalled",
                             "no broker at %s sent anything for %d s: is Kafka up?",
                             reader->brokers, stall_ms / 1000);
        if (!message)
            continue;
        code = take(opaque, message, error);
        rd_kafka_message_destroy(message);
        last_us = monotonic_now_us();
    }
    return code;
}

int kafka_reader_topic(const struct config *config, const char *topic, int64_t newest,
                       const atomic_int *stop, kafka_reader_take take, void *opaque,
                       struct error *error)
{
    struct kafka_reader *reader;
    int32_t partitions = 0;
    if (kafka_reader_open(config, &reader, error) != 0)
        return -1;
    int code = kafka_reader_partitions(reader, topic, &partitions, error);
    reader->ends = xcalloc((size_t)partitions + 1, sizeof *reader->ends);
    for (int32_t i = 0; code == 0 && i < partitions; i++) {
        struct kafka_extent extent = {.topic = topic, .partition = i};
        code = kafka_reader_extent(reader, &extent, error);
        if (code != 0 || extent.low == extent.high)
            continue;
        reader->ends[reader->partitions->cnt] = extent.high;
        kafka_reader_add(reader, topic, i,
                         extent.high - extent.low > newest ? extent.high - newest : extent.low);
    }
    if (code == 0)
        code = kafka_reader_each(reader, READER_STALL_MS, stop, take, opaque, error);
    kafka_reader_free(reader);
    return code;
}
