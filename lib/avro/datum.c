/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks a resolution over the writer's bytes. The fields of a record come in the writer's order and
 * are put into the reader's once all of them are there. Where in the value the walk is stands in a
 * chain of frames on the C stack, which is only written out when something is wrong. */
#include "lib/avro/datum.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/avro/encode.h"
#include "lib/avro/plan_steps.h"

struct datum_reader {
    struct arena arena;
    const struct schema *schema;
    const struct resolve *resolve;
    const struct resolve *itself; /* of the reader's schema with itself, for JSON */
    struct buf spans;             /* a stack of struct span */
    struct buf scratch;
};

/* Where a field of the reader lies in the output. */
struct span {
    size_t at;
    size_t size;
};

struct frame {
    const struct frame *outer;
    const char *name; /* of a field, or the key of a map; NULL for an item of an array */
    size_t name_size;
    size_t index;
    int key;
};

struct walk {
    struct datum_reader *reader;
    struct cursor cursor;
    struct buf *out;
    size_t out_start;
    const unsigned char *value_start; /* of what was last begun */
    char path[200];
    int failed;
};

static int walk_value(struct walk *walk, const struct resolve *resolve, const struct schema *reader,
                      const struct frame *frame);

/* Writes the path of the frame. Returns its size. */
static size_t put_path(const struct frame *frame, char *path, size_t room)
{
    if (!frame)
        return 0;
    size_t size = put_path(frame->outer, path, room);
    const char *before = frame->key ? "[\"" : size ? "." : "";
    int written = frame->name
                      ? snprintf(path + size, room - size, "%s%.*s%s", before,
                                 (int)frame->name_size, frame->name, frame->key ? "\"]" : "")
                      : snprintf(path + size, room - size, "[%zu]", frame->index);
    size += written > 0 ? (size_t)written : 0;
    return size < room ? size : room - 1;
}

static int walk_integer(struct walk *walk, const struct resolve *resolve)
{
    int64_t value;
    if ((resolve->writer->type == AVRO_INT_TYPE ? cursor_int(&walk->cursor, &value)
                                                : cursor_long(&walk->cursor, &value)) != 0)
        return -1;
    if (resolve->reader->type == AVRO_FLOAT_TYPE)
        encode_float(walk->out, (float)value);
    else if (resolve->reader->type == AVRO_DOUBLE_TYPE)
        encode_double(walk->out, (double)value);
    else
        encode_long(walk->out, value);
    return 0;
}

static int walk_bytes(struct walk *walk, const struct resolve *resolve)
{
    const unsigned char *data;
    size_t size;
    int text =
        resolve->writer->type == AVRO_STRING_TYPE || resolve->reader->type == AVRO_STRING_TYPE;
    if ((text ? cursor_text(&walk->cursor, &data, &size)
              : cursor_bytes(&walk->cursor, &data, &size)) != 0)
        return -1;
    encode_bytes(walk->out, data, size);
    return 0;
}

static int walk_scalar(struct walk *walk, const struct resolve *resolve)
{
    const unsigned char *data;
    size_t size = resolve->writer->fixed_size;
    float single;
    double real;
    int boolean;
    switch (resolve->writer->type) {
    case AVRO_BOOLEAN_TYPE:
        if (cursor_boolean(&walk->cursor, &boolean) != 0)
            return -1;
        buf_put_u8(walk->out, (uint8_t)boolean);
        return 0;
    case AVRO_INT_TYPE:
    case AVRO_LONG_TYPE:
        return walk_integer(walk, resolve);
    case AVRO_FLOAT_TYPE:
        if (cursor_float(&walk->cursor, &single) != 0)
            return -1;
        if (resolve->reader->type == AVRO_FLOAT_TYPE)
            encode_float(walk->out, single);
        else
            encode_double(walk->out, (double)single);
        return 0;
    case AVRO_DOUBLE_TYPE:
        if (cursor_double(&walk->cursor, &real) != 0)
            return -1;
        encode_double(walk->out, real);
        return 0;
    case AVRO_BYTES_TYPE:
    case AVRO_STRING_TYPE:
        return walk_bytes(walk, resolve);
    case AVRO_FIXED_TYPE:
        if (cursor_take(&walk->cursor, size, &data) != 0)
            return -1;
        buf_put(walk->out, data, size);
        return 0;
    default: /* null */
        return 0;
    }
}

