/* SPDX-License-Identifier: Apache-2.0
 *
 * Values that have no place in columns, as JSON text in the plain form of json.h, resolved to the
 * newest schema on the way: fields it lacks are left out, those that only it has bring their
 * defaults. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/avro/decimal.h"
#include "lib/avro/plan_steps.h"
#include "lib/avro/scalar.h"
#include "lib/base/base64.h"

static void put_escaped(struct buf *out, const unsigned char *data, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    buf_put_u8(out, '"');
    size_t done = 0;
    for (size_t i = 0; i < size; i++) {
        if (data[i] >= 0x20 && data[i] != '"' && data[i] != '\\')
            continue;
        buf_put(out, data + done, i - done);
        done = i + 1;
        char escape[6] = {'\\', (char)data[i]};
        if (data[i] < 0x20)
            memcpy(escape, (char[]){'\\', 'u', '0', '0', hex[data[i] >> 4], hex[data[i] & 15]}, 6);
        buf_put(out, escape, data[i] < 0x20 ? 6 : 2);
    }
    buf_put(out, data + done, size - done);
    buf_put_u8(out, '"');
}

/* The bytes that stand for themselves in JSON, without those beyond ASCII. */
static inline utf8_block json_plain(utf8_block block)
{
    return (block >= ' ') & (block != '"') & (block != '\\');
}

enum { PAIRS_ROOM = 256 };              /* made at once; there may be more */
enum { QUOTED_SLACK = UTF8_SLACK + 4 }; /* quotes, a colon and a comma */

/* Copies a text in quotes to where there is room. Returns where it ends, or NULL when the text has
 * to be looked at more closely. */
CURSOR_INLINE char *copy_quoted(char *to, const unsigned char *data, size_t size,
                                const unsigned char *end)
{
    *to++ = '"';
    if (!utf8_copy_plain(to, data, size, (size_t)(end - data), json_plain))
        return NULL;
    to[size] = '"';
    return to + size + 1;
}

/* Reads a text and appends it in quotes. */
static int write_text(struct cursor *cursor, struct buf *out)
{
    const unsigned char *data;
    size_t size;
    if (cursor_bytes(cursor, &data, &size) != 0)
        return -1;
    char *to = copy_quoted(buf_reserve(out, size + QUOTED_SLACK), data, size, cursor->end);
    if (to) {
        out->size = (size_t)(to - out->data);
        return 0;
    }
    const char *reason = cursor_text_reason(data, size, cursor->takes_nul);
    if (reason)
        return cursor_fail(cursor, reason);
    put_escaped(out, data, size);
    return 0;
}

/* A key and a text, a comma before them unless they are the first: what most maps hold. */
CURSOR_INLINE char *copy_pair(struct cursor *in, char *to, const char *room, int first)
{
    const unsigned char *key;
    const unsigned char *value;
    size_t key_size;
    size_t value_size;
    if (cursor_bytes(in, &key, &key_size) != 0 || cursor_bytes(in, &value, &value_size) != 0 ||
        (size_t)(room - to) < key_size + value_size + (size_t)(2 * QUOTED_SLACK))
        return NULL;
    *to = ',';
    to = copy_quoted(to + !first, key, key_size, in->end);
    if (!to)
        return NULL;
    *to++ = ':';
    return copy_quoted(to, value, value_size, in->end);
}

/* The pairs of one block of a map of texts. The place in both is kept in registers; what is not
 * plain or has no room, and what is wrong, is done the long way, which makes room or says why. */
static int write_pairs(struct cursor *cursor, int64_t count, int first, struct buf *out)
{
    struct cursor in = *cursor;
    char *to = buf_reserve(out, PAIRS_ROOM);
    for (; count > 0; count--, first = 0) {
        struct cursor before = in;
        char *end = copy_pair(&in, to, out->data + out->capacity, first);
        if (__builtin_expect(!end, 0)) {
            *cursor = before;
            out->size = (size_t)(to - out->data);
            if (!first)
                buf_put_u8(out, ',');
            if (write_text(cursor, out) != 0)
                return -1;
            buf_put_u8(out, ':');
            if (write_text(cursor, out) != 0)
                return -1;
            in = *cursor;
            end = buf_reserve(out, PAIRS_ROOM);
        }
        to = end;
    }
    *cursor = in;
    out->size = (size_t)(to - out->data);
    return 0;
}

