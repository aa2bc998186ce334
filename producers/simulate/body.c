/* SPDX-License-Identifier: Apache-2.0
 *
 * The JSON bodies, one function per event type. All text comes from the tables here and needs no
 * escaping. Each body ends with `meta`: who did it, and for the late ones when. */
#include <inttypes.h>
#include <string.h>

#include "lib/base/timestamp.h"
#include "producers/simulate/space.h"

enum { FEE_BPS = 500, CONTRADICTIONS_OF_10000 = 1000, LATE_OF_10000 = 300, LATE_HOURS_MAX = 47 };

static const char *const first_names[] = {"Ada",   "Bela", "Chidi", "Dana",  "Elif",  "Femi",
                                          "Grete", "Hana", "Ivo",   "Jun",   "Kofi",  "Lea",
                                          "Mio",   "Nora", "Oskar", "Priya", "Quin",  "Rosa",
                                          "Sami",  "Tove", "Uma",   "Vera",  "Wanja", "Zoë"};
static const char *const topics[] = {"Ceramics", "Synthesis",   "Sourdough", "Letterpress",
                                     "Chess",    "Rust repair", "Botany",    "Calisthenics"};
static const char *const goods[] = {"workbook", "course",       "print",
                                    "ticket",   "consultation", "sample pack"};
static const char *const kinds[] = {"DIGITAL", "DIGITAL", "PHYSICAL",
                                    "TICKET",  "SERVICE", "DIGITAL"};
static const char *const reactions[] = {"like", "heart", "fire", "clap", "wow"};
static const char *const lines[] = {"Love it",
                                    "Could you show that again?",
                                    "Hello from the harbour",
                                    "Is there a recording?",
                                    "Great point",
                                    "First time here"};
static const char *const tier_names[] = {"free", "supporter", "patron"};
static const int64_t tier_prices[] = {0, 500, 1500};
enum { TIERS = 3 };

#define PICK(world, table)                                                                         \
    ((table)[sim_random_below(&(world)->random, sizeof(table) / sizeof *(table))])

/* "name":"<uuid>", with a comma in front when something is there already. */
static void put_id(struct sim_world *world, const struct sim_space *space, struct buf *body,
                   const char *name, enum sim_kind kind, uint64_t number)
{
    char id[UUID_TEXT_SIZE + 1];
    sim_uuid(world->seed, kind, space->number, number, id);
    buf_printf(body, "%s\"%s\":\"%s\"", body->size > 1 ? "," : "", name, id);
}

static uint32_t pick_member(struct sim_world *world, const struct sim_space *space)
{
    return (uint32_t)sim_random_zipf(&world->random, space->members);
}

static void put_payment(struct sim_event *event, int64_t amount)
{
    if (amount <= 0)
        return;
    event->flow = FLOW_MEMBERSHIP;
    event->amount = amount;
    event->fee = amount * FEE_BPS / 10000;
    buf_printf(&event->body,
               ",\"payment\":{\"amount\":%" PRId64 ",\"currency\":\"%s\"},\"fee_bps\":%d", amount,
               sim_currencies[event->currency], FEE_BPS);
}

static void space_created(struct sim_world *world, struct sim_space *space, struct sim_event *event)
{
    space->created = 1;
    buf_printf(&event->body, "\"name\":\"%s with %s\",\"currency\":\"%s\",\"category\":\"%s\"",
               PICK(world, topics), PICK(world, first_names), sim_currencies[space->currency],
               PICK(world, topics));
    buf_printf(&event->body, ",\"owner_email\":\"owner-%zu@example.com\"", space->number);
    put_id(world, space, &event->body, "owner_id", KIND_MEMBER, UINT32_MAX);
}

static void settings_changed(struct sim_world *world, struct sim_event *event)
{
    buf_printf(&event->body, "\"settings\":{\"theme\":\"%s\",\"comments\":\"%s\"}",
               sim_random_chance(&world->random, 5000) ? "dark" : "light",
               sim_random_chance(&world->random, 8000) ? "open" : "members");
}

