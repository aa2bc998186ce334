/* SPDX-License-Identifier: Apache-2.0
 *
 * Turns the resolution of (writer, newest) and the shape of the relations into steps. Every path
 * through the steps writes each cell of a row exactly once: a field of the writer does, a default
 * does, and the null of an optional record writes all columns under it. Whether cells come in the
 * order of columns shows while steps are made; a relation where they do not is marked, and the
 * steps are made once more with marks. Of an omitted column all steps are marked as such; its cell
 * is null, and joins what STEP_COPY writes before them. */
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
    int omitting;                         /* what is compiled is not kept */
    uint32_t copy;                        /* STEP_COPY behind which no cell is kept, or NO_STEP */
    int32_t depth;                        /* records, arrays and maps around the value */
};

enum { OID_OF_ITEM = 0, OID_OF_TEXT = 25 };

#define NO_STEP UINT32_MAX

/* The cell of an item that is null: no oid, and the size -1. */
static const char null_item[CELL_HEAD + COPY_SLACK] = {0, 0, 0, 0, -1, -1, -1, -1};

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
    plan->steps[plan->step_count] = (struct step){.code = (uint8_t)code,
                                                  .flags = compiler->omitting ? STEP_OMITTED : 0,
                                                  .slot = (uint16_t)slot,
                                                  .path = compiler->path};
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
        compiler->copy = NO_STEP;
        add_step(compiler, STEP_MARK, column);
        last_step(compiler)->count = (uint32_t)count;
    }
}

/* Appends a step that writes a cell, whose size may be known only when it runs. An item of an
 * array, whose shape has no schema, is a cell of no column, and kept until the array is. */
static struct step *add_cell(struct compiler *compiler, enum step_code code,
                             const struct shape *shape, int32_t size)
{
    uint32_t oid = OID_OF_ITEM;
    if (shape->schema && !compiler->omitting) {
        expect_cells(compiler, shape->column, 1);
        compiler->copy = NO_STEP;
    }
    if (shape->schema)
        oid = relation_of(compiler)->columns[shape->column].oid;
    add_step(compiler, code, shape->column);
    last_step(compiler)->head = plan_head(oid, size);
    if (!shape->schema)
        last_step(compiler)->flags = 0;
    relation_of(compiler)->bound += CELL_BOUND;
    return last_step(compiler);
}

/* Appends the cell of a column that is the same in each row: to the last STEP_COPY, if there is no
 * way that leads between them. */
static void add_same(struct compiler *compiler, size_t column, uint64_t head, const char *value,
                     size_t size)
{
    struct arena *arena = &compiler->plan->arena;
    expect_cells(compiler, column, 1);
    if (compiler->copy == NO_STEP)
        compiler->copy = add_step(compiler, STEP_COPY, column);
    struct step *step = &compiler->plan->steps[compiler->copy];
    char *bytes = arena_alloc(arena, step->count + CELL_HEAD + size + COPY_SLACK);
    memset(bytes, 0, step->count + CELL_HEAD + size + COPY_SLACK);
    if (step->count > 0)
        memcpy(bytes, step->bytes, step->count);
    memcpy(bytes + step->count, &head, CELL_HEAD);
    memcpy(bytes + step->count + CELL_HEAD, value, size);
    step->bytes = bytes;
    step->count += (uint32_t)(CELL_HEAD + size);
    relation_of(compiler)->bound += CELL_HEAD + size;
}

static void add_null(struct compiler *compiler, size_t column)
{
    uint32_t oid = relation_of(compiler)->columns[column].oid;
    add_same(compiler, column, plan_head(oid, -1), "", 0);
}

/* Null for all columns under a shape; children have none here. */
static void compile_null(struct compiler *compiler, const struct shape *shape)
{
    if (shape->kind == SHAPE_COLUMN && !shape->schema) {
        add_cell(compiler, STEP_COPY, shape, -1);
        last_step(compiler)->count = CELL_HEAD;
        last_step(compiler)->bytes = null_item;
    } else if (shape->kind == SHAPE_COLUMN && !compiler->omitting) {
        add_null(compiler, shape->column);
    }
    for (size_t i = 0; shape->kind == SHAPE_RECORD && i < shape->field_count; i++)
        compile_null(compiler, &shape->fields[i]);
}

