/* SPDX-License-Identifier: Apache-2.0
 *
 * The table is the only place where a failure gets its name and status. */
#include "producers/gateway/problem.h"

#include <stdio.h>

#include "lib/base/json_text.h"

static const struct {
    const char *name;
    int status;
    int retry_after_s;
    const char *title;
} types[PROBLEM_TYPE_COUNT] = {
    [PROBLEM_BAD_REQUEST] = {"bad-request", 400, 0, "The request is not well-formed HTTP"},
    [PROBLEM_MALFORMED_JSON] = {"malformed-json", 400, 0, "The body is not JSON"},
    [PROBLEM_BAD_KEY] = {"bad-idempotency-key", 400, 0, "The Idempotency-Key cannot be used"},
    [PROBLEM_UNKNOWN_PARAMETER] = {"unknown-parameter", 400, 0, "The query has no such parameter"},
    [PROBLEM_BAD_RECEIPT] = {"bad-receipt", 400, 0, "The receipt in Weir-After cannot be used"},
    [PROBLEM_INTERNAL_EVENT] = {"internal-event", 403, 0,
                                "Only the platform itself may publish this event"},
    [PROBLEM_NOT_FOUND] = {"not-found", 404, 0, "There is nothing at this path"},
    [PROBLEM_BAD_SPACE_ID] = {"bad-space-id", 404, 0, "A Space id is a UUID"},
    [PROBLEM_UNKNOWN_EVENT] = {"unknown-event", 404, 0, "There is no such event"},
    [PROBLEM_NO_ROW] = {"no-row", 404, 0, "There is nothing to show"},
    [PROBLEM_METHOD] = {"method-not-allowed", 405, 0, "This path takes another method"},
    [PROBLEM_PARKED] = {"event-parked", 409, 5, "The event is parked"},
    [PROBLEM_DEAD_LETTERED] = {"event-dead-lettered", 410, 0, "The event is a dead letter"},
    [PROBLEM_BODY_TOO_LARGE] = {"body-too-large", 413, 0, "The body is too large"},
    [PROBLEM_EVENT_TOO_LARGE] = {"event-too-large", 413, 0, "The event is too large"},
    [PROBLEM_TOO_MANY_LINES] = {"too-many-lines", 413, 0, "The body has too many lines"},
    [PROBLEM_MEDIA_TYPE] = {"unsupported-media-type", 415, 0, "This media type is not taken"},
    [PROBLEM_FOREIGN_HOST] = {"foreign-host", 421, 0, "The Host is not this gateway"},
    [PROBLEM_INVALID_EVENT] = {"invalid-event", 422, 0, "The event does not fit its schema"},
    [PROBLEM_INVALID_PARAMETER] = {"invalid-parameter", 422, 0, "A parameter is missing or wrong"},
    [PROBLEM_RECEIPT_BEYOND] = {"receipt-beyond-log", 422, 0,
                                "The event in Weir-After is not there"},
    [PROBLEM_ROW_TOO_LARGE] = {"row-too-large", 422, 0, "One row is larger than an answer may be"},
    [PROBLEM_ANSWER_TOO_LARGE] = {"answer-too-large", 422, 0,
                                  "The answer is larger than one may be"},
    [PROBLEM_SPACE_THROTTLED] = {"space-throttled", 429, 1, "The Space sends too many events"},
    [PROBLEM_SPACE_BUSY] = {"space-busy", 429, 1, "Too many events of this Space are under way"},
    [PROBLEM_HEADERS_TOO_LARGE] = {"headers-too-large", 431, 0, "The headers are too large"},
    [PROBLEM_QUERY_FAILED] = {"query-failed", 500, 0, "The query cannot be run"},
    [PROBLEM_QUEUE_FULL] = {"queue-full", 503, 1, "Too many events wait for the broker"},
    [PROBLEM_READS_FULL] = {"reads-full", 503, 1, "Too many reads wait for the database"},
    [PROBLEM_DATABASE_AWAY] = {"database-away", 503, 1, "The database cannot be reached"},
    [PROBLEM_NOT_WRITTEN] = {"not-written", 503, 1, "The broker did not take the event"},
    [PROBLEM_NOT_READY] = {"not-ready", 503, 5, "The event's topic is not as it must be"},
    [PROBLEM_SHUTTING_DOWN] = {"shutting-down", 503, 1, "This gateway is shutting down"},
    [PROBLEM_OUTCOME_UNKNOWN] = {"outcome-unknown", 504, 1,
                                 "It is not known whether the event was written"},
    [PROBLEM_READ_TIMEOUT] = {"read-timeout", 504, 1, "The query took too long"},
    [PROBLEM_NOT_APPLIED] = {"not-applied-yet", 504, 1, "The event is not applied yet"},
};

int problem_status(enum problem_type type)
{
    return types[type].status;
}

int problem_retry_after_s(enum problem_type type)
{
    return types[type].retry_after_s;
}

void problem_members(struct buf *out, enum problem_type type, const char *detail)
{
    char uri[64];
    snprintf(uri, sizeof uri, "/problems/%s", types[type].name);
    json_text_member(out, "type", uri);
    json_text_member(out, "title", types[type].title);
    json_text_number(out, "status", types[type].status);
    if (detail && *detail)
        json_text_member(out, "detail", detail);
}

void problem_errors(struct buf *out, const struct faults *faults)
{
    buf_put_text(out, ",\"errors\":[");
    for (size_t i = 0; i < faults->count; i++) {
        buf_put_text(out, i ? ",{" : "{");
        json_text_member(out, "pointer", faults->items[i].pointer);
        json_text_member(out, "detail", faults->items[i].message);
        buf_put_text(out, "}");
    }
    buf_put_text(out, "]");
}
