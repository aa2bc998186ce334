/* SPDX-License-Identifier: Apache-2.0
 *
 * What of the cursor is too large to be inline: odd numbers, blocks and skipping. */
#include "lib/avro/decode.h"

const char cursor_nul[] = "a text has U+0000, which Postgres cannot hold";

const char *cursor_text_reason(const unsigned char *data, size_t size, int takes_nul)
{
    if (!utf8_encoded(data, size))
        return "a text is not valid UTF-8";
    return takes_nul || !memchr(data, '\0', size) ? NULL : cursor_nul;
}

static inline int64_t zigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

static struct cursor_number number_by_bytes(const unsigned char *at, const unsigned char *end)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70 && at < end; shift += 7) {
        unsigned char byte = *at++;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return (struct cursor_number){at, zigzag(value)};
    }
    return (struct cursor_number){NULL, 0};
}

const unsigned char *cursor_wrong_number(const unsigned char *at, const unsigned char *end,
                                         const char **ret_reason)
{
    int too_short = end - at < 10;
    *ret_reason = too_short ? "the bytes end inside a number" : "a number is longer than 64 bits";
    return too_short ? end : at + 10;
}

/* The lower seven bits of each of the bytes of a little-endian word, side by side: in pairs, in
 * fours, in eights, the upper one comes down to the lower one. */
static inline uint64_t pack_sevens(uint64_t word)
{
    uint64_t upper;
    word &= UINT64_C(0x7f7f7f7f7f7f7f7f);
    upper = word & UINT64_C(0x7f007f007f007f00);
    word -= upper >> 1;
    upper = word & UINT64_C(0x3fff00003fff0000);
    word += (upper >> 2) - upper;
    upper = word & UINT64_C(0x0fffffff00000000);
    return word + (upper >> 4) - upper;
}

/* Up to eight bytes at once: the first with a clear high bit is the last. Hashes have nine or ten,
 * and the tenth holds one bit. */
struct cursor_number cursor_number(const unsigned char *at, const unsigned char *end)
{
    uint64_t word;
    if (end - at < 10)
        return number_by_bytes(at, end);
    memcpy(&word, at, sizeof word);
    word = le64toh(word);
    uint64_t stop = ~word & UINT64_C(0x8080808080808080);
    uint64_t value = pack_sevens(word & (stop ^ (stop - 1)));
    if (stop != 0)
        return (struct cursor_number){at + (unsigned)__builtin_ctzll(stop) / 8 + 1, zigzag(value)};
    uint64_t tenth = at[8] >> 7; /* as often as not: no branch depends on it alone */
    if (tenth & (at[9] > 1))
        return (struct cursor_number){NULL, 0};
    value |= (uint64_t)(at[8] & 0x7f) << 56 | (tenth & at[9]) << 63;
    return (struct cursor_number){at + 9 + tenth, zigzag(value)};
}

int cursor_block(struct cursor *cursor, int64_t *ret_count)
{
    int64_t count;
    int64_t size;
    size_t small;
    if (cursor_small(cursor, &small))
        count = (int64_t)small;
    else if (cursor_long(cursor, &count) != 0)
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
    if (schema->type == AVRO_UNION_TYPE) {
        if (cursor_index(cursor, schema->branch_count, &index) != 0)
            return -1;
        return cursor_skip(cursor, schema->branches[index]);
    }
    if (!schema_nests(schema))
        return skip_scalar(cursor, schema);
    if (cursor_enter(cursor) != 0)
        return -1;
    int result = schema->type == AVRO_RECORD_TYPE ? skip_record(cursor, schema)
                                                  : skip_collection(cursor, schema);
    cursor_leave(cursor);
    return result;
}
