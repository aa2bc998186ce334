/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to lib/avro: where each value of an event's newest schema goes. A tree beside the schema,
 * made with the relations and read by the compiler of plans, so that both agree on every column. */
#ifndef WEIR_AVRO_SHAPE_H
#define WEIR_AVRO_SHAPE_H

#include "lib/avro/relation.h"

enum shape_kind {
    SHAPE_COLUMN, /* one column: a scalar, an array, or jsonb */
    SHAPE_RECORD, /* flattened: a shape per field */
    SHAPE_CHILD /* an array of records: rows of a child relation, a shape per field of the record */
};

struct shape {
    enum shape_kind kind;
    const struct schema *schema; /* of the value, without the null of an optional one */
    size_t relation;             /* SHAPE_COLUMN: of the column; SHAPE_CHILD: the child */
    size_t column;               /* SHAPE_COLUMN */
    struct shape *fields;        /* SHAPE_RECORD, SHAPE_CHILD */
    size_t field_count;
};

enum { CHILD_SEQ, CHILD_ORDINAL, CHILD_COUNT };

/* The shape of the whole event: a SHAPE_RECORD whose first field is `meta`. */
const struct shape *relation_shape(const struct relation_set *set);

/* The SQL type of a scalar. */
enum sql_type relation_scalar_type(const struct schema *schema);

#endif
