/* SPDX-License-Identifier: Apache-2.0
 *
 * Of several headers with one name the last one counts, as Kafka's clients have it. */
#include "processors/fold/message.h"

#include <string.h>

#include "processors/fold/headers.h"

/* What the headers say about the record itself. */
static void read_headers(rd_kafka_message_t *message, struct record *record)
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t size;
    if (rd_kafka_message_headers(message, &headers) != 0)
        return;
    for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == 0; i++) {
        if (strcmp(name, "ce_type") == 0) {
            record->type = value;
            record->type_size = value ? size : 0;
        } else if (strcmp(name, "ce_source") == 0) {
            record->source = value;
            record->source_size = value ? size : 0;
        } else if (strcmp(name, "ce_id") == 0) {
            record->id = value;
            record->id_size = value ? size : 0;
        }
    }
}

struct record message_record(rd_kafka_message_t *message, const char *topic)
{
    struct record record = {.topic = topic,
                            .partition = message->partition,
                            .offset = message->offset,
                            .timestamp_us = rd_kafka_message_timestamp(message, NULL) * 1000,
                            .key = message->key,
                            .key_size = message->key_len,
                            .value = message->payload,
                            .value_size = message->len,
                            .owner = message};
    read_headers(message, &record);
    return record;
}

void message_put_headers(const void *owner, uint32_t header_oid, struct buf *out)
{
    rd_kafka_headers_t *from;
    const char *name;
    const void *value;
    size_t size;
    struct headers to = headers_open(out, header_oid);
    if (rd_kafka_message_headers(owner, &from) == 0)
        for (size_t i = 0; rd_kafka_header_get_all(from, i, &name, &value, &size) == 0; i++)
            headers_add(&to, name, value, size);
    headers_close(&to);
}

void message_release(void *owner)
{
    rd_kafka_message_destroy(owner);
}
