/* SPDX-License-Identifier: Apache-2.0
 *
 * Text as Postgres holds it: valid UTF-8 (RFC 3629) without NUL. */
#ifndef WEIR_BASE_UTF8_H
#define WEIR_BASE_UTF8_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Whether all `size` bytes are such text. No terminating NUL is needed. */
int utf8_valid(const void *data, size_t size);

/* Whether they are valid UTF-8, of which U+0000 is part. */
int utf8_encoded(const void *data, size_t size);

/* Makes such text of any bytes, in place: unless they are that already, NUL and what is not ASCII
 * become '?'. */
void utf8_mend(char *text, size_t size);

/* Sixteen bytes side by side: vectors of GCC and Clang, which become SSE2, NEON, or plain words. */
typedef int8_t utf8_block __attribute__((vector_size(16)));
typedef uint64_t utf8_halves __attribute__((vector_size(16)));

static inline utf8_block utf8_load(const void *from)
{
    utf8_block block;
    memcpy(&block, from, sizeof block);
    return block;
}

/* A bit for each byte of a comparison's result, the first byte's lowest. */
static inline unsigned utf8_bits(utf8_block compared)
{
#ifdef __SSE2__
    typedef char bytes __attribute__((vector_size(16)));
    return (unsigned)__builtin_ia32_pmovmskb128((bytes)compared);
#else
    const uint64_t each = UINT64_C(0x0101010101010101);
    const uint64_t gather = UINT64_C(0x0102040810204080);
    utf8_halves halves = (utf8_halves)compared;
    return (unsigned)(((le64toh(halves[0]) & each) * gather) >> 56 |
                      ((le64toh(halves[1]) & each) * gather) >> 56 << 8);
#endif
}

/* The bytes that stand for themselves: ASCII other than NUL. */
static inline utf8_block utf8_plain(utf8_block block)
{
    return block > 0;
}

/* Copies up to 15 bytes that have no others behind them, put together in registers: storing parts
 * and loading the whole would stall. Returns all of them, some twice, some as spaces. */
static inline utf8_block utf8_copy_last(char *to, const unsigned char *from, size_t size)
{
    const uint64_t spaces = UINT64_C(0x2020202020202020);
    uint64_t words[2] = {spaces, spaces};
    uint32_t parts[2];
    if (size >= sizeof words[0]) {
        memcpy(&words[0], from, sizeof words[0]);
        memcpy(&words[1], from + size - sizeof words[1], sizeof words[1]);
        memcpy(to + size - sizeof words[1], &words[1], sizeof words[1]);
    } else if (size >= sizeof parts[0]) {
        memcpy(&parts[0], from, sizeof parts[0]);
        memcpy(&parts[1], from + size - sizeof parts[1], sizeof parts[1]);
        words[0] = htole64(le32toh(parts[0]) | (uint64_t)le32toh(parts[1]) << 8 * (size - 4) |
                           spaces << 8 * size);
    } else if (size > 0) {
        words[0] = htole64(from[0] | (uint64_t)from[size / 2] << 8 * (size / 2) |
                           (uint64_t)from[size - 1] << 8 * (size - 1) | spaces << 8 * size);
    }
    memcpy(to, &words[0], sizeof words[0]);
    return (utf8_block)(utf8_halves){words[0], words[1]};
}

enum { UTF8_SLACK = 16 };

/* Copies `size` bytes, behind which `left` - `size` others can be read, and returns whether all of
 * them are `plain`. There is room for UTF8_SLACK bytes more at `to`, which may be overwritten.
 * Inlined with `plain`. */
static inline __attribute__((always_inline)) int utf8_copy_plain(char *to,
                                                                 const unsigned char *from,
                                                                 size_t size, size_t left,
                                                                 utf8_block (*plain)(utf8_block))
{
    const unsigned all = 0xffff;
    utf8_block block;
    if (size <= sizeof block) {
        if (left < sizeof block)
            return utf8_bits(plain(utf8_copy_last(to, from, size))) == all;
        block = utf8_load(from);
        memcpy(to, &block, sizeof block);
        return (~utf8_bits(plain(block)) << (sizeof block - size) & all) == 0;
    }
    block = utf8_load(from + size - sizeof block);
    memcpy(to + size - sizeof block, &block, sizeof block);
    utf8_block found = plain(block);
    for (size_t i = 0; i < size - sizeof block; i += sizeof block) {
        block = utf8_load(from + i);
        memcpy(to + i, &block, sizeof block);
        found &= plain(block);
    }
    return utf8_bits(found) == all;
}

/* Copies text, with room as above, and returns whether it is valid. */
static inline int utf8_copy(char *to, const unsigned char *from, size_t size, size_t left)
{
    return utf8_copy_plain(to, from, size, left, utf8_plain) || utf8_valid(from, size);
}

#endif
