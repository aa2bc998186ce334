/* SPDX-License-Identifier: Apache-2.0
 *
 * One request with events under way: its lines (one, or those of an NDJSON body), the outcome of
 * each, and the answer once the last outcome is known.
 *
 * It lives in its request's memory. `waiting` counts the lines that the producer has, and one
 * for the server thread while it still hands lines over; the thread that takes it to zero writes
 * the answer. */
#ifndef WEIR_GATEWAY_INGEST_H
#define WEIR_GATEWAY_INGEST_H

#include "producers/gateway/gateway.h"
#include "producers/gateway/problem.h"

enum { DETAIL_BYTES = 640 };

struct ingest;

struct line {
    struct ingest *ingest;
    const struct catalog_event *event; /* NULL when it is not known */
    size_t number;                     /* from 1, as in the body */
    struct uuid event_id;
    int has_id;
    int status;       /* 0 while the producer has it */
    size_t key_at;    /* in ingest->texts; the key's NUL is there too */
    size_t answer_at; /* the members of a problem, in ingest->texts */
    size_t answer_size;
    struct producer_report report;
};

struct ingest {
    struct gateway *gateway;
    struct http_request *request;
    char space[UUID_TEXT_SIZE + 1];
    struct uuid space_id;
    int batch;
    struct key key;
    int64_t now_us;     /* received_at */
    int64_t started_us; /* monotonic */
    const char *traceparent;
    struct buf texts; /* keys, and problems that are already written */
    atomic_int waiting;
    size_t line_count;
    struct line lines[];
};

/* Handles POST of one event, or of NDJSON lines of that event (`event` not NULL) or of any. The
 * path's Space id is `space`, 36 characters. Answers the request. */
void ingest_events(struct gateway *gateway, struct http_request *request, const char *space,
                   const struct catalog_event *event);

/* The producer's on_report; `opaque` is the line. */
void ingest_report(const struct producer_report *report, void *opaque);

#endif
