/* SPDX-License-Identifier: Apache-2.0
 *
 * The state of one Space, private to the world and the bodies of its events. Ids are computed from
 * numbers, so a Space only counts what it has. */
#ifndef WEIR_SIMULATE_SPACE_H
#define WEIR_SIMULATE_SPACE_H

#include "producers/simulate/random.h"
#include "producers/simulate/world.h"

enum {
    PRODUCTS_MAX = 12,
    PURCHASES_KEPT = 32, /* a refund concerns one of the last */
    TIERED_MEMBERS = 64, /* members who change tiers */
    FUNDED_MEMBERS = 16  /* members who hold credits */
};

enum sim_kind {
    KIND_SPACE,
    KIND_MEMBER,
    KIND_PRODUCT,
    KIND_PURCHASE,
    KIND_REFUND,
    KIND_STREAM,
    KIND_POST,
    KIND_COMMENT,
    KIND_POLL,
    KIND_CORRELATION
};

struct sim_purchase {
    uint64_t index; /* of its event */
    uint32_t number;
    uint32_t buyer;
    int64_t left; /* not refunded yet */
};

struct sim_funds {
    int64_t available;
    int64_t pending; /* handed out, perhaps not acknowledged yet */
    uint64_t pending_index;
    uint64_t paid_index; /* of the last event that took from it */
};

struct sim_space {
    size_t number;
    int currency;
    int live; /* a livestream is on air: the last one */
    int created;
    uint32_t products, members, purchases, refunds, streams, posts, comments;
    int64_t prices[PRODUCTS_MAX];
    uint8_t tiers[TIERED_MEMBERS];
    struct sim_purchase recent[PURCHASES_KEPT]; /* purchase n is at n % PURCHASES_KEPT */
    struct sim_funds funds[FUNDED_MEMBERS];
};

struct sim_world {
    uint64_t seed;
    uint64_t window;
    uint64_t next_index;
    int64_t day_us;
    size_t space_count;
    struct sim_random random;
    struct sim_space **spaces; /* made when they are first visited */
};

/* Writes the body of an event of `event->type` and what it moves. What the type needs exists. */
void sim_body(struct sim_world *world, struct sim_space *space, struct sim_event *event);

/* A purchase that can be refunded, or NULL. */
struct sim_purchase *sim_refundable(struct sim_world *world, struct sim_space *space);

/* A member who can spend credits, -1 when there is none. */
int sim_funded(struct sim_world *world, struct sim_space *space);

#endif
