/* SPDX-License-Identifier: Apache-2.0
 *
 * Turns the resolution of (writer, newest) and the shape of the relations into steps. Every path
 * through the steps writes each cell of a row exactly once: a field of the writer does, a default
 * does, and the null of an optional record writes all columns under it. Whether cells come in the
 * order of columns shows while steps are made; a relation where they do not is marked, and the
 * steps are made once more with marks. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "lib/avro/plan_steps.h"
#include "lib/avro/scalar.h"
#include "lib/avro/shape.h"

struct compiler {
    struct plan *plan;
    struct error *error;
    const char *path;
    const struct shape *meta;
    size_t relation;                      /* whose row is being written */
    size_t next[RELATIONS_PER_EVENT_MAX]; /* the column that comes next */
    int out_of_order;                     /* a relation turned out to need marks */
};

enum { OID_OF_ITEM = 0, UUID_SIZE = 16 };

static int compile_value(struct compiler *compiler, const struct resolve *resolve,
                         const struct shape *shape);

/* Appends a step and returns its index. */
static uint32_t add_step(struct compiler *compiler, enum step_code code, size_t slot)
{
    struct plan *plan = compiler->plan;
    if (plan->step_count == plan->step_capacity) {
        plan->step_capacity = plan->step_capacity ? plan->step_capacity * 2 : 64;
        plan->steps = xrealloc(plan->steps, plan->step_capacity * sizeof *plan->steps);
    }
    plan->steps[plan->step_count] =
        (struct step){.code = (uint8_t)code, .slot = (uint16_t)slot, .path = compiler->path};
    return (uint32_t)plan->step_count++;
}

static struct step *last_step(struct compiler *compiler)
{
    return &compiler->plan->steps[compiler->plan->step_count - 1];
}

static uint32_t here(const struct compiler *compiler)
{
    return (uint32_t)compiler->plan->step_count;
}

static uint32_t reserve_targets(struct compiler *compiler, size_t count)
{
    struct plan *plan = compiler->plan;
    size_t first = plan->target_count;
    plan->target_count += count;
    if (plan->target_count > plan->target_capacity) {
        plan->target_capacity = plan->target_count * 2;
        plan->targets = xrealloc(plan->targets, plan->target_capacity * sizeof *plan->targets);
    }
    return (uint32_t)first;
}

static struct plan_relation *relation_of(struct compiler *compiler)
{
    return &compiler->plan->relations[compiler->relation];
}

/* The cells of `count` columns come now. */
static void expect_cells(struct compiler *compiler, size_t column, size_t count)
{
    size_t *next = &compiler->next[compiler->relation];
    struct plan_relation *relation = relation_of(compiler);
    if (*next != column && !relation->marked)
        relation->marked = compiler->out_of_order = 1;
    *next = column + count;
    if (relation->marked) {
        add_step(compiler, STEP_MARK, column);
        last_step(compiler)->count = (uint32_t)count;
    }
}

/* Appends a step that writes a cell, whose size may be known only when it runs. An item of an
 * array, whose shape has no schema, is a cell of no column. */
static struct step *add_cell(struct compiler *compiler, enum step_code code,
                             const struct shape *shape, int32_t size)
{
    uint32_t oid = OID_OF_ITEM;
    if (shape->schema) {
        expect_cells(compiler, shape->column, 1);
        oid = relation_of(compiler)->columns[shape->column].oid;
    }
    add_step(compiler, code, shape->column);
    last_step(compiler)->head = plan_head(oid, size);
    relation_of(compiler)->bound += CELL_BOUND;
    return last_step(compiler);
}

/* Null for all columns under a shape; children have none here. */
static void compile_null(struct compiler *compiler, const struct shape *shape)
{
    if (shape->kind == SHAPE_COLUMN)
        add_cell(compiler, STEP_NULL, shape, -1);
    for (size_t i = 0; shape->kind == SHAPE_RECORD && i < shape->field_count; i++)
        compile_null(compiler, &shape->fields[i]);
}

static enum step_code text_or_bytes_code(const struct resolve *resolve)
{
    const struct schema *reader = resolve->reader;
    int fixed = resolve->writer->type == AVRO_FIXED_TYPE;
    if (reader->logical == LOGICAL_UUID)
        return fixed ? STEP_UUID_BYTES : STEP_UUID_TEXT;
    if (reader->logical == LOGICAL_DURATION)
        return STEP_INTERVAL;
    if (reader->logical == LOGICAL_DECIMAL)
        return STEP_NUMERIC;
    if (fixed)
        return STEP_FIXED;
    /* A text that becomes bytes still has to be one. */
    int text = reader->type == AVRO_STRING_TYPE || resolve->writer->type == AVRO_STRING_TYPE;
    return text ? STEP_TEXT : STEP_BYTES;
}