static int walk_enum(struct walk *walk, const struct resolve *resolve)
{
    size_t index;
    if (cursor_index(&walk->cursor, resolve->writer->symbol_count, &index) != 0)
        return -1;
    for (size_t i = 0; i < resolve->reader->symbol_count && resolve->symbols[index]; i++) {
        if (strcmp(resolve->reader->symbols[i], resolve->symbols[index]) == 0) {
            encode_long(walk->out, (int64_t)i);
            return 0;
        }
    }
    return cursor_fail(&walk->cursor,
                       "the enum's symbol is not among the reader's, which has no default");
}

/* Puts the fields of a record into the reader's order, unless they are in it. */
static void order_fields(struct walk *walk, const struct span *spans, size_t count, size_t start)
{
    struct buf *scratch = &walk->reader->scratch;
    size_t expected = start;
    size_t i = 0;
    while (i < count && spans[i].at == expected)
        expected += spans[i++].size;
    if (i == count)
        return;
    buf_reset(scratch);
    for (i = 0; i < count; i++)
        buf_put(scratch, walk->out->data + spans[i].at, spans[i].size);
    if (scratch->size > 0)
        memcpy(walk->out->data + start, scratch->data, scratch->size);
}

/* A default is right; but here it may be nested too deeply. */
static int check_preset(struct walk *walk, const struct resolve_preset *preset,
                        const struct schema *type)
{
    struct cursor cursor = {.at = (const unsigned char *)preset->bytes,
                            .end = (const unsigned char *)preset->bytes + preset->size,
                            .items_left = DECODE_ITEMS_MAX,
                            .depth = walk->cursor.depth};
    return cursor_skip(&cursor, type) == 0 ? 0 : cursor_fail(&walk->cursor, cursor.reason);
}

static int walk_record(struct walk *walk, const struct resolve *resolve, const struct frame *outer)
{
    struct buf *stack = &walk->reader->spans;
    size_t base = stack->size;
    size_t start = walk->out->size;
    size_t count = resolve->reader->field_count;
    buf_reserve(stack, count * sizeof(struct span));
    stack->size += count * sizeof(struct span);
    for (size_t i = 0; i < resolve->writer->field_count; i++) {
        const struct resolve_field *field = &resolve->fields[i];
        const char *name = resolve->writer->fields[i].name;
        struct frame frame = {.outer = outer, .name = name, .name_size = strlen(name)};
        struct span span = {.at = walk->out->size};
        if (field->skip) {
            walk->value_start = walk->cursor.at;
            if (cursor_skip(&walk->cursor, field->skip) == 0)
                continue;
            put_path(&frame, walk->path, sizeof walk->path);
            walk->failed = 1;
            return -1;
        }
        if (walk_value(walk, field->value, resolve->reader->fields[field->field].type, &frame) != 0)
            return -1;
        span.size = walk->out->size - span.at;
        memcpy(stack->data + base + field->field * sizeof span, &span, sizeof span);
    }
    for (size_t i = 0; i < resolve->preset_count; i++) {
        const struct resolve_preset *preset = &resolve->presets[i];
        struct span span = {.at = walk->out->size, .size = preset->size};
        if (check_preset(walk, preset, resolve->reader->fields[preset->field].type) != 0)
            return -1;
        buf_put(walk->out, preset->bytes, preset->size);
        memcpy(stack->data + base + preset->field * sizeof span, &span, sizeof span);
    }
    if (count > 0)
        order_fields(walk, (const struct span *)(const void *)(stack->data + base), count, start);
    stack->size = base;
    return 0;
}

static int walk_items(struct walk *walk, const struct resolve *resolve, const struct frame *outer)
{
    struct frame frame = {.outer = outer, .key = resolve->kind == RESOLVE_MAP};
    int64_t count;
    for (;;) {
        walk->value_start = walk->cursor.at;
        if (cursor_block(&walk->cursor, &count) != 0)
            return -1;
        encode_long(walk->out, count);
        if (count == 0)
            return 0;
        for (; count > 0; count--, frame.index++) {
            const unsigned char *key;
            walk->value_start = walk->cursor.at;
            if (frame.key) {
                if (cursor_text(&walk->cursor, &key, &frame.name_size) != 0)
                    return -1;
                frame.name = (const char *)key;
                encode_bytes(walk->out, key, frame.name_size);
            }
            if (walk_value(walk, resolve->items, resolve->reader->items, &frame) != 0)
                return -1;
        }
    }
}

