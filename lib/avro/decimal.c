/* SPDX-License-Identifier: Apache-2.0
 *
 * The way between base 2³² and base 10⁴, Postgres' digits. Groups of four decimal digits are
 * aligned at the decimal point, so an unscaled integer is first multiplied to a scale that is a
 * multiple of four. */
#include "lib/avro/decimal.h"

#include <stdio.h>

enum {
    LIMBS_MAX = DECIMAL_BYTES_MAX / 4 + 1,
    GROUPS_MAX = 600,
    GROUP_BASE = 10000,
    NUMERIC_NEGATIVE = 0x4000
};

struct groups {
    int negative;
    int count;               /* at least `fraction` + 1 */
    int fraction;            /* groups behind the point */
    uint16_t at[GROUPS_MAX]; /* lowest first */
};

/* limbs = limbs * factor + add. Returns the new count. */
static int multiply(uint32_t *limbs, int count, uint32_t factor, uint32_t add)
{
    uint64_t carry = add;
    for (int i = 0; i < count; i++) {
        carry += (uint64_t)limbs[i] * factor;
        limbs[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry)
        limbs[count++] = (uint32_t)carry;
    return count;
}

/* The magnitude of a two's complement number as limbs, lowest first. Returns their count. */
static int read_limbs(const unsigned char *data, size_t size, int negative, uint32_t *limbs)
{
    int count = (int)((size + 3) / 4);
    uint64_t carry = negative;
    for (int i = 0; i < count; i++) {
        uint32_t limb = 0;
        for (size_t k = 0; k < 4; k++) {
            size_t place = (size_t)i * 4 + k;
            uint32_t byte = place < size ? data[size - 1 - place] : negative ? 0xff : 0;
            limb |= byte << (8 * k);
        }
        carry += negative ? (uint32_t)~limb : limb;
        limbs[i] = (uint32_t)carry;
        carry >>= 32;
    }
    while (count > 0 && limbs[count - 1] == 0)
        count--;
    return count;
}

static int read_groups(const unsigned char *data, size_t size, int scale, struct groups *ret_groups)
{
    static const uint32_t powers[] = {1, 10, 100, 1000};
    uint32_t limbs[LIMBS_MAX + 1];
    if (size > DECIMAL_BYTES_MAX)
        return -1;
    ret_groups->negative = size > 0 && data[0] >= 0x80;
    ret_groups->fraction = (scale + 3) / 4;
    int limb_count = read_limbs(data, size, ret_groups->negative, limbs);
    limb_count = multiply(limbs, limb_count, powers[ret_groups->fraction * 4 - scale], 0);
    int count = 0;
    while (limb_count > 0) {
        uint64_t rest = 0;
        for (int i = limb_count - 1; i >= 0; i--) {
            rest = rest << 32 | limbs[i];
            limbs[i] = (uint32_t)(rest / GROUP_BASE);
            rest %= GROUP_BASE;
        }
        ret_groups->at[count++] = (uint16_t)rest;
        while (limb_count > 0 && limbs[limb_count - 1] == 0)
            limb_count--;
    }
    while (count < ret_groups->fraction + 1)
        ret_groups->at[count++] = 0;
    ret_groups->count = count;
    return 0;
}

int decimal_to_text(const unsigned char *data, size_t size, int scale, struct buf *out)
{
    struct groups groups;
    if (read_groups(data, size, scale, &groups) != 0)
        return -1;
    if (groups.negative)
        buf_put_u8(out, '-');
    for (int i = groups.count - 1; i >= groups.fraction; i--)
        buf_printf(out, i == groups.count - 1 ? "%d" : "%04d", groups.at[i]);
    if (scale > 0)
        buf_put_u8(out, '.');
    for (int i = groups.fraction - 1; i >= 0; i--)
        buf_printf(out, "%04d", groups.at[i]);
    out->size -= (size_t)(groups.fraction * 4 - scale);
    return 0;
}

int decimal_to_numeric(const unsigned char *data, size_t size, int scale, struct buf *out)
{
    struct groups groups;
    if (read_groups(data, size, scale, &groups) != 0)
        return -1;
    int high = groups.count - 1;
    int low = 0;
    while (high >= 0 && groups.at[high] == 0)
        high--;
    while (low <= high && groups.at[low] == 0)
        low++;
    int count = high - low + 1;
    buf_put_be16(out, (uint16_t)count);
    buf_put_be16(out, (uint16_t)(count ? high - groups.fraction : 0));
    buf_put_be16(out, groups.negative ? NUMERIC_NEGATIVE : 0);
    buf_put_be16(out, (uint16_t)scale);
    for (int i = high; i >= low; i--)
        buf_put_be16(out, groups.at[i]);
    return 0;
}

/* Appends the two's complement of a magnitude. Returns NULL or what is wrong. */
static const char *write_bytes(const uint32_t *limbs, int count, int negative, size_t fixed_size,
                               struct buf *out)
{
    unsigned char bytes[DECIMAL_BYTES_MAX + 8]; /* lowest first */
    size_t size = 0;
    uint64_t carry = negative;
    for (int i = 0; i <= count; i++) {
        uint32_t limb = i < count ? limbs[i] : 0;
        carry += negative ? (uint32_t)~limb : limb;
        for (int k = 0; k < 4; k++)
            bytes[size++] = (unsigned char)(carry >> (8 * k));
        carry >>= 32;
    }
    unsigned char sign = negative && count ? 0xff : 0;
    while (size > 1 && bytes[size - 1] == sign && (bytes[size - 2] & 0x80) == (sign & 0x80))
        size--;
    if (fixed_size && size > fixed_size)
        return "does not fit the fixed size";
    for (size_t i = size; i < fixed_size; i++)
        buf_put_u8(out, sign);
    for (size_t i = size; i > 0; i--)
        buf_put_u8(out, bytes[i - 1]);
    return NULL;
}

const char *decimal_from_text(const char *text, size_t size, int precision, int scale,
                              size_t fixed_size, struct buf *out)
{
    uint32_t limbs[LIMBS_MAX + 1];
    int count = 0;
    int whole = 0;     /* digits before the point, leading zeros not counted */
    int fraction = -1; /* digits behind it, -1 before the point was seen */
    int seen = 0;
    size_t at = size > 0 && (text[0] == '-' || text[0] == '+');
    int negative = at && text[0] == '-';
    for (; at < size; at++) {
        if (text[at] == '.' && fraction < 0 && seen) {
            fraction = 0;
            continue;
        }
        if (text[at] < '0' || text[at] > '9')
            return "is no decimal such as \"12.34\"";
        seen = 1;
        if (fraction >= 0)
            fraction++;
        else if (whole > 0 || text[at] != '0')
            whole++;
        if (fraction > scale)
            return "has more digits behind the point than the scale";
        if (whole > precision - scale)
            return "has more digits than the precision";
        count = multiply(limbs, count, 10, (uint32_t)(text[at] - '0'));
    }
    if (!seen || fraction == 0)
        return "is no decimal such as \"12.34\"";
    for (int i = fraction < 0 ? 0 : fraction; i < scale; i++)
        count = multiply(limbs, count, 10, 0);
    return write_bytes(limbs, count, negative, fixed_size, out);
}
