/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers that are the same for the same seed, on every machine: a SplitMix64 generator, the shapes
 * of popularity that platforms show, and identifiers that are computed, not stored. */
#ifndef WEIR_SIMULATE_RANDOM_H
#define WEIR_SIMULATE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/uuid.h"

struct sim_random {
    uint64_t state; /* set it to the seed */
};

uint64_t sim_random_next(struct sim_random *random);

/* From 0 to below - 1; below is at least 1. */
uint32_t sim_random_below(struct sim_random *random, uint32_t below);

/* From lowest to highest, both included. */
int64_t sim_random_between(struct sim_random *random, int64_t lowest, int64_t highest);

/* True `of_10000` times in 10,000. */
int sim_random_chance(struct sim_random *random, uint32_t of_10000);

/* From 0 to count - 1, low numbers far more often: the chance of k falls as 1/(k+1), which is
 * Zipf's law with exponent 1, drawn without a table as (count + 1)^u - 1. count is at least 1. */
size_t sim_random_zipf(struct sim_random *random, size_t count);

/* A version 4 UUID that depends on nothing but its arguments. */
void sim_uuid(uint64_t seed, uint64_t kind, uint64_t first, uint64_t second,
              char ret_text[UUID_TEXT_SIZE + 1]);

#endif
