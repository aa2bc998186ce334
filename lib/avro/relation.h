/* SPDX-License-Identifier: Apache-2.0
 *
 * How an event looks to SQL: one relation with the envelope and the flattened fields of the newest
 * schema, and a child relation for each array of records. docs/write-a-processor.md has the rules.
 */
#ifndef WEIR_AVRO_RELATION_H
#define WEIR_AVRO_RELATION_H

#include <stdint.h>

#include "lib/avro/catalog.h"

enum sql_type {
    SQL_BOOL,
    SQL_INT4,
    SQL_INT8,
    SQL_FLOAT4,
    SQL_FLOAT8,
    SQL_TEXT,
    SQL_BYTEA,
    SQL_UUID,
    SQL_TIMESTAMPTZ,
    SQL_TIMESTAMP,
    SQL_DATE,
    SQL_TIME,
    SQL_NUMERIC,
    SQL_INTERVAL,
    SQL_JSONB
};

/* Columns of the envelope, in this order, at the head of each event's relation. */
enum envelope_column {
    ENVELOPE_SEQ,
    ENVELOPE_SPACE_ID,
    ENVELOPE_EVENT_ID,
    ENVELOPE_OCCURRED_AT,
    ENVELOPE_RECEIVED_AT,
    ENVELOPE_ACTOR,
    ENVELOPE_CORRELATION_ID,
    ENVELOPE_CAUSATION_ID,
    ENVELOPE_FINGERPRINT,
    ENVELOPE_KAFKA_TOPIC,
    ENVELOPE_KAFKA_PARTITION,
    ENVELOPE_KAFKA_OFFSET,
    ENVELOPE_KAFKA_TIMESTAMP,
    ENVELOPE_COUNT
};

struct relation_column {
    const char *name;
    enum sql_type type;
    int array; /* an array of `type` */
    int nullable;
    int pii;
    const char *doc;
};

struct relation {
    const char *name; /* "product_purchased", "product_purchased_items" */
    const struct catalog_event *event;
    int version; /* of the event's newest schema */
    int child; /* 0: the event itself; its columns start with the envelope. 1: they start with seq,
                  ordinal */
    const struct relation_column *columns;
    size_t column_count;
};

enum { RELATION_COLUMNS_MAX = 256, RELATIONS_PER_EVENT_MAX = 16 };

struct relation_set; /* the relations of one event: the event's own first, then children */

/* Names and docs point into the event's schema, which must outlive the set.
 * Errors (ERROR_USAGE): a column or relation name that occurs twice or is too long, more columns or
 * relations than the limits. */
int relation_build(const struct catalog_event *event, struct relation_set **ret_set,
                   struct error *error);
void relation_free(struct relation_set *set);
size_t relation_count(const struct relation_set *set);
const struct relation *relation_at(const struct relation_set *set, size_t index);

/* "timestamptz", "int8[]", … */
void relation_column_sql(const struct relation_column *column, char ret_sql[32]);
/* Postgres' fixed type oid of the column (pg_type.dat), the array type's for an array. */
uint32_t relation_column_oid(const struct relation_column *column);

#endif
