/* SPDX-License-Identifier: Apache-2.0
 *
 * The totals of the acknowledged events, computed without a database, so that its tables can be
 * compared with them. */
#ifndef WEIR_SIMULATE_TOTALS_H
#define WEIR_SIMULATE_TOTALS_H

#include <jansson.h>
#include <stdint.h>

#include "producers/simulate/world.h"

enum { TOTALS_SPACES_LISTED = 1000 };

struct sim_sum {
    uint64_t count;
    int64_t amount;
    int64_t fee;
};

struct sim_space_total {
    uint64_t events;
    struct sim_sum flows[FLOW_COUNT];
};

struct sim_totals {
    uint64_t acked;
    uint64_t late;
    uint64_t events[SIM_TYPE_COUNT];
    struct sim_sum flows[FLOW_COUNT][SIM_CURRENCIES];
    uint64_t contradictions[FLOW_COUNT];
    size_t space_count;
    struct sim_space_total *spaces;
};

void totals_open(struct sim_totals *totals, size_t spaces);
void totals_free(struct sim_totals *totals);

/* Counts one acknowledged event, once however often it was sent. */
void totals_add(struct sim_totals *totals, const struct sim_event *event);

/* Adds the members acked, late, events, money, credits, contradictions and by_space to `object`.
 * The most popular TOTALS_SPACES_LISTED Spaces are listed. */
void totals_json(const struct sim_totals *totals, const struct sim_world *world, json_t *object);

#endif