static void product_published(struct sim_world *world, struct sim_space *space,
                              struct sim_event *event)
{
    uint32_t good = sim_random_below(&world->random, sizeof goods / sizeof *goods);
    int64_t price = sim_random_between(&world->random, 3, 99) * 100 - 1;
    space->prices[space->products] = price;
    buf_printf(&event->body,
               "\"title\":\"%s %s\",\"kind\":\"%s\",\"price\":{\"amount\":%" PRId64
               ",\"currency\":\"%s\"},\"tags\":[\"%s\"]",
               PICK(world, topics), goods[good], kinds[good], price,
               sim_currencies[space->currency], goods[good]);
    put_id(world, space, &event->body, "product_id", KIND_PRODUCT, space->products++);
}

static void price_changed(struct sim_world *world, struct sim_space *space, struct sim_event *event)
{
    uint32_t product = sim_random_below(&world->random, space->products);
    int64_t before = space->prices[product];
    int64_t after = before * sim_random_between(&world->random, 70, 130) / 100 + 1;
    const char *currency = sim_currencies[space->currency];
    space->prices[product] = after;
    put_id(world, space, &event->body, "product_id", KIND_PRODUCT, product);
    buf_printf(&event->body,
               ",\"previous_price\":{\"amount\":%" PRId64
               ",\"currency\":\"%s\"},\"price\":{\"amount\":%" PRId64 ",\"currency\":\"%s\"}",
               before, currency, after, currency);
}

static void purchased(struct sim_world *world, struct sim_space *space, struct sim_event *event)
{
    static const char *const channels[] = {"WEB", "WEB", "WEB", "APP", "APP", "IN_PERSON"};
    struct buf *body = &event->body;
    uint32_t buyer = pick_member(world, space);
    int count = 1 + (int)sim_random_zipf(&world->random, 4);
    int64_t sum = 0;
    buf_put_text(body, "\"items\":[");
    for (int i = 0; i < count; i++) {
        char id[UUID_TEXT_SIZE + 1];
        uint32_t product = (uint32_t)sim_random_zipf(&world->random, space->products);
        int64_t quantity = 1 + (int64_t)sim_random_zipf(&world->random, 3);
        sim_uuid(world->seed, KIND_PRODUCT, space->number, product, id);
        buf_printf(body,
                   "%s{\"product_id\":\"%s\",\"quantity\":%" PRId64 ",\"unit_price\":%" PRId64 "}",
                   i ? "," : "", id, quantity, space->prices[product]);
        sum += quantity * space->prices[product];
    }
    int64_t discount = sim_random_chance(&world->random, 1000) ? sum / 10 : 0;
    event->flow = FLOW_PURCHASE;
    event->amount = sum - discount;
    event->fee = event->amount * FEE_BPS / 10000;
    buf_printf(
        body, "],\"currency\":\"%s\",\"discount\":%" PRId64 ",\"total\":%" PRId64 ",\"fee_bps\":%d",
        sim_currencies[space->currency], discount, event->amount, FEE_BPS);
    if (space->live && sim_random_chance(&world->random, 2000)) {
        buf_put_text(body, ",\"channel\":\"LIVESTREAM\"");
        put_id(world, space, body, "stream_id", KIND_STREAM, space->streams - 1);
    } else {
        buf_printf(body, ",\"channel\":\"%s\"", PICK(world, channels));
    }
    put_id(world, space, body, "buyer_id", KIND_MEMBER, buyer);
    put_id(world, space, body, "purchase_id", KIND_PURCHASE, space->purchases);
    if (sim_random_chance(&world->random, 1000))
        put_id(world, space, body, "referrer_id", KIND_MEMBER, (buyer + 1) % space->members);
    space->recent[space->purchases % PURCHASES_KEPT] = (struct sim_purchase){
        .index = event->index, .number = space->purchases, .buyer = buyer, .left = event->amount};
    space->purchases++;
}

