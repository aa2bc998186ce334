/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds the name that somebody probably meant who mistyped it. */
#ifndef WEIR_BASE_NEAREST_H
#define WEIR_BASE_NEAREST_H

#include <stddef.h>

enum { NEAREST_NAME_MAX = 64 }; /* longer names are near nothing */

/* How many letters must be inserted, removed or exchanged to make `b` of `a`, case aside; a value
 * above every plausible mistake when one is too long. */
size_t nearest_distance(const char *a, const char *b);

/* Whether a distance between `a` and another name is small enough to suggest the other. */
int nearest_plausible(const char *a, size_t distance);

#endif
