/* SPDX-License-Identifier: Apache-2.0
 *
 * What of the cursor is too large to be inline: blocks and skipping. */
#include "lib/avro/decode.h"

int cursor_block(struct cursor *cursor, int64_t *ret_count)
{
    int64_t count;
    int64_t size;
    if (cursor_long(cursor, &count) != 0)
        return -1;
    if (count < 0) {
        if (count == INT64_MIN)
            return cursor_fail(cursor, "a count is out of range");
        if (cursor_long(cursor, &size) != 0)
            return -1;
        if (size < 0 || size > cursor->end - cursor->at)
            return cursor_fail(cursor, "the size of a block is out of range");
        count = -count;
    }
    if (count > cursor->items_left)
        return cursor_fail(cursor, "there are too many items");
    cursor->items_left -= count;
    *ret_count = count;
    return 0;
}

static int skip_collection(struct cursor *cursor, const struct schema *schema)
{
    int64_t count;
    const unsigned char *key;
    size_t size;
    for (;;) {
        if (cursor_block(cursor, &count) != 0)
            return -1;
        if (count == 0)
            return 0;
        for (; count > 0; count--) {
            if (schema->type == AVRO_MAP_TYPE && cursor_text(cursor, &key, &size) != 0)
                return -1;
            if (cursor_skip(cursor, schema->items) != 0)
                return -1;
        }
    }
}

static int skip_record(struct cursor *cursor, const struct schema *schema)
{
    for (size_t i = 0; i < schema->field_count; i++)
        if (cursor_skip(cursor, schema->fields[i].type) != 0)
            return -1;
    return 0;
}

static int skip_scalar(struct cursor *cursor, const struct schema *schema)
{
    const unsigned char *data;
    size_t size;
    int64_t number;
    int boolean;
    switch (schema->type) {
    case AVRO_BOOLEAN_TYPE:
        return cursor_boolean(cursor, &boolean);
    case AVRO_INT_TYPE:
        return cursor_int(cursor, &number);
    case AVRO_LONG_TYPE:
        return cursor_long(cursor, &number);
    case AVRO_FLOAT_TYPE:
        return cursor_take(cursor, sizeof(float), &data);
    case AVRO_DOUBLE_TYPE:
        return cursor_take(cursor, sizeof(double), &data);
    case AVRO_BYTES_TYPE:
        return cursor_bytes(cursor, &data, &size);
    case AVRO_STRING_TYPE:
        return cursor_text(cursor, &data, &size);
    case AVRO_FIXED_TYPE:
        return cursor_take(cursor, schema->fixed_size, &data);
    case AVRO_ENUM_TYPE:
        return cursor_index(cursor, schema->symbol_count, &size);
    default: /* null */
        return 0;
    }
}

int cursor_skip(struct cursor *cursor, const struct schema *schema)
{
    size_t index;
    if (cursor_enter(cursor) != 0)
        return -1;
    int result;
    switch (schema->type) {
    case AVRO_RECORD_TYPE:
        result = skip_record(cursor, schema);
        break;
    case AVRO_ARRAY_TYPE:
    case AVRO_MAP_TYPE:
        result = skip_collection(cursor, schema);
        break;
    case AVRO_UNION_TYPE:
        result = cursor_index(cursor, schema->branch_count, &index);
        if (result == 0)
            result = cursor_skip(cursor, schema->branches[index]);
        break;
    default:
        result = skip_scalar(cursor, schema);
        break;
    }
    cursor_leave(cursor);
    return result;
}
