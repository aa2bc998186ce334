/* SPDX-License-Identifier: Apache-2.0
 *
 * Written by hand into the reply's buffer: a receipt is made for every event. */
#include "producers/gateway/answer.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/base/json_text.h"
#include "lib/base/timestamp.h"
#include "producers/gateway/receipt.h"

#define JSON_TYPE "application/json"
#define NDJSON_TYPE "application/x-ndjson"

enum { STATUS_ACCEPTED = 202, STATUS_MIXED = 207 };

static void put_identity(struct buf *out, const struct line *line)
{
    char id[UUID_TEXT_SIZE + 1];
    if (line->has_id) {
        uuid_format(&line->event_id, id);
        json_text_member(out, "event_id", id);
    }
    json_text_member(out, "idempotency_key", line->ingest->texts.data + line->key_at);
}

static void put_receipt(struct buf *out, const struct line *line)
{
    const struct producer_report *report = &line->report;
    char time[TIMESTAMP_TEXT_SIZE + 1];
    put_identity(out, line);
    json_text_member(out, "event", line->event->name);
    json_text_member(out, "topic", line->event->topic);
    json_text_number(out, "partition", report->partition);
    /* The broker does not repeat the offset of what it knew already. */
    if (report->offset >= 0)
        json_text_number(out, "offset", report->offset);
    else
        buf_put_text(out, ",\"offset\":null");
    if (report->timestamp_ms >= 0) {
        timestamp_format(report->timestamp_ms * 1000, time);
        json_text_member(out, "timestamp", time);
    }
}

static void put_undelivered(struct buf *out, const struct line *line)
{
    const struct producer_report *report = &line->report;
    char detail[DETAIL_BYTES];
    if (report->outcome == PRODUCER_NOT_PERSISTED) {
        snprintf(detail, sizeof detail, "%s was not written (%s: %s); send it again",
                 line->event->name, report->code, report->reason);
        problem_members(out, PROBLEM_NOT_WRITTEN, detail);
    } else {
        snprintf(detail, sizeof detail,
                 "%s may have been written (%s: %s); send it again with this Idempotency-Key, "
                 "which cannot double it",
                 line->event->name, report->code, report->reason);
        problem_members(out, PROBLEM_OUTCOME_UNKNOWN, detail);
    }
    put_identity(out, line);
}

/* Everything behind the opening brace and before the closing one. */
static void put_members(struct buf *out, const struct line *line)
{
    if (line->answer_size > 0) {
        size_t skip = 1; /* the brace that line_refuse put before the members */
        if (out->size > 0 && out->data[out->size - 1] != '{')
            buf_put_u8(out, ',');
        buf_put(out, line->ingest->texts.data + line->answer_at + skip, line->answer_size - skip);
        put_identity(out, line);
    } else if (line->report.outcome == PRODUCER_ACKED) {
        put_receipt(out, line);
    } else {
        put_undelivered(out, line);
    }
}

static int line_status(const struct line *line)
{
    if (line->status)
        return line->status;
    switch (line->report.outcome) {
    case PRODUCER_ACKED:
        return STATUS_ACCEPTED;
    case PRODUCER_NOT_PERSISTED:
        return problem_status(PROBLEM_NOT_WRITTEN);
    case PRODUCER_UNKNOWN:
        break;
    }
    return problem_status(PROBLEM_OUTCOME_UNKNOWN);
}

/* A quoted string, as the header is defined; the key is printable ASCII. */
static void put_key_header(struct http_request *request, const struct key *key)
{
    char value[2 * KEY_BYTES_MAX + 3];
    size_t size = 0;
    value[size++] = '"';
    for (size_t i = 0; i < key->size; i++) {
        if (key->text[i] == '"' || key->text[i] == '\\')
            value[size++] = '\\';
        value[size++] = key->text[i];
    }
    value[size++] = '"';
    value[size] = '\0';
    http_reply_header(request, "Idempotency-Key", value);
}

static int answer_single(struct ingest *ingest)
{
    const struct line *line = &ingest->lines[0];
    struct buf *out = http_reply(ingest->request);
    int status = line_status(line);
    buf_put_u8(out, '{');
    put_members(out, line);
    buf_put_text(out, "}\n");
    put_key_header(ingest->request, &ingest->key);
    receipt_put(ingest);
    if (status >= 500 || status == problem_status(PROBLEM_SPACE_BUSY))
        http_reply_header(ingest->request, "Retry-After", "1");
    return status;
}

/* Each line of the answer: {"line", and either a receipt with status 202 or a problem}. */
static int answer_batch(struct ingest *ingest)
{
    struct buf *out = http_reply(ingest->request);
    int status = STATUS_ACCEPTED;
    for (size_t i = 0; i < ingest->line_count; i++) {
        const struct line *line = &ingest->lines[i];
        int one = line_status(line);
        buf_put_u8(out, '{');
        json_text_number(out, "line", (int64_t)line->number);
        if (one == STATUS_ACCEPTED)
            json_text_number(out, "status", one);
        else
            status = STATUS_MIXED;
        put_members(out, line);
        buf_put_text(out, "}\n");
    }
    put_key_header(ingest->request, &ingest->key);
    receipt_put(ingest);
    return status;
}

void answer_events(struct ingest *ingest)
{
    struct http_request *request = ingest->request;
    struct gateway *gateway = ingest->gateway;
    int status = ingest->batch ? answer_batch(ingest) : answer_single(ingest);
    const char *type = ingest->batch ? NDJSON_TYPE : JSON_TYPE;
    if (!ingest->batch && status != STATUS_ACCEPTED)
        type = PROBLEM_CONTENT_TYPE;
    gateway_count_request(gateway, ingest->batch ? NULL : ingest->lines[0].event, "batch", status,
                          ingest->started_us);
    buf_free(&ingest->texts);
    http_respond(request, status, type);
}

void answer_problem(struct gateway *gateway, struct http_request *request, enum problem_type type,
                    const char *allow, const char *format, ...)
{
    struct buf *out = http_reply(request);
    char detail[DETAIL_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    buf_put_u8(out, '{');
    problem_members(out, type, detail);
    buf_put_text(out, "}\n");
    if (allow)
        http_reply_header(request, "Allow", allow);
    if (problem_retry_after_s(type)) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%d", problem_retry_after_s(type));
        http_reply_header(request, "Retry-After", seconds);
    }
    gateway_count_request(gateway, NULL, "none", problem_status(type), 0);
    http_respond(request, problem_status(type), PROBLEM_CONTENT_TYPE);
}
