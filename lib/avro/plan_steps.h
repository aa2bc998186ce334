/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to lib/avro: a compiled plan. plan_compile.c makes it, plan_decode.c runs its steps,
 * plan_row.c has the steps that are too large or too rare for that loop, and finishes rows.
 *
 * A run reads the writer's fields in their order, and each step appends the cell of its column to
 * the row: type oid, size, value. That is mostly the order of columns, because fields are added at
 * the end. Otherwise the compiler puts STEP_MARKs between the cells, which say where each one
 * starts, and the cells are put in order when the row is complete.
 *
 * The same steps read and check an unused value, but the next cell overwrites what they wrote.
 * Its column's cell is null, made when the plan is compiled, together with those beside it. */
#ifndef WEIR_AVRO_PLAN_STEPS_H
#define WEIR_AVRO_PLAN_STEPS_H

#include "lib/avro/decode.h"
#include "lib/avro/plan.h"
#include "lib/avro/resolve.h"
#include "lib/base/timestamp.h"

enum step_code {
    STEP_END,  /* of the program, of a child's row, of an array's item */
    STEP_COPY, /* cells that are the same in each row: `count` bytes, with COPY_SLACK more behind
                  them */
    STEP_BOOL,
    STEP_INT,    /* int → int4 */
    STEP_LONG,   /* int or long → int8 */
    STEP_MICROS, /* a timestamp in microseconds */
    STEP_TEXT,   /* string or bytes → text */
    STEP_UUID_TEXT,
    STEP_ENUM,     /* `symbols`, `count` of them */
    STEP_OPTIONAL, /* null or one more type: at index `unit` the cell is null, and it goes on at
                      `target` */
    STEP_UNION,    /* `count` targets from `target` on, in plan->targets */
    STEP_JUMP,     /* to `target` */
    STEP_EVENT_ID, /* is the value written last, `unit` bytes from here; so is: */
    STEP_FINGERPRINT,
    STEP_SURROUNDINGS, /* partition, offset, and the broker's time: those of them whose bit is set
                          in `count`, null for the others */
    /* What plan_step does. */
    STEP_PRESET, /* reads `bytes` until STEP_PRESET_END */
    STEP_PRESET_END,
    STEP_MARK, /* the cell of column `slot` comes, and those of the `count` - 1 columns behind it */
    STEP_FAIL, /* `text` */
    STEP_INT_FLOAT4, /* int or long → float4 */
    STEP_INT_FLOAT8,
    STEP_FLOAT4,
    STEP_FLOAT_FLOAT8,
    STEP_FLOAT8,
    STEP_BYTES,   /* bytes → bytea */
    STEP_FIXED,   /* `count` bytes → bytea */
    STEP_NUMERIC, /* bytes, or `count` bytes when that is not 0 → numeric of scale `unit` */
    STEP_UUID_BYTES,
    STEP_DATE,
    STEP_TIME, /* `unit` as of scalar_unit */
    STEP_TIMESTAMP,
    STEP_INTERVAL,
    STEP_JSONB,    /* `resolve`, inside of `unit` records, arrays and maps */
    STEP_TEXT_MAP, /* the same, of a map of texts */
    STEP_ARRAY,    /* of items of type `count`, whose steps are at `target` */
    STEP_SKIP,     /* a value of `skip`, inside of `unit` others */
    STEP_CHILD     /* items → rows of relation `slot`; the item's steps follow, up to STEP_END;
                      `target` is behind it */
};

/* A symbol of an enum as text; NULL when the newest schema has no place for it. */
struct plan_symbol {
    const char *text;
    size_t size;
};

enum {
    STEP_NARROW = 1,    /* the writer's type is int: its range is checked */
    STEP_OMITTED = 2,   /* what it writes is not kept */
    STEP_TAKES_NUL = 4, /* a text becomes bytes */
    KEEP_PARTITION = 1,
    KEEP_OFFSET = 2,
    KEEP_BROKER_TIME = 4
};

struct step {
    uint8_t code;
    uint8_t flags;
    uint16_t slot;
    int32_t unit;
    uint32_t count;
    uint32_t target;
    uint64_t head;    /* what the cell starts with: oid and size as they stand in the row */
    const char *path; /* of the field, for errors */
    union {
        const struct resolve *resolve;
        const struct schema *skip;
        const struct plan_symbol *symbols;
        const char *bytes; /* `count` of them */
        const char *text;
    };
};

struct plan_column {
    uint32_t oid;
    uint32_t item_oid; /* of an array, else 0 */
    int is_jsonb;
    int omitted; /* nobody reads it */
};

struct plan_relation {
    struct plan_column *columns;
    size_t column_count;
    size_t bound; /* bytes of a row at most, without what is copied from the event, and without
                     cells that make room for themselves: arrays, numerics, jsonb */
    int omitted;  /* nobody reads its rows */
    int marked;   /* cells come in another order than columns */
};

