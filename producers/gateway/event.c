/* SPDX-License-Identifier: Apache-2.0
 *
 * The client's `meta` may hold occurred_at, actor, correlation_id and causation_id. It becomes the
 * record's `meta` with what the gateway itself says put in; whatever else is in it is found by the
 * encoder, as any unknown field is. */
#include "producers/gateway/event.h"

#include <ctype.h>
#include <stdio.h>

#include "lib/base/timestamp.h"

enum { TRACEPARENT_SIZE = 55 };

void event_record_free(struct event_record *record)
{
    if (!record)
        return;
    buf_free(&record->value);
    buf_free(&record->scratch);
}

const char *event_traceparent(const char *text)
{
    static const char form[] = "00-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx";
    if (!text || strlen(text) != TRACEPARENT_SIZE)
        return NULL;
    for (int i = 0; i < TRACEPARENT_SIZE; i++) {
        int hex = isdigit((unsigned char)text[i]) || (text[i] >= 'a' && text[i] <= 'f');
        if (form[i] == 'x' ? !hex : text[i] != form[i])
            return NULL;
    }
    return text;
}

/* Reads meta.occurred_at, which the encoder will check for its type; only a time that can be read
 * is held against the bounds. */
static int64_t occurred_at(const json_t *meta, int64_t now_us, const struct event_rules *rules,
                           struct faults *faults)
{
    const json_t *value = json_object_get(meta, "occurred_at");
    int64_t us = now_us;
    if (json_is_integer(value))
        us = json_integer_value(value);
    else if (json_is_string(value))
        timestamp_parse(json_string_value(value), json_string_length(value), &us);
    char bound[TIMESTAMP_TEXT_SIZE + 1];
    if (us > now_us && us - now_us > rules->future_us) {
        timestamp_format(now_us + rules->future_us, bound);
        faults_add(faults, "/meta/occurred_at", "is in the future: nothing after %s is taken",
                   bound);
    } else if (us < now_us && (us < 0 || now_us - us > rules->past_us)) {
        timestamp_format(now_us > rules->past_us ? now_us - rules->past_us : 0, bound);
        faults_add(faults, "/meta/occurred_at", "is too long ago: nothing before %s is taken",
                   bound);
    }
    return us;
}

/* What the gateway says itself and takes from nobody. */
static const char *const own_members[] = {"event_id", "received_at", "fingerprint"};

static json_t *take_meta(json_t *body, struct faults *faults)
{
    json_t *meta = json_object_get(body, "meta");
    if (!meta)
        return json_object();
    json_incref(meta);
    json_object_del(body, "meta");
    if (!json_is_object(meta)) {
        faults_add(faults, "/meta", "must be an object");
        json_decref(meta);
        return json_object();
    }
    for (size_t i = 0; i < sizeof own_members / sizeof *own_members; i++) {
        char pointer[32];
        snprintf(pointer, sizeof pointer, "/meta/%s", own_members[i]);
        if (json_object_get(meta, own_members[i]))
            faults_add(faults, pointer, "is set by the gateway and cannot be sent");
    }
    return meta;
}

static void add_header(struct producer_message *message, const char *name, const char *value,
                       size_t size)
{
    message->headers[message->header_count++] = (struct producer_header){name, value, size};
}

static void build_message(const struct event_input *input, int64_t occurred_us,
                          struct event_record *record)
{
    const struct catalog_event *event = input->event;
    struct producer_message *message = &record->message;
    *message = (struct producer_message){.topic = event->topic,
                                         .key = input->space,
                                         .key_size = UUID_TEXT_SIZE,
                                         .value = record->value.data,
                                         .value_size = record->value.size};
    int type = snprintf(record->type, sizeof record->type, "%s.%s", event->topic, event->name);
    memcpy(record->source, "/spaces/", 8);
    memcpy(record->source + 8, input->space, UUID_TEXT_SIZE + 1);
    timestamp_format(occurred_us, record->time);
    add_header(message, "ce_specversion", "1.0", 3);
    add_header(message, "ce_type", record->type,
               type < EVENT_TYPE_BYTES ? (size_t)type : EVENT_TYPE_BYTES - 1);
    add_header(message, "ce_source", record->source, 8 + UUID_TEXT_SIZE);
    add_header(message, "ce_id", record->event_id_text, UUID_TEXT_SIZE);
    add_header(message, "ce_time", record->time, TIMESTAMP_TEXT_SIZE);
    add_header(message, "content-type", "application/avro", 16);
    if (input->traceparent)
        add_header(message, "traceparent", input->traceparent, TRACEPARENT_SIZE);
}

int event_encode(const struct event_input *input, const struct event_rules *rules,
                 struct event_record *record, struct faults *faults)
{
    const struct catalog_version *newest = catalog_newest(input->event);
    /* Before the body is changed: the fingerprint covers it as the client sent it. */
    int64_t fingerprint = key_fingerprint(input->event->name, input->body, &record->scratch);
    record->event_id = key_event_id(input->space, input->key);
    uuid_format(&record->event_id, record->event_id_text);
    json_t *meta = take_meta(input->body, faults);
    int64_t occurred_us = occurred_at(meta, input->now_us, rules, faults);
    json_object_set_new(meta, "event_id", json_string(record->event_id_text));
    json_object_set_new(meta, "received_at", json_integer(input->now_us));
    json_object_set_new(meta, "fingerprint", json_integer(fingerprint));
    if (!json_object_get(meta, "occurred_at"))
        json_object_set_new(meta, "occurred_at", json_integer(input->now_us));
    buf_reset(&record->value);
    buf_put_u8(&record->value, 0);
    buf_put_be32(&record->value, (uint32_t)newest->id);
    int result = avro_event_from_json(newest->schema, meta, input->body, &record->value, faults);
    json_decref(meta);
    if (result != 0 || faults->count > 0)
        return -1;
    build_message(input, occurred_us, record);
    return 0;
}
