/* SPDX-License-Identifier: Apache-2.0
 *
 * Avro schemas as a tree that keeps what avro-c drops: doc, default, aliases, logical types and x-
 * attributes. The parser is strict about what the specification demands, defaults included; the
 * catalog asks avro-c as well, so that no schema is published that clients built on it cannot read.
 */
#ifndef WEIR_AVRO_SCHEMA_H
#define WEIR_AVRO_SCHEMA_H

#include <jansson.h>
#include <stddef.h>

#include "lib/base/error.h"

enum avro_type {
    AVRO_NULL_TYPE,
    AVRO_BOOLEAN_TYPE,
    AVRO_INT_TYPE,
    AVRO_LONG_TYPE,
    AVRO_FLOAT_TYPE,
    AVRO_DOUBLE_TYPE,
    AVRO_BYTES_TYPE,
    AVRO_STRING_TYPE,
    AVRO_RECORD_TYPE,
    AVRO_ENUM_TYPE,
    AVRO_ARRAY_TYPE,
    AVRO_MAP_TYPE,
    AVRO_UNION_TYPE,
    AVRO_FIXED_TYPE
};

enum avro_logical {
    LOGICAL_NONE,
    LOGICAL_DECIMAL,
    LOGICAL_UUID,
    LOGICAL_DATE,
    LOGICAL_TIME_MILLIS,
    LOGICAL_TIME_MICROS,
    LOGICAL_TIMESTAMP_MILLIS,
    LOGICAL_TIMESTAMP_MICROS,
    LOGICAL_TIMESTAMP_NANOS,
    LOGICAL_LOCAL_TIMESTAMP_MILLIS,
    LOGICAL_LOCAL_TIMESTAMP_MICROS,
    LOGICAL_LOCAL_TIMESTAMP_NANOS,
    LOGICAL_DURATION
};

struct schema;
struct limits; /* limits.h */

struct schema_field {
    const char *name;
    const char *doc;            /* NULL when missing */
    const json_t *preset;       /* default, NULL when there is none */
    const char *const *aliases; /* alias_count of them */
    size_t alias_count;
    const struct schema *type;
    int pii;             /* it identifies a person: x-pii */
    const char *subject; /* the field that says whose it is, {"subject": "member_id"}, or NULL */
};

/* A node of the tree. Nodes of named types are shared by their references. */
struct schema {
    enum avro_type type;
    enum avro_logical
        logical; /* LOGICAL_NONE when unknown or ill-fitting, as the specification demands */
    int precision, scale;  /* decimal */
    const char *full_name; /* record, enum, fixed: "weir.commerce.ProductPurchased" */
    const char *name;      /* the part behind the last dot */
    const char *doc;
    const char *const *aliases; /* full names */
    size_t alias_count;
    struct schema_field *fields; /* record */
    size_t field_count;
    const char **symbols; /* enum */
    size_t symbol_count;
    const char *preset_symbol;      /* enum default or NULL */
    const struct schema **branches; /* union */
    size_t branch_count;
    const struct schema *items; /* array items, map values */
    size_t fixed_size;
    const json_t *json;    /* the definition itself, for x- attributes */
    struct limits *limits; /* the limits of a value that is sent; NULL when none were read */
};

enum { SCHEMA_DEPTH_MAX = 64, SCHEMA_TEXT_MAX = 1 << 20 };

struct schema_document; /* owns a tree, its strings and its JSON */

/* Parses one schema. Errors (ERROR_USAGE, "schema-invalid") name the place as a path. */
int schema_parse(const char *text, size_t size, struct schema_document **ret_document,
                 struct error *error);
/* The same for a schema that producers are held to: its limits are read, and each text, bytes,
 * collection and number must have them (limits.h); each default must keep them; x-pii must name
 * whose data it is. An attribute x-… that nobody knows is an error. */
int schema_parse_contract(const char *text, size_t size, struct schema_document **ret_document,
                          struct error *error);
void schema_free(struct schema_document *document);
const struct schema *schema_root(const struct schema_document *document);

/* "long", "record", … */
const char *schema_type_name(enum avro_type type);

/* What Avro's own JSON calls a branch of a union: "long", or the full name of a named type. */
const char *schema_tag(const struct schema *schema);

/* "timestamp-micros", …; "" for LOGICAL_NONE. */
const char *schema_logical_name(enum avro_logical logical);

/* The field of that very name, or NULL; aliases do not count. */
const struct schema_field *schema_find_field(const struct schema *record, const char *name);

/* For a union of null and one other type: the other one; otherwise NULL. */
const struct schema *schema_optional(const struct schema *schema);

/* Whether a value of the type counts as a level of nesting. All readers and writers of values
 * count alike: other types contain nothing, and a union counts as its branch. */
static inline int schema_nests(const struct schema *schema)
{
    return schema->type == AVRO_RECORD_TYPE || schema->type == AVRO_ARRAY_TYPE ||
           schema->type == AVRO_MAP_TYPE;
}

#endif
