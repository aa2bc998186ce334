/* SPDX-License-Identifier: Apache-2.0
 *
 * The Levenshtein distance with one row of memory. */
#include "lib/base/nearest.h"

#include <ctype.h>
#include <string.h>

static int same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t two = a < b ? a : b;
    return two < c ? two : c;
}

size_t nearest_distance(const char *a, const char *b)
{
    size_t row[NEAREST_NAME_MAX + 1];
    size_t a_size = strlen(a);
    size_t b_size = strlen(b);
    if (a_size > NEAREST_NAME_MAX || b_size > NEAREST_NAME_MAX)
        return 2 * NEAREST_NAME_MAX;
    for (size_t j = 0; j <= b_size; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t above = row[j];
            row[j] = least(row[j] + 1, row[j - 1] + 1, diagonal + !same(a[i - 1], b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_size];
}

int nearest_plausible(const char *a, size_t distance)
{
    size_t size = strlen(a);
    return size <= NEAREST_NAME_MAX && distance <= size / 3 + 1;
}