static void refunded(struct sim_world *world, struct sim_space *space, struct sim_event *event)
{
    struct sim_purchase *purchase = sim_refundable(world, space);
    int64_t amount = purchase->left;
    event->contradicts = sim_random_chance(&world->random, CONTRADICTIONS_OF_10000);
    if (event->contradicts)
        amount += sim_random_between(&world->random, 100, 2000);
    else if (sim_random_chance(&world->random, 4000))
        amount = sim_random_between(&world->random, 1, amount);
    purchase->left = event->contradicts ? 0 : purchase->left - amount;
    event->flow = FLOW_REFUND;
    event->amount = amount;
    put_id(world, space, &event->body, "refund_id", KIND_REFUND, space->refunds++);
    put_id(world, space, &event->body, "purchase_id", KIND_PURCHASE, purchase->number);
    put_id(world, space, &event->body, "buyer_id", KIND_MEMBER, purchase->buyer);
    buf_printf(&event->body, ",\"amount\":%" PRId64 ",\"currency\":\"%s\",\"reason\":\"%s\"",
               amount, sim_currencies[space->currency],
               event->contradicts ? "goodwill" : "returned");
}

static void joined(struct sim_world *world, struct sim_space *space, struct sim_event *event)
{
    uint32_t member = space->members++;
    uint32_t tier = (uint32_t)sim_random_zipf(&world->random, TIERS);
    if (member < TIERED_MEMBERS)
        space->tiers[member] = (uint8_t)tier;
    put_id(world, space, &event->body, "member_id", KIND_MEMBER, member);
    buf_printf(&event->body,
               ",\"display_name\":\"%s %u\",\"email\":\"member-%u@example.com\",\"tier\":\"%s\"",
               PICK(world, first_names), member, member, tier_names[tier]);
    if (member > 0 && sim_random_chance(&world->random, 2000))
        put_id(world, space, &event->body, "invited_by", KIND_MEMBER, 0);
    put_payment(event, tier_prices[tier]);
}

static uint32_t pick_tiered(struct sim_world *world, const struct sim_space *space)
{
    uint32_t count = space->members < TIERED_MEMBERS ? space->members : TIERED_MEMBERS;
    return (uint32_t)sim_random_zipf(&world->random, count);
}

static void tier_changed(struct sim_world *world, struct sim_space *space, struct sim_event *event)
{
    uint32_t member = pick_tiered(world, space);
    int up = event->type == SIM_MEMBERSHIP_UPGRADED;
    int from = space->tiers[member];
    /* who stands at the end of the ladder moves as if from the step before */
    if (up && from == TIERS - 1)
        from = TIERS - 2;
    if (!up && from == 0)
        from = 1;
    int to = up ? from + 1 : from - 1;
    space->tiers[member] = (uint8_t)to;
    put_id(world, space, &event->body, "member_id", KIND_MEMBER, member);
    buf_printf(&event->body, ",\"from_tier\":\"%s\",\"to_tier\":\"%s\"", tier_names[from],
               tier_names[to]);
    if (up)
        put_payment(event, tier_prices[to] - tier_prices[from]);
}

static void renewed(struct sim_world *world, struct sim_space *space, struct sim_event *event)
{
    uint32_t member = pick_tiered(world, space);
    int tier = space->tiers[member];
    char start[TIMESTAMP_TEXT_SIZE + 1];
    char end[TIMESTAMP_TEXT_SIZE + 1];
    timestamp_format(world->day_us, start);
    timestamp_format(world->day_us + 30 * INT64_C(86400000000), end);
    put_id(world, space, &event->body, "member_id", KIND_MEMBER, member);
    buf_printf(&event->body, ",\"tier\":\"%s\",\"period_start\":\"%.10s\",\"period_end\":\"%.10s\"",
               tier_names[tier], start, end);
    put_payment(event, tier_prices[tier]);
}

static void cancelled(struct sim_world *world, struct sim_space *space, struct sim_event *event)
{
    static const char *const reasons[] = {"BY_MEMBER", "BY_MEMBER", "PAYMENT_FAILED", "BY_SPACE"};
    put_id(world, space, &event->body, "member_id", KIND_MEMBER, pick_tiered(world, space));
    buf_printf(&event->body, ",\"reason\":\"%s\"", PICK(world, reasons));
}

static void stream_started(struct sim_world *world, struct sim_space *space,
                           struct sim_event *event)
{
    space->live = 1;
    put_id(world, space, &event->body, "stream_id", KIND_STREAM, space->streams++);
    buf_printf(&event->body, ",\"title\":\"%s, live\"", PICK(world, topics));
    put_id(world, space, &event->body, "host_id", KIND_MEMBER, UINT32_MAX);
}

