/* SPDX-License-Identifier: Apache-2.0
 *
 * Schemas in words, for people: types, defaults, and what changed from one version to the next. */
#ifndef WEIR_AVRO_WORDS_H
#define WEIR_AVRO_WORDS_H

#include "lib/avro/schema.h"
#include "lib/base/buf.h"

/* Appends a type: "long (timestamp-micros)", "null or string (uuid)", "array of record LineItem",
 * "bytes (decimal 12,2)". */
void words_type(const struct schema *schema, struct buf *out);

/* Appends the limits of a type and of what is in it, but for named types: "at most 50 items, each
 * at most 50 characters". */
void words_limits(const struct schema *schema, struct buf *out);

/* Appends a default as it stands in the schema: `null`, `"UNKNOWN"`, `0`. */
void words_preset(const json_t *preset, struct buf *out);

enum words_change {
    WORDS_ADDED,
    WORDS_REMOVED,
    WORDS_RENAMED,
    WORDS_RETYPED,
    WORDS_DEFAULT,
    WORDS_SYMBOLS,
    WORDS_TIGHTENED, /* limits: what was taken may be refused */
    WORDS_LOOSENED,
    WORDS_ATTRIBUTE /* doc, x- */
};

/* "added", "renamed", … */
const char *words_change_name(enum words_change change);

/* Calls `visit` for each difference between two versions of a record, in the order of the new
 * version's fields, then what was removed. `path` is that of the new version, "items[].quantity";
 * `old_name` is the field's last part of the path in the old version, "" for a new field; `text`
 * says in words what changed. All are valid during the call only. */
void words_diff(const struct schema *old_schema, const struct schema *new_schema,
                void (*visit)(void *context, enum words_change change, const char *path,
                              const char *old_name, const char *text),
                void *context);

#endif
