/* SPDX-License-Identifier: Apache-2.0
 *
 * What concerns the request as a whole: its media type and key, splitting it into lines, and the
 * end of the last line. */
#include "producers/gateway/ingest.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "lib/base/timestamp.h"
#include "producers/gateway/answer.h"
#include "producers/gateway/line.h"
#include "producers/gateway/throttle.h"

enum media { MEDIA_OTHER, MEDIA_JSON, MEDIA_NDJSON };

/* Parameters such as charset are passed over: JSON is UTF-8. */
static enum media media_of(const char *type)
{
    size_t size = type ? strcspn(type, "; \t") : 0;
    if (size == strlen("application/json") && strncasecmp(type, "application/json", size) == 0)
        return MEDIA_JSON;
    if (size == strlen("application/x-ndjson") &&
        strncasecmp(type, "application/x-ndjson", size) == 0)
        return MEDIA_NDJSON;
    if (size == strlen("application/jsonl") && strncasecmp(type, "application/jsonl", size) == 0)
        return MEDIA_NDJSON;
    return MEDIA_OTHER;
}

/* Returns MEDIA_OTHER after it has answered. */
static enum media check_media(struct gateway *gateway, struct http_request *request, int any_event)
{
    const char *type = http_header(request, "Content-Type");
    const char *coding = http_header(request, "Content-Encoding");
    enum media media = media_of(type);
    if (any_event && media == MEDIA_JSON)
        media = MEDIA_OTHER;
    if (media == MEDIA_OTHER)
        answer_problem(gateway, request, PROBLEM_MEDIA_TYPE, NULL,
                       any_event ? "send Content-Type: application/x-ndjson"
                                 : "send Content-Type: application/json, or application/x-ndjson "
                                   "for one event a line");
    else if (coding && strcasecmp(coding, "identity") != 0) {
        answer_problem(gateway, request, PROBLEM_MEDIA_TYPE, NULL,
                       "a Content-Encoding is not taken");
        media = MEDIA_OTHER;
    }
    return media;
}

/* Returns -1 after it has answered. */
static int read_key(struct gateway *gateway, struct http_request *request, int batch,
                    struct key *ret_key)
{
    const char *header = http_header(request, "Idempotency-Key");
    const char *why;
    size_t size_max = KEY_BYTES_MAX - (batch ? KEY_LINE_BYTES_MAX : 0);
    if (!header) {
        key_make(ret_key);
    } else if (key_parse(header, size_max, ret_key, &why) != 0) {
        answer_problem(gateway, request, PROBLEM_BAD_KEY, NULL, "%s (at most %zu bytes)", why,
                       size_max);
        return -1;
    }
    return 0;
}

static int is_blank(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r')
            return 0;
    return 1;
}

/* The next line that is not blank. Returns 0 when there is none. `number` counts all lines. */
static int next_line(const char **text, size_t *left, size_t *number, const char **ret_line,
                     size_t *ret_size)
{
    while (*left > 0) {
        const char *end = memchr(*text, '\n', *left);
        size_t size = end ? (size_t)(end - *text) : *left;
        *ret_line = *text;
        *ret_size = size;
        *text += size + (end != NULL);
        *left -= size + (end != NULL);
        ++*number;
        if (!is_blank(*ret_line, size))
            return 1;
    }
    return 0;
}

static size_t count_lines(const char *text, size_t size)
{
    const char *line;
    size_t line_size;
    size_t number = 0;
    size_t count = 0;
    while (next_line(&text, &size, &number, &line, &line_size))
        count++;
    return count;
}

/* Counts one of those that wait as done; the last one answers. */
static void release(struct ingest *ingest)
{
    if (atomic_fetch_sub(&ingest->waiting, 1) == 1)
        answer_events(ingest);
}

static struct ingest *ingest_new(struct gateway *gateway, struct http_request *request,
                                 const char *space, const struct key *key, size_t line_count)
{
    struct ingest *ingest =
        http_scratch(request, sizeof *ingest + line_count * sizeof ingest->lines[0]);
    ingest->gateway = gateway;
    ingest->request = request;
    memcpy(ingest->space, space, sizeof ingest->space);
    uuid_parse(space, UUID_TEXT_SIZE, &ingest->space_id);
    ingest->key = *key;
    ingest->now_us = timestamp_now_us();
    ingest->started_us = monotonic_now_us();
    ingest->traceparent = event_traceparent(http_header(request, "traceparent"));
    ingest->line_count = line_count;
    atomic_store(&ingest->waiting, 1);
    return ingest;
}

static void take_lines(struct ingest *ingest, const struct catalog_event *event, const char *body,
                       size_t size)
{
    const char *text;
    size_t text_size;
    size_t number = 0;
    for (size_t i = 0; next_line(&body, &size, &number, &text, &text_size); i++) {
        struct line *line = &ingest->lines[i];
        line->ingest = ingest;
        line->event = event;
        line->number = number;
        line_take(line, text, text_size);
    }
}

void ingest_events(struct gateway *gateway, struct http_request *request, const char *space,
                   const struct catalog_event *event)
{
    size_t size;
    const char *body = http_body(request, &size);
    struct key key;
    enum media media = check_media(gateway, request, !event);
    int batch = media == MEDIA_NDJSON;
    if (media == MEDIA_OTHER || read_key(gateway, request, batch, &key) != 0)
        return;
    size_t count = batch ? count_lines(body, size) : 1;
    if (count == 0) {
        answer_problem(gateway, request, PROBLEM_MALFORMED_JSON, NULL, "the body has no line");
        return;
    }
    if (count > gateway->lines_max) {
        answer_problem(gateway, request, PROBLEM_TOO_MANY_LINES, NULL,
                       "%zu lines; at most %zu are taken", count, gateway->lines_max);
        return;
    }
    if (throttle_take(gateway->throttle, space, (int64_t)count, monotonic_now_us()) != 0) {
        answer_problem(gateway, request, PROBLEM_SPACE_THROTTLED, NULL,
                       "nothing was written; a Space may send %" PRId64
                       " events a second, and %d s of that at once",
                       gateway->space_rate, THROTTLE_BURST_S);
        return;
    }
    struct ingest *ingest = ingest_new(gateway, request, space, &key, count);
    ingest->batch = batch;
    if (batch) {
        take_lines(ingest, event, body, size);
    } else {
        ingest->lines[0].ingest = ingest;
        ingest->lines[0].event = event;
        ingest->lines[0].number = 1;
        line_take(&ingest->lines[0], body, size);
    }
    release(ingest);
}

void ingest_report(const struct producer_report *report, void *opaque)
{
    static const enum gateway_outcome outcomes[] = {[PRODUCER_ACKED] = OUTCOME_ACCEPTED,
                                                    [PRODUCER_NOT_PERSISTED] = OUTCOME_NOT_WRITTEN,
                                                    [PRODUCER_UNKNOWN] = OUTCOME_UNKNOWN};
    struct line *line = opaque;
    struct ingest *ingest = line->ingest;
    struct gateway *gateway = ingest->gateway;
    line->report = *report;
    line_release(line);
    gateway_count_event(gateway, line->event, outcomes[report->outcome]);
    if (report->code)
        metrics_counter_add(metrics_series(gateway->metrics.errors, report->code), 1);
    release(ingest);
}
