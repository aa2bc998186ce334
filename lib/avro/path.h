/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a walk through a schema is: "ProductPurchased.items[].price". A path that is too long is
 * cut. */
#ifndef WEIR_AVRO_PATH_H
#define WEIR_AVRO_PATH_H

#include <stdio.h>

struct path {
    char text[256];
    size_t size;
};

/* Appends a name, behind the separator unless it is the first. Returns the size to go back to. */
static inline size_t path_push(struct path *path, const char *separator, const char *name)
{
    size_t before = path->size;
    size_t room = sizeof path->text - before;
    int written = snprintf(path->text + before, room, "%s%s", before ? separator : "", name);
    path->size += (size_t)written < room ? (size_t)written : room - 1;
    return before;
}

static inline void path_pop(struct path *path, size_t before)
{
    path->size = before;
    path->text[before] = '\0';
}

#endif