static int walk_by_kind(struct walk *walk, const struct resolve *resolve,
                        const struct schema *reader, const struct frame *frame)
{
    size_t index;
    if (resolve->kind == RESOLVE_FAIL)
        return cursor_fail(&walk->cursor, resolve->reason);
    if (resolve->kind == RESOLVE_UNION) {
        if (cursor_index(&walk->cursor, resolve->writer->branch_count, &index) != 0)
            return -1;
        return walk_by_kind(walk, resolve->branches[index], reader, frame);
    }
    for (size_t i = 0; reader->type == AVRO_UNION_TYPE && i < reader->branch_count; i++)
        if (reader->branches[i] == resolve->reader)
            encode_long(walk->out, (int64_t)i);
    if (resolve->kind == RESOLVE_ENUM)
        return walk_enum(walk, resolve);
    if (resolve->kind == RESOLVE_SCALAR)
        return walk_scalar(walk, resolve);
    if (cursor_enter(&walk->cursor) != 0)
        return -1;
    int result = resolve->kind == RESOLVE_RECORD ? walk_record(walk, resolve, frame)
                                                 : walk_items(walk, resolve, frame);
    cursor_leave(&walk->cursor);
    return result;
}

static int walk_value(struct walk *walk, const struct resolve *resolve, const struct schema *reader,
                      const struct frame *frame)
{
    walk->value_start = walk->cursor.at;
    int result = walk_by_kind(walk, resolve, reader, frame);
    if (result == 0 && walk->out->size - walk->out_start > DATUM_BYTES_MAX)
        result = cursor_fail(&walk->cursor, "the value grows beyond 64 MiB");
    if (result != 0 && !walk->failed) { /* the innermost value is the first to see it */
        put_path(frame, walk->path, sizeof walk->path);
        walk->failed = 1;
    }
    return result;
}

int datum_open(const struct schema *writer, const struct schema *reader,
               struct datum_reader **ret_reader, struct error *error)
{
    struct datum_reader *made = xcalloc(1, sizeof *made);
    made->schema = reader;
    if (resolve_build(&made->arena, writer, reader, &made->resolve, error) != 0 ||
        resolve_build(&made->arena, reader, reader, &made->itself, error) != 0) {
        datum_free(made);
        return -1;
    }
    *ret_reader = made;
    return 0;
}

void datum_free(struct datum_reader *reader)
{
    if (!reader)
        return;
    buf_free(&reader->spans);
    buf_free(&reader->scratch);
    arena_free(&reader->arena);
    free(reader);
}

int datum_read(struct datum_reader *reader, const unsigned char *data, size_t size, size_t origin,
               struct buf *out, size_t *ret_used, struct error *error)
{
    struct walk walk = {.reader = reader,
                        .cursor = {.at = data, .end = data + size, .items_left = DECODE_ITEMS_MAX},
                        .out = out,
                        .out_start = out->size};
    buf_reset(&reader->spans);
    if (walk_value(&walk, reader->resolve, reader->schema, NULL) == 0) {
        *ret_used = (size_t)(walk.cursor.at - data);
        return 0;
    }
    return error_set(error, ERROR_DEAD_LETTER, "avro-invalid", "%s%sbyte %zu: %s", walk.path,
                     *walk.path ? ", " : "", origin + (size_t)(walk.value_start - data),
                     walk.cursor.reason);
}

int datum_plain(struct datum_reader *reader, const void *avro, size_t size, struct buf *out,
                struct error *error)
{
    struct cursor cursor = {.at = avro,
                            .end = (const unsigned char *)avro + size,
                            .items_left = DECODE_ITEMS_MAX * 2, /* with those of defaults */
                            .takes_nul = 1};
    if (plan_write_json(&cursor, reader->itself, out) == 0)
        return 0;
    return error_set(error, ERROR_DEAD_LETTER, "avro-invalid", "as JSON: %s", cursor.reason);
}