static void stream_ended(struct sim_world *world, struct sim_space *space, struct sim_event *event)
{
    uint32_t peak = 1 + sim_random_below(&world->random, 500);
    space->live = 0;
    put_id(world, space, &event->body, "stream_id", KIND_STREAM, space->streams - 1);
    buf_printf(
        &event->body,
        ",\"duration_seconds\":%u,\"peak_viewers\":%u,\"average_viewers\":%u.5,\"recorded\":true",
        600 + sim_random_below(&world->random, 6000), peak, peak / 2);
}

static void interaction(struct sim_world *world, struct sim_space *space, struct sim_event *event)
{
    struct buf *body = &event->body;
    uint32_t dice = sim_random_below(&world->random, 100);
    put_id(world, space, body, "stream_id", KIND_STREAM, space->streams - 1);
    put_id(world, space, body, "member_id", KIND_MEMBER, pick_member(world, space));
    if (dice < 55) {
        buf_printf(body, ",\"kind\":\"CHAT\",\"message\":\"%s\"", PICK(world, lines));
    } else if (dice < 85) {
        buf_printf(body, ",\"kind\":\"REACTION\",\"reaction\":\"%s\"", PICK(world, reactions));
    } else if (dice < 93) {
        event->flow = FLOW_TIP;
        event->amount = sim_random_between(&world->random, 1, 50) * 100;
        event->fee = event->amount * FEE_BPS / 10000;
        buf_printf(body,
                   ",\"kind\":\"TIP\",\"message\":\"%s\",\"tip\":{\"amount\":%" PRId64
                   ",\"currency\":\"%s\"}",
                   PICK(world, lines), event->amount, sim_currencies[space->currency]);
        buf_printf(body, ",\"fee_bps\":%d", FEE_BPS);
    } else {
        buf_printf(body, ",\"kind\":\"POLL_VOTE\",\"choice\":%u",
                   sim_random_below(&world->random, 4));
        put_id(world, space, body, "poll_id", KIND_POLL, space->streams - 1);
    }
}

static void published(struct sim_world *world, struct sim_space *space, struct sim_event *event)
{
    static const char *const visibilities[] = {"EVERYONE", "MEMBERS", "MEMBERS", "PAID_TIERS"};
    put_id(world, space, &event->body, "post_id", KIND_POST, space->posts++);
    put_id(world, space, &event->body, "author_id", KIND_MEMBER, UINT32_MAX);
    buf_printf(
        &event->body,
        ",\"title\":\"Notes on %s\",\"body\":\"%s\",\"tags\":[\"notes\"],\"visibility\":\"%s\"",
        PICK(world, topics), PICK(world, lines), PICK(world, visibilities));
}

static void post_answered(struct sim_world *world, struct sim_space *space, struct sim_event *event)
{
    /* the newest posts get most of the answers */
    uint32_t post = space->posts - 1 - (uint32_t)sim_random_zipf(&world->random, space->posts);
    put_id(world, space, &event->body, "post_id", KIND_POST, post);
    if (event->type == SIM_POST_REACTED) {
        put_id(world, space, &event->body, "member_id", KIND_MEMBER, pick_member(world, space));
        buf_printf(&event->body, ",\"reaction\":\"%s\"", PICK(world, reactions));
    } else {
        put_id(world, space, &event->body, "comment_id", KIND_COMMENT, space->comments++);
        put_id(world, space, &event->body, "author_id", KIND_MEMBER, pick_member(world, space));
        buf_printf(&event->body, ",\"body\":\"%s\"", PICK(world, lines));
    }
}

static void spent(struct sim_world *world, struct sim_space *space, struct sim_event *event)
{
    int member = sim_funded(world, space);
    struct sim_funds *funds = &space->funds[member];
    /* Asking for too much while another payment is under way could make that one fall short. */
    int settled = !funds->paid_index || funds->paid_index + world->window <= event->index;
    event->contradicts = sim_random_chance(&world->random, CONTRADICTIONS_OF_10000) && settled;
    event->flow = FLOW_CREDITS_SPENT;
    funds->paid_index = event->index;
    event->amount = sim_random_between(&world->random, 1, funds->available);
    if (event->contradicts) {
        event->amount =
            funds->available + funds->pending + sim_random_between(&world->random, 1, 50);
        funds->available = 0;
        funds->pending = 0;
    } else {
        funds->available -= event->amount;
    }
    put_id(world, space, &event->body, "member_id", KIND_MEMBER, (uint64_t)member);
    buf_printf(&event->body, ",\"credits\":%" PRId64 ",\"purpose\":\"%s\"", event->amount,
               PICK(world, goods));
}

