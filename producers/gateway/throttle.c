/* SPDX-License-Identifier: Apache-2.0
 *
 * The generic cell rate algorithm: of a Space one number is kept, the time up to which what it sent
 * would take at its rate. Spaces share the slots of a table with a seed of its own, so nothing
 * grows with the Spaces that somebody invents, and nobody can choose whose slot he shares. */
#include "producers/gateway/throttle.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "lib/base/buf.h"
#include "lib/base/uuid.h"

enum { SLOTS = 65536 };

struct throttle {
    uint64_t seed;
    int64_t rate;
    _Atomic int64_t paid_until_us[SLOTS];
};

struct throttle *throttle_new(int64_t rate)
{
    struct throttle *throttle = xcalloc(1, sizeof *throttle);
    throttle->rate = rate;
    while (getrandom(&throttle->seed, sizeof throttle->seed, 0) != sizeof throttle->seed)
        ;
    return throttle;
}

void throttle_free(struct throttle *throttle)
{
    free(throttle);
}

int throttle_take(struct throttle *throttle, const char *space, int64_t events, int64_t now_us)
{
    uint64_t hash = XXH3_64bits_withSeed(space, UUID_TEXT_SIZE, throttle->seed);
    _Atomic int64_t *slot = &throttle->paid_until_us[hash % SLOTS];
    int64_t until_us = atomic_load(slot);
    int64_t from_us;
    do {
        if (until_us - now_us > THROTTLE_BURST_S * INT64_C(1000000))
            return -1;
        from_us = until_us > now_us ? until_us : now_us;
    } while (!atomic_compare_exchange_weak(slot, &until_us,
                                           from_us + events * 1000000 / throttle->rate));
    return 0;
}
