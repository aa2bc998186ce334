/* SPDX-License-Identifier: Apache-2.0
 *
 * The encoding is written out by hand, because making a million events through JSON would take
 * longer than what is measured. A test of the figures guards it: every purchase has to be applied.
 */
#include "bench/purchase.h"

#include <inttypes.h>
#include <string.h>

#include "bench/tool.h"
#include "lib/base/timestamp.h"

enum { MEMBERS = 1000, PRODUCTS = 50, ITEMS_MAX = 3, FEE_BPS = 500, REFERRAL_BPS = 1000 };
enum { KIND_SPACE = 1, KIND_MEMBER, KIND_PRODUCT };
enum { IDS_PER_MS = 50, CHANNELS = 4, VERSION = 2 };

struct purchase {
    char id[UUID_TEXT_SIZE + 1];
    char buyer[UUID_TEXT_SIZE + 1];
    char referrer[UUID_TEXT_SIZE + 1]; /* empty: none */
    char products[ITEMS_MAX][UUID_TEXT_SIZE + 1];
    int64_t prices[ITEMS_MAX];
    int items;
    int64_t total;
    int channel;
};

struct purchases purchases_of(const struct catalog *catalog, uint64_t seed, int64_t spaces)
{
    const struct catalog_event *event = catalog_find_event(catalog, "ProductPurchased");
    if (!event || catalog_newest(event)->version != VERSION)
        fail("ProductPurchased is not at version %d: bench/purchase.c has to follow", VERSION);
    return (struct purchases){.version = catalog_newest(event),
                              .random = {.state = seed},
                              .spaces = spaces,
                              .id_ms = timestamp_now_us() / 1000};
}

static void make_id(struct purchases *purchases, int ordered, char ret_text[UUID_TEXT_SIZE + 1])
{
    struct uuid id;
    uint64_t words[2] = {sim_random_next(&purchases->random), sim_random_next(&purchases->random)};
    memcpy(id.bytes, words, sizeof words);
    if (ordered) {
        purchases->id_ms += words[0] % IDS_PER_MS == 0;
        uint64_t time = htobe64((uint64_t)purchases->id_ms << 16);
        memcpy(id.bytes, &time, 6);
    }
    id.bytes[6] = (unsigned char)((id.bytes[6] & 0x0f) | (ordered ? 0x70 : 0x40));
    id.bytes[8] = (unsigned char)((id.bytes[8] & 0x3f) | 0x80);
    uuid_format(&id, ret_text);
}

static struct purchase next(struct purchases *purchases)
{
    struct sim_random *random = &purchases->random;
    struct purchase purchase = {.items = 1 + (int)sim_random_zipf(random, ITEMS_MAX),
                                .channel = 1 + (int)sim_random_below(random, CHANNELS)};
    uint64_t space = sim_random_zipf(random, (size_t)purchases->spaces);
    uint64_t buyer = sim_random_zipf(random, MEMBERS);
    sim_uuid(0, KIND_SPACE, space, 0, purchases->space);
    make_id(purchases, 1, purchases->event);
    make_id(purchases, 0, purchase.id);
    sim_uuid(0, KIND_MEMBER, space, buyer, purchase.buyer);
    if (sim_random_chance(random, 1000))
        sim_uuid(0, KIND_MEMBER, space, buyer + 1, purchase.referrer);
    for (int i = 0; i < purchase.items; i++) {
        sim_uuid(0, KIND_PRODUCT, space, sim_random_below(random, PRODUCTS), purchase.products[i]);
        purchase.prices[i] = sim_random_between(random, 3, 99) * 100 - 1;
        purchase.total += purchase.prices[i];
    }
    purchases->total += purchase.total;
    return purchase;
}

static void put_long(struct buf *out, int64_t value)
{
    uint64_t bits = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
    for (; bits >= 0x80; bits >>= 7)
        buf_put_u8(out, (uint8_t)(bits | 0x80));
    buf_put_u8(out, (uint8_t)bits);
}

static void put_text(struct buf *out, const char *text, size_t size)
{
    put_long(out, (int64_t)size);
    buf_put(out, text, size);
}

static void put_id(struct buf *out, const char *id)
{
    put_text(out, id, UUID_TEXT_SIZE);
}

void purchase_avro(struct purchases *purchases, int64_t occurred_us, struct buf *out)
{
    struct purchase purchase = next(purchases);
    purchases->occurred_us = occurred_us;
    buf_put_u8(out, 0);
    buf_put_be32(out, (uint32_t)purchases->version->id);
    put_id(out, purchases->event);
    put_long(out, occurred_us);
    put_long(out, timestamp_now_us());
    put_long(out, 1); /* actor */
    put_text(out, "checkout", strlen("checkout"));
    put_long(out, 0); /* correlation_id */
    put_long(out, 0); /* causation_id */
    put_long(out, (int64_t)sim_random_next(&purchases->random));
    put_id(out, purchase.id);
    put_id(out, purchase.buyer);
    put_long(out, purchase.items);
    for (int i = 0; i < purchase.items; i++) {
        put_id(out, purchase.products[i]);
        put_long(out, 1);
        put_long(out, purchase.prices[i]);
        put_long(out, 0); /* label */
    }
    put_long(out, 0);
    put_text(out, "EUR", strlen("EUR"));
    put_long(out, 0); /* discount */
    put_long(out, purchase.total);
    put_long(out, FEE_BPS);
    put_long(out, *purchase.referrer ? 1 : 0);
    if (*purchase.referrer)
        put_id(out, purchase.referrer);
    put_long(out, REFERRAL_BPS);
    put_long(out, purchase.channel);
    put_long(out, 0); /* stream_id */
}

void purchase_json(struct purchases *purchases, struct buf *out)
{
    struct purchase purchase = next(purchases);
    buf_printf(out, "{\"purchase_id\":\"%s\",\"buyer_id\":\"%s\",\"items\":[", purchase.id,
               purchase.buyer);
    for (int i = 0; i < purchase.items; i++)
        buf_printf(out, "%s{\"product_id\":\"%s\",\"quantity\":1,\"unit_price\":%" PRId64 "}",
                   i ? "," : "", purchase.products[i], purchase.prices[i]);
    buf_printf(out, "],\"currency\":\"EUR\",\"total\":%" PRId64 ",\"channel\":\"WEB\"",
               purchase.total);
    if (*purchase.referrer)
        buf_printf(out, ",\"referrer_id\":\"%s\"", purchase.referrer);
    buf_put_text(out, ",\"meta\":{\"actor\":\"checkout\"}}");
}