/* The fewest digits that read back as the same value: `single` says that it was one of 32 bits. */
static void put_real(struct buf *out, double value, int single)
{
    char text[40];
    if (isnan(value) || isinf(value)) { /* JSON has no numbers for these */
        buf_put_text(out, isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    for (int digits = single ? 6 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
            break;
    }
    buf_put_text(out, text);
}

static int write_number(struct cursor *cursor, const struct resolve *resolve, struct buf *out)
{
    enum avro_type writer = resolve->writer->type;
    enum avro_type reader = resolve->reader->type;
    char text[SCALAR_TEXT_SIZE];
    int64_t integer;
    float single;
    double real;
    if (writer == AVRO_FLOAT_TYPE) {
        if (cursor_float(cursor, &single) != 0)
            return -1;
        put_real(out, (double)single, reader == AVRO_FLOAT_TYPE);
        return 0;
    }
    if (writer == AVRO_DOUBLE_TYPE) {
        if (cursor_double(cursor, &real) != 0)
            return -1;
        put_real(out, real, 0);
        return 0;
    }
    if ((writer == AVRO_INT_TYPE ? cursor_int(cursor, &integer) : cursor_long(cursor, &integer)) !=
        0)
        return -1;
    if (reader == AVRO_FLOAT_TYPE)
        put_real(out, (double)(float)integer, 1);
    else if (reader == AVRO_DOUBLE_TYPE)
        put_real(out, (double)integer, 0);
    else if (scalar_to_text(resolve->reader, integer, text) > 0)
        buf_printf(out, "\"%s\"", text);
    else
        buf_printf(out, "%lld", (long long)integer);
    return 0;
}

static int write_bytes(struct cursor *cursor, const struct resolve *resolve, struct buf *out)
{
    const struct schema *reader = resolve->reader;
    const unsigned char *data;
    size_t size = resolve->writer->fixed_size;
    uint32_t parts[3];
    struct uuid uuid;
    char uuid_text[UUID_TEXT_SIZE + 1];
    if ((resolve->writer->type == AVRO_FIXED_TYPE ? cursor_take(cursor, size, &data)
                                                  : cursor_bytes(cursor, &data, &size)) != 0)
        return -1;
    int text = reader->type == AVRO_STRING_TYPE || resolve->writer->type == AVRO_STRING_TYPE;
    int takes_nul = cursor->takes_nul || reader->type != AVRO_STRING_TYPE;
    const char *reason = text ? cursor_text_reason(data, size, takes_nul) : NULL;
    if (reason)
        return cursor_fail(cursor, reason);
    if (reader->type == AVRO_STRING_TYPE) {
        put_escaped(out, data, size);
        return 0;
    }
    if (reader->logical == LOGICAL_DURATION) {
        memcpy(parts, data, sizeof parts);
        buf_printf(out, "{\"months\":%u,\"days\":%u,\"millis\":%u}", le32toh(parts[0]),
                   le32toh(parts[1]), le32toh(parts[2]));
        return 0;
    }
    buf_put_u8(out, '"');
    if (reader->logical == LOGICAL_UUID) {
        memcpy(uuid.bytes, data, sizeof uuid.bytes);
        uuid_format(&uuid, uuid_text);
        buf_put(out, uuid_text, UUID_TEXT_SIZE);
    } else if (reader->logical != LOGICAL_DECIMAL) {
        base64_encode(data, size, out);
    } else if (decimal_to_text(data, size, reader->scale, out) != 0) {
        return cursor_fail(cursor, "a decimal is too long");
    }
    buf_put_u8(out, '"');
    return 0;
}

static int write_scalar(struct cursor *cursor, const struct resolve *resolve, struct buf *out)
{
    int boolean;
    switch (resolve->writer->type) {
    case AVRO_NULL_TYPE:
        buf_put_text(out, "null");
        return 0;
    case AVRO_BOOLEAN_TYPE:
        if (cursor_boolean(cursor, &boolean) != 0)
            return -1;
        buf_put_text(out, boolean ? "true" : "false");
        return 0;
    case AVRO_INT_TYPE:
    case AVRO_LONG_TYPE:
    case AVRO_FLOAT_TYPE:
    case AVRO_DOUBLE_TYPE:
        return write_number(cursor, resolve, out);
    case AVRO_STRING_TYPE:
        if (resolve->reader->type == AVRO_BYTES_TYPE)
            return write_bytes(cursor, resolve, out);
        return write_text(cursor, out);
    default:
        return write_bytes(cursor, resolve, out);
    }
}

static void put_name(struct buf *out, const char *name, int *members)
{
    if ((*members)++)
        buf_put_u8(out, ',');
    buf_put_u8(out, '"');
    buf_put_text(out, name);
    buf_put(out, "\":", 2);
}

static int write_record(struct cursor *cursor, const struct resolve *resolve, struct buf *out)
{
    int members = 0;
    buf_put_u8(out, '{');
    for (size_t i = 0; i < resolve->writer->field_count; i++) {
        const struct resolve_field *field = &resolve->fields[i];
        if (field->skip) {
            if (cursor_skip(cursor, field->skip) != 0)
                return -1;
            continue;
        }
        put_name(out, resolve->reader->fields[field->field].name, &members);
        if (plan_write_json(cursor, field->value, out) != 0)
            return -1;
    }
    for (size_t i = 0; i < resolve->preset_count; i++) {
        const struct resolve_preset *preset = &resolve->presets[i];
        struct cursor bytes = {.at = (const unsigned char *)preset->bytes,
                               .end = (const unsigned char *)preset->bytes + preset->size,
                               .items_left = DECODE_ITEMS_MAX,
                               .depth = cursor->depth,
                               .takes_nul = cursor->takes_nul};
        put_name(out, resolve->reader->fields[preset->field].name, &members);
        if (plan_write_json(&bytes, preset->value, out) != 0)
            return cursor_fail(cursor, bytes.reason);
    }
    buf_put_u8(out, '}');
    return 0;
}

static int write_entry(struct cursor *cursor, const struct resolve *value, struct buf *out)
{
    if (write_text(cursor, out) != 0)
        return -1;
    buf_put_u8(out, ':');
    return plan_write_json(cursor, value, out);
}

static int write_items(struct cursor *cursor, const struct resolve *resolve, struct buf *out)
{
    int is_map = resolve->kind == RESOLVE_MAP;
    int first = 1;
    int64_t count;
    buf_put_u8(out, is_map ? '{' : '[');
    for (;;) {
        if (cursor_block(cursor, &count) != 0)
            return -1;
        if (count == 0)
            break;
        for (; count > 0; count--, first = 0) {
            if (!first)
                buf_put_u8(out, ',');
            if ((is_map ? write_entry(cursor, resolve->items, out)
                        : plan_write_json(cursor, resolve->items, out)) != 0)
                return -1;
        }
    }
    buf_put_u8(out, is_map ? '}' : ']');
    return 0;
}

int plan_is_text_map(const struct resolve *resolve)
{
    const struct resolve *items = resolve->items;
    return resolve->kind == RESOLVE_MAP && items->kind == RESOLVE_SCALAR &&
           items->writer->type == AVRO_STRING_TYPE && items->reader->type == AVRO_STRING_TYPE;
}

int plan_write_text_map(struct cursor *cursor, struct buf *out)
{
    int64_t count;
    int first = 1;
    if (cursor_enter(cursor) != 0)
        return -1;
    buf_put_u8(out, '{');
    for (;; first = 0) {
        if (cursor_block(cursor, &count) != 0)
            return -1;
        if (count == 0)
            break;
        if (write_pairs(cursor, count, first, out) != 0)
            return -1;
    }
    buf_put_u8(out, '}');
    cursor_leave(cursor);
    return 0;
}

static int write_by_kind(struct cursor *cursor, const struct resolve *resolve, struct buf *out)
{
    size_t index;
    switch (resolve->kind) {
    case RESOLVE_SCALAR:
        return write_scalar(cursor, resolve, out);
    case RESOLVE_ENUM:
        if (cursor_index(cursor, resolve->writer->symbol_count, &index) != 0)
            return -1;
        if (!resolve->symbols[index])
            return cursor_fail(
                cursor, "the enum's symbol is not in the newest schema, which has no default");
        buf_printf(out, "\"%s\"", resolve->symbols[index]);
        return 0;
    case RESOLVE_RECORD:
        return write_record(cursor, resolve, out);
    case RESOLVE_ARRAY:
    case RESOLVE_MAP:
        return write_items(cursor, resolve, out);
    case RESOLVE_UNION:
        if (cursor_index(cursor, resolve->writer->branch_count, &index) != 0)
            return -1;
        return plan_write_json(cursor, resolve->branches[index], out);
    case RESOLVE_FAIL:
        break;
    }
    return cursor_fail(cursor, resolve->reason);
}

int plan_write_json(struct cursor *cursor, const struct resolve *resolve, struct buf *out)
{
    if (plan_is_text_map(resolve))
        return plan_write_text_map(cursor, out);
    if (!resolve_nests(resolve))
        return write_by_kind(cursor, resolve, out);
    if (cursor_enter(cursor) != 0)
        return -1;
    int result = write_by_kind(cursor, resolve, out);
    cursor_leave(cursor);
    return result;
}