static enum step_code scalar_code(const struct resolve *resolve)
{
    enum avro_type writer = resolve->writer->type;
    switch (resolve->reader->type) {
    case AVRO_BOOLEAN_TYPE:
        return STEP_BOOL;
    case AVRO_FLOAT_TYPE:
        return writer == AVRO_FLOAT_TYPE ? STEP_FLOAT4 : STEP_INT_FLOAT4;
    case AVRO_DOUBLE_TYPE:
        return writer == AVRO_DOUBLE_TYPE  ? STEP_FLOAT8
               : writer == AVRO_FLOAT_TYPE ? STEP_FLOAT_FLOAT8
                                           : STEP_INT_FLOAT8;
    case AVRO_INT_TYPE:
    case AVRO_LONG_TYPE:
        break;
    default:
        return text_or_bytes_code(resolve);
    }
    switch (relation_scalar_type(resolve->reader)) {
    case SQL_DATE:
        return STEP_DATE;
    case SQL_TIME:
        return STEP_TIME;
    case SQL_TIMESTAMP:
    case SQL_TIMESTAMPTZ:
        return scalar_unit(resolve->reader->logical) == 1 ? STEP_MICROS : STEP_TIMESTAMP;
    default:
        return resolve->reader->type == AVRO_INT_TYPE ? STEP_INT : STEP_LONG;
    }
}

/* Bytes of a cell's value, 0 when that is known only when it is written. */
static int32_t value_size(enum step_code code)
{
    switch (code) {
    case STEP_BOOL:
        return 1;
    case STEP_INT:
    case STEP_INT_FLOAT4:
    case STEP_FLOAT4:
    case STEP_DATE:
        return 4;
    case STEP_LONG:
    case STEP_MICROS:
    case STEP_TIMESTAMP:
    case STEP_TIME:
    case STEP_INT_FLOAT8:
    case STEP_FLOAT_FLOAT8:
    case STEP_FLOAT8:
        return 8;
    case STEP_UUID_TEXT:
        return UUID_SIZE;
    default:
        return 0;
    }
}

static void compile_scalar(struct compiler *compiler, const struct resolve *resolve,
                           const struct shape *shape)
{
    enum step_code code = scalar_code(resolve);
    struct step *step = add_cell(compiler, code, shape, value_size(code));
    step->narrow = resolve->writer->type == AVRO_INT_TYPE;
    step->unit =
        code == STEP_NUMERIC ? resolve->reader->scale : scalar_unit(resolve->reader->logical);
    step->count = (uint32_t)resolve->writer->fixed_size;
}

static void compile_enum(struct compiler *compiler, const struct resolve *resolve,
                         const struct shape *shape)
{
    size_t count = resolve->writer->symbol_count;
    size_t longest = 0;
    struct plan_symbol *symbols = arena_alloc(&compiler->plan->arena, count * sizeof *symbols);
    for (size_t i = 0; i < count; i++) {
        const char *text = resolve->symbols[i];
        symbols[i] = (struct plan_symbol){text, text ? strlen(text) : 0};
        longest = symbols[i].size > longest ? symbols[i].size : longest;
    }
    struct step *step = add_cell(compiler, STEP_ENUM, shape, 0);
    step->symbols = symbols;
    step->count = (uint32_t)count;
    relation_of(compiler)->bound += longest;
}

/* The item's steps stand behind a jump, and are run once per item. */
static int compile_array(struct compiler *compiler, const struct resolve *resolve,
                         const struct shape *shape)
{
    struct shape item = {.kind = SHAPE_COLUMN};
    const struct plan_column *column = &relation_of(compiler)->columns[shape->column];
    add_cell(compiler, STEP_ARRAY, shape, 0)->count = column->item_oid;
    uint32_t array = here(compiler) - 1;
    uint32_t jump = add_step(compiler, STEP_JUMP, 0);
    compiler->plan->steps[array].target = here(compiler);
    if (compile_value(compiler, resolve->items, &item) != 0)
        return -1;
    add_step(compiler, STEP_END, 0);
    compiler->plan->steps[jump].target = here(compiler);
    return 0;
}

