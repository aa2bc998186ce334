/* SPDX-License-Identifier: Apache-2.0
 *
 * The steps that are too large or too rare for the loop of plan_decode.c; rows in the binary form
 * of a composite type, and arrays in theirs: dimensions, whether there are nulls, the item's type,
 * length and lower bound, then the items. */
#include <endian.h>
#include <string.h>

#include "lib/avro/decimal.h"
#include "lib/avro/plan_steps.h"

enum { JSONB_VERSION = 1 };

/* What Postgres' date holds (src/include/datatype/timestamp.h), in its own epoch. */
static const int64_t PG_DATE_MIN = -2451545;
static const int64_t PG_DATE_END = 2145031949;
static const int64_t PG_EPOCH_DAYS = 10957; /* since 1970 */
static const int64_t PG_DAY_US = INT64_C(86400000000);

static void put_cell_word(struct buf *out, uint64_t head, uint64_t value)
{
    buf_reserve(out, CELL_BOUND);
    out->size = (size_t)(put_word(out->data + out->size, head, value) - out->data);
}

static void put_cell_half(struct buf *out, uint64_t head, uint32_t value)
{
    buf_reserve(out, CELL_BOUND);
    out->size = (size_t)(put_half(out->data + out->size, head, value) - out->data);
}

static void put_cell_bytes(struct buf *out, uint64_t head, const void *data, size_t size)
{
    char *to = buf_reserve(out, CELL_HEAD + size);
    char *value = put_head(to, head);
    put_size(to, size);
    if (size > 0)
        memcpy(value, data, size);
    out->size += CELL_HEAD + size;
}

static void put_real4(struct buf *out, uint64_t head, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_cell_half(out, head, bits);
}

static void put_real8(struct buf *out, uint64_t head, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_cell_word(out, head, bits);
}

static int read_integer(struct cursor *cursor, const struct step *step, int64_t *ret_value)
{
    return step->flags & STEP_NARROW ? cursor_int(cursor, ret_value)
                                     : cursor_long(cursor, ret_value);
}

static int step_timestamp(struct cursor *cursor, const struct step *step, struct buf *out)
{
    int64_t value;
    if (read_integer(cursor, step, &value) != 0)
        return -1;
    if (step->unit < 0 && __builtin_mul_overflow(value, -step->unit, &value))
        return cursor_fail(cursor, "a timestamp is out of range");
    if (step->unit > 1)
        value = value / step->unit - (value % step->unit < 0);
    if (plan_timestamp(value, &value) != 0)
        return cursor_fail(cursor, "a timestamp is out of range");
    put_cell_word(out, step->head, (uint64_t)value);
    return 0;
}

static int step_date_or_time(struct cursor *cursor, const struct step *step, struct buf *out)
{
    int64_t value;
    if (read_integer(cursor, step, &value) != 0)
        return -1;
    if (step->code == STEP_TIME) {
        if (value < 0 || value > PG_DAY_US)
            return cursor_fail(cursor, "a time of day is out of range");
        value = step->unit < 0 ? value * -step->unit : value;
        if (value > PG_DAY_US)
            return cursor_fail(cursor, "a time of day is out of range");
        put_cell_word(out, step->head, (uint64_t)value);
        return 0;
    }
    value -= PG_EPOCH_DAYS;
    if (value < PG_DATE_MIN || value >= PG_DATE_END)
        return cursor_fail(cursor, "a date is out of range");
    put_cell_half(out, step->head, (uint32_t)value);
    return 0;
}

/* Months, days and milliseconds, little-endian → microseconds, days, months. */
static int step_interval(struct cursor *cursor, const struct step *step, struct buf *out)
{
    const unsigned char *data;
    uint32_t parts[3];
    if (cursor_take(cursor, sizeof parts, &data) != 0)
        return -1;
    memcpy(parts, data, sizeof parts);
    uint32_t months = le32toh(parts[0]);
    uint32_t days = le32toh(parts[1]);
    if (months > INT32_MAX || days > INT32_MAX)
        return cursor_fail(cursor, "a duration is out of range");
    uint64_t words[2] = {htobe64((uint64_t)le32toh(parts[2]) * 1000),
                         htobe64((uint64_t)days << 32 | months)};
    put_cell_bytes(out, step->head, words, sizeof words);
    return 0;
}

