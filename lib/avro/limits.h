/* SPDX-License-Identifier: Apache-2.0
 *
 * The limits of a value that a client sends, beyond its type. Attributes of a field or of a type
 * state them, named after JSON Schema:
 *
 *     x-length-max          of a text in characters, of bytes in bytes, of a map's keys in
 * characters x-pattern             what a text, or a map's key, has to match (pattern.h)
 *     x-items-max           of an array or map
 *     x-minimum, x-maximum  of a number; of a date or time as text or as the integer that it is
 *     x-unlimited           true: the type's own bounds are the only ones
 *
 * The catalog reads them with its contracts (schema_parse_contract), and they are checked when JSON
 * is encoded. Decoding never checks them: a record in a topic is read, whoever wrote it.
 */
#ifndef WEIR_AVRO_LIMITS_H
#define WEIR_AVRO_LIMITS_H

#include <stdint.h>

#include "lib/avro/pattern.h"
#include "lib/avro/schema.h"
#include "lib/base/buf.h"

enum {
    LIMITS_COUNT_MAX = 1 << 30, /* of x-length-max and x-items-max */
    LIMITS_WORK_MAX = 2000000 /* steps that matching the longest text may take: some milliseconds */
};

struct limits {
    unsigned said; /* bits of the attributes that stand in the schema, for its parser */
    int unlimited;
    int64_t length_max; /* INT64_MAX when nothing is said */
    int64_t items_max;
    int64_t least, most;             /* int, long: the type's own bounds when nothing is said */
    double real_least, real_most;    /* float, double */
    const json_t *minimum, *maximum; /* as they stand in the schema, or NULL */
    struct pattern *pattern;         /* NULL: none */
};

/* The characters (code points) of valid UTF-8. */
int64_t limits_characters(const char *text, size_t size);

/* Appends the limits of a node in words: "at most 3 characters, matching ^[A-Z]{3}$", "from 0 to
 * 100", "unlimited". Appends nothing when the schema states none. */
void limits_words(const struct schema *schema, struct buf *out);

/* Whether a node is an int, long, float or double. */
int limits_numeric(const struct schema *schema);

/* -1 when `new_schema` may refuse a value that `old_schema` takes, 1 when only the other way round,
 * else 0. Types that cannot be compared are 0. */
int limits_compare(const struct schema *old_schema, const struct schema *new_schema);

/* The limits of a record by path, {"price.currency": {"x-length-max": 3, …}, "tags[]": …}. The
 * caller owns the result. */
json_t *limits_json(const struct schema *record);

#endif