/* The value of a column, or the item of an array. */
static int compile_column(struct compiler *compiler, const struct resolve *resolve,
                          const struct shape *shape)
{
    const struct plan_column *column =
        shape->schema ? &relation_of(compiler)->columns[shape->column] : NULL;
    if (column && column->is_jsonb)
        add_cell(compiler, STEP_JSONB, shape, 0)->resolve = resolve;
    else if (column && column->item_oid)
        return compile_array(compiler, resolve, shape);
    else if (resolve->kind == RESOLVE_ENUM)
        compile_enum(compiler, resolve, shape);
    else
        compile_scalar(compiler, resolve, shape);
    return 0;
}

/* Null or one other type, in one column: the commonest union has a step of its own. Returns whether
 * it was one. */
static int is_optional(const struct resolve *resolve, const struct shape *shape)
{
    const struct schema *writer = resolve->writer;
    return writer->branch_count == 2 && shape->kind == SHAPE_COLUMN &&
           (writer->branches[0]->type == AVRO_NULL_TYPE) !=
               (writer->branches[1]->type == AVRO_NULL_TYPE) &&
           resolve->branches[0]->kind != RESOLVE_FAIL && resolve->branches[1]->kind != RESOLVE_FAIL;
}

static int compile_optional(struct compiler *compiler, const struct resolve *resolve,
                            const struct shape *shape)
{
    int null_at = resolve->writer->branches[1]->type == AVRO_NULL_TYPE;
    size_t *next = &compiler->next[compiler->relation];
    size_t before = *next;
    add_cell(compiler, STEP_OPTIONAL, shape, -1)->unit = null_at;
    uint32_t step = here(compiler) - 1;
    *next = before;
    if (compile_value(compiler, resolve->branches[!null_at], shape) != 0)
        return -1;
    compiler->plan->steps[step].target = here(compiler);
    return 0;
}

static int compile_union(struct compiler *compiler, const struct resolve *resolve,
                         const struct shape *shape)
{
    size_t *next = &compiler->next[compiler->relation];
    size_t before = *next;
    size_t end = before;
    size_t count = resolve->writer->branch_count;
    if (is_optional(resolve, shape))
        return compile_optional(compiler, resolve, shape);
    uint32_t targets = reserve_targets(compiler, count);
    uint32_t *jumps = arena_alloc(&compiler->plan->arena, count * sizeof *jumps);
    add_step(compiler, STEP_UNION, 0);
    last_step(compiler)->count = (uint32_t)count;
    last_step(compiler)->target = targets;
    for (size_t i = 0; i < count; i++) {
        compiler->plan->targets[targets + i] = here(compiler);
        *next = before;
        if (compile_value(compiler, resolve->branches[i], shape) != 0)
            return -1;
        end = *next > end ? *next : end; /* a branch that fails writes nothing */
        if (i + 1 < count)               /* the last one goes on by itself */
            jumps[i] = add_step(compiler, STEP_JUMP, 0);
    }
    for (size_t i = 0; i + 1 < count; i++)
        compiler->plan->steps[jumps[i]].target = here(compiler);
    *next = end;
    return 0;
}

