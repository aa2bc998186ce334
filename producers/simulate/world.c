/* SPDX-License-Identifier: Apache-2.0
 *
 * Chooses what happens next: a Space by popularity, then a type by weight. A Space that is visited
 * for the first times is built up: opened, stocked with products, joined by members. A type that
 * lacks what it needs becomes the one that provides it: nobody can react to a post before there is
 * one. */
#include "producers/simulate/world.h"

#include <stdlib.h>
#include <string.h>

#include "producers/simulate/space.h"

enum { PRODUCTS_FIRST = 3, MEMBERS_FIRST = 5, REPEATS_OF_10000 = 100, INVALID_OF_10000 = 20 };

static const char *const type_names[SIM_TYPE_COUNT] = {
#define TYPE(id, event, weight) [SIM_##id] = (event),
#include "producers/simulate/types.def"
#undef TYPE
};

static const uint32_t type_weights[SIM_TYPE_COUNT] = {
#define TYPE(id, event, weight) [SIM_##id] = (weight),
#include "producers/simulate/types.def"
#undef TYPE
};

const char *const sim_currencies[SIM_CURRENCIES] = {"EUR", "USD", "GBP", "JPY"};
const char *const sim_flow_names[FLOW_COUNT] = {"none",          "purchases",    "refunds",
                                                "memberships",   "tips",         "credits_issued",
                                                "credits_moved", "credits_spent"};

const char *sim_type_name(enum sim_type type)
{
    return type_names[type];
}

struct sim_world *sim_world_new(uint64_t seed, size_t spaces, uint64_t window, int64_t day_us)
{
    struct sim_world *world = xcalloc(1, sizeof *world);
    world->seed = seed;
    world->random.state = seed;
    world->window = window;
    world->day_us = day_us;
    world->space_count = spaces;
    world->spaces = xcalloc(spaces, sizeof *world->spaces);
    return world;
}

void sim_world_free(struct sim_world *world)
{
    if (!world)
        return;
    for (size_t i = 0; i < world->space_count; i++)
        free(world->spaces[i]);
    free(world->spaces);
    free(world);
}

void sim_world_space_id(const struct sim_world *world, size_t space,
                        char ret_id[UUID_TEXT_SIZE + 1])
{
    sim_uuid(world->seed, KIND_SPACE, space, 0, ret_id);
}

static struct sim_space *visit(struct sim_world *world)
{
    size_t number = sim_random_zipf(&world->random, world->space_count);
    if (!world->spaces[number]) {
        static const int currency_of[10] = {0, 0, 0, 0, 1, 1, 1, 2, 2, 3};
        struct sim_space *space = xcalloc(1, sizeof *space);
        space->number = number;
        space->currency = currency_of[sim_random_below(&world->random, 10)];
        world->spaces[number] = space;
    }
    return world->spaces[number];
}

struct sim_purchase *sim_refundable(struct sim_world *world, struct sim_space *space)
{
    uint32_t kept = space->purchases < PURCHASES_KEPT ? space->purchases : PURCHASES_KEPT;
    if (kept == 0)
        return NULL;
    uint32_t start = sim_random_below(&world->random, kept);
    for (uint32_t i = 0; i < kept; i++) {
        struct sim_purchase *purchase = &space->recent[(start + i) % kept];
        if (purchase->left > 0 && purchase->index + world->window <= world->next_index)
            return purchase;
    }
    return NULL;
}

int sim_funded(struct sim_world *world, struct sim_space *space)
{
    int start = (int)sim_random_below(&world->random, FUNDED_MEMBERS);
    for (int i = 0; i < FUNDED_MEMBERS; i++) {
        int member = (start + i) % FUNDED_MEMBERS;
        struct sim_funds *funds = &space->funds[member];
        if (funds->pending && funds->pending_index + world->window <= world->next_index) {
            funds->available += funds->pending;
            funds->pending = 0;
        }
        if (funds->available > 0)
            return member;
    }
    return -1;
}

static enum sim_type draw_type(struct sim_world *world)
{
    uint32_t sum = 0;
    for (int i = 0; i < SIM_TYPE_COUNT; i++)
        sum += type_weights[i];
    uint32_t left = sim_random_below(&world->random, sum);
    int type = 0;
    while (left >= type_weights[type])
        left -= type_weights[type++];
    return (enum sim_type)type;
}

/* The type itself, or the one that provides what it lacks. */
static enum sim_type feasible(struct sim_world *world, struct sim_space *space, enum sim_type type)
{
    switch (type) {
    case SIM_PRODUCT_PUBLISHED:
        return space->products < PRODUCTS_MAX ? type : SIM_PRODUCT_PRICE_CHANGED;
    case SIM_PURCHASE_REFUNDED:
        return sim_refundable(world, space) ? type : SIM_PRODUCT_PURCHASED;
    case SIM_LIVESTREAM_STARTED:
        return space->live ? SIM_LIVESTREAM_INTERACTION : type;
    case SIM_LIVESTREAM_INTERACTION:
    case SIM_LIVESTREAM_ENDED:
        return space->live ? type : SIM_LIVESTREAM_STARTED;
    case SIM_POST_COMMENTED:
    case SIM_POST_REACTED:
        return space->posts ? type : SIM_POST_PUBLISHED;
    case SIM_CREDITS_SPENT:
        return sim_funded(world, space) >= 0 ? type : SIM_CREDITS_TRANSFERRED;
    default:
        return type;
    }
}

void sim_world_next(struct sim_world *world, struct sim_event *event)
{
    struct sim_space *space = visit(world);
    event->index = world->next_index;
    event->space = space->number;
    event->flow = FLOW_NONE;
    event->currency = space->currency;
    event->amount = 0;
    event->fee = 0;
    event->contradicts = 0;
    event->invalid = 0;
    event->late = 0;
    sim_uuid(world->seed, KIND_SPACE, space->number, 0, event->space_id);
    buf_reset(&event->body);
    if (!space->created)
        event->type = SIM_SPACE_CREATED;
    else if (space->products < PRODUCTS_FIRST)
        event->type = SIM_PRODUCT_PUBLISHED;
    else if (space->members < MEMBERS_FIRST)
        event->type = SIM_MEMBER_JOINED;
    else
        event->type = feasible(world, space, draw_type(world));
    event->repeat = sim_random_chance(&world->random, REPEATS_OF_10000);
    if (space->members >= MEMBERS_FIRST && sim_random_chance(&world->random, INVALID_OF_10000)) {
        event->invalid = 1;
        event->repeat = 0;
        buf_put_text(&event->body, "{\"this_field_is_not_there\":true}");
    } else {
        sim_body(world, space, event);
    }
    world->next_index++;
}
