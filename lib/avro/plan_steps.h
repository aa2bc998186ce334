/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to lib/avro: a compiled plan. plan_compile.c makes it, plan_decode.c runs its steps,
 * plan_row.c writes rows.
 *
 * A run reads the writer's fields in their order. Each step reads one value into the slot of its
 * column, without copying what has a variable size. When all slots are filled the row is written in
 * the order of columns. Arrays and jsonb are checked and passed over while reading, and rendered
 * while writing, straight into the row. */
#ifndef WEIR_AVRO_PLAN_STEPS_H
#define WEIR_AVRO_PLAN_STEPS_H

#include "lib/avro/decode.h"
#include "lib/avro/plan.h"
#include "lib/avro/resolve.h"

enum step_code {
    STEP_END,  /* of the program, of a child's row, of an array's item */
    STEP_NULL, /* slots from `slot`, `count` of them */
    STEP_BOOL,
    STEP_INT,        /* int → int4 */
    STEP_LONG,       /* int or long → int8 */
    STEP_INT_FLOAT4, /* int or long → float4 */
    STEP_INT_FLOAT8,
    STEP_FLOAT4,
    STEP_FLOAT_FLOAT8,
    STEP_FLOAT8,
    STEP_TEXT,  /* string or bytes → text */
    STEP_BYTES, /* bytes → bytea */
    STEP_FIXED, /* `count` bytes → bytea or numeric */
    STEP_UUID_TEXT,
    STEP_UUID_BYTES,
    STEP_DATE,
    STEP_TIME, /* `unit` as of scalar_unit */
    STEP_TIMESTAMP,
    STEP_INTERVAL,
    STEP_ENUM,   /* symbols of `resolve` */
    STEP_LATER,  /* an array or jsonb: `resolve`, and `target` for the item of an array */
    STEP_SKIP,   /* `resolve`'s writer … or rather `skip` */
    STEP_UNION,  /* `count` targets from `target` on, in plan->targets */
    STEP_JUMP,   /* to `target` */
    STEP_PRESET, /* reads `bytes` until STEP_PRESET_END */
    STEP_PRESET_END,
    STEP_CHILD, /* items → rows of relation `slot`; the item's steps follow, up to STEP_END;
                   `target` is behind it */
    STEP_FAIL   /* `text` */
};

struct step {
    uint8_t code;
    uint8_t narrow; /* the writer's type is int: its range is checked */
    uint16_t slot;
    int32_t unit;
    uint32_t count;
    uint32_t target;
    const char *path; /* of the field, for errors */
    union {
        const struct resolve *resolve;
        const struct schema *skip;
        const char *bytes; /* `count` of them */
        const char *text;
    };
};

/* The value of a column until the row is written. */
struct slot {
    const unsigned char *data; /* NULL: `inside` holds it */
    int32_t size;              /* -1: NULL */
    const struct step *later;  /* how to render, for columns that are rendered later */
    union {
        unsigned char inside[16];
        uint64_t words[2];
    };
};

enum column_kind { COLUMN_PLAIN, COLUMN_NUMERIC, COLUMN_ARRAY, COLUMN_JSONB, COLUMN_OMITTED };

struct plan_column {
    uint32_t oid_be;
    uint8_t kind;
    uint8_t item_kind; /* COLUMN_ARRAY */
    int16_t scale;     /* of a numeric, also as an item */
    uint32_t item_oid; /* COLUMN_ARRAY */
};

struct plan_relation {
    struct plan_column *columns;
    size_t column_count;
    int omitted; /* nobody reads its rows */
};

enum {
    PLAN_STEPS_MAX = 65536,
    PLAN_BYTES_MAX = 64 << 20 /* of one event */
};

struct plan {
    struct arena arena;
    struct step *steps;
    size_t step_count;
    size_t step_capacity;
    uint32_t *targets;
    size_t target_count;
    size_t target_capacity;
    struct plan_relation relations[RELATIONS_PER_EVENT_MAX];
    size_t relation_count;
};

/* One run of a plan over one event. */
struct run {
    const struct plan *plan;
    const struct plan_record *record;
    struct buf *rows;
    uint32_t *row_counts;
    struct cursor cursor;
    const char *path; /* of the step that failed */
};

/* Runs steps from `at` on until STEP_END into `slots`. Returns 0, or -1 with the reason in the
 * cursor. */
int plan_run(struct run *run, uint32_t at, struct slot *slots);

/* Appends a row of the relation. Returns 0 or -1 as above. */
int plan_write_row(struct run *run, size_t relation, const struct slot *slots);

/* Appends the JSON text of the value at the cursor. Returns 0 or -1 as above. */
int plan_write_json(struct cursor *cursor, const struct resolve *resolve, struct buf *out);

#endif
