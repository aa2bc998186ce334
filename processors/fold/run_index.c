/* SPDX-License-Identifier: Apache-2.0
 *
 * Segments, one after the other in time, each twice as large as the one before up to a limit. A
 * segment is a hash table with linear probing that never grows and from which nothing is removed:
 * half of the hash chooses the slot, the other half is kept in it, with the number of a range of
 * runs. Growing thus moves nothing, and the oldest segment can be given up as a whole. */
#include "processors/fold/run_index.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"

enum {
    SLOTS_FIRST = 1 << 14,
    SLOTS_MAX = 1 << 22,
    RANGES_MAX = UINT16_MAX,
    RANGE_HASHES = 1024, /* of one partition, before a new range begins */
    RANGE_SEARCH = 8192, /* ranges that are looked at for the last one of a partition */
    RANGE_GAP = 1024     /* ids that may be missing inside of a range: runs were merged */
};

struct segment {
    uint32_t *tags; /* 0: free */
    uint16_t *ranges_of;
    uint32_t slot_count;
    uint32_t count;
    int64_t newest_us;
    struct run_range *ranges;
    uint32_t *range_hashes;
    uint32_t range_count;
    uint32_t range_capacity;
};

struct run_index {
    struct segment *segments;
    size_t segment_count;
};

struct run_index *run_index_new(void)
{
    return xcalloc(1, sizeof(struct run_index));
}

static void free_segment(struct segment *segment)
{
    free(segment->tags);
    free(segment->ranges_of);
    free(segment->ranges);
    free(segment->range_hashes);
}

void run_index_free(struct run_index *index)
{
    if (!index)
        return;
    for (size_t i = 0; i < index->segment_count; i++)
        free_segment(&index->segments[i]);
    free(index->segments);
    free(index);
}

static uint32_t tag_of(uint64_t hash)
{
    uint32_t tag = (uint32_t)hash;
    return tag ? tag : 1;
}

static uint32_t slot_of(const struct segment *segment, uint64_t hash)
{
    return (uint32_t)((hash >> 32) * segment->slot_count >> 32);
}

static struct segment *add_segment(struct run_index *index)
{
    const struct segment *last =
        index->segment_count ? &index->segments[index->segment_count - 1] : NULL;
    uint32_t slots = !last                          ? SLOTS_FIRST
                     : last->slot_count < SLOTS_MAX ? last->slot_count * 2
                                                    : SLOTS_MAX;
    index->segments =
        xrealloc(index->segments, (index->segment_count + 1) * sizeof *index->segments);
    struct segment *segment = &index->segments[index->segment_count++];
    *segment = (struct segment){.slot_count = slots, .newest_us = INT64_MIN};
    segment->tags = xcalloc(slots, sizeof *segment->tags);
    segment->ranges_of = xmalloc(slots * sizeof *segment->ranges_of);
    return segment;
}

/* The range that takes the run's next hashes: the position's last one, or a new one. NULL: the
 * segment has no room. */
static struct run_range *open_range(struct segment *segment, int32_t position_id, int64_t run_id)
{
    if (segment->count >= segment->slot_count / 4 * 3)
        return NULL;
    uint32_t end = segment->range_count > RANGE_SEARCH ? segment->range_count - RANGE_SEARCH : 0;
    for (uint32_t i = segment->range_count; i > end; i--) {
        struct run_range *range = &segment->ranges[i - 1];
        if (range->position_id != position_id)
            continue;
        if (segment->range_hashes[i - 1] >= RANGE_HASHES || run_id < range->last_run ||
            run_id - range->last_run > RANGE_GAP)
            break;
        range->last_run = run_id;
        return range;
    }
    if (segment->range_count == RANGES_MAX)
        return NULL;
    if (segment->range_count == segment->range_capacity) {
        segment->range_capacity = segment->range_capacity ? segment->range_capacity * 2 : 16;
        segment->ranges =
            xrealloc(segment->ranges, segment->range_capacity * sizeof *segment->ranges);
        segment->range_hashes = xrealloc(segment->range_hashes,
                                         segment->range_capacity * sizeof *segment->range_hashes);
    }
    segment->range_hashes[segment->range_count] = 0;
    struct run_range *range = &segment->ranges[segment->range_count++];
    *range =
        (struct run_range){.position_id = position_id, .first_run = run_id, .last_run = run_id};
    return range;
}

static void put(struct segment *segment, uint64_t hash, uint16_t range)
{
    uint32_t slot = slot_of(segment, hash);
    while (segment->tags[slot])
        slot = slot + 1 < segment->slot_count ? slot + 1 : 0;
    segment->tags[slot] = tag_of(hash);
    segment->ranges_of[slot] = range;
    segment->count++;
}

void run_index_add(struct run_index *index, int32_t position_id, int64_t run_id, int64_t newest_us,
                   const char *hashes, size_t count)
{
    struct segment *segment =
        index->segment_count ? &index->segments[index->segment_count - 1] : add_segment(index);
    struct run_range *range = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!range || segment->count >= segment->slot_count / 4 * 3)
            range = open_range(segment, position_id, run_id);
        if (!range) {
            segment = add_segment(index);
            range = open_range(segment, position_id, run_id);
        }
        uint32_t number = (uint32_t)(range - segment->ranges);
        put(segment, buf_get_be64(hashes + i * RUN_HASH_SIZE), (uint16_t)number);
        segment->range_hashes[number]++;
        if (newest_us > segment->newest_us)
            segment->newest_us = newest_us;
    }
}

void run_index_prefetch(const struct run_index *index, uint64_t hash)
{
    for (size_t i = 0; i < index->segment_count; i++)
        __builtin_prefetch(&index->segments[i].tags[slot_of(&index->segments[i], hash)]);
}

const struct run_range *run_index_next(const struct run_index *index, uint64_t hash,
                                       struct run_search *search)
{
    for (; search->segment < index->segment_count; search->segment++, search->step = 0) {
        const struct segment *segment = &index->segments[search->segment];
        uint32_t first = slot_of(segment, hash);
        for (;;) {
            uint32_t slot = (uint32_t)(((uint64_t)first + search->step) % segment->slot_count);
            if (!segment->tags[slot])
                break;
            search->step++;
            if (segment->tags[slot] == tag_of(hash))
                return &segment->ranges[segment->ranges_of[slot]];
        }
    }
    return NULL;
}

size_t run_index_forget(struct run_index *index, int64_t oldest_us, struct run_range **ret_ranges)
{
    if (index->segment_count == 0 || index->segments[0].newest_us >= oldest_us)
        return 0;
    struct segment oldest = index->segments[0];
    *ret_ranges = oldest.ranges;
    oldest.ranges = NULL;
    free_segment(&oldest);
    memmove(index->segments, index->segments + 1, --index->segment_count * sizeof *index->segments);
    return oldest.range_count;
}

size_t run_index_count(const struct run_index *index)
{
    size_t count = 0;
    for (size_t i = 0; i < index->segment_count; i++)
        count += index->segments[i].count;
    return count;
}

size_t run_index_bytes(const struct run_index *index)
{
    size_t bytes = 0;
    for (size_t i = 0; i < index->segment_count; i++) {
        const struct segment *segment = &index->segments[i];
        bytes +=
            segment->slot_count * (sizeof *segment->tags + sizeof *segment->ranges_of) +
            segment->range_capacity * (sizeof *segment->ranges + sizeof *segment->range_hashes);
    }
    return bytes;
}