enum {
    PLAN_STEPS_MAX = 65536,
    PLAN_BYTES_MAX = 64 << 20, /* of one event */
    CELL_HEAD = 8,
    CELL_BOUND = 24, /* of a cell of fixed size */
    COPY_SLACK = 16,
    ROW_SLACK = 256, /* for what every row has, and for copies in whole blocks */
};

struct plan {
    struct arena arena;
    const struct relation_set *set;
    const struct resolve *resolve;
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
    struct plan_envelope *envelope;
    struct cursor cursor;
    const unsigned char *outer_at; /* while `cursor` is on a default */
    const unsigned char *outer_end;
    const char *path; /* of the step that failed */
};

/* A row being written at the end of `out`. */
struct row {
    struct buf *out;
    size_t start;
    size_t room;    /* kept free behind what is written: enough for all steps of the row */
    size_t *starts; /* of each column's cell, from `start`; 0 when it follows the column before it.
                       NULL when the relation is not marked */
};

static inline uint64_t plan_head(uint32_t oid, int32_t size)
{
    uint32_t words[2] = {htobe32(oid), htobe32((uint32_t)size)};
    uint64_t head;
    memcpy(&head, words, sizeof head);
    return head;
}

/* Microseconds since 1970 → since 2000, as far as Postgres' timestamps go
 * (src/include/datatype/timestamp.h). Returns 0 or -1. */
static inline int plan_timestamp(int64_t us, int64_t *ret_value)
{
    return __builtin_sub_overflow(us, POSTGRES_EPOCH_US, ret_value) ||
                   *ret_value < INT64_C(-211813488000000000) ||
                   *ret_value >= INT64_C(9223371331200000000)
               ? -1
               : 0;
}

/* Writers of cells. The room is there; each returns where the next cell goes. */
static inline char *put_head(char *to, uint64_t head)
{
    memcpy(to, &head, sizeof head);
    return to + CELL_HEAD;
}

static inline char *put_word(char *to, uint64_t head, uint64_t value)
{
    value = htobe64(value);
    memcpy(put_head(to, head), &value, sizeof value);
    return to + CELL_HEAD + sizeof value;
}

static inline char *put_half(char *to, uint64_t head, uint32_t value)
{
    value = htobe32(value);
    memcpy(put_head(to, head), &value, sizeof value);
    return to + CELL_HEAD + sizeof value;
}

static inline void put_size(char *cell, size_t size)
{
    uint32_t value = htobe32((uint32_t)size);
    memcpy(cell + 4, &value, sizeof value);
}

/* Makes the steps, again if there are some, without what is left out now. */
int plan_make_steps(struct plan *plan, struct error *error);

/* The step that reads a scalar and writes its cell; and the bytes of the cell's value, 0 when that
 * is known only when it is written. */
enum step_code plan_scalar_code(const struct resolve *resolve);
int32_t plan_value_size(enum step_code code);

/* Runs steps from `at` on until STEP_END. Returns 0, or -1 with the reason in the cursor. */
int plan_run(struct run *run, uint32_t at, const struct row *row);

/* One step of those that plan_run does not do itself, STEP_CHILD apart. Keeps the row's room. */
int plan_step(struct run *run, const struct step *step, const struct row *row);

/* Opens a row of the relation with room for it; `starts` has RELATION_COLUMNS_MAX elements. */
static inline struct row plan_open_row(struct run *run, size_t relation, size_t *starts)
{
    const struct plan_relation *columns = &run->plan->relations[relation];
    struct buf *out = &run->rows[relation];
    struct row row = {.out = out,
                      .start = out->size,
                      .room = columns->bound + run->record->avro_size,
                      .starts = columns->marked ? starts : NULL};
    uint32_t head[2] = {0, htobe32((uint32_t)columns->column_count)};
    memcpy(buf_reserve(out, row.room), head, sizeof head);
    if (row.starts) { /* the two columns that every row starts with are written at once */
        row.starts[0] = sizeof head;
        row.starts[1] = 0;
    }
    return row;
}

/* Puts the cells in the order of columns. */
void plan_order_row(struct run *run, size_t relation, const struct row *row);

/* Puts the cells in order, sets the row's size, and counts it; or drops it, as nobody reads it. */
static inline void plan_close_row(struct run *run, size_t relation, const struct row *row)
{
    if (run->plan->relations[relation].omitted) {
        row->out->size = row->start;
        return;
    }
    if (row->starts)
        plan_order_row(run, relation, row);
    buf_set_be32(row->out, row->start, (uint32_t)(row->out->size - row->start - 4));
    run->row_counts[relation]++;
}

/* Appends the JSON text of the value at the cursor. Returns 0 or -1 as above. */
int plan_write_json(struct cursor *cursor, const struct resolve *resolve, struct buf *out);

/* Whether a value is a map of texts, and the same for such a map. */
int plan_is_text_map(const struct resolve *resolve);
int plan_write_text_map(struct cursor *cursor, struct buf *out);

#endif
