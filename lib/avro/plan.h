/* SPDX-License-Identifier: Apache-2.0
 *
 * The decode plan: (writer schema, newest schema) compiled once into a flat program that turns the
 * Avro bytes of an event into rows of its relations, in the binary form in which Postgres takes a
 * composite type:
 *
 *     int32 row size, int32 column count, then per column: int32 type oid, int32 size or -1 for
 * NULL, the bytes
 *
 * so that rows of one relation, one behind the other, are the elements of a binary array. Nothing
 * is allocated per event. Every byte is bounds-checked; bad UTF-8, enum or union indexes out of
 * range, over-long varints, counts over their limit and bytes left over are errors
 * (ERROR_DEAD_LETTER, "avro-invalid", with the byte offset and the field). U+0000 in a text is one
 * of its own (PLAN_NUL): Avro allows it, but Postgres cannot hold it. After an error the row
 * buffers are back at what they were. */
#ifndef WEIR_AVRO_PLAN_H
#define WEIR_AVRO_PLAN_H

#include <stdint.h>

#include "lib/avro/relation.h"
#include "lib/base/buf.h"
#include "lib/base/uuid.h"

#define PLAN_NUL "text-nul"

/* What a row gets from outside the record's value. */
struct plan_record {
    struct uuid space_id;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_us;      /* the broker's, microseconds since 1970 */
    int32_t seq;               /* order in the batch */
    const unsigned char *avro; /* behind the five bytes of framing */
    size_t avro_size;
};

/* What the engine itself needs of the envelope. */
struct plan_envelope {
    struct uuid event_id;
    int64_t fingerprint;
};

struct plan;

/* Compiles. `set` are the relations of the event's newest schema; it, that schema and `writer` must
 * outlive the plan. Errors (ERROR_HALT, "schema-incompatible") name the path and the reason: a new
 * field without default, a type that cannot be promoted, … */
int plan_compile(const struct schema *writer, const struct relation_set *set,
                 struct plan **ret_plan, struct error *error);
void plan_free(struct plan *plan);

/* Leaves out unused rows of a relation, or an unused column, which becomes NULL. It takes
 * effect with plan_trim. The values are still decoded and checked. */
void plan_omit_relation(struct plan *plan, size_t relation);
void plan_omit_column(struct plan *plan, size_t relation, size_t column);
/* Errors: as of plan_compile, when the plan gets too long; it is then of no use. */
int plan_trim(struct plan *plan, struct error *error);

/* Decodes one event. rows[i] belongs to relation i of the set and is appended to; row_counts[i] is
 * increased by the rows added (1 for relation 0, unless it is left out). */
int plan_decode(const struct plan *plan, const struct plan_record *record, struct buf *rows,
                uint32_t *row_counts, struct plan_envelope *ret_envelope, struct error *error);

#endif
