/* SPDX-License-Identifier: Apache-2.0
 *
 * A creator platform in small: Spaces with products, members, livestreams and posts, and the next
 * thing that happens in it. The sequence of events depends on the seed, the number of Spaces and
 * the day alone.
 *
 * Events hang together: a refund names a purchase of at least `window` events before, and a
 * spend is covered by credits handed out at least so long before. So a sender with at most
 * `window` events beyond the oldest one without an answer sends an event only after the event
 * that it refers to was acknowledged. A few contradict on purpose (a refund larger than what is
 * left, a spend without funds); a few are no valid events at all. */
#ifndef WEIR_SIMULATE_WORLD_H
#define WEIR_SIMULATE_WORLD_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/uuid.h"

enum sim_type {
#define TYPE(id, event, weight) SIM_##id,
#include "producers/simulate/types.def"
#undef TYPE
    SIM_TYPE_COUNT
};

/* What an event moves, for the totals. */
enum sim_flow {
    FLOW_NONE,
    FLOW_PURCHASE,
    FLOW_REFUND,
    FLOW_MEMBERSHIP, /* joined, upgraded or renewed with a payment */
    FLOW_TIP,
    FLOW_CREDITS_ISSUED, /* handed out by the Space */
    FLOW_CREDITS_MOVED,  /* from member to member */
    FLOW_CREDITS_SPENT,
    FLOW_COUNT
};

enum { SIM_CURRENCIES = 4, SIM_SPACES_MAX = 1000000 };
extern const char *const sim_currencies[SIM_CURRENCIES];
extern const char *const sim_flow_names[FLOW_COUNT];
const char *sim_type_name(enum sim_type type);

struct sim_event {
    uint64_t index; /* from 0 */
    enum sim_type type;
    size_t space; /* from 0; low numbers are popular */
    char space_id[UUID_TEXT_SIZE + 1];
    struct buf body; /* JSON; belongs to whoever owns the event, and is used again */
    enum sim_flow flow;
    int currency;    /* index into sim_currencies */
    int64_t amount;  /* minor units, or credits */
    int64_t fee;     /* the platform's, in minor units */
    int contradicts; /* a fact that does not fit what came before */
    int invalid;     /* must be refused with 422 */
    int repeat;      /* the client sends it once more after its answer */
    int late;        /* occurred hours before it is sent */
};

struct sim_world;

/* spaces is from 1 to SIM_SPACES_MAX; day_us is the day's beginning, from which late events and
 * periods count. */
struct sim_world *sim_world_new(uint64_t seed, size_t spaces, uint64_t window, int64_t day_us);
void sim_world_free(struct sim_world *world);

/* Fills the event; its body is reset first. */
void sim_world_next(struct sim_world *world, struct sim_event *event);

/* The id of a Space, for reports. */
void sim_world_space_id(const struct sim_world *world, size_t space,
                        char ret_id[UUID_TEXT_SIZE + 1]);

#endif