static int step_real(struct cursor *cursor, const struct step *step, struct buf *out)
{
    int64_t value;
    float single;
    double real;
    switch (step->code) {
    case STEP_INT_FLOAT4:
    case STEP_INT_FLOAT8:
        if (read_integer(cursor, step, &value) != 0)
            return -1;
        if (step->code == STEP_INT_FLOAT4)
            put_real4(out, step->head, (float)value);
        else
            put_real8(out, step->head, (double)value);
        return 0;
    case STEP_FLOAT4:
    case STEP_FLOAT_FLOAT8:
        if (cursor_float(cursor, &single) != 0)
            return -1;
        if (step->code == STEP_FLOAT4)
            put_real4(out, step->head, single);
        else
            put_real8(out, step->head, (double)single);
        return 0;
    default:
        if (cursor_double(cursor, &real) != 0)
            return -1;
        put_real8(out, step->head, real);
        return 0;
    }
}

static int step_bytes(struct cursor *cursor, const struct step *step, struct buf *out)
{
    const unsigned char *data;
    size_t size = step->count;
    if ((size > 0 || step->code == STEP_FIXED || step->code == STEP_UUID_BYTES
             ? cursor_take(cursor, size, &data)
             : cursor_bytes(cursor, &data, &size)) != 0)
        return -1;
    size_t start = out->size;
    if (step->code != STEP_NUMERIC) {
        put_cell_bytes(out, step->head, data, size);
        return 0;
    }
    put_cell_bytes(out, step->head, NULL, 0);
    if (decimal_to_numeric(data, size, step->unit, out) != 0)
        return cursor_fail(cursor, "a decimal is too long");
    put_size(out->data + start, out->size - start - CELL_HEAD);
    return 0;
}

/* An item is a cell without its oid. It is written four bytes early, and what its oid overwrites is
 * put back. */
static int run_item(struct run *run, const struct step *step, const struct row *row,
                    uint32_t *nulls)
{
    struct buf *out = row->out;
    uint32_t before;
    uint32_t size;
    buf_reserve(out, row->room);
    out->size -= sizeof before;
    size_t at = out->size;
    memcpy(&before, out->data + at, sizeof before);
    if (plan_run(run, step->target, row) != 0)
        return -1;
    memcpy(out->data + at, &before, sizeof before);
    memcpy(&size, out->data + at + sizeof before, sizeof size);
    *nulls |= size == UINT32_MAX;
    return 0;
}

static int step_array(struct run *run, const struct step *step, const struct row *row)
{
    struct buf *out = row->out;
    size_t start = out->size;
    int64_t count;
    uint32_t total = 0;
    uint32_t nulls = 0;
    put_cell_bytes(out, step->head, NULL, 0);
    buf_put_be32(out, 0); /* dimensions */
    buf_put_be32(out, 0); /* flags */
    buf_put_be32(out, step->count);
    for (;;) {
        if (cursor_block(&run->cursor, &count) != 0)
            return -1;
        if (count == 0)
            break;
        if (total == 0) {
            buf_put_be32(out, 0); /* length */
            buf_put_be32(out, 1); /* lower bound */
        }
        total += (uint32_t)count;
        for (; count > 0; count--)
            if (run_item(run, step, row, &nulls) != 0)
                return -1;
    }
    if (total > 0) {
        buf_set_be32(out, start + CELL_HEAD, 1);
        buf_set_be32(out, start + CELL_HEAD + 4, nulls);
        buf_set_be32(out, start + CELL_HEAD + 12, total);
    }
    put_size(out->data + start, out->size - start - CELL_HEAD);
    return 0;
}