static int compile_fields(struct compiler *compiler, const struct resolve *resolve,
                          const struct shape *shape)
{
    const char *outer = compiler->path;
    for (size_t i = 0; i < resolve->writer->field_count; i++) {
        const struct resolve_field *field = &resolve->fields[i];
        compiler->path = arena_printf(&compiler->plan->arena, "%s%s%s", outer, *outer ? "." : "",
                                      resolve->writer->fields[i].name);
        if (field->skip) {
            add_step(compiler, STEP_SKIP, 0);
            last_step(compiler)->skip = field->skip;
        } else if (compile_value(compiler, field->value, &shape->fields[field->field]) != 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < resolve->preset_count; i++) {
        const struct resolve_preset *preset = &resolve->presets[i];
        compiler->path = arena_printf(&compiler->plan->arena, "%s%s%s", outer, *outer ? "." : "",
                                      resolve->reader->fields[preset->field].name);
        uint32_t step = add_step(compiler, STEP_PRESET, 0);
        compiler->plan->steps[step].bytes = preset->bytes;
        compiler->plan->steps[step].count = (uint32_t)preset->size;
        relation_of(compiler)->bound += preset->size;
        if (compile_value(compiler, preset->value, &shape->fields[preset->field]) != 0)
            return -1;
        add_step(compiler, STEP_PRESET_END, 0);
    }
    compiler->path = outer;
    return 0;
}

static int compile_child(struct compiler *compiler, const struct resolve *resolve,
                         const struct shape *shape)
{
    size_t outer = compiler->relation;
    uint32_t step = add_step(compiler, STEP_CHILD, shape->relation);
    compiler->relation = shape->relation;
    compiler->next[shape->relation] = CHILD_COUNT;
    /* The items may be a union of the writer's, of which one branch is the record. */
    struct shape item = *shape;
    item.kind = SHAPE_RECORD;
    if (compile_value(compiler, resolve->items, &item) != 0)
        return -1;
    add_step(compiler, STEP_END, 0);
    compiler->plan->steps[step].target = here(compiler);
    compiler->relation = outer;
    return 0;
}

/* Behind the fields of `meta` come the columns that the record's surroundings bring. */
static int compile_meta(struct compiler *compiler, const struct resolve *resolve,
                        const struct shape *shape)
{
    if (compile_fields(compiler, resolve, shape) != 0)
        return -1;
    expect_cells(compiler, ENVELOPE_KAFKA_TOPIC, ENVELOPE_COUNT - ENVELOPE_KAFKA_TOPIC);
    add_step(compiler, STEP_SURROUNDINGS, 0);
    return 0;
}

static int compile_value(struct compiler *compiler, const struct resolve *resolve,
                         const struct shape *shape)
{
    if (compiler->plan->step_count > PLAN_STEPS_MAX)
        return error_set(compiler->error, ERROR_HALT, "schema-incompatible",
                         "%s: the plan has more than %d steps", compiler->path, PLAN_STEPS_MAX);
    if (resolve->kind == RESOLVE_FAIL) {
        add_step(compiler, STEP_FAIL, 0);
        last_step(compiler)->text = resolve->reason;
        return 0;
    }
    if (resolve->writer->type == AVRO_NULL_TYPE) {
        compile_null(compiler, shape);
        return 0;
    }
    /* A union that stays one in the newest schema is jsonb as a whole; its resolution holds the
     * branches. */
    if (resolve->kind == RESOLVE_UNION)
        return compile_union(compiler, resolve, shape);
    if (shape == compiler->meta)
        return compile_meta(compiler, resolve, shape);
    if (shape->kind == SHAPE_RECORD)
        return compile_fields(compiler, resolve, shape);
    if (shape->kind == SHAPE_CHILD)
        return compile_child(compiler, resolve, shape);
    return compile_column(compiler, resolve, shape);
}

/* Columns as far as steps have to know them. */
static void describe_columns(struct plan *plan, const struct relation_set *set)
{
    plan->relation_count = relation_count(set);
    for (size_t i = 0; i < plan->relation_count; i++) {
        const struct relation *relation = relation_at(set, i);
        struct plan_column *columns =
            arena_alloc(&plan->arena, relation->column_count * sizeof *columns);
        for (size_t k = 0; k < relation->column_count; k++) {
            const struct relation_column *column = &relation->columns[k];
            struct relation_column item = {.type = column->type};
            columns[k].oid = relation_column_oid(column);
            columns[k].item_oid = column->array ? relation_column_oid(&item) : 0;
            columns[k].is_jsonb = column->type == SQL_JSONB && !column->array;
        }
        plan->relations[i] = (struct plan_relation){
            .columns = columns, .column_count = relation->column_count, .bound = ROW_SLACK};
    }
}

static int compile_event(struct compiler *compiler, const struct resolve *resolve,
                         const struct shape *shape)
{
    compiler->plan->step_count = 0;
    compiler->plan->target_count = 0;
    compiler->out_of_order = 0;
    compiler->next[0] = ENVELOPE_EVENT_ID;
    if (compile_value(compiler, resolve, shape) != 0)
        return -1;
    add_step(compiler, STEP_END, 0);
    return 0;
}

int plan_compile(const struct schema *writer, const struct relation_set *set,
                 struct plan **ret_plan, struct error *error)
{
    const struct shape *shape = relation_shape(set);
    const struct resolve *resolve;
    struct plan *plan = xcalloc(1, sizeof *plan);
    struct compiler compiler = {
        .plan = plan, .error = error, .path = "", .meta = &shape->fields[0]};
    describe_columns(plan, set);
    if (resolve_build(&plan->arena, writer, shape->schema, &resolve, error) != 0 ||
        compile_event(&compiler, resolve, shape) != 0 ||
        (compiler.out_of_order && compile_event(&compiler, resolve, shape) != 0)) {
        plan_free(plan);
        return -1;
    }
    *ret_plan = plan;
    return 0;
}

void plan_free(struct plan *plan)
{
    if (!plan)
        return;
    free(plan->steps);
    free(plan->targets);
    arena_free(&plan->arena);
    free(plan);
}
