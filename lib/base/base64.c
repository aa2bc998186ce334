/* SPDX-License-Identifier: Apache-2.0
 *
 * Three bytes are four characters. Only the canonical form is read: full groups, and zero bits
 * before the padding. */
#include "lib/base/base64.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *data, size_t size, struct buf *out)
{
    const unsigned char *at = data;
    for (; size >= 3; at += 3, size -= 3) {
        char group[4] = {letters[at[0] >> 2], letters[(at[0] & 3) << 4 | at[1] >> 4],
                         letters[(at[1] & 15) << 2 | at[2] >> 6], letters[at[2] & 63]};
        buf_put(out, group, sizeof group);
    }
    if (size == 0)
        return;
    unsigned char second = size == 2 ? at[1] : 0;
    char group[4] = {letters[at[0] >> 2], letters[(at[0] & 3) << 4 | second >> 4],
                     size == 2 ? letters[(second & 15) << 2] : '=', '='};
    buf_put(out, group, sizeof group);
}

static int letter_value(char c)
{
    const char *found = c ? strchr(letters, c) : NULL;
    return found ? (int)(found - letters) : -1;
}

int base64_decode(const char *text, size_t size, struct buf *out)
{
    size_t before = out->size;
    if (size % 4 != 0)
        return -1;
    for (size_t i = 0; i < size; i += 4) {
        int padding =
            i + 4 < size ? 0 : (text[i + 3] == '=') + (text[i + 2] == '=' && text[i + 3] == '=');
        int value = 0;
        for (int k = 0; k < 4; k++) {
            int letter = k >= 4 - padding ? 0 : letter_value(text[i + (size_t)k]);
            if (letter < 0) {
                out->size = before;
                return -1;
            }
            value = value << 6 | letter;
        }
        if (value & ((1 << (8 * padding)) - 1)) {
            out->size = before;
            return -1;
        }
        for (int k = 0; k < 3 - padding; k++)
            buf_put_u8(out, (unsigned char)(value >> (16 - 8 * k)));
    }
    return 0;
}
