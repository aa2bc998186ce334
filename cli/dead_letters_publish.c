/* SPDX-License-Identifier: Apache-2.0
 *
 * The gateway's own encoder makes the record, so that a patch is an event like any other: same
 * checks, same envelope, same headers. */
#include "cli/dead_letters_publish.h"

#include <endian.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/hash.h"
#include "lib/base/timestamp.h"

enum { FRAME_ID_AT = 1, CLOSE_TIMEOUT_MS = 1000 };

/* As an Idempotency-Key, it gives the same event id for the same record, always. */
static void make_key(const PGresult *rows, struct key *ret_key)
{
    char text[FAILED_PLACE_SIZE + 64];
    char place[FAILED_PLACE_SIZE];
    failed_place(rows, 0, place);
    const char *event_id = failed_text(rows, 0, FAILED_EVENT_ID);
    int size = snprintf(text, sizeof text, "%s/%s", event_id ? event_id : "-", place);
    char hex[65];
    hash_sha256_hex(text, (size_t)size, hex);
    ret_key->size =
        (size_t)snprintf(ret_key->text, sizeof ret_key->text, "weir dead-letters patch %s", hex);
}

/* The id of a version on the wire is what the database says: the lock's or a registry's. */
static int put_schema_id(PGconn *conn, const struct catalog_version *version, struct buf *value,
                         struct error *error)
{
    const char *values[] = {version->event->name, PG_NUMBER(version->version)};
    PGresult *result = NULL;
    if (pg_query(conn, "SELECT schema_id FROM weir.schema WHERE event = $1 AND version = $2", 2,
                 values, &result, error) != 0)
        return -1;
    int known = PQntuples(result) > 0;
    uint32_t id = known ? htobe32((uint32_t)pg_int(result, 0, 0)) : 0;
    PQclear(result);
    if (!known)
        return error_set(error, ERROR_USAGE, "not-migrated",
                         "the database does not know %s version %d; run `weir migrate`",
                         version->event->name, version->version);
    memcpy(value->data + FRAME_ID_AT, &id, sizeof id);
    return 0;
}

/* Whatever traced the old event traces the new one. */
static const char *find_trace(struct replacement *replacement, const json_t *headers)
{
    size_t i;
    json_t *header;
    json_array_foreach((json_t *)headers, i, header)
    {
        const char *name = json_string_value(json_array_get(header, 0));
        const char *value = json_string_value(json_array_get(header, 1));
        if (name && value && strcmp(name, "traceparent") == 0 && event_traceparent(value)) {
            snprintf(replacement->traceparent, sizeof replacement->traceparent, "%s", value);
            return replacement->traceparent;
        }
    }
    return NULL;
}

int replacement_encode(struct replacement *replacement, PGconn *conn,
                       const struct catalog_event *event, const PGresult *rows,
                       const struct failed_record *old, const json_t *meta, const json_t *body,
                       struct faults *faults, struct error *error)
{
    struct key key;
    /* When it occurred was checked when it came in first. */
    static const struct event_rules rules = {.past_us = INT64_MAX, .future_us = INT64_MAX};
    json_t *whole = json_deep_copy(body);
    if (json_object_get(whole, "meta"))
        faults_add(faults, "/meta", "is taken over from the old event and cannot be changed");
    json_object_set_new(whole, "meta", json_deep_copy(meta));
    snprintf(replacement->space, sizeof replacement->space, "%s",
             PQgetvalue(rows, 0, FAILED_SPACE));
    replacement->partition = (int32_t)pg_int(rows, 0, FAILED_PARTITION);
    replacement->offset = -1;
    make_key(rows, &key);
    struct event_input input = {.event = event,
                                .space = replacement->space,
                                .key = &key,
                                .body = whole,
                                .now_us = timestamp_now_us(),
                                .traceparent = find_trace(replacement, old->headers)};
    int code = event_encode(&input, &rules, &replacement->record, faults);
    json_decref(whole);
    return code == 0 ? put_schema_id(conn, catalog_newest(event), &replacement->record.value, error)
                     : -1;
}

struct wait {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int reported;
    enum producer_outcome outcome;
    int64_t offset;
    char reason[200];
};

static void on_report(const struct producer_report *report, void *opaque)
{
    struct wait *wait = opaque;
    pthread_mutex_lock(&wait->mutex);
    wait->outcome = report->outcome;
    wait->offset = report->offset;
    snprintf(wait->reason, sizeof wait->reason, "%s", report->reason ? report->reason : "");
    wait->reported = 1;
    pthread_cond_signal(&wait->changed);
    pthread_mutex_unlock(&wait->mutex);
}

int replacement_publish(struct replacement *replacement, const struct config *config,
                        struct error *error)
{
    struct wait wait = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct producer_message *message = &replacement->record.message;
    struct producer *producer = NULL;
    struct producer_options options = {.delivery_timeout_ms =
                                           config_int(config, OPT_DELIVERY_TIMEOUT),
                                       .messages_max = 10,
                                       .message_bytes_max = 16 << 20,
                                       .on_report = on_report,
                                       .topics = &message->topic,
                                       .topic_count = 1};
    message->partition = replacement->partition;
    message->opaque = &wait;
    if (producer_open(config, &options, &producer, error) != 0)
        return -1;
    int code = producer_send(producer, message, error);
    pthread_mutex_lock(&wait.mutex);
    while (code == 0 && !wait.reported)
        pthread_cond_wait(&wait.changed, &wait.mutex); /* every message is reported in time */
    pthread_mutex_unlock(&wait.mutex);
    producer_close(producer, CLOSE_TIMEOUT_MS);
    producer_free(producer);
    if (code != 0)
        return -1;
    if (wait.outcome == PRODUCER_NOT_PERSISTED)
        return error_set(error, ERROR_RETRY, "not-published",
                         "the new event was not published, nothing was decided: %s", wait.reason);
    if (wait.outcome == PRODUCER_UNKNOWN)
        return error_set(error, ERROR_RETRY, "outcome-unknown",
                         "the new event may have been published or not, and nothing was decided: "
                         "%s. Run the same command again: it has the same id, so it cannot double",
                         wait.reason);
    replacement->offset = wait.offset;
    return 0;
}

void replacement_free(struct replacement *replacement)
{
    event_record_free(&replacement->record);
}
