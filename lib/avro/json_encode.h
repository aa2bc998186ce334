/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to lib/avro: what the files of the JSON encoder share. json_encode.c walks records and
 * collections, json_scalar.c encodes single values, json_limits.c checks their limits, and
 * json_faults.c words the faults. */
#ifndef WEIR_AVRO_JSON_ENCODE_H
#define WEIR_AVRO_JSON_ENCODE_H

#include "lib/avro/json.h"

enum {
    ENCODE_ITEMS_MAX = 100000, /* in all arrays and maps of one event; no decoder takes more */
    ENCODE_DEPTH_MAX = SCHEMA_DEPTH_MAX, /* as of DECODE_DEPTH_MAX */
    ENCODE_VALUES_MAX =
        1000000 /* work for one event, which trying the branches of unions multiplies */
};

struct encoder {
    struct buf *out;
    struct faults *faults;
    char pointer[sizeof((struct fault *)0)->pointer]; /* to the value being encoded */
    size_t pointer_size;
    int depth;
    int values;
    size_t items;
};

/* Adds a fault at the encoder's pointer. Returns -1. */
int encoder_fault(struct encoder *encoder, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Appends "/name" to the pointer, escaped as RFC 6901 says. Returns the size to pop to. */
size_t encoder_push(struct encoder *encoder, const char *name);
void encoder_pop(struct encoder *encoder, size_t size);

/* The name under which `object` has the field: its own, or an earlier one, so that clients may
 * still send the older version's body. Its own when the field is missing. */
const char *encoder_field_name(const struct schema *record, const struct schema_field *field,
                               const json_t *object);

/* Adds a fault for each member of `object` that is no field of the record. */
void encoder_unknown_fields(struct encoder *encoder, const struct schema *record,
                            const json_t *object);

/* Whether a value keeps the limits of its type (limits.h), if it has any. Return 0, or -1 with a
 * fault. The count of items is checked before any work on them. */
int encoder_check_text(struct encoder *encoder, const struct schema *schema, const char *text,
                       size_t size);
int encoder_check_bytes(struct encoder *encoder, const struct schema *schema, size_t size);
int encoder_check_items(struct encoder *encoder, const struct schema *schema, size_t count);
int encoder_check_integer(struct encoder *encoder, const struct schema *schema, int64_t value);
int encoder_check_real(struct encoder *encoder, const struct schema *schema, double value);

/* Encodes a value of any type but record, array, map and union. Returns 0, or -1 with a fault. */
int encoder_scalar(struct encoder *encoder, const struct schema *schema, const json_t *json);

/* Whether a value of this JSON kind can be of the type at all. */
int encoder_kind_fits(const struct schema *schema, const json_t *json);

#endif
