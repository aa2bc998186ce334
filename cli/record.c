/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys and headers are text by convention; what is no UTF-8 is shown as base64 with "base64:" in
 * front. */
#include "cli/record.h"

#include <string.h>

#include "lib/avro/json.h"
#include "lib/base/base64.h"
#include "lib/base/buf.h"

static json_t *base64_json(const char *prefix, const void *data, size_t size)
{
    struct buf text = {0};
    buf_put_text(&text, prefix);
    base64_encode(data, size, &text);
    json_t *value = json_stringn(text.data ? text.data : "", text.size);
    buf_free(&text);
    return value;
}

static json_t *text_json(const void *data, size_t size)
{
    if (!data)
        return json_null();
    json_t *text = json_stringn(data, size);
    return text ? text : base64_json("base64:", data, size);
}

static json_t *headers_json(const rd_kafka_message_t *message)
{
    json_t *array = json_array();
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t size;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return array;
    for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == 0; i++) {
        json_array_append_new(array, json_string(name));
        json_array_append_new(array, text_json(value, size));
    }
    return array;
}

const struct catalog_version *record_version(const struct catalog *catalog,
                                             const rd_kafka_message_t *message, int32_t *ret_id)
{
    const char *bytes = message->payload;
    *ret_id = -1;
    if (!bytes || message->len < RECORD_FRAME_SIZE || bytes[0] != 0)
        return NULL;
    *ret_id = (int32_t)buf_get_be32(bytes + 1);
    return catalog_find_id(catalog, *ret_id);
}

static void put_failure(json_t *object, const rd_kafka_message_t *message, int show_pii,
                        const char *reason)
{
    json_object_set_new(object, "payload", json_null());
    json_object_set_new(object, "error", json_string(reason));
    if (show_pii && message->payload)
        json_object_set_new(object, "payload_base64",
                            base64_json("", message->payload, message->len));
}

static void put_payload(const struct catalog *catalog, json_t *object,
                        const rd_kafka_message_t *message, int show_pii)
{
    struct error error = {0};
    json_t *payload;
    int32_t id;
    const struct catalog_version *version = record_version(catalog, message, &id);
    if (version) {
        json_object_set_new(object, "event", json_string(version->event->name));
        json_object_set_new(object, "version", json_integer(version->version));
        if (avro_to_json(version->schema,
                         (const unsigned char *)message->payload + RECORD_FRAME_SIZE,
                         message->len - RECORD_FRAME_SIZE, show_pii ? 0 : AVRO_JSON_MASK_PII,
                         &payload, &error) == 0)
            json_object_set_new(object, "payload", payload);
        else
            put_failure(object, message, show_pii, error.message);
        return;
    }
    json_object_set_new(object, "event", json_null());
    if (!message->payload) {
        json_object_set_new(object, "payload", json_null());
    } else if (id < 0) {
        put_failure(object, message, show_pii, "no schema id before the bytes");
    } else {
        error_set(&error, ERROR_HALT, "schema-unknown", "the catalog has no schema %d", id);
        put_failure(object, message, show_pii, error.message);
    }
}

json_t *record_json(const struct catalog *catalog, const rd_kafka_message_t *message, int show_pii)
{
    static const char *const kinds[] = {"unknown", "create", "logappend"};
    rd_kafka_timestamp_type_t kind;
    int64_t timestamp = rd_kafka_message_timestamp(message, &kind);
    json_t *object = json_object();
    json_object_set_new(object, "topic", json_string(rd_kafka_topic_name(message->rkt)));
    json_object_set_new(object, "partition", json_integer(message->partition));
    json_object_set_new(object, "offset", json_integer(message->offset));
    json_object_set_new(object, "tstype", json_string(kinds[kind]));
    json_object_set_new(object, "ts", json_integer(timestamp));
    json_object_set_new(object, "broker", json_integer(rd_kafka_message_broker_id(message)));
    json_object_set_new(object, "headers", headers_json(message));
    json_object_set_new(object, "key", text_json(message->key, message->key_len));
    put_payload(catalog, object, message, show_pii);
    return object;
}
