/* SPDX-License-Identifier: Apache-2.0
 *
 * A histogram of durations. The width of a bucket is at most 1/32 of its value, so a percentile
 * is exact within 3 % at any size, in constant memory. */
#ifndef WEIR_SIMULATE_LATENCY_H
#define WEIR_SIMULATE_LATENCY_H

#include <stddef.h>
#include <stdint.h>

enum { LATENCY_SUB_BITS = 5, LATENCY_BUCKETS = (40 - LATENCY_SUB_BITS + 1) << LATENCY_SUB_BITS };

struct latency {
    uint64_t count;
    int64_t highest_us;
    uint64_t buckets[LATENCY_BUCKETS];
};

/* Negative values count as 0, those over 2^40 µs (12 days) as that. */
void latency_add(struct latency *latency, int64_t us);

/* The value that `percent` of 100 do not exceed, as the upper end of its bucket; 0 when there is
 * none. */
int64_t latency_percentile(const struct latency *latency, double percent);

#endif
