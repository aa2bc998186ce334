/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums by event type, by flow and currency, and by Space. A Space has one currency. */
#include "producers/simulate/totals.h"

#include <stdlib.h>

void totals_open(struct sim_totals *totals, size_t spaces)
{
    *totals = (struct sim_totals){.space_count = spaces};
    totals->spaces = xcalloc(spaces, sizeof *totals->spaces);
}

void totals_free(struct sim_totals *totals)
{
    free(totals->spaces);
    totals->spaces = NULL;
}

static void add(struct sim_sum *sum, const struct sim_event *event)
{
    sum->count++;
    sum->amount += event->amount;
    sum->fee += event->fee;
}

void totals_add(struct sim_totals *totals, const struct sim_event *event)
{
    struct sim_space_total *space = &totals->spaces[event->space];
    totals->acked++;
    totals->late += event->late != 0;
    totals->events[event->type]++;
    totals->contradictions[event->flow] += event->contradicts != 0;
    add(&totals->flows[event->flow][event->currency], event);
    space->events++;
    add(&space->flows[event->flow], event);
}

static json_t *sum_json(const struct sim_sum *sum, int with_fee)
{
    json_t *object =
        json_pack("{s:I, s:I}", "count", (json_int_t)sum->count, "amount", (json_int_t)sum->amount);
    if (with_fee)
        json_object_set_new(object, "fee", json_integer(sum->fee));
    return object;
}

static json_t *money_json(const struct sim_totals *totals)
{
    json_t *money = json_object();
    for (int currency = 0; currency < SIM_CURRENCIES; currency++) {
        json_t *object = json_object();
        for (int flow = FLOW_PURCHASE; flow <= FLOW_TIP; flow++)
            json_object_set_new(object, sim_flow_names[flow],
                                sum_json(&totals->flows[flow][currency], flow != FLOW_REFUND));
        json_object_set_new(money, sim_currencies[currency], object);
    }
    return money;
}

/* Credits are the Space's own, so the currency does not matter. */
static json_t *credits_json(const struct sim_totals *totals)
{
    static const char *const names[] = {"issued", "moved", "spent"};
    json_t *credits = json_object();
    for (int flow = FLOW_CREDITS_ISSUED; flow <= FLOW_CREDITS_SPENT; flow++) {
        struct sim_sum sum = {0};
        for (int currency = 0; currency < SIM_CURRENCIES; currency++) {
            sum.count += totals->flows[flow][currency].count;
            sum.amount += totals->flows[flow][currency].amount;
        }
        json_object_set_new(credits, names[flow - FLOW_CREDITS_ISSUED], sum_json(&sum, 0));
    }
    return credits;
}

static json_t *spaces_json(const struct sim_totals *totals, const struct sim_world *world)
{
    json_t *array = json_array();
    for (size_t i = 0; i < totals->space_count && i < TOTALS_SPACES_LISTED; i++) {
        const struct sim_space_total *space = &totals->spaces[i];
        char id[UUID_TEXT_SIZE + 1];
        if (space->events == 0)
            continue;
        sim_world_space_id(world, i, id);
        json_t *object =
            json_pack("{s:s, s:I}", "space_id", id, "events", (json_int_t)space->events);
        for (int flow = FLOW_PURCHASE; flow < FLOW_COUNT; flow++)
            json_object_set_new(object, sim_flow_names[flow], sum_json(&space->flows[flow], 0));
        json_array_append_new(array, object);
    }
    return array;
}

void totals_json(const struct sim_totals *totals, const struct sim_world *world, json_t *object)
{
    json_t *events = json_object();
    json_t *contradictions = json_object();
    for (int type = 0; type < SIM_TYPE_COUNT; type++)
        json_object_set_new(events, sim_type_name((enum sim_type)type),
                            json_integer((json_int_t)totals->events[type]));
    json_object_set_new(contradictions, "refunds",
                        json_integer((json_int_t)totals->contradictions[FLOW_REFUND]));
    json_object_set_new(contradictions, "credits_spent",
                        json_integer((json_int_t)totals->contradictions[FLOW_CREDITS_SPENT]));
    json_object_set_new(object, "acked", json_integer((json_int_t)totals->acked));
    json_object_set_new(object, "late", json_integer((json_int_t)totals->late));
    json_object_set_new(object, "events", events);
    json_object_set_new(object, "money", money_json(totals));
    json_object_set_new(object, "credits", credits_json(totals));
    json_object_set_new(object, "contradictions", contradictions);
    json_object_set_new(object, "by_space", spaces_json(totals, world));
}
