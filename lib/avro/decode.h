/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading Avro binary with every byte checked. A cursor goes over the bytes of one value; its
 * functions return 0, or -1 with the reason in it, and then it must not be used on. Private to
 * lib/avro and its tests. */
#ifndef WEIR_AVRO_DECODE_H
#define WEIR_AVRO_DECODE_H

#include "lib/avro/schema.h"
#include "lib/base/utf8.h"

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    DECODE_ITEMS_MAX = 100000,           /* elements in all arrays and maps of one event together */
    DECODE_DEPTH_MAX = SCHEMA_DEPTH_MAX, /* records, arrays and maps inside of each other */
    DECODE_INT_BYTES_MAX = 5             /* of an int: 32 bits, seven in a byte */
};

struct cursor {
    const unsigned char *at;
    const unsigned char *end;
    int64_t items_left; /* of DECODE_ITEMS_MAX */
    int depth;
    int takes_nul; /* texts are not for Postgres */
    const char *reason;
};

/* The reason for which a text that Avro allows has no place in Postgres. */
extern const char cursor_nul[];

/* For functions that take the address of a cursor which a loop keeps in registers. */
#define CURSOR_INLINE static inline __attribute__((always_inline))

CURSOR_INLINE int cursor_fail(struct cursor *cursor, const char *reason)
{
    cursor->reason = reason;
    return -1;
}

/* A number and where it ends, NULL when it is wrong. Returned in registers. */
struct cursor_number {
    const unsigned char *end;
    int64_t value;
};

/* A number of several bytes, or a wrong one. */
struct cursor_number cursor_number(const unsigned char *at, const unsigned char *end);

/* Where a wrong number turns out to be wrong, and why. */
const unsigned char *cursor_wrong_number(const unsigned char *at, const unsigned char *end,
                                         const char **ret_reason);

CURSOR_INLINE int cursor_long(struct cursor *cursor, int64_t *ret_value)
{
    if (__builtin_expect(cursor->at < cursor->end && *cursor->at < 0x80, 1)) {
        unsigned byte = *cursor->at++;
        *ret_value = (int64_t)(byte >> 1) ^ -(int64_t)(byte & 1);
        return 0;
    }
    struct cursor_number number = cursor_number(cursor->at, cursor->end);
    if (__builtin_expect(!number.end, 0)) {
        const char *reason;
        cursor->at = cursor_wrong_number(cursor->at, cursor->end, &reason);
        return cursor_fail(cursor, reason);
    }
    cursor->at = number.end;
    *ret_value = number.value;
    return 0;
}

/* Reads a small number without a sign: a size, a count, an index. Returns whether it was one;
 * else nothing is read. */
CURSOR_INLINE int cursor_small(struct cursor *cursor, size_t *ret_value)
{
    if (__builtin_expect(cursor->at >= cursor->end || (*cursor->at & 0x81) != 0, 0))
        return 0;
    *ret_value = *cursor->at++ >> 1;
    return 1;
}

CURSOR_INLINE int cursor_int(struct cursor *cursor, int64_t *ret_value)
{
    const unsigned char *start = cursor->at;
    if (cursor_long(cursor, ret_value) != 0)
        return -1;
    if (cursor->at - start > DECODE_INT_BYTES_MAX)
        return cursor_fail(cursor, "an int is longer than five bytes");
    if (*ret_value < INT32_MIN || *ret_value > INT32_MAX)
        return cursor_fail(cursor, "an int is out of range");
    return 0;
}

/* An index of an enum or union. */
CURSOR_INLINE int cursor_index(struct cursor *cursor, size_t count, size_t *ret_index)
{
    int64_t index;
    if (cursor_small(cursor, ret_index))
        index = (int64_t)*ret_index;
    else if (cursor_int(cursor, &index) != 0)
        return -1;
    if ((uint64_t)index >= count)
        return cursor_fail(cursor, "an index is out of range");
    *ret_index = (size_t)index;
    return 0;
}

CURSOR_INLINE int cursor_take(struct cursor *cursor, size_t size, const unsigned char **ret_data)
{
    if ((size_t)(cursor->end - cursor->at) < size)
        return cursor_fail(cursor, "the bytes end inside a value");
    *ret_data = cursor->at;
    cursor->at += size;
    return 0;
}

CURSOR_INLINE int cursor_bytes(struct cursor *cursor, const unsigned char **ret_data,
                               size_t *ret_size)
{
    int64_t number;
    if (!cursor_small(cursor, ret_size)) {
        if (cursor_long(cursor, &number) != 0)
            return -1;
        if (number < 0)
            return cursor_fail(cursor, "a size is negative");
        *ret_size = (size_t)number;
    }
    if (*ret_size > (size_t)(cursor->end - cursor->at))
        return cursor_fail(cursor, "a size is larger than what is left");
    *ret_data = cursor->at;
    cursor->at += *ret_size;
    return 0;
}

CURSOR_INLINE int cursor_text(struct cursor *cursor, const unsigned char **ret_data,
                              size_t *ret_size)
{
    if (cursor_bytes(cursor, ret_data, ret_size) != 0)
        return -1;
    if (!utf8_encoded(*ret_data, *ret_size))
        return cursor_fail(cursor, "a text is not valid UTF-8");
    return 0;
}

/* Why a text is refused; NULL when it is accepted. */
const char *cursor_text_reason(const unsigned char *data, size_t size, int takes_nul);

CURSOR_INLINE int cursor_boolean(struct cursor *cursor, int *ret_value)
{
    const unsigned char *byte;
    if (cursor_take(cursor, 1, &byte) != 0)
        return -1;
    if (*byte > 1)
        return cursor_fail(cursor, "a boolean is neither 0 nor 1");
    *ret_value = *byte;
    return 0;
}

static inline int cursor_float(struct cursor *cursor, float *ret_value)
{
    const unsigned char *data;
    uint32_t bits;
    if (cursor_take(cursor, sizeof bits, &data) != 0)
        return -1;
    memcpy(&bits, data, sizeof bits);
    bits = le32toh(bits);
    memcpy(ret_value, &bits, sizeof bits);
    return 0;
}

static inline int cursor_double(struct cursor *cursor, double *ret_value)
{
    const unsigned char *data;
    uint64_t bits;
    if (cursor_take(cursor, sizeof bits, &data) != 0)
        return -1;
    memcpy(&bits, data, sizeof bits);
    bits = le64toh(bits);
    memcpy(ret_value, &bits, sizeof bits);
    return 0;
}

/* The head of the next block of an array or map: *ret_count items follow, 0 at the end. */
int cursor_block(struct cursor *cursor, int64_t *ret_count);

/* Passes over one value of the schema, checking it as thoroughly as if it were wanted. */
int cursor_skip(struct cursor *cursor, const struct schema *schema);

/* For what nests. */
static inline int cursor_enter(struct cursor *cursor)
{
    return ++cursor->depth > DECODE_DEPTH_MAX ? cursor_fail(cursor, "values are nested too deeply")
                                              : 0;
}

static inline void cursor_leave(struct cursor *cursor)
{
    cursor->depth--;
}

#endif
