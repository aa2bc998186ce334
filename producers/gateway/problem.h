/* SPDX-License-Identifier: Apache-2.0
 *
 * Problems as RFC 9457 describes them: one table of types, each with a stable relative URI
 * "/problems/<name>", a title and a status; docs/publish-over-http.md lists them for clients. */
#ifndef WEIR_GATEWAY_PROBLEM_H
#define WEIR_GATEWAY_PROBLEM_H

#include "lib/avro/json.h"
#include "lib/base/buf.h"

#define PROBLEM_CONTENT_TYPE "application/problem+json"

enum problem_type {
    PROBLEM_BAD_REQUEST,
    PROBLEM_MALFORMED_JSON,
    PROBLEM_BAD_KEY,
    PROBLEM_UNKNOWN_PARAMETER,
    PROBLEM_BAD_RECEIPT,
    PROBLEM_INTERNAL_EVENT,
    PROBLEM_NOT_FOUND,
    PROBLEM_BAD_SPACE_ID,
    PROBLEM_UNKNOWN_EVENT,
    PROBLEM_NO_ROW,
    PROBLEM_METHOD,
    PROBLEM_PARKED,
    PROBLEM_DEAD_LETTERED,
    PROBLEM_BODY_TOO_LARGE,
    PROBLEM_EVENT_TOO_LARGE,
    PROBLEM_TOO_MANY_LINES,
    PROBLEM_MEDIA_TYPE,
    PROBLEM_FOREIGN_HOST,
    PROBLEM_INVALID_EVENT,
    PROBLEM_INVALID_PARAMETER,
    PROBLEM_RECEIPT_BEYOND,
    PROBLEM_ROW_TOO_LARGE,
    PROBLEM_ANSWER_TOO_LARGE,
    PROBLEM_SPACE_THROTTLED,
    PROBLEM_SPACE_BUSY,
    PROBLEM_HEADERS_TOO_LARGE,
    PROBLEM_QUERY_FAILED,
    PROBLEM_QUEUE_FULL,
    PROBLEM_READS_FULL,
    PROBLEM_DATABASE_AWAY,
    PROBLEM_NOT_WRITTEN,
    PROBLEM_NOT_READY,
    PROBLEM_SHUTTING_DOWN,
    PROBLEM_OUTCOME_UNKNOWN,
    PROBLEM_READ_TIMEOUT,
    PROBLEM_NOT_APPLIED,
    PROBLEM_TYPE_COUNT
};

int problem_status(enum problem_type type);
/* Seconds after which trying again makes sense, or 0. */
int problem_retry_after_s(enum problem_type type);

/* Appends the members type, title, status and detail to an object that the caller has opened and
 * will close, so that it can add members of its own. */
void problem_members(struct buf *out, enum problem_type type, const char *detail);
/* Appends the member "errors": a list of {"pointer", "detail"}. */
void problem_errors(struct buf *out, const struct faults *faults);

#endif
