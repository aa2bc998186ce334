/* SPDX-License-Identifier: Apache-2.0
 *
 * Purchases in any number, as the gateway would write them: ProductPurchased in its newest version,
 * with UUIDv7 event ids, in Spaces of Zipf's popularity, one purchase in ten with a referrer. What
 * they add up to is counted, so that tables can be held against it. */
#ifndef WEIR_BENCH_PURCHASE_H
#define WEIR_BENCH_PURCHASE_H

#include "lib/avro/catalog.h"
#include "lib/base/buf.h"
#include "lib/base/uuid.h"
#include "producers/simulate/random.h"

struct purchases {
    const struct catalog_version *version;
    struct sim_random random;
    int64_t spaces;
    int64_t id_ms; /* time in the event ids; they ascend */
    int64_t total; /* of all made so far, in minor units */
    /* of the last one */
    char space[UUID_TEXT_SIZE + 1];
    char event[UUID_TEXT_SIZE + 1];
    int64_t occurred_us;
};

struct purchases purchases_of(const struct catalog *catalog, uint64_t seed, int64_t spaces);

/* Appends the framed Avro of the next purchase, which occurs at `occurred_us`. */
void purchase_avro(struct purchases *purchases, int64_t occurred_us, struct buf *out);
/* Appends the JSON body of the next purchase. */
void purchase_json(struct purchases *purchases, struct buf *out);

#endif
