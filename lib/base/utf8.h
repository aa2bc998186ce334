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

/* Makes such text of any bytes, in place: unless they are that already, NUL and what is not ASCII
 * become '?'. */
void utf8_mend(char *text, size_t size);

/* A set high bit in some byte unless all bytes of the word are ASCII other than NUL. */
static inline uint64_t utf8_suspects(uint64_t word)
{
    return (word | (word - UINT64_C(0x0101010101010101))) & UINT64_C(0x8080808080808080);
}

/* The `size` bytes at `data`, fewer than eight, and spaces instead of those missing, in the order
 * of memory. Put together in a register: storing parts and loading the whole would stall. */
static inline uint64_t utf8_short_word(const unsigned char *data, size_t size)
{
    uint64_t word = UINT64_C(0x2020202020202020) << 8 * size;
    uint32_t first;
    uint32_t last;
    if (size >= 4) {
        memcpy(&first, data, sizeof first);
        memcpy(&last, data + size - 4, sizeof last);
        word |= le32toh(first) | (uint64_t)le32toh(last) << 8 * (size - 4);
    } else if (size > 0) {
        word |= data[0] | (uint64_t)data[size / 2] << 8 * (size / 2) |
                (uint64_t)data[size - 1] << 8 * (size - 1);
    }
    return htole64(word);
}

/* Copies `size` bytes word by word, and returns what `suspects` found in any of them. There is room
 * for eight bytes more at `to`, which may be overwritten. Inlined with `suspects`. */
static inline __attribute__((always_inline)) uint64_t
utf8_copy_words(char *to, const unsigned char *from, size_t size, uint64_t (*suspects)(uint64_t))
{
    uint64_t word;
    if (size < sizeof word) {
        word = utf8_short_word(from, size);
        memcpy(to, &word, sizeof word);
        return suspects(word);
    }
    uint64_t found = 0;
    for (size_t i = 0; i < size - sizeof word; i += sizeof word) {
        memcpy(&word, from + i, sizeof word);
        memcpy(to + i, &word, sizeof word);
        found |= suspects(word);
    }
    memcpy(&word, from + size - sizeof word, sizeof word);
    memcpy(to + size - sizeof word, &word, sizeof word);
    return found | suspects(word);
}

/* Copies text, with room as above, and returns whether it is valid. */
static inline int utf8_copy(char *to, const unsigned char *from, size_t size)
{
    return utf8_copy_words(to, from, size, utf8_suspects) == 0 || utf8_valid(from, size);
}

#endif
