/* SPDX-License-Identifier: Apache-2.0
 *
 * SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): one
 * addition and a mix per number, and any two seeds give unrelated sequences. */
#include "producers/simulate/random.h"

#include <math.h>
#include <string.h>

static uint64_t mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

uint64_t sim_random_next(struct sim_random *random)
{
    random->state += UINT64_C(0x9e3779b97f4a7c15);
    return mix(random->state);
}

uint32_t sim_random_below(struct sim_random *random, uint32_t below)
{
    return (uint32_t)(((sim_random_next(random) >> 32) * below) >> 32);
}

int64_t sim_random_between(struct sim_random *random, int64_t lowest, int64_t highest)
{
    return lowest + (int64_t)sim_random_below(random, (uint32_t)(highest - lowest + 1));
}

int sim_random_chance(struct sim_random *random, uint32_t of_10000)
{
    return sim_random_below(random, 10000) < of_10000;
}

size_t sim_random_zipf(struct sim_random *random, size_t count)
{
    double unit = (double)(sim_random_next(random) >> 11) / 9007199254740992.0; /* 2^53 */
    size_t rank = (size_t)pow((double)count + 1.0, unit) - 1;
    return rank < count ? rank : count - 1;
}

void sim_uuid(uint64_t seed, uint64_t kind, uint64_t first, uint64_t second,
              char ret_text[UUID_TEXT_SIZE + 1])
{
    struct uuid uuid;
    struct sim_random random = {.state = mix(mix(mix(seed + 1) + kind) + first) + second};
    uint64_t high = sim_random_next(&random);
    uint64_t low = sim_random_next(&random);
    memcpy(uuid.bytes, &high, 8);
    memcpy(uuid.bytes + 8, &low, 8);
    uuid.bytes[6] = (unsigned char)((uuid.bytes[6] & 0x0f) | 0x40);
    uuid.bytes[8] = (unsigned char)((uuid.bytes[8] & 0x3f) | 0x80);
    uuid_format(&uuid, ret_text);
}
