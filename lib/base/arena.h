/* SPDX-License-Identifier: Apache-2.0
 *
 * An arena: many small allocations with one life. What is allocated is zeroed and stays where it is
 * until the arena is freed as a whole; there is no way to free a piece. Used for trees that are
 * built once (schemas, plans). */
#ifndef WEIR_BASE_ARENA_H
#define WEIR_BASE_ARENA_H

#include <stddef.h>

struct arena {
    struct arena_block *newest;
};

/* `size` zeroed bytes, aligned for any type. Never fails: running out of memory aborts. */
void *arena_alloc(struct arena *arena, size_t size);
char *arena_strdup(struct arena *arena, const char *text);
char *arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Frees everything; the arena is empty and usable afterwards. */
void arena_free(struct arena *arena);

#endif
