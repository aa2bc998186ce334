/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON to Avro and back, by schema, in the plain form that people type; to JSON in Avro's own
 * encoding too. Plain are unions as bare values, uuid and decimal as strings, timestamps as RFC
 * 3339 or integers of the unit, bytes and fixed as base64, dates as "2026-11-22". */
#ifndef WEIR_AVRO_JSON_H
#define WEIR_AVRO_JSON_H

#include <jansson.h>

#include "lib/avro/schema.h"
#include "lib/base/buf.h"

enum { FAULTS_MAX = 32 };

struct fault {
    char pointer[160]; /* JSON pointer (RFC 6901) to the offending value; "" is the whole */
    char message[200];
};

struct faults {
    size_t count; /* at most FAULTS_MAX; later faults are not listed */
    struct fault items[FAULTS_MAX];
};

void faults_add(struct faults *faults, const char *pointer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Appends the Avro binary encoding of `value` to `out`. All faults are collected: unknown fields
 * (with the nearest name), missing ones, wrong types, ranges, enum symbols, bad UUIDs, times,
 * decimals, text with NUL. Missing fields with a default (or nullable) take it. Returns 0, or -1
 * with faults->count > 0 and `out` as it was. */
int avro_from_json(const struct schema *schema, const json_t *value, struct buf *out,
                   struct faults *faults);

/* Encodes the record `schema` whose first field is `meta` from `fields` (the client's body without
 * meta) and `meta` (complete). */
int avro_event_from_json(const struct schema *schema, const json_t *meta, const json_t *fields,
                         struct buf *out, struct faults *faults);

enum {
    AVRO_JSON_MASK_PII = 1,
    AVRO_JSON_TAGGED =
        2 /* Avro's own JSON encoding: tagged unions, bytes as characters, no logical types */
};

/* Decodes by the writer's own schema. The caller owns the result. With AVRO_JSON_MASK_PII, x-pii
 * fields read "***". Errors: ERROR_DEAD_LETTER "avro-invalid". */
int avro_to_json(const struct schema *schema, const unsigned char *avro, size_t size, int flags,
                 json_t **ret_value, struct error *error);

#endif
