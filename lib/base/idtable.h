/* SPDX-License-Identifier: Apache-2.0
 *
 * A hash table over ids that clients choose. The hash is XXH3 under a seed that each table draws,
 * so that nobody can choose ids that fall into one slot.
 *
 * A key is an id and what it is unique in, such as the Space. Items begin with their key and have a
 * size that is given once. They lie one after the other in the order in which they were added;
 * addresses are valid until the next change of the table. Not for several threads. */
#ifndef WEIR_BASE_IDTABLE_H
#define WEIR_BASE_IDTABLE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/uuid.h"

struct idtable;

struct idtable_key {
    struct uuid id;
    struct uuid scope;
};

/* More items abort: the caller has a limit of its own. */
enum { IDTABLE_ITEMS_MAX = 1 << 30 };

struct idtable *idtable_new(size_t item_size);
void idtable_free(struct idtable *table);
/* Takes all items out, at no cost, and keeps the memory. */
void idtable_clear(struct idtable *table);

size_t idtable_count(const struct idtable *table);
/* The item with a number below the count. */
void *idtable_at(const struct idtable *table, size_t number);

/* The item with this key, or NULL. */
void *idtable_find(const struct idtable *table, const struct idtable_key *key);
/* The item with this key. When there was none it is added, *ret_new is 1, and what follows its key
 * is for the caller to write. */
void *idtable_put(struct idtable *table, const struct idtable_key *key, int *ret_new);
/* Takes an item out, if it is there. The last one moves to its place. */
void idtable_remove(struct idtable *table, const struct idtable_key *key);
/* Fetches the memory that a search for this key looks at first. */
void idtable_prefetch(const struct idtable *table, const struct idtable_key *key);

/* How many slots the search for the item that is worst off looks at. For tests. */
size_t idtable_longest(const struct idtable *table);

#endif