static void transferred(struct sim_world *world, struct sim_space *space, struct sim_event *event)
{
    uint32_t holders = space->members < FUNDED_MEMBERS ? space->members : FUNDED_MEMBERS;
    uint32_t to = (uint32_t)sim_random_zipf(&world->random, holders);
    int from = sim_random_chance(&world->random, 4000) ? sim_funded(world, space) : -1;
    if (from == (int)to)
        from = -1;
    if (from >= 0) {
        event->flow = FLOW_CREDITS_MOVED;
        event->amount = sim_random_between(&world->random, 1, space->funds[from].available);
        space->funds[from].available -= event->amount;
        space->funds[from].paid_index = event->index;
        put_id(world, space, &event->body, "from_member_id", KIND_MEMBER, (uint64_t)from);
        buf_put_text(&event->body, ",\"note\":\"thanks\"");
    } else {
        event->flow = FLOW_CREDITS_ISSUED;
        event->amount = sim_random_between(&world->random, 1, 20) * 10;
    }
    space->funds[to].pending += event->amount;
    space->funds[to].pending_index = event->index;
    put_id(world, space, &event->body, "to_member_id", KIND_MEMBER, to);
    buf_printf(&event->body, ",\"credits\":%" PRId64, event->amount);
}

static void put_meta(struct sim_world *world, struct sim_space *space, struct sim_event *event)
{
    char occurred[TIMESTAMP_TEXT_SIZE + 1];
    char id[UUID_TEXT_SIZE + 1];
    event->late = sim_random_chance(&world->random, LATE_OF_10000);
    if (event->late) {
        int64_t seconds = sim_random_between(&world->random, 1, LATE_HOURS_MAX * 3600);
        timestamp_format(world->day_us - seconds * 1000000, occurred);
        buf_printf(&event->body, ",\"meta\":{\"occurred_at\":\"%s\",\"actor\":\"import\"}",
                   occurred);
    } else if (event->flow == FLOW_PURCHASE) {
        sim_uuid(world->seed, KIND_CORRELATION, space->number, event->index, id);
        buf_printf(&event->body, ",\"meta\":{\"actor\":\"checkout\",\"correlation_id\":\"%s\"}",
                   id);
    }
}

void sim_body(struct sim_world *world, struct sim_space *space, struct sim_event *event)
{
    static void (*const writers[SIM_TYPE_COUNT])(struct sim_world *, struct sim_space *,
                                                 struct sim_event *) = {
        [SIM_SPACE_CREATED] = space_created,
        [SIM_PRODUCT_PUBLISHED] = product_published,
        [SIM_PRODUCT_PRICE_CHANGED] = price_changed,
        [SIM_PRODUCT_PURCHASED] = purchased,
        [SIM_PURCHASE_REFUNDED] = refunded,
        [SIM_MEMBER_JOINED] = joined,
        [SIM_MEMBERSHIP_UPGRADED] = tier_changed,
        [SIM_MEMBERSHIP_DOWNGRADED] = tier_changed,
        [SIM_MEMBERSHIP_RENEWED] = renewed,
        [SIM_MEMBERSHIP_CANCELLED] = cancelled,
        [SIM_LIVESTREAM_STARTED] = stream_started,
        [SIM_LIVESTREAM_INTERACTION] = interaction,
        [SIM_LIVESTREAM_ENDED] = stream_ended,
        [SIM_POST_PUBLISHED] = published,
        [SIM_POST_COMMENTED] = post_answered,
        [SIM_POST_REACTED] = post_answered,
        [SIM_CREDITS_SPENT] = spent,
        [SIM_CREDITS_TRANSFERRED] = transferred};
    buf_put_text(&event->body, "{");
    if (event->type == SIM_SPACE_SETTINGS_CHANGED)
        settings_changed(world, event);
    else
        writers[event->type](world, space, event);
    put_meta(world, space, event);
    buf_put_text(&event->body, "}");
}
