/* SPDX-License-Identifier: Apache-2.0
 *
 * Each server thread has one workspace that it encodes into; librdkafka copies what it takes. */
#include "producers/gateway/line.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/hash.h"
#include "lib/base/nearest.h"

/* Too large for the stack of a function that is called for each event, because every stack is
 * cleared first. Freed when its thread ends. */
struct workspace {
    struct event_record record;
    struct faults faults;
};

static pthread_key_t workspace_key;
static pthread_once_t workspace_once = PTHREAD_ONCE_INIT;

static void free_workspace(void *context)
{
    struct workspace *workspace = context;
    event_record_free(&workspace->record);
    free(workspace);
}

static void make_workspace_key(void)
{
    if (pthread_key_create(&workspace_key, free_workspace) != 0)
        abort();
}

static struct workspace *thread_workspace(void)
{
    pthread_once(&workspace_once, make_workspace_key);
    struct workspace *workspace = pthread_getspecific(workspace_key);
    if (!workspace) {
        workspace = xcalloc(1, sizeof *workspace);
        pthread_setspecific(workspace_key, workspace);
    }
    return workspace;
}

const char *line_nearest_event(const struct catalog *catalog, const char *name)
{
    const char *nearest = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < catalog_event_count(catalog); i++) {
        const char *candidate = catalog_event_at(catalog, i)->name;
        size_t distance = nearest_distance(name, candidate);
        if (distance < least) {
            least = distance;
            nearest = candidate;
        }
    }
    return nearest && nearest_plausible(name, least) ? nearest : NULL;
}

