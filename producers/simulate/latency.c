/* SPDX-License-Identifier: Apache-2.0
 *
 * Values below 32 have buckets of their own. Above, a power of two is cut into 32 buckets: the
 * index is the exponent and the five bits behind the leading one. */
#include "producers/simulate/latency.h"

enum { SUB_COUNT = 1 << LATENCY_SUB_BITS };

static size_t bucket_of(uint64_t value)
{
    if (value < SUB_COUNT)
        return (size_t)value;
    int exponent = 63 - __builtin_clzll(value);
    int shift = exponent - LATENCY_SUB_BITS;
    size_t bucket =
        ((size_t)(shift + 1) << LATENCY_SUB_BITS) + ((value >> shift) & (SUB_COUNT - 1));
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

/* The highest value of a bucket. */
static int64_t bucket_end(size_t bucket)
{
    if (bucket < SUB_COUNT)
        return (int64_t)bucket;
    int shift = (int)(bucket >> LATENCY_SUB_BITS) - 1;
    int64_t start = (int64_t)((bucket & (SUB_COUNT - 1)) | SUB_COUNT) << shift;
    return start + (INT64_C(1) << shift) - 1;
}

void latency_add(struct latency *latency, int64_t us)
{
    if (us < 0)
        us = 0;
    latency->buckets[bucket_of((uint64_t)us)]++;
    latency->count++;
    if (us > latency->highest_us)
        latency->highest_us = us;
}

int64_t latency_percentile(const struct latency *latency, double percent)
{
    uint64_t wanted = (uint64_t)((double)latency->count * percent / 100.0 + 0.5);
    uint64_t seen = 0;
    if (latency->count == 0)
        return 0;
    if (wanted < 1)
        wanted = 1;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        seen += latency->buckets[i];
        if (seen >= wanted)
            return bucket_end(i) < latency->highest_us ? bucket_end(i) : latency->highest_us;
    }
    return latency->highest_us;
}
