/* SPDX-License-Identifier: Apache-2.0
 *
 * What records name is collected in parts of a bounded size, and each part is asked about in one
 * query. Records that name nothing are somebody else's. */
#include "processors/outbox/known.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/uuid.h"
#include "lib/kafka/reader.h"
#include "lib/pg/statement.h"
#include "processors/outbox/topics.h"

enum { PART_MAX = 1000 };

struct part {
    PGconn *conn;
    const char *sql;       /* $2 to $4 are arrays of what the records name */
    const char *values[5]; /* $1 is the processor, $5 are its topics */
    struct buf arrays[3];  /* array literals, open at the end */
    int count;
    struct known *known;
};

static int ask(struct part *part, struct error *error)
{
    struct known *known = part->known;
    PGresult *rows = NULL;
    if (part->count == 0)
        return 0;
    for (size_t i = 0; i < 3; i++) {
        buf_put_text(&part->arrays[i], "}");
        part->values[i + 1] = buf_text(&part->arrays[i]);
    }
    int code = pg_query(part->conn, part->sql, 5, part->values, &rows, error);
    if (code == 0 && known->unknown == 0 && PQntuples(rows) > 0)
        snprintf(known->first, sizeof known->first, "%s", PQgetvalue(rows, 0, 0));
    known->unknown += PQntuples(rows);
    part->count = 0;
    PQclear(rows);
    return code;
}

/* Takes what a record names; a part that is full is asked about. */
static int add(struct part *part, const char *const texts[3], struct error *error)
{
    for (size_t i = 0; i < 3; i++) {
        if (part->count == 0)
            buf_reset(&part->arrays[i]);
        buf_put_text(&part->arrays[i], part->count ? ",\"" : "{\"");
        buf_put_text(&part->arrays[i], texts[i]);
        buf_put_text(&part->arrays[i], "\"");
    }
    part->known->read++;
    return ++part->count == PART_MAX ? ask(part, error) : 0;
}

static const char digits[] = "0123456789";
static const char name_letters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

/* The last header of that name, if it is a word that an array literal can hold. */
static int header_word(const rd_kafka_headers_t *headers, const char *name, const char *letters,
                       char ret_word[OUTBOX_TOPIC_SIZE])
{
    const void *value;
    size_t size;
    if (rd_kafka_header_get_last(headers, name, &value, &size) != 0 || !value || size == 0 ||
        size >= OUTBOX_TOPIC_SIZE)
        return 0;
    memcpy(ret_word, value, size);
    ret_word[size] = '\0';
    return strspn(ret_word, letters) == size;
}

static int take_letter(void *opaque, rd_kafka_message_t *message, struct error *error)
{
    rd_kafka_headers_t *headers;
    char topic[OUTBOX_TOPIC_SIZE];
    char partition[OUTBOX_TOPIC_SIZE];
    char offset[OUTBOX_TOPIC_SIZE];
    if (rd_kafka_message_headers(message, &headers) != 0 ||
        !header_word(headers, "weir_topic", name_letters, topic) ||
        !header_word(headers, "weir_partition", digits, partition) || strlen(partition) > 9 ||
        !header_word(headers, "weir_offset", digits, offset) || strlen(offset) > 18)
        return 0;
    return add(opaque, (const char *const[]){topic, partition, offset}, error);
}

static int take_decision(void *opaque, rd_kafka_message_t *message, struct error *error)
{
    struct uuid id;
    char text[UUID_TEXT_SIZE + 1];
    char place[48];
    json_t *decision =
        message->payload ? json_loadb(message->payload, message->len, 0, NULL) : NULL;
    const char *said = json_string_value(json_object_get(decision, "decision_id"));
    const char *topic = json_string_value(json_object_get(decision, "topic"));
    int code = 0;
    if (said && uuid_parse(said, strlen(said), &id) == 0 && topic &&
        topic[strspn(topic, name_letters)] == '\0') {
        uuid_format(&id, text);
        snprintf(place, sizeof place, "%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT,
                 json_integer_value(json_object_get(decision, "partition")),
                 json_integer_value(json_object_get(decision, "offset")));
        code = add(opaque, (const char *const[]){text, topic, place}, error);
    }
    json_decref(decision);
    return code;
}

int known_check(const struct config *config, PGconn *conn, const struct known_whose *whose,
                enum outbox_kind kind, int64_t newest, struct known *ret_known, struct error *error)
{
    struct part part = {
        .conn = conn,
        .sql = statement(kind == OUTBOX_DECISIONS ? "unknown_decisions" : "unknown_letters"),
        .known = ret_known};
    struct buf topics = {0};
    char topic[OUTBOX_TOPIC_SIZE];
    *ret_known = (struct known){0};
    for (size_t i = 0; i < whose->topic_count; i++)
        buf_printf(&topics, "%s%s", i ? "," : "{", whose->topics[i]);
    buf_put_text(&topics, "}");
    part.values[0] = whose->processor;
    part.values[4] = buf_text(&topics);
    outbox_topic_name(kind, whose->processor, topic);
    int code =
        kafka_reader_topic(config, topic, newest, whose->stop,
                           kind == OUTBOX_DECISIONS ? take_decision : take_letter, &part, error);
    if (code == 0)
        code = ask(&part, error);
    for (size_t i = 0; i < 3; i++)
        buf_free(&part.arrays[i]);
    buf_free(&topics);
    return code;
}