void line_refuse(struct line *line, enum problem_type type, const struct faults *faults,
                 const char *format, ...)
{
    struct buf *texts = &line->ingest->texts;
    char detail[DETAIL_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    line->status = problem_status(type);
    line->answer_at = texts->size;
    /* The brace lets the members know that they are the first. */
    buf_put_u8(texts, '{');
    problem_members(texts, type, detail);
    if (faults && faults->count > 0)
        problem_errors(texts, faults);
    line->answer_size = texts->size - line->answer_at;
    gateway_count_event(line->ingest->gateway, line->event,
                        line->status >= 500 ? OUTCOME_NOT_WRITTEN : OUTCOME_REFUSED);
}

static void set_key(struct line *line, const struct key *key)
{
    line->key_at = line->ingest->texts.size;
    buf_put(&line->ingest->texts, key->text, key->size + 1);
}

/* Counts the event in. Returns 0, or -1 after it has turned the line down for want of room. */
static int admit(struct line *line)
{
    struct gateway *gateway = line->ingest->gateway;
    if (!quota_take(gateway->quota, &line->ingest->space_id)) {
        line_refuse(line, PROBLEM_SPACE_BUSY, NULL,
                    "%d events of this Space wait for the broker already",
                    gateway->inflight_space_max);
        return -1;
    }
    if (atomic_fetch_add(&gateway->inflight, 1) < gateway->inflight_max)
        return 0;
    line_release(line);
    line_refuse(line, PROBLEM_QUEUE_FULL, NULL, "%d events wait for the broker already",
                gateway->inflight_max);
    return -1;
}

void line_release(struct line *line)
{
    atomic_fetch_sub(&line->ingest->gateway->inflight, 1);
    quota_give(line->ingest->gateway->quota, &line->ingest->space_id);
}

static void send_record(struct line *line, struct event_record *record)
{
    struct gateway *gateway = line->ingest->gateway;
    struct producer_message *message = &record->message;
    struct error error;
    message->partition = hash_partition(message->key, message->key_size, gateway->partitions);
    message->opaque = line;
    if (admit(line) != 0)
        return;
    atomic_fetch_add(&line->ingest->waiting, 1);
    if (producer_send(gateway->producer, message, &error) == 0)
        return; /* from here on the line belongs to its report */
    atomic_fetch_sub(&line->ingest->waiting, 1);
    line_release(line);
    if (strcmp(error.code, "queue-full") == 0)
        line_refuse(line, PROBLEM_QUEUE_FULL, NULL, "%s", error.message);
    else if (strcmp(error.code, "closed") == 0)
        line_refuse(line, PROBLEM_SHUTTING_DOWN, NULL, "%s", error.message);
    else if (error.class == ERROR_DEAD_LETTER)
        line_refuse(line, PROBLEM_EVENT_TOO_LARGE, NULL, "%s", error.message);
    else
        line_refuse(line, PROBLEM_NOT_WRITTEN, NULL, "%s", error.message);
}

static void take_event(struct line *line, const struct key *key, json_t *body)
{
    struct ingest *ingest = line->ingest;
    struct gateway *gateway = ingest->gateway;
    struct workspace *workspace = thread_workspace();
    struct event_record *record = &workspace->record;
    struct faults *faults = &workspace->faults;
    faults->count = 0;
    const struct event_input input = {.event = line->event,
                                      .space = ingest->space,
                                      .key = key,
                                      .body = body,
                                      .now_us = ingest->now_us,
                                      .traceparent = ingest->traceparent};
    line->event_id = key_event_id(ingest->space, key);
    line->has_id = 1;
    if (!json_is_object(body)) {
        faults_add(faults, "", "must be an object with the fields of %s", line->event->name);
        line_refuse(line, PROBLEM_INVALID_EVENT, faults, "the body is no JSON object");
    } else if (event_encode(&input, &gateway->rules, record, faults) != 0) {
        line_refuse(line, PROBLEM_INVALID_EVENT, faults, "%zu fault%s in %s%s", faults->count,
                    faults->count == 1 ? "" : "s", line->event->name,
                    faults->count == FAULTS_MAX ? ", and perhaps more" : "");
    } else if (record->value.size > gateway->event_max) {
        line_refuse(line, PROBLEM_EVENT_TOO_LARGE, NULL,
                    "%zu bytes when encoded; at most %zu are taken", record->value.size,
                    gateway->event_max);
    } else {
        send_record(line, record);
    }
}

/* Whether this event may be published here and now. */
static int may_publish(struct line *line)
{
    const char *why;
    if (line->event->ingest == INGEST_INTERNAL) {
        line_refuse(line, PROBLEM_INTERNAL_EVENT, NULL,
                    "%s is x-ingest: internal; only commands and processors publish it",
                    line->event->name);
        return 0;
    }
    if (!watch_topic_open(line->ingest->gateway->watch, line->event->topic, &why)) {
        line_refuse(line, PROBLEM_NOT_READY, NULL, "%s: %s", line->event->topic, why);
        return 0;
    }
    return 1;
}

static int find_event(struct line *line, const json_t *name)
{
    const struct catalog *catalog = line->ingest->gateway->catalog;
    if (!json_is_string(name)) {
        line_refuse(line, PROBLEM_INVALID_EVENT, NULL,
                    "a line is {\"event\": NAME, \"data\": {...}}, and may have a \"key\"");
        return -1;
    }
    line->event = catalog_find_event(catalog, json_string_value(name));
    if (line->event)
        return 0;
    const char *nearest = line_nearest_event(catalog, json_string_value(name));
    line_refuse(line, PROBLEM_UNKNOWN_EVENT, NULL, "there is no event \"%.64s\"%s%s%s",
                json_string_value(name), nearest ? "; did you mean " : "", nearest ? nearest : "",
                nearest ? "?" : "");
    return -1;
}

/* The line's own key wins over the one made of the request's. */
static int own_key(struct line *line, const json_t *value, struct key *key)
{
    const char *why = "it must be text";
    if (!value)
        return 0;
    struct key own;
    if (!json_is_string(value) || key_parse(json_string_value(value), KEY_BYTES_MAX, &own, &why)) {
        line_refuse(line, PROBLEM_BAD_KEY, NULL, "key: %s", why);
        return -1;
    }
    *key = own;
    set_key(line, key);
    return 0;
}

/* {"event": NAME, "key": TEXT (optional), "data": {…}} */
static void take_envelope(struct line *line, struct key *key, json_t *envelope)
{
    if (find_event(line, json_object_get(envelope, "event")) != 0 ||
        own_key(line, json_object_get(envelope, "key"), key) != 0 || !may_publish(line))
        return;
    json_t *data = json_object_get(envelope, "data");
    size_t expected = 2 + (json_object_get(envelope, "key") != NULL);
    if (!data || json_object_size(envelope) != expected)
        line_refuse(line, PROBLEM_INVALID_EVENT, NULL,
                    "a line has \"event\", \"data\" and perhaps \"key\", and nothing else");
    else
        take_event(line, key, data);
}

void line_take(struct line *line, const char *text, size_t size)
{
    struct ingest *ingest = line->ingest;
    struct key key = ingest->key;
    int enveloped = !line->event;
    if (ingest->batch)
        key_of_line(&ingest->key, line->number, &key);
    set_key(line, &key);
    if (!enveloped && !may_publish(line))
        return;
    json_error_t error;
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!json && ingest->batch)
        line_refuse(line, PROBLEM_MALFORMED_JSON, NULL, "byte %d: %s", error.position, error.text);
    else if (!json)
        line_refuse(line, PROBLEM_MALFORMED_JSON, NULL, "line %d, column %d (byte %d): %s",
                    error.line, error.column, error.position, error.text);
    else if (enveloped)
        take_envelope(line, &key, json);
    else
        take_event(line, &key, json);
    json_decref(json);
}
