/* SPDX-License-Identifier: Apache-2.0
 *
 * Two tables with open addressing: Spaces get numbers, so that an event's slot has 40 bytes. At
 * most three quarters of the slots are used. */
#include "processors/rebuild/seen.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"

struct space_slot {
    struct uuid id;
    uint32_t number; /* 0: free */
};

struct seen {
    int64_t window_us;
    int64_t horizon_us;
    struct seen_event *slots;
    size_t slot_count; /* powers of two */
    size_t count;
    struct space_slot *spaces;
    size_t space_slots;
    uint32_t space_count;
};

static size_t hash(const struct uuid *id, uint64_t salt)
{
    uint64_t words[2];
    memcpy(words, id, sizeof words);
    uint64_t value = (words[0] ^ salt * 0xbf58476d1ce4e5b9u) * 0x9e3779b97f4a7c15u ^ words[1];
    value = (value ^ value >> 29) * 0x94d049bb133111ebu;
    return (size_t)(value ^ value >> 32);
}

struct seen *seen_new(int64_t window_us)
{
    struct seen *seen = xcalloc(1, sizeof *seen);
    seen->window_us = window_us;
    seen->horizon_us = INT64_MIN;
    seen->slot_count = SEEN_SLOTS_FIRST;
    seen->slots = xcalloc(seen->slot_count, sizeof *seen->slots);
    seen->space_slots = 1024;
    seen->spaces = xcalloc(seen->space_slots, sizeof *seen->spaces);
    return seen;
}

void seen_free(struct seen *seen)
{
    if (!seen)
        return;
    free(seen->slots);
    free(seen->spaces);
    free(seen);
}

static struct space_slot *find_space(const struct seen *seen, const struct uuid *id)
{
    size_t mask = seen->space_slots - 1;
    for (size_t i = hash(id, 0) & mask;; i = (i + 1) & mask) {
        struct space_slot *slot = &seen->spaces[i];
        if (slot->number == 0 || memcmp(&slot->id, id, sizeof *id) == 0)
            return slot;
    }
}

static uint32_t space_number(struct seen *seen, const struct uuid *id)
{
    struct space_slot *slot = find_space(seen, id);
    if (slot->number)
        return slot->number;
    *slot = (struct space_slot){.id = *id, .number = ++seen->space_count};
    uint32_t number = seen->space_count;
    if ((size_t)seen->space_count * 2 < seen->space_slots)
        return number;
    struct space_slot *old = seen->spaces;
    size_t old_count = seen->space_slots;
    seen->space_slots *= 2;
    seen->spaces = xcalloc(seen->space_slots, sizeof *seen->spaces);
    for (size_t i = 0; i < old_count; i++)
        if (old[i].number)
            *find_space(seen, &old[i].id) = old[i];
    free(old);
    return number;
}

static struct seen_event *find_event(const struct seen *seen, const struct uuid *event_id,
                                     uint32_t space)
{
    size_t mask = seen->slot_count - 1;
    for (size_t i = hash(event_id, space) & mask;; i = (i + 1) & mask) {
        struct seen_event *slot = &seen->slots[i];
        if (slot->space == 0 ||
            (slot->space == space && memcmp(&slot->event_id, event_id, sizeof *event_id) == 0))
            return slot;
    }
}

const struct seen_event *seen_find(const struct seen *seen, const struct uuid *event_id,
                                   const struct uuid *space_id)
{
    uint32_t space = find_space(seen, space_id)->number;
    const struct seen_event *slot = space ? find_event(seen, event_id, space) : NULL;
    return slot && slot->space ? slot : NULL;
}

void seen_prefetch(const struct seen *seen, const struct uuid *event_id,
                   const struct uuid *space_id)
{
    uint32_t space = find_space(seen, space_id)->number;
    __builtin_prefetch(&seen->slots[hash(event_id, space) & (seen->slot_count - 1)]);
}

/* Leaves out what has left the window, in as many slots as before or, when more than a third of
 * them would be taken, in twice as many. */
static void make_room(struct seen *seen)
{
    struct seen_event *old = seen->slots;
    size_t old_count = seen->slot_count;
    int64_t oldest_us =
        seen->horizon_us == INT64_MIN ? INT64_MIN : seen->horizon_us - seen->window_us;
    seen->count = 0;
    for (size_t i = 0; i < old_count; i++)
        seen->count += old[i].space != 0 && old[i].timestamp_us >= oldest_us;
    if (seen->count * 3 > old_count && old_count < SEEN_SLOTS_MAX)
        seen->slot_count *= 2;
    seen->slots = xcalloc(seen->slot_count, sizeof *seen->slots);
    for (size_t i = 0; i < old_count; i++)
        if (old[i].space != 0 && old[i].timestamp_us >= oldest_us)
            *find_event(seen, &old[i].event_id, old[i].space) = old[i];
    free(old);
}

int seen_put(struct seen *seen, const struct uuid *event_id, const struct uuid *space_id,
             int64_t fingerprint, int64_t timestamp_us)
{
    if ((seen->count + 1) * 4 > seen->slot_count * 3) {
        make_room(seen);
        if ((seen->count + 1) * 4 > seen->slot_count * 3)
            return -1;
    }
    uint32_t space = space_number(seen, space_id);
    struct seen_event *slot = find_event(seen, event_id, space);
    seen->count += slot->space == 0;
    *slot = (struct seen_event){.event_id = *event_id,
                                .fingerprint = fingerprint,
                                .timestamp_us = timestamp_us,
                                .space = space};
    return 0;
}

void seen_set_horizon(struct seen *seen, int64_t horizon_us)
{
    seen->horizon_us = horizon_us;
}

size_t seen_count(const struct seen *seen)
{
    return seen->count;
}