static int step_jsonb(struct run *run, const struct step *step, struct buf *out)
{
    size_t start = out->size;
    char *to = put_head(buf_reserve(out, CELL_BOUND), step->head);
    *to = JSONB_VERSION;
    out->size += CELL_HEAD + 1;
    run->cursor.depth = step->unit;
    if ((step->code == STEP_TEXT_MAP ? plan_write_text_map(&run->cursor, out)
                                     : plan_write_json(&run->cursor, step->resolve, out)) != 0)
        return -1;
    put_size(out->data + start, out->size - start - CELL_HEAD);
    return 0;
}

/* Where to read and write, or a branch that has no place. */
static int run_control(struct run *run, const struct step *step, const struct row *row)
{
    struct cursor *cursor = &run->cursor;
    switch (step->code) {
    case STEP_PRESET:
        run->outer_at = cursor->at;
        run->outer_end = cursor->end;
        cursor->at = (const unsigned char *)step->bytes;
        cursor->end = cursor->at + step->count;
        return 0;
    case STEP_PRESET_END:
        cursor->at = run->outer_at;
        cursor->end = run->outer_end;
        return 0;
    case STEP_MARK:
        row->starts[step->slot] = row->out->size - row->start;
        for (uint32_t i = 1; i < step->count; i++)
            row->starts[step->slot + i] = 0;
        return 0;
    default:
        return cursor_fail(cursor, step->text);
    }
}

static int run_step(struct run *run, const struct step *step, const struct row *row)
{
    struct cursor *cursor = &run->cursor;
    switch (step->code) {
    case STEP_BYTES:
    case STEP_FIXED:
    case STEP_NUMERIC:
    case STEP_UUID_BYTES:
        return step_bytes(cursor, step, row->out);
    case STEP_DATE:
    case STEP_TIME:
        return step_date_or_time(cursor, step, row->out);
    case STEP_TIMESTAMP:
        return step_timestamp(cursor, step, row->out);
    case STEP_INTERVAL:
        return step_interval(cursor, step, row->out);
    case STEP_JSONB:
    case STEP_TEXT_MAP:
        return step_jsonb(run, step, row->out);
    case STEP_ARRAY:
        return step_array(run, step, row);
    case STEP_SKIP:
        cursor->depth = step->unit;
        return cursor_skip(cursor, step->skip);
    case STEP_INT_FLOAT4:
    case STEP_INT_FLOAT8:
    case STEP_FLOAT4:
    case STEP_FLOAT_FLOAT8:
    case STEP_FLOAT8:
        return step_real(cursor, step, row->out);
    default:
        return run_control(run, step, row);
    }
}

int plan_step(struct run *run, const struct step *step, const struct row *row)
{
    size_t size = row->out->size;
    if (run_step(run, step, row) != 0)
        return -1;
    if (step->flags & STEP_OMITTED)
        row->out->size = size;
    buf_reserve(row->out, row->room);
    return 0;
}

static size_t cell_size(const char *cell)
{
    uint32_t size;
    memcpy(&size, cell + 4, sizeof size);
    return CELL_HEAD + (size == UINT32_MAX ? 0 : be32toh(size));
}

/* Writes the cells once more, in order, behind the row, and moves them to their place. */
void plan_order_row(struct run *run, size_t relation, const struct row *row)
{
    struct buf *out = row->out;
    size_t head = row->start + CELL_HEAD;
    size_t size = out->size - head;
    char *to = buf_reserve(out, size);
    const char *cell = out->data + head;
    for (size_t i = 0; i < run->plan->relations[relation].column_count; i++) {
        if (row->starts[i] > 0)
            cell = out->data + row->start + row->starts[i];
        size_t bytes = cell_size(cell);
        memcpy(to, cell, bytes);
        to += bytes;
        cell += bytes;
    }
    memcpy(out->data + head, out->data + out->size, size);
}
