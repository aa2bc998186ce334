/* SPDX-License-Identifier: Apache-2.0
 *
 * From a client's JSON to the record on the topic: the envelope, the Avro value in Confluent's
 * framing, and CloudEvents' headers beside it. */
#ifndef WEIR_GATEWAY_EVENT_H
#define WEIR_GATEWAY_EVENT_H

#include <jansson.h>

#include "lib/avro/catalog.h"
#include "lib/avro/json.h"
#include "lib/kafka/producer.h"
#include "producers/gateway/key.h"

enum { EVENT_SOURCE_BYTES = 64, EVENT_TYPE_BYTES = 128 };

struct event_rules {
    int64_t past_us;   /* how old occurred_at may be */
    int64_t future_us; /* how far ahead */
};

/* One event to be encoded. The texts must outlive event_encode only. */
struct event_input {
    const struct catalog_event *event;
    const char *space; /* 36 characters, lower case */
    const struct key *key;
    json_t *body; /* an object; its member "meta" is taken out */
    int64_t now_us;
    const char *traceparent; /* NULL when there is none */
};

/* What a thread reuses from event to event. The record points into it and into the input. */
struct event_record {
    struct uuid event_id;
    struct buf value;
    struct buf scratch;
    char event_id_text[UUID_TEXT_SIZE + 1];
    char type[EVENT_TYPE_BYTES];     /* ce_type */
    char source[EVENT_SOURCE_BYTES]; /* ce_source */
    char time[32];                   /* ce_time */
    struct producer_message message; /* everything but partition and opaque */
};

void event_record_free(struct event_record *record);

/* Fills the record. Returns 0, or -1 with the faults, whose pointers are relative to the body. */
int event_encode(const struct event_input *input, const struct event_rules *rules,
                 struct event_record *ret_record, struct faults *faults);

/* `text` if it is a W3C traceparent of version 00, otherwise NULL. */
const char *event_traceparent(const char *text);

#endif
