/* SPDX-License-Identifier: Apache-2.0
 *
 * How fast the tables over ids that clients choose are, in CPU time: those that classify a batch,
 * and the memory of a rebuild. Ids are version 7, as most are, or crafted: 20,000 that fall into
 * one slot when the hash is known (they did while it had no seed). Usage: bench_ids */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "processors/fold/batch.h"
#include "processors/rebuild/seen.h"

enum { BATCH = 10000, SEEN = 3000000, CRAFTED = 20000, SPACES = 1000 };

static void release_nothing(void *owner)
{
    (void)owner;
}

/* Of this process, so that what else runs on the machine does not count. */
static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void report(const char *what, double seconds, size_t events)
{
    printf("%-34s %8.1f ns each, %8.2f ms in all\n", what, seconds * 1e9 / (double)events,
           seconds * 1e3);
}

/* The hashes that were there before: word 1 cancels what they make of word 0. */
static struct uuid crafted(uint64_t first, uint64_t second)
{
    const uint64_t words[2] = {first, second};
    struct uuid id;
    memcpy(&id, words, sizeof id);
    return id;
}

static void classify(const char *what, const struct uuid *ids, const struct uuid *spaces,
                     size_t count, size_t rounds)
{
    struct processor processor = {.duplicate_window_ms = 7 * 86400 * INT64_C(1000)};
    struct batch *batch = batch_new(&processor, CRAFTED, release_nothing);
    batch_reset(batch, 1);
    for (size_t i = 0; i < count; i++)
        batch->entries[batch->count++] =
            (struct entry){.event_id = ids[i], .space_id = spaces[i % SPACES]};
    double start = cpu_seconds();
    for (size_t i = 0; i < rounds; i++)
        if (batch_classify(batch, 0, count, NULL, 0) != count)
            exit(1);
    report(what, cpu_seconds() - start, count * rounds);
    batch_free(batch);
}

static void see(const char *what, const struct uuid *ids, const struct uuid *spaces, size_t count)
{
    struct seen *seen = seen_new(INT64_MAX);
    double start = cpu_seconds();
    for (size_t from = 0; from < count; from += BATCH) {
        size_t to = from + BATCH < count ? from + BATCH : count;
        for (size_t i = from; i < to; i++) {
            if (i + 8 < count)
                seen_prefetch(seen, &ids[i + 8], &spaces[(i + 8) % SPACES]);
            if (seen_find(seen, &ids[i], &spaces[i % SPACES]))
                exit(1);
        }
        for (size_t i = from; i < to; i++)
            if (seen_put(seen, &ids[i], &spaces[i % SPACES], 0, 0) != 0)
                exit(1);
    }
    report(what, cpu_seconds() - start, count);
    seen_free(seen);
}

int main(void)
{
    struct uuid *ids = calloc(SEEN, sizeof *ids);
    struct uuid spaces[SPACES];
    for (size_t i = 0; ids && i < SEEN; i++)
        ids[i] = uuid_v7();
    for (size_t i = 0; i < SPACES; i++)
        spaces[i] = uuid_v7();
    if (!ids)
        return 1;
    classify("classify, batches of 10,000", ids, spaces, BATCH, 300);
    classify("classify, batches of 1", ids, spaces, 1, 1000000);
    see("seen, 3,000,000 events", ids, spaces, SEEN);
    for (size_t i = 0; i < SPACES; i++)
        spaces[i] = spaces[0];
    for (uint64_t i = 0; i < CRAFTED; i++)
        ids[i] = crafted(i * 0x9e3779b97f4a7c15u, i);
    classify("classify, 20,000 crafted ids", ids, spaces, CRAFTED, 1);
    for (uint64_t i = 0; i < CRAFTED; i++)
        ids[i] = crafted(i, (i ^ 0xbf58476d1ce4e5b9u) * 0x9e3779b97f4a7c15u);
    see("seen, 20,000 crafted ids", ids, spaces, CRAFTED);
    free(ids);
    return 0;
}