static void compile_scalar(struct compiler *compiler, const struct resolve *resolve,
                           const struct shape *shape)
{
    enum step_code code = plan_scalar_code(resolve);
    struct step *step = add_cell(compiler, code, shape, plan_value_size(code));
    step->flags |= resolve->writer->type == AVRO_INT_TYPE ? STEP_NARROW : 0;
    step->flags |= resolve->reader->type == AVRO_BYTES_TYPE ? STEP_TAKES_NUL : 0;
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

static void compile_jsonb(struct compiler *compiler, const struct resolve *resolve,
                          const struct shape *shape)
{
    enum step_code code = plan_is_text_map(resolve) ? STEP_TEXT_MAP : STEP_JSONB;
    struct step *step = add_cell(compiler, code, shape, 0);
    step->resolve = resolve;
    step->unit = compiler->depth;
}

/* The value of a column, or the item of an array. */
static int compile_column(struct compiler *compiler, const struct resolve *resolve,
                          const struct shape *shape)
{
    const struct plan_column *column =
        shape->schema ? &relation_of(compiler)->columns[shape->column] : NULL;
    if (column && column->is_jsonb)
        compile_jsonb(compiler, resolve, shape);
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
    return 0; /* a cell was written last: there is no STEP_COPY to go on with */
}

/* Cells that come now are not on the same way as those before. */
static void part_ways(struct compiler *compiler)
{
    if (!compiler->omitting)
        compiler->copy = NO_STEP;
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
    part_ways(compiler);
    add_step(compiler, STEP_UNION, 0);
    last_step(compiler)->count = (uint32_t)count;
    last_step(compiler)->target = targets;
    for (size_t i = 0; i < count; i++) {
        compiler->plan->targets[targets + i] = here(compiler);
        *next = before;
        if (compile_value(compiler, resolve->branches[i], shape) != 0)
            return -1;
        part_ways(compiler);
        end = *next > end ? *next : end; /* a branch that fails writes nothing */
        if (i + 1 < count)               /* the last one goes on by itself */
            jumps[i] = add_step(compiler, STEP_JUMP, 0);
    }
    for (size_t i = 0; i + 1 < count; i++)
        compiler->plan->steps[jumps[i]].target = here(compiler);
    *next = end;
    return 0;
}

/* What the engine needs of `meta` itself stands where it was just written. */
static void compile_envelope(struct compiler *compiler, const struct shape *shape)
{
    int is_id = shape->column == ENVELOPE_EVENT_ID;
    if (!is_id && shape->column != ENVELOPE_FINGERPRINT)
        return;
    add_step(compiler, is_id ? STEP_EVENT_ID : STEP_FINGERPRINT, shape->column);
    int kept = !compiler->plan->relations[0].omitted &&
               !compiler->plan->relations[0].columns[shape->column].omitted;
    last_step(compiler)->unit = !kept   ? CELL_HEAD
                                : is_id ? -(int)sizeof(struct uuid)
                                        : -(int)sizeof(int64_t);
}

static int compile_field(struct compiler *compiler, const struct resolve *resolve,
                         const struct shape *outer, size_t field)
{
    const struct shape *shape = &outer->fields[field];
    if (compile_value(compiler, resolve, shape) != 0)
        return -1;
    if (outer == compiler->meta)
        compile_envelope(compiler, shape);
    return 0;
}

static int compile_fields(struct compiler *compiler, const struct resolve *resolve,
                          const struct shape *shape)
{
    const char *outer = compiler->path;
    compiler->depth++;
    for (size_t i = 0; i < resolve->writer->field_count; i++) {
        const struct resolve_field *field = &resolve->fields[i];
        compiler->path = arena_printf(&compiler->plan->arena, "%s%s%s", outer, *outer ? "." : "",
                                      resolve->writer->fields[i].name);
        if (field->skip) {
            add_step(compiler, STEP_SKIP, 0);
            last_step(compiler)->skip = field->skip;
            last_step(compiler)->unit = compiler->depth;
        } else if (compile_field(compiler, field->value, shape, field->field) != 0) {
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
        if (compile_field(compiler, preset->value, shape, preset->field) != 0)
            return -1;
        add_step(compiler, STEP_PRESET_END, 0);
    }
    compiler->depth--;
    compiler->path = outer;
    return 0;
}

static int compile_child(struct compiler *compiler, const struct resolve *resolve,
                         const struct shape *shape)
{
    size_t outer = compiler->relation;
    int omitting = compiler->omitting;
    uint32_t step = add_step(compiler, STEP_CHILD, shape->relation);
    compiler->relation = shape->relation;
    compiler->next[shape->relation] = CHILD_COUNT;
    compiler->omitting = relation_of(compiler)->omitted;
    compiler->copy = NO_STEP;
    compiler->depth++;
    /* The items may be a union of the writer's, of which one branch is the record. */
    struct shape item = *shape;
    item.kind = SHAPE_RECORD;
    if (compile_value(compiler, resolve->items, &item) != 0)
        return -1;
    add_step(compiler, STEP_END, 0);
    compiler->plan->steps[step].target = here(compiler);
    compiler->depth--;
    compiler->copy = NO_STEP;
    compiler->omitting = omitting;
    compiler->relation = outer;
    return 0;
}

/* Behind the fields of `meta` come the columns that the record's surroundings bring. The topic is
 * the event's. */
static int compile_meta(struct compiler *compiler, const struct resolve *resolve,
                        const struct shape *shape)
{
    static const uint32_t bits[] = {KEEP_PARTITION, KEEP_OFFSET, KEEP_BROKER_TIME};
    const struct plan_column *columns = relation_of(compiler)->columns;
    const char *topic = relation_at(compiler->plan->set, 0)->event->topic;
    if (compile_fields(compiler, resolve, shape) != 0)
        return -1;
    if (compiler->omitting)
        return 0;
    if (columns[ENVELOPE_KAFKA_TOPIC].omitted)
        add_null(compiler, ENVELOPE_KAFKA_TOPIC);
    else
        add_same(compiler, ENVELOPE_KAFKA_TOPIC, plan_head(OID_OF_TEXT, (int32_t)strlen(topic)),
                 topic, strlen(topic));
    expect_cells(compiler, ENVELOPE_KAFKA_PARTITION, ENVELOPE_COUNT - ENVELOPE_KAFKA_PARTITION);
    compiler->copy = NO_STEP;
    add_step(compiler, STEP_SURROUNDINGS, 0);
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
        if (!columns[ENVELOPE_KAFKA_PARTITION + i].omitted)
            last_step(compiler)->count |= bits[i];
    return 0;
}

/* A column that nobody reads. */
static int compile_omitted(struct compiler *compiler, const struct resolve *resolve,
                           const struct shape *shape)
{
    add_null(compiler, shape->column);
    compiler->omitting = 1;
    int result = compile_value(compiler, resolve, shape);
    compiler->omitting = 0;
    return result;
}

static int compile_value(struct compiler *compiler, const struct resolve *resolve,
                         const struct shape *shape)
{
    if (compiler->plan->step_count > PLAN_STEPS_MAX)
        return error_set(compiler->error, ERROR_HALT, "schema-incompatible",
                         "%s: the plan has more than %d steps", compiler->path, PLAN_STEPS_MAX);
    if (shape->kind == SHAPE_COLUMN && shape->schema && !compiler->omitting &&
        relation_of(compiler)->columns[shape->column].omitted)
        return compile_omitted(compiler, resolve, shape);
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

static int compile_event(struct compiler *compiler)
{
    struct plan *plan = compiler->plan;
    plan->step_count = 0;
    plan->target_count = 0;
    for (size_t i = 0; i < plan->relation_count; i++)
        plan->relations[i].bound = ROW_SLACK;
    compiler->out_of_order = 0;
    compiler->copy = NO_STEP;
    compiler->omitting = plan->relations[0].omitted;
    compiler->next[0] = ENVELOPE_EVENT_ID;
    if (compile_value(compiler, plan->resolve, relation_shape(plan->set)) != 0)
        return -1;
    add_step(compiler, STEP_END, 0);
    return 0;
}

int plan_make_steps(struct plan *plan, struct error *error)
{
    const struct shape *shape = relation_shape(plan->set);
    struct compiler compiler = {
        .plan = plan, .error = error, .path = "", .meta = &shape->fields[0]};
    for (size_t i = 0; i < plan->relation_count; i++)
        plan->relations[i].marked = 0;
    if (compile_event(&compiler) != 0)
        return -1;
    return compiler.out_of_order ? compile_event(&compiler) : 0;
}
