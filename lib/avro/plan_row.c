/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes a row in the binary form of a composite type, and arrays in theirs: dimensions, whether
 * there are nulls, the item's type, length and lower bound, then the items. */
#include <endian.h>
#include <string.h>

#include "lib/avro/decimal.h"
#include "lib/avro/plan_steps.h"

enum { ROW_INSIDE = 16, JSONB_VERSION = 1 };

static int write_item(struct run *run, const struct plan_column *column, const struct slot *slot,
                      struct buf *out)
{
    size_t start = out->size;
    if (slot->size < 0) {
        buf_put_be32(out, UINT32_MAX);
        return 0;
    }
    buf_put_be32(out, (uint32_t)slot->size);
    if (column->item_kind == COLUMN_PLAIN) {
        buf_put(out, slot->data ? slot->data : slot->inside, (size_t)slot->size);
        return 0;
    }
    if (decimal_to_numeric(slot->data, (size_t)slot->size, column->scale, out) != 0)
        return cursor_fail(&run->cursor, "a decimal is too long");
    buf_set_be32(out, start, (uint32_t)(out->size - start - 4));
    return 0;
}

/* The cursor is on the array already. */
static int write_array(struct run *run, const struct plan_column *column, const struct step *later,
                       struct buf *out)
{
    struct slot slot;
    size_t start = out->size;
    int64_t count;
    uint32_t total = 0;
    uint32_t nulls = 0;
    buf_put_be32(out, 0); /* dimensions */
    buf_put_be32(out, 0); /* flags */
    buf_put_be32(out, column->item_oid);
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
        for (; count > 0; count--) {
            if (plan_run(run, later->target, &slot) != 0 ||
                write_item(run, column, &slot, out) != 0)
                return -1;
            nulls |= slot.size < 0;
        }
    }
    if (total > 0) {
        buf_set_be32(out, start, 1);
        buf_set_be32(out, start + 4, nulls);
        buf_set_be32(out, start + 12, total);
    }
    return 0;
}

/* Writes a column that is rendered rather than copied, behind its oid. */
static int write_rendered(struct run *run, const struct plan_column *column,
                          const struct slot *slot, struct buf *out)
{
    size_t start = out->size;
    buf_put_be32(out, 0);
    if (column->kind == COLUMN_NUMERIC) {
        if (decimal_to_numeric(slot->data, (size_t)slot->size, column->scale, out) != 0)
            return cursor_fail(&run->cursor, "a decimal is too long");
    } else {
        /* Its items were counted when it was passed over. */
        struct cursor outer = run->cursor;
        run->cursor.at = slot->data;
        run->cursor.end = slot->data + slot->size;
        run->cursor.items_left = DECODE_ITEMS_MAX;
        if (column->kind == COLUMN_JSONB)
            buf_put_u8(out, JSONB_VERSION);
        int result = column->kind == COLUMN_JSONB
                         ? plan_write_json(&run->cursor, slot->later->resolve, out)
                         : write_array(run, column, slot->later, out);
        if (result != 0) {
            if (!run->path)
                run->path = slot->later->path;
            return -1;
        }
        run->cursor = outer;
    }
    buf_set_be32(out, start, (uint32_t)(out->size - start - 4));
    return 0;
}

int plan_write_row(struct run *run, size_t relation, const struct slot *slots)
{
    const struct plan_relation *columns = &run->plan->relations[relation];
    struct buf *out = &run->rows[relation];
    size_t start = out->size;
    if (columns->omitted)
        return 0;
    buf_put_be32(out, 0);
    buf_put_be32(out, (uint32_t)columns->column_count);
    for (size_t i = 0; i < columns->column_count; i++) {
        const struct plan_column *column = &columns->columns[i];
        const struct slot *slot = &slots[i];
        uint32_t head[2] = {column->oid_be, htobe32((uint32_t)slot->size)};
        if (column->kind == COLUMN_OMITTED) {
            head[1] = UINT32_MAX;
            buf_put(out, head, sizeof head);
            continue;
        }
        if (column->kind != COLUMN_PLAIN && slot->size >= 0) {
            buf_put(out, head, sizeof head[0]);
            if (write_rendered(run, column, slot, out) != 0)
                return -1;
            continue;
        }
        size_t size = slot->size < 0 ? 0 : (size_t)slot->size;
        char *to = buf_reserve(out, sizeof head + size + ROW_INSIDE);
        memcpy(to, head, sizeof head);
        /* A value inside the slot is copied with its full room, which is cheaper than asking for
         * its size. */
        if (slot->size >= 0 && slot->data)
            memcpy(to + sizeof head, slot->data, size);
        else
            memcpy(to + sizeof head, slot->inside, ROW_INSIDE);
        out->size += sizeof head + size;
    }
    buf_set_be32(out, start, (uint32_t)(out->size - start - 4));
    return 0;
}

void plan_omit_relation(struct plan *plan, size_t relation)
{
    plan->relations[relation].omitted = 1;
}

void plan_omit_column(struct plan *plan, size_t relation, size_t column)
{
    plan->relations[relation].columns[column].kind = COLUMN_OMITTED;
}
