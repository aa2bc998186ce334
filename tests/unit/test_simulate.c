/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulator's pure parts: repeatable numbers, percentiles, and a world whose events hang
 * together. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h needs those before it */
#include <cmocka.h>

#include "producers/simulate/latency.h"
#include "producers/simulate/random.h"
#include "producers/simulate/totals.h"
#include "producers/simulate/world.h"

enum { WINDOW = 64 };
static const int64_t DAY = INT64_C(1790000000000000) / INT64_C(86400000000) * INT64_C(86400000000);

static void random_repeats(void **state)
{
    (void)state;
    struct sim_random one = {.state = 7};
    struct sim_random two = {.state = 7};
    struct sim_random other = {.state = 8};
    int same = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t number = sim_random_next(&one);
        assert_int_equal(number, sim_random_next(&two));
        same += number == sim_random_next(&other);
    }
    assert_int_equal(same, 0);
}

static void random_keeps_its_bounds(void **state)
{
    (void)state;
    struct sim_random random = {.state = 1};
    int lowest = 0;
    int highest = 0;
    for (int i = 0; i < 10000; i++) {
        int64_t value = sim_random_between(&random, -3, 3);
        assert_in_range(value + 3, 0, 6);
        lowest += value == -3;
        highest += value == 3;
        assert_int_equal(sim_random_below(&random, 1), 0);
    }
    assert_true(lowest > 1000 && highest > 1000);
}

/* The chance of rank k is log((k+2)/(k+1)) / log(count+1). */
static void zipf_has_its_shape(void **state)
{
    (void)state;
    struct sim_random random = {.state = 3};
    int counts[100] = {0};
    for (int i = 0; i < 100000; i++)
        counts[sim_random_zipf(&random, 100)]++;
    assert_in_range(counts[0], 14500, 15600); /* 0.1502 */
    assert_in_range(counts[1], 8300, 9300);   /* 0.0879 */
    assert_true(counts[9] > counts[99] && counts[99] > 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(sim_random_zipf(&random, 1), 0);
}

static void uuids_are_their_arguments(void **state)
{
    (void)state;
    char one[UUID_TEXT_SIZE + 1];
    char two[UUID_TEXT_SIZE + 1];
    struct uuid uuid;
    sim_uuid(1, 2, 3, 4, one);
    sim_uuid(1, 2, 3, 4, two);
    assert_string_equal(one, two);
    assert_int_equal(uuid_parse(one, UUID_TEXT_SIZE, &uuid), 0);
    assert_int_equal(uuid_version(&uuid), 4);
    sim_uuid(1, 2, 4, 3, two);
    assert_string_not_equal(one, two);
}

static void percentiles_are_close(void **state)
{
    (void)state;
    struct latency *latency = calloc(1, sizeof *latency);
    assert_int_equal(latency_percentile(latency, 50), 0);
    for (int i = 1; i <= 100000; i++)
        latency_add(latency, i);
    assert_in_range(latency_percentile(latency, 50), 50000, 51600);
    assert_in_range(latency_percentile(latency, 99), 99000, 100000);
    assert_int_equal(latency_percentile(latency, 100), 100000);
    latency_add(latency, -5);
    latency_add(latency, INT64_MAX);
    assert_int_equal(latency->count, 100002);
    memset(latency, 0, sizeof *latency);
    for (int i = 0; i < 10; i++)
        latency_add(latency, i);
    assert_int_equal(latency_percentile(latency, 10), 0);
    assert_int_equal(latency_percentile(latency, 50), 4);
    free(latency);
}

static void worlds_repeat(void **state)
{
    (void)state;
    struct sim_world *one = sim_world_new(42, 20, WINDOW, DAY);
    struct sim_world *two = sim_world_new(42, 20, WINDOW, DAY);
    struct sim_event left = {0};
    struct sim_event right = {0};
    for (int i = 0; i < 5000; i++) {
        sim_world_next(one, &left);
        sim_world_next(two, &right);
        assert_int_equal(left.type, right.type);
        assert_string_equal(left.space_id, right.space_id);
        assert_int_equal(left.body.size, right.body.size);
        assert_memory_equal(left.body.data, right.body.data, left.body.size);
    }
    buf_free(&left.body);
    buf_free(&right.body);
    sim_world_free(one);
    sim_world_free(two);
}

static void remember_purchase(json_t *purchases, const json_t *body, uint64_t index)
{
    const char *id = json_string_value(json_object_get(body, "purchase_id"));
    json_t *items = json_object_get(body, "items");
    json_int_t sum = -json_integer_value(json_object_get(body, "discount"));
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item) sum +=
        json_integer_value(json_object_get(item, "quantity")) *
        json_integer_value(json_object_get(item, "unit_price"));
    assert_int_equal(sum, json_integer_value(json_object_get(body, "total")));
    assert_null(json_object_get(purchases, id));
    json_object_set_new(purchases, id,
                        json_pack("{s:I, s:I}", "left", sum, "index", (json_int_t)index));
}

