/* SPDX-License-Identifier: Apache-2.0
 *
 * Turns the resolution of (writer, newest) and the shape of the relations into steps. Every path
 * through the steps sets each slot of a row exactly once: a field of the writer does, a default
 * does, and the null of an optional record sets all columns under it. */
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
    size_t relation; /* whose slots are being filled */
};

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

/* The columns under a shape, which lie side by side except for those of `meta`; children have none
 * here. */
static void columns_of(const struct shape *shape, size_t *first, size_t *end)
{
    if (shape->kind == SHAPE_COLUMN) {
        *first = shape->column < *first ? shape->column : *first;
        *end = shape->column >= *end ? shape->column + 1 : *end;
    }
    for (size_t i = 0; shape->kind == SHAPE_RECORD && i < shape->field_count; i++)
        columns_of(&shape->fields[i], first, end);
}

static void compile_null(struct compiler *compiler, const struct shape *shape)
{
    size_t first = SIZE_MAX;
    size_t end = 0;
    columns_of(shape, &first, &end);
    if (end == 0)
        return;
    add_step(compiler, STEP_NULL, first);
    last_step(compiler)->count = (uint32_t)(end - first);
}

static enum step_code text_or_bytes_code(const struct resolve *resolve)
{
    const struct schema *reader = resolve->reader;
    int fixed = resolve->writer->type == AVRO_FIXED_TYPE;
    if (reader->logical == LOGICAL_UUID)
        return fixed ? STEP_UUID_BYTES : STEP_UUID_TEXT;
    if (reader->logical == LOGICAL_DURATION)
        return STEP_INTERVAL;
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
        return STEP_TIMESTAMP;
    default:
        return resolve->reader->type == AVRO_INT_TYPE ? STEP_INT : STEP_LONG;
    }
}

static void compile_scalar(struct compiler *compiler, const struct resolve *resolve, size_t slot)
{
    add_step(compiler, scalar_code(resolve), slot);
    struct step *step = last_step(compiler);
    step->narrow = resolve->writer->type == AVRO_INT_TYPE;
    step->unit = scalar_unit(resolve->reader->logical);
    step->count = (uint32_t)resolve->writer->fixed_size;
    step->resolve = resolve;
}

/* The value of an array or jsonb column, or the item of an array. */
static int compile_column(struct compiler *compiler, const struct resolve *resolve,
                          const struct shape *shape, enum column_kind kind)
{
    if (kind == COLUMN_JSONB || kind == COLUMN_ARRAY) {
        uint32_t later = add_step(compiler, STEP_LATER, shape->column);
        compiler->plan->steps[later].resolve = resolve;
        if (kind == COLUMN_JSONB)
            return 0;
        /* The item's steps stand behind a jump, and are run once per item when the row is written.
         */
        struct shape item = {.kind = SHAPE_COLUMN};
        uint32_t jump = add_step(compiler, STEP_JUMP, 0);
        compiler->plan->steps[later].target = here(compiler);
        if (compile_value(compiler, resolve->items, &item) != 0)
            return -1;
        add_step(compiler, STEP_END, 0);
        compiler->plan->steps[jump].target = here(compiler);
        return 0;
    }
    if (resolve->kind == RESOLVE_ENUM) {
        add_step(compiler, STEP_ENUM, shape->column);
        last_step(compiler)->resolve = resolve;
        last_step(compiler)->count = (uint32_t)resolve->writer->symbol_count;
        return 0;
    }
    compile_scalar(compiler, resolve, shape->column);
    return 0;
}

static int compile_union(struct compiler *compiler, const struct resolve *resolve,
                         const struct shape *shape)
{
    size_t count = resolve->writer->branch_count;
    uint32_t targets = reserve_targets(compiler, count);
    uint32_t *jumps = arena_alloc(&compiler->plan->arena, count * sizeof *jumps);
    add_step(compiler, STEP_UNION, 0);
    last_step(compiler)->count = (uint32_t)count;
    last_step(compiler)->target = targets;
    for (size_t i = 0; i < count; i++) {
        compiler->plan->targets[targets + i] = here(compiler);
        if (compile_value(compiler, resolve->branches[i], shape) != 0)
            return -1;
        if (i + 1 < count) /* the last one goes on by itself */
            jumps[i] = add_step(compiler, STEP_JUMP, 0);
    }
    for (size_t i = 0; i + 1 < count; i++)
        compiler->plan->steps[jumps[i]].target = here(compiler);
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
    if (compile_fields(compiler, resolve->items, shape) != 0)
        return -1;
    add_step(compiler, STEP_END, 0);
    compiler->plan->steps[step].target = here(compiler);
    compiler->relation = outer;
    return 0;
}

/* How a column is written; an item of an array is COLUMN_PLAIN or COLUMN_NUMERIC by its own slot.
 */
static enum column_kind kind_of(const struct compiler *compiler, const struct resolve *resolve,
                                const struct shape *shape)
{
    if (!shape->schema) /* an item */
        return resolve->reader->logical == LOGICAL_DECIMAL ? COLUMN_NUMERIC : COLUMN_PLAIN;
    return compiler->plan->relations[shape->relation].columns[shape->column].kind;
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
    if (shape->kind == SHAPE_RECORD)
        return compile_fields(compiler, resolve, shape);
    if (shape->kind == SHAPE_CHILD)
        return compile_child(compiler, resolve, shape);
    return compile_column(compiler, resolve, shape, kind_of(compiler, resolve, shape));
}

/* How each column of a relation is written, from its SQL type. */
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
            enum column_kind kind = column->type == SQL_JSONB     ? COLUMN_JSONB
                                    : column->type == SQL_NUMERIC ? COLUMN_NUMERIC
                                                                  : COLUMN_PLAIN;
            columns[k].oid_be = htobe32(relation_column_oid(column));
            columns[k].item_oid = relation_column_oid(&item);
            columns[k].kind = (uint8_t)(column->array ? COLUMN_ARRAY : kind);
            columns[k].item_kind = (uint8_t)kind;
        }
        plan->relations[i] =
            (struct plan_relation){.columns = columns, .column_count = relation->column_count};
    }
}

/* The scale of numerics stands in the newest schema. */
static void describe_scales(struct plan *plan, const struct shape *shape)
{
    const struct schema *schema = shape->schema;
    if (shape->kind == SHAPE_COLUMN) {
        if (schema->type == AVRO_ARRAY_TYPE)
            schema =
                schema_optional(schema->items) ? schema_optional(schema->items) : schema->items;
        plan->relations[shape->relation].columns[shape->column].scale = (int16_t)schema->scale;
    }
    for (size_t i = 0; i < shape->field_count; i++)
        describe_scales(plan, &shape->fields[i]);
}

int plan_compile(const struct schema *writer, const struct relation_set *set,
                 struct plan **ret_plan, struct error *error)
{
    const struct shape *shape = relation_shape(set);
    const struct resolve *resolve;
    struct plan *plan = xcalloc(1, sizeof *plan);
    struct compiler compiler = {.plan = plan, .error = error, .path = ""};
    describe_columns(plan, set);
    describe_scales(plan, shape);
    if (resolve_build(&plan->arena, writer, shape->schema, &resolve, error) != 0 ||
        compile_value(&compiler, resolve, shape) != 0) {
        plan_free(plan);
        return -1;
    }
    add_step(&compiler, STEP_END, 0);
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
