/* SPDX-License-Identifier: Apache-2.0
 *
 * Both topics are read from end to end; SQL functions know what a row looks like. */
#include "processors/rebuild/restore.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/uuid.h"
#include "lib/kafka/reader.h"
#include "processors/fold/decoder.h"
#include "processors/outbox/topics.h"

struct restore {
    PGconn *conn;
    const struct processor *processor;
    char generation[16];
    int64_t count;
};

/* Which record it was. */
static int name_record(const rd_kafka_message_t *message, struct error *error)
{
    return error_prefix(error, "%s [%d] offset %" PRId64, rd_kafka_topic_name(message->rkt),
                        message->partition, message->offset);
}

static int read_topic(struct restore *restore, const struct config *config, enum outbox_kind kind,
                      const atomic_int *stop, kafka_reader_take take, struct error *error)
{
    char topic[OUTBOX_TOPIC_SIZE];
    outbox_topic_name(kind, restore->processor->name, topic);
    return kafka_reader_topic(config, topic, INT64_MAX, stop, take, restore, error);
}

/* The text of the last header of that name; owned by the caller, NULL when there is none. */
static char *header_text(const rd_kafka_headers_t *headers, const char *name)
{
    const void *value;
    size_t size;
    if (!headers || rd_kafka_header_get_last(headers, name, &value, &size) != 0 || !value)
        return NULL;
    return xstrndup(value, size);
}

/* What the columns of a dead letter's row say, from its headers and its bytes. */
static json_t *describe(const rd_kafka_message_t *message, const rd_kafka_headers_t *headers)
{
    static const char *const names[] = {"timestamp", "attempts", "first_failed_at",
                                        "last_failed_at"};
    const unsigned char *value = message->payload;
    struct uuid space;
    char text[UUID_TEXT_SIZE + 1];
    json_t *about = json_object();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *name = xasprintf("weir_%s", names[i]);
        char *said = header_text(headers, name);
        if (said)
            json_object_set_new(about, names[i], json_string(said));
        free(said);
        free(name);
    }
    char *code = header_text(headers, "weir_error_code");
    char *reason = header_text(headers, "weir_error_message");
    json_object_set_new(about, "code", json_string(code ? code : "unknown"));
    json_object_set_new(about, "message", json_string(reason ? reason : ""));
    free(code);
    free(reason);
    if (message->key && uuid_parse(message->key, message->key_len, &space) == 0) {
        uuid_format(&space, text);
        json_object_set_new(about, "space_id", json_string(text));
    }
    struct uuid event = decoder_event_id(value, message->len);
    uuid_format(&event, text);
    if (strspn(text, "0-") < UUID_TEXT_SIZE)
        json_object_set_new(about, "event_id", json_string(text));
    if (value && message->len >= FRAME_SIZE && value[0] == 0)
        json_object_set_new(
            about, "schema_id",
            json_integer((json_int_t)value[1] << 24 | value[2] << 16 | value[3] << 8 | value[4]));
    return about;
}

/* The original's headers as two array literals: of names, and of values in hexadecimal. */
static void put_originals(const rd_kafka_headers_t *headers, struct buf *names, struct buf *values)
{
    const char *name;
    const void *value;
    size_t size;
    buf_put_text(names, "{");
    buf_put_text(values, "{");
    for (size_t i = 0; headers && rd_kafka_header_get_all(headers, i, &name, &value, &size) == 0;
         i++) {
        if (strncmp(name, "weir_", 5) == 0)
            continue;
        buf_put_text(names, names->size > 1 ? ",\"" : "\"");
        for (const char *c = name; *c; c++)
            buf_printf(names, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
        buf_put_text(names, "\"");
        buf_put_text(values, values->size > 1 ? ",\"\\\\x" : "\"\\\\x");
        for (size_t k = 0; k < size; k++)
            buf_printf(values, "%02x", ((const unsigned char *)value)[k]);
        buf_put_text(values, "\"");
    }
    buf_put_text(names, "}");
    buf_put_text(values, "}");
}

static int take_dead_letter(void *opaque, rd_kafka_message_t *message, struct error *error)
{
    struct restore *restore = opaque;
    rd_kafka_headers_t *headers = NULL;
    struct buf names = {0};
    struct buf contents = {0};
    rd_kafka_message_headers(message, &headers);
    char *topic = header_text(headers, "weir_topic");
    char *partition = header_text(headers, "weir_partition");
    char *offset = header_text(headers, "weir_offset");
    json_t *about = describe(message, headers);
    char *text = json_dumps(about, JSON_COMPACT);
    put_originals(headers, &names, &contents);
    const char *values[] = {
        restore->processor->name, restore->generation, topic,        partition,       offset, text,
        buf_text(&names),         buf_text(&contents), message->key, message->payload};
    const int lengths[] = {0, 0, 0, 0, 0, 0, 0, 0, (int)message->key_len, (int)message->len};
    const int formats[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1};
    int code = 0;
    if (topic && partition && offset) { /* somebody else's record is none of ours */
        PGresult *result =
            PQexecParams(restore->conn,
                         "SELECT weir.restore_dead_letter($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                         10, NULL, values, lengths, formats, 0);
        if (PQresultStatus(result) != PGRES_TUPLES_OK)
            code = pg_fail(restore->conn, result, error);
        PQclear(result);
        restore->count++;
    }
    json_decref(about);
    free(text);
    free(topic);
    free(partition);
    free(offset);
    buf_free(&names);
    buf_free(&contents);
    return code == 0 ? 0 : name_record(message, error);
}

static int take_decision(void *opaque, rd_kafka_message_t *message, struct error *error)
{
    struct restore *restore = opaque;
    char *text = xstrndup(message->payload ? message->payload : "", message->len);
    const char *values[] = {restore->processor->name, restore->generation, text};
    int code = message->len == 0
                   ? 0
                   : pg_query(restore->conn, "SELECT weir.restore_decision($1, $2, $3)", 3, values,
                              NULL, error);
    free(text);
    return code == 0 ? 0 : name_record(message, error);
}

int restore_failures(PGconn *conn, const struct config *config, const struct processor *processor,
                     int generation, const atomic_int *stop, int64_t *ret_count,
                     struct error *error)
{
    struct restore restore = {.conn = conn, .processor = processor};
    snprintf(restore.generation, sizeof restore.generation, "%d", generation);
    int code = read_topic(&restore, config, OUTBOX_DEAD_LETTERS, stop, take_dead_letter, error);
    if (code == 0)
        code = read_topic(&restore, config, OUTBOX_DECISIONS, stop, take_decision, error);
    *ret_count = restore.count;
    return code;
}
