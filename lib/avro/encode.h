/* SPDX-License-Identifier: Apache-2.0
 *
 * Avro's binary primitives, appended to a buffer. Private to lib/avro and its tests. */
#ifndef WEIR_AVRO_ENCODE_H
#define WEIR_AVRO_ENCODE_H

#include "lib/base/buf.h"

/* Zigzag and variable length: at most ten bytes. Used for int, long, sizes, counts and indexes. */
static inline void encode_long(struct buf *out, int64_t value)
{
    uint64_t rest = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    unsigned char *to = (unsigned char *)buf_reserve(out, 10);
    size_t size = 0;
    for (; rest > 0x7f; rest >>= 7)
        to[size++] = (unsigned char)(rest | 0x80);
    to[size++] = (unsigned char)rest;
    out->size += size;
}

static inline void encode_float(struct buf *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits = htole32(bits);
    buf_put(out, &bits, sizeof bits);
}

static inline void encode_double(struct buf *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits = htole64(bits);
    buf_put(out, &bits, sizeof bits);
}

static inline void encode_bytes(struct buf *out, const void *data, size_t size)
{
    encode_long(out, (int64_t)size);
    buf_put(out, data, size);
}

#endif
