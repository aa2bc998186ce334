/* SPDX-License-Identifier: Apache-2.0
 *
 * Schema resolution (Avro 1.11, "Schema Resolution"): how a value of the writer's type is read as
 * one of the reader's. A tree of decisions made once; plan_compile.c turns it into steps,
 * plan_jsonb.c walks it. A record that holds itself makes the tree a graph. Private to lib/avro. */
#ifndef WEIR_AVRO_RESOLVE_H
#define WEIR_AVRO_RESOLVE_H

#include "lib/avro/schema.h"
#include "lib/base/arena.h"

enum resolve_kind {
    RESOLVE_SCALAR, /* as it is or promoted, by the two types */
    RESOLVE_ENUM,
    RESOLVE_RECORD,
    RESOLVE_ARRAY,
    RESOLVE_MAP,
    RESOLVE_UNION, /* of the writer: by branch */
    RESOLVE_FAIL   /* a branch or symbol of the writer that the reader has no place for */
};

struct resolve;

struct resolve_field {
    const struct schema *skip; /* the writer's field is passed over; else NULL and: */
    const struct resolve *value;
    size_t field; /* of the reader's record */
};

struct resolve_preset {
    const struct resolve *value; /* reads `bytes` */
    size_t field;
    const char *bytes; /* the default, encoded */
    size_t size;
};

struct resolve {
    enum resolve_kind kind;
    const struct schema *writer;
    const struct schema *reader; /* never a union */
    const char *const
        *symbols; /* RESOLVE_ENUM: by the writer's index, NULL for a symbol the reader lacks */
    const struct resolve_field
        *fields; /* RESOLVE_RECORD: one per field of the writer, in its order */
    const struct resolve_preset *presets; /* and those that only the reader has */
    size_t preset_count;
    const struct resolve *items;           /* RESOLVE_ARRAY, RESOLVE_MAP */
    const struct resolve *const *branches; /* RESOLVE_UNION: one per branch of the writer */
    const char *reason;                    /* RESOLVE_FAIL */
};

enum { RESOLVE_DEPTH_MAX = 256 };

/* As of schema_nests. */
static inline int resolve_nests(const struct resolve *resolve)
{
    return resolve->kind == RESOLVE_RECORD || resolve->kind == RESOLVE_ARRAY ||
           resolve->kind == RESOLVE_MAP;
}

/* Resolves; everything made is in `arena`, which refers to both schemas. A branch of the writer's
 * union that does not fit is a RESOLVE_FAIL, as long as another one does.
 * Errors (ERROR_HALT, "schema-incompatible"): path and reason. */
int resolve_build(struct arena *arena, const struct schema *writer, const struct schema *reader,
                  const struct resolve **ret_resolve, struct error *error);

/* Whether all values can be resolved, except symbols and branches that the reader lacks. The
 * catalog asks this of its versions. Errors: as above. */
int resolve_check(const struct schema *writer, const struct schema *reader, struct error *error);

/* As resolve_build, but goes on after a part that cannot be read, which becomes a RESOLVE_FAIL
 * without writer and reader. So the tree has all obstacles. Fails only when a limit is reached. */
int resolve_explain(struct arena *arena, const struct schema *writer, const struct schema *reader,
                    const struct resolve **ret_resolve, struct error *error);

#endif
