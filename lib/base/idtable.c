/* SPDX-License-Identifier: Apache-2.0
 *
 * Open addressing with linear probing over slots of eight bytes: 32 bits of the hash, and the
 * number of an item. So a search for what is not there hardly ever looks at an item, and growing
 * reads no key. Removing moves back what stands behind (Knuth, The Art of Computer Programming 3,
 * 6.4, algorithm R), so that no marks of removed items pile up.
 *
 * A slot is free when its number is not one of [base, base + count). Clearing therefore raises the
 * base and touches no slot; when numbers run out the slots are zeroed. */
#include "lib/base/idtable.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "lib/base/buf.h"

enum {
    SLOTS_FIRST = 16,
    ITEMS_FIRST = 8,
    BASE_FIRST = 1,
    BASE_MAX = 1 << 24 /* then the slots are zeroed */
};

struct slot {
    uint32_t hash;
    uint32_t number; /* of the item, counted from the base on */
};

struct idtable {
    uint64_t seed;
    size_t item_size;
    size_t slot_count; /* a power of two; at most three quarters are used */
    struct slot *slots;
    char *items;
    uint32_t count;
    uint32_t capacity; /* of items */
    uint32_t base;
};

struct idtable *idtable_new(size_t item_size)
{
    struct idtable *table = xcalloc(1, sizeof *table);
    /* Up to 256 bytes getrandom() neither fails nor returns fewer, once the pool is ready. */
    while (getrandom(&table->seed, sizeof table->seed, 0) != sizeof table->seed)
        ;
    table->item_size = item_size;
    table->slot_count = SLOTS_FIRST;
    table->slots = xcalloc(table->slot_count, sizeof *table->slots);
    table->capacity = ITEMS_FIRST;
    table->items = xmalloc(table->capacity * item_size);
    table->base = BASE_FIRST;
    return table;
}

void idtable_free(struct idtable *table)
{
    if (!table)
        return;
    free(table->slots);
    free(table->items);
    free(table);
}

void idtable_clear(struct idtable *table)
{
    table->base += table->count;
    table->count = 0;
    if (table->base < BASE_MAX)
        return;
    memset(table->slots, 0, table->slot_count * sizeof *table->slots);
    table->base = BASE_FIRST;
}

size_t idtable_count(const struct idtable *table)
{
    return table->count;
}

static void *item_at(const struct idtable *table, size_t number)
{
    return table->items + number * table->item_size;
}

void *idtable_at(const struct idtable *table, size_t number)
{
    return item_at(table, number);
}

static inline uint32_t hash_of(const struct idtable *table, const struct idtable_key *key)
{
    return (uint32_t)XXH3_64bits_withSeed(key, sizeof *key, table->seed);
}

static inline int is_used(const struct idtable *table, const struct slot *slot)
{
    return slot->number - table->base < table->count;
}

/* The slot that holds the key, or the free one where it goes. */
static inline struct slot *find_slot(const struct idtable *table, const struct idtable_key *key,
                                     uint32_t hash)
{
    size_t mask = table->slot_count - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct slot *slot = &table->slots[i];
        if (!is_used(table, slot) ||
            (slot->hash == hash &&
             memcmp(item_at(table, slot->number - table->base), key, sizeof *key) == 0))
            return slot;
    }
}

void *idtable_find(const struct idtable *table, const struct idtable_key *key)
{
    const struct slot *slot = find_slot(table, key, hash_of(table, key));
    return is_used(table, slot) ? item_at(table, slot->number - table->base) : NULL;
}

static void grow_slots(struct idtable *table)
{
    struct slot *old = table->slots;
    size_t old_count = table->slot_count;
    table->slot_count *= 2;
    table->slots = xcalloc(table->slot_count, sizeof *table->slots);
    for (size_t i = 0; i < old_count; i++) {
        if (!is_used(table, &old[i]))
            continue;
        size_t to = old[i].hash & (table->slot_count - 1);
        while (is_used(table, &table->slots[to]))
            to = (to + 1) & (table->slot_count - 1);
        table->slots[to] = old[i];
    }
    free(old);
}

static int is_full(const struct idtable *table)
{
    return ((size_t)table->count + 1) * 4 > table->slot_count * 3;
}

static void make_room(struct idtable *table)
{
    if (table->count >= IDTABLE_ITEMS_MAX)
        abort();
    if (is_full(table))
        grow_slots(table);
    if (table->count < table->capacity)
        return;
    table->capacity *= 2;
    table->items = xrealloc(table->items, table->capacity * table->item_size);
}

void *idtable_put(struct idtable *table, const struct idtable_key *key, int *ret_new)
{
    uint32_t hash = hash_of(table, key);
    struct slot *slot = find_slot(table, key, hash);
    *ret_new = !is_used(table, slot);
    if (!*ret_new)
        return item_at(table, slot->number - table->base);
    if (is_full(table) || table->count == table->capacity) {
        make_room(table);
        slot = find_slot(table, key, hash);
    }
    char *item = item_at(table, table->count);
    memcpy(item, key, sizeof *key);
    *slot = (struct slot){.hash = hash, .number = table->base + table->count++};
    return item;
}

void idtable_remove(struct idtable *table, const struct idtable_key *key)
{
    size_t mask = table->slot_count - 1;
    struct slot *found = find_slot(table, key, hash_of(table, key));
    if (!is_used(table, found))
        return;
    char *item = item_at(table, found->number - table->base);
    const void *last = item_at(table, table->count - 1);
    if (item != last) {
        find_slot(table, last, hash_of(table, last))->number = found->number;
        memcpy(item, last, table->item_size);
    }
    size_t hole = (size_t)(found - table->slots);
    for (size_t i = (hole + 1) & mask; is_used(table, &table->slots[i]); i = (i + 1) & mask) {
        size_t home = table->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask)) /* it is not reached over the hole */
            continue;
        table->slots[hole] = table->slots[i];
        hole = i;
    }
    table->slots[hole].number = 0;
    table->count--;
}

void idtable_prefetch(const struct idtable *table, const struct idtable_key *key)
{
    __builtin_prefetch(&table->slots[hash_of(table, key) & (table->slot_count - 1)]);
}

size_t idtable_longest(const struct idtable *table)
{
    size_t mask = table->slot_count - 1;
    size_t longest = 0;
    for (size_t i = 0; i < table->slot_count; i++) {
        size_t length = ((i - table->slots[i].hash) & mask) + 1;
        if (is_used(table, &table->slots[i]) && length > longest)
            longest = length;
    }
    return longest;
}