static void take_refund(json_t *purchases, const json_t *body, const struct sim_event *event)
{
    json_t *purchase =
        json_object_get(purchases, json_string_value(json_object_get(body, "purchase_id")));
    assert_non_null(purchase);
    json_int_t left = json_integer_value(json_object_get(purchase, "left")) -
                      json_integer_value(json_object_get(body, "amount"));
    assert_int_equal(left < 0, event->contradicts);
    assert_true(json_integer_value(json_object_get(purchase, "index")) + WINDOW <=
                (json_int_t)event->index);
    json_object_set_new(purchase, "left", json_integer(left));
}

/* Every body is JSON; a refund names a purchase of a window ago and fits it, unless it says that it
 * does not. */
static void events_hang_together(void **state)
{
    (void)state;
    struct sim_world *world = sim_world_new(1, 10, WINDOW, DAY);
    struct sim_event event = {0};
    json_t *purchases = json_object();
    uint64_t counts[SIM_TYPE_COUNT] = {0};
    int contradictions = 0;
    int invalid = 0;
    for (uint64_t i = 0; i < 30000; i++) {
        sim_world_next(world, &event);
        assert_int_equal(event.index, i);
        json_t *body = json_loadb(event.body.data, event.body.size, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(body);
        counts[event.type]++;
        invalid += event.invalid;
        if (!event.invalid && event.type == SIM_PRODUCT_PURCHASED)
            remember_purchase(purchases, body, event.index);
        if (!event.invalid && event.type == SIM_PURCHASE_REFUNDED) {
            take_refund(purchases, body, &event);
            contradictions += event.contradicts;
        }
        assert_true(event.amount >= 0 && event.fee <= event.amount);
        json_decref(body);
    }
    for (int i = 0; i < SIM_TYPE_COUNT; i++)
        assert_true(counts[i] > 0);
    assert_int_equal(counts[SIM_SPACE_CREATED], 10);
    assert_true(contradictions > 0 && invalid > 0);
    json_decref(purchases);
    buf_free(&event.body);
    sim_world_free(world);
}

static void totals_add_up(void **state)
{
    (void)state;
    struct sim_world *world = sim_world_new(1, 3, WINDOW, DAY);
    struct sim_totals totals;
    struct sim_event event = {.space = 2,
                              .type = SIM_PRODUCT_PURCHASED,
                              .flow = FLOW_PURCHASE,
                              .currency = 1,
                              .amount = 1000,
                              .fee = 50};
    totals_open(&totals, 3);
    totals_add(&totals, &event);
    event.amount = 10;
    event.fee = 0;
    totals_add(&totals, &event);
    json_t *report = json_object();
    totals_json(&totals, world, report);
    json_t *purchases =
        json_object_get(json_object_get(json_object_get(report, "money"), "USD"), "purchases");
    assert_int_equal(json_integer_value(json_object_get(purchases, "count")), 2);
    assert_int_equal(json_integer_value(json_object_get(purchases, "amount")), 1010);
    assert_int_equal(json_integer_value(json_object_get(purchases, "fee")), 50);
    assert_int_equal(json_array_size(json_object_get(report, "by_space")), 1);
    json_decref(report);
    totals_free(&totals);
    sim_world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_repeats),        cmocka_unit_test(random_keeps_its_bounds),
        cmocka_unit_test(zipf_has_its_shape),    cmocka_unit_test(uuids_are_their_arguments),
        cmocka_unit_test(percentiles_are_close), cmocka_unit_test(worlds_repeat),
        cmocka_unit_test(events_hang_together),  cmocka_unit_test(totals_add_up)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
