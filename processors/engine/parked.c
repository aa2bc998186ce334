/* SPDX-License-Identifier: Apache-2.0
 *
 * A hash table with open addressing and linear probing, at most half full. Removing moves back what
 * stands behind (Knuth, The Art of Computer Programming 3, 6.4, algorithm R), so that no marks of
 * removed entries pile up. */
#include "processors/engine/parked.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"

enum { SLOTS_FIRST = 64 };

struct slot {
    struct uuid space_id;
    int64_t since;
    uint32_t position;
    int used;
};

struct parked {
    struct slot *slots;
    size_t slot_count; /* a power of two */
    size_t count;
};

struct parked *parked_new(void)
{
    struct parked *parked = xcalloc(1, sizeof *parked);
    parked->slot_count = SLOTS_FIRST;
    parked->slots = xcalloc(parked->slot_count, sizeof *parked->slots);
    return parked;
}

void parked_free(struct parked *parked)
{
    if (!parked)
        return;
    free(parked->slots);
    free(parked);
}

void parked_clear(struct parked *parked)
{
    memset(parked->slots, 0, parked->slot_count * sizeof *parked->slots);
    parked->count = 0;
}

size_t parked_count(const struct parked *parked)
{
    return parked->count;
}

static size_t home_of(const struct parked *parked, uint32_t position, const struct uuid *space_id)
{
    uint64_t words[2];
    memcpy(words, space_id, sizeof words);
    uint64_t hash = (words[0] ^ words[1] * 0x9e3779b97f4a7c15u ^ position) * 0xbf58476d1ce4e5b9u;
    return (size_t)(hash ^ hash >> 31) & (parked->slot_count - 1);
}

/* The slot that holds it, or the free one where it goes. */
static struct slot *find(const struct parked *parked, uint32_t position,
                         const struct uuid *space_id)
{
    for (size_t i = home_of(parked, position, space_id);; i = (i + 1) & (parked->slot_count - 1)) {
        struct slot *slot = &parked->slots[i];
        if (!slot->used || (slot->position == position &&
                            memcmp(&slot->space_id, space_id, sizeof *space_id) == 0))
            return slot;
    }
}

int64_t parked_since(const struct parked *parked, uint32_t position, const struct uuid *space_id)
{
    const struct slot *slot = parked->count > 0 ? find(parked, position, space_id) : NULL;
    return slot && slot->used ? slot->since : INT64_MAX;
}

static void grow(struct parked *parked)
{
    struct parked old = *parked;
    parked->slot_count *= 2;
    parked->slots = xcalloc(parked->slot_count, sizeof *parked->slots);
    for (size_t i = 0; i < old.slot_count; i++)
        if (old.slots[i].used)
            *find(parked, old.slots[i].position, &old.slots[i].space_id) = old.slots[i];
    free(old.slots);
}

void parked_add(struct parked *parked, uint32_t position, const struct uuid *space_id,
                int64_t since)
{
    if ((parked->count + 1) * 2 > parked->slot_count)
        grow(parked);
    struct slot *slot = find(parked, position, space_id);
    if (slot->used) {
        slot->since = since < slot->since ? since : slot->since;
        return;
    }
    *slot = (struct slot){.space_id = *space_id, .since = since, .position = position, .used = 1};
    parked->count++;
}

void parked_remove(struct parked *parked, uint32_t position, const struct uuid *space_id)
{
    size_t mask = parked->slot_count - 1;
    struct slot *found = find(parked, position, space_id);
    if (!found->used)
        return;
    size_t hole = (size_t)(found - parked->slots);
    parked->count--;
    for (size_t i = (hole + 1) & mask; parked->slots[i].used; i = (i + 1) & mask) {
        size_t home = home_of(parked, parked->slots[i].position, &parked->slots[i].space_id);
        if (((i - home) & mask) < ((i - hole) & mask)) /* it is not reached over the hole */
            continue;
        parked->slots[hole] = parked->slots[i];
        hole = i;
    }
    parked->slots[hole].used = 0;
}
