/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks form a list, the newest first; a piece is cut from the newest block or starts a new one. A
 * piece larger than a block gets a block of its own. */
#include "lib/base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"

enum { ARENA_BLOCK_SIZE = 16 * 1024 - 64, ARENA_ALIGNMENT = 16 };

struct arena_block {
    struct arena_block *older;
    size_t used;
    size_t size;
    _Alignas(ARENA_ALIGNMENT) char data[];
};

void *arena_alloc(struct arena *arena, size_t size)
{
    size = (size + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    struct arena_block *block = arena->newest;
    if (!block || block->size - block->used < size) {
        size_t room = size > ARENA_BLOCK_SIZE ? size : ARENA_BLOCK_SIZE;
        block = xcalloc(1, sizeof *block + room);
        block->size = room;
        block->older = arena->newest;
        arena->newest = block;
    }
    void *piece = block->data + block->used;
    block->used += size;
    return piece;
}

char *arena_strdup(struct arena *arena, const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(arena_alloc(arena, size), text, size);
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    size_t size = length < 0 ? 1 : (size_t)length + 1;
    char *text = arena_alloc(arena, size);
    vsnprintf(text, size, format, again);
    va_end(again);
    return text;
}

void arena_free(struct arena *arena)
{
    for (struct arena_block *block = arena->newest; block;) {
        struct arena_block *older = block->older;
        free(block);
        block = older;
    }
    arena->newest = NULL;
}
