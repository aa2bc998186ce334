/* SPDX-License-Identifier: Apache-2.0
 *
 * Eight bytes at a time while they are ASCII, which nearly all text is; else one character at a
 * time. */
#include "lib/base/utf8.h"

#include <stdint.h>
#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)
#define LOW_BITS UINT64_C(0x0101010101010101)

/* The bytes of the character at `at`, which is not ASCII, or 0 when it is not valid. */
static size_t character_size(const unsigned char *at, size_t rest)
{
    size_t size = at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;
    if (size == 0 || size > rest)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    /* Over-long forms, surrogates, and what lies above U+10FFFF. */
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
        return 0;
    return size;
}

static int check(const void *data, size_t size, int nul)
{
    const unsigned char *at = data;
    const unsigned char *end = at + size;
    while (at < end) {
        uint64_t word;
        if ((size_t)(end - at) >= sizeof word) {
            memcpy(&word, at, sizeof word);
            if (((word | (word - LOW_BITS)) & HIGH_BITS) == 0) {
                at += sizeof word;
                continue;
            }
        }
        if (*at == 0 && !nul)
            return 0;
        size_t step = *at < 0x80 ? 1 : character_size(at, (size_t)(end - at));
        if (step == 0)
            return 0;
        at += step;
    }
    return 1;
}

int utf8_valid(const void *data, size_t size)
{
    return check(data, size, 0);
}

int utf8_encoded(const void *data, size_t size)
{
    return check(data, size, 1);
}

void utf8_mend(char *text, size_t size)
{
    if (utf8_valid(text, size))
        return;
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\0' || text[i] & 0x80)
            text[i] = '?';
}
