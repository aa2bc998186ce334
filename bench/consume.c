/* SPDX-License-Identifier: Apache-2.0
 *
 * Floors of reading: `consume` takes records from the beginning and looks at nothing; `decode`
 * reads some into memory and then runs the decode plan over them, on one core, without Kafka. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bench/tool.h"
#include "lib/avro/plan.h"
#include "lib/base/timestamp.h"

enum { WAIT_MS = 50, DECODE_SECONDS = 1, ROWS_PER_BATCH = 20000, FRAME_BYTES = 5 };

typedef void (*visitor)(void *context, const rd_kafka_message_t *message);

/* Visits options->events records, `batch` at a time, or polling for each one (batch=1, as the
 * engine does). Returns the seconds since the first one came. */
static double consume(const struct options *options, visitor visit, void *context)
{
    rd_kafka_t *kafka = kafka_consumer(options, RD_KAFKA_OFFSET_BEGINNING);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(kafka);
    rd_kafka_message_t **messages = xcalloc((size_t)options->batch, sizeof(rd_kafka_message_t *));
    int64_t started_us = monotonic_now_us();
    int64_t first_us = 0;
    for (int64_t seen = 0; seen < options->events;) {
        ssize_t count = 1;
        if (options->batch > 1)
            count = rd_kafka_consume_batch_queue(queue, WAIT_MS, messages, (size_t)options->batch);
        else if (!(messages[0] = rd_kafka_consumer_poll(kafka, WAIT_MS)))
            count = 0;
        if (count > 0 && !first_us)
            first_us = monotonic_now_us();
        for (ssize_t i = 0; i < count; i++) {
            if (!messages[i]->err && seen < options->events) {
                visit(context, messages[i]);
                seen++;
            }
            rd_kafka_message_destroy(messages[i]);
        }
        check_time(options, started_us);
    }
    double seconds = (double)(monotonic_now_us() - first_us) / 1e6;
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(kafka);
    rd_kafka_destroy(kafka);
    free(messages);
    return seconds;
}

static void count_bytes(void *context, const rd_kafka_message_t *message)
{
    *(int64_t *)context += (int64_t)message->len;
}

int tool_consume(const struct options *options)
{
    int64_t bytes = 0;
    double seconds = consume(options, count_bytes, &bytes);
    printf("{\"events\": %" PRId64 ", \"seconds\": %.4f, \"rate\": %.0f, \"bytes\": %" PRId64
           ", \"cpu_s\": %.3f}\n",
           options->events, seconds, (double)options->events / seconds, bytes, cpu_s());
    return 0;
}

struct kept {
    size_t *sizes;
    size_t count;
    struct buf bytes;
};

static void keep(void *context, const rd_kafka_message_t *message)
{
    struct kept *kept = context;
    kept->sizes[kept->count++] = message->len;
    buf_put(&kept->bytes, message->payload, message->len);
}

/* Decodes all that is kept once; returns the bytes of the rows. */
static size_t decode_all(const struct kept *kept, const struct plan *plan, struct buf *rows)
{
    const char *at = kept->bytes.data;
    size_t written = 0;
    for (size_t i = 0; i < kept->count; i++) {
        struct plan_record record = {.offset = (int64_t)i,
                                     .seq = (int32_t)(i % ROWS_PER_BATCH),
                                     .avro = (const unsigned char *)at + FRAME_BYTES,
                                     .avro_size = kept->sizes[i] - FRAME_BYTES};
        uint32_t counts[RELATIONS_PER_EVENT_MAX] = {0};
        struct plan_envelope envelope;
        struct error error;
        if (plan_decode(plan, &record, rows, counts, &envelope, &error) != 0)
            fail("%s", error.message);
        at += kept->sizes[i];
        if (record.seq == ROWS_PER_BATCH - 1 || i + 1 == kept->count) {
            for (size_t j = 0; j < RELATIONS_PER_EVENT_MAX; j++) {
                written += rows[j].size;
                buf_reset(&rows[j]);
            }
        }
    }
    return written;
}

int tool_decode(const struct options *options)
{
    struct kept kept = {.sizes = xcalloc((size_t)options->events, sizeof(size_t))};
    struct buf rows[RELATIONS_PER_EVENT_MAX] = {0};
    struct relation_set *set;
    struct assets *assets;
    struct catalog *catalog;
    struct plan *plan;
    struct error error;
    if (assets_open(NULL, &assets, &error) != 0 || catalog_open(assets, &catalog, &error) != 0)
        fail("%s", error.message);
    const struct catalog_event *event = catalog_find_event(catalog, "ProductPurchased");
    if (!event || relation_build(event, &set, &error) != 0 ||
        plan_compile(catalog_newest(event)->schema, set, &plan, &error) != 0)
        fail("%s", event ? error.message : "no ProductPurchased");
    consume(options, keep, &kept);
    decode_all(&kept, plan, rows); /* the buffers grow here */
    double started = cpu_s();
    size_t events = 0;
    size_t written = 0;
    while (cpu_s() - started < DECODE_SECONDS) {
        written += decode_all(&kept, plan, rows);
        events += kept.count;
    }
    double seconds = cpu_s() - started;
    printf("{\"events\": %zu, \"seconds\": %.4f, \"rate\": %.0f, \"avro_bytes\": %.1f, "
           "\"row_bytes\": %.1f}\n",
           events, seconds, (double)events / seconds, (double)kept.bytes.size / (double)kept.count,
           (double)written / (double)events);
    for (size_t i = 0; i < RELATIONS_PER_EVENT_MAX; i++)
        buf_free(&rows[i]);
    plan_free(plan);
    relation_free(set);
    catalog_free(catalog);
    assets_free(assets);
    buf_free(&kept.bytes);
    free(kept.sizes);
    return 0;
}
