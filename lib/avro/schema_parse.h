/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to lib/avro: the parser behind schema_parse. schema.c owns documents and names,
 * schema_parse.c builds the nodes, schema_logical.c reads logical types, limits.c limits. */
#ifndef WEIR_AVRO_SCHEMA_PARSE_H
#define WEIR_AVRO_SCHEMA_PARSE_H

#include "lib/avro/path.h"
#include "lib/avro/schema.h"
#include "lib/base/arena.h"
#include "lib/base/buf.h"

enum { SCHEMA_NAMES_MAX = 4096, SCHEMA_FIXED_MAX = 1 << 20, DECIMAL_DIGITS_MAX = 1000 };

struct schema_parser {
    struct arena *arena;
    struct error *error;
    struct schema **names; /* every named type, in order of definition; SCHEMA_NAMES_MAX of room */
    size_t name_count;
    struct buf *patterns; /* of a contract: struct pattern *, which the document frees; else NULL */
    int depth;
    struct path path; /* where the parser is */
};

/* Builds the node of `json`. `space` is the enclosing namespace, "" when there is none. Returns
 * NULL with the error set. */
const struct schema *schema_parse_node(struct schema_parser *parser, const json_t *json,
                                       const char *space);

/* Sets `logical` (and precision and scale) of a node from its definition. Returns 0 or -1. */
int schema_parse_logical(struct schema_parser *parser, struct schema *schema, const json_t *json);

/* Reads the limits among the attributes of a field or type into the node that they are of: `type`,
 * or what is beside null in it. Returns 0 or -1. */
int limits_read(struct schema_parser *parser, const struct schema *type, const json_t *attributes);
/* Whether a node and what is in it, but for named types, say the limits that they need. */
int limits_check(struct schema_parser *parser, const struct schema *schema);

/* Fills the error with the place and returns -1. */
int schema_parse_fail(struct schema_parser *parser, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
