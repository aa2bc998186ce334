/* SPDX-License-Identifier: Apache-2.0
 *
 * A Space's rate: what may come at once, what comes back with time, and that Spaces do not share
 * it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/uuid.h"
#include "producers/gateway/throttle.h"

enum { RATE = 100, BURST = RATE * THROTTLE_BURST_S };
#define SECOND INT64_C(1000000)

static const char space[] = "0190a5f0-7a1c-7000-8000-000000000001";

static int64_t take_all(struct throttle *throttle, int64_t now_us)
{
    int64_t taken = 0;
    while (throttle_take(throttle, space, 1, now_us) == 0)
        taken++;
    return taken;
}

static void burst_then_rate(void **state)
{
    (void)state;
    struct throttle *throttle = throttle_new(RATE);
    int64_t now_us = 1000 * SECOND;
    assert_int_equal(take_all(throttle, now_us), BURST + 1);
    assert_int_equal(take_all(throttle, now_us + SECOND), RATE);
    assert_int_equal(take_all(throttle, now_us + 2 * SECOND), RATE);
    /* a long silence gives no more than the burst */
    assert_int_equal(take_all(throttle, now_us + 3600 * SECOND), BURST + 1);
    throttle_free(throttle);
}

static void large_request_passes_once(void **state)
{
    (void)state;
    struct throttle *throttle = throttle_new(RATE);
    int64_t now_us = SECOND;
    assert_int_equal(throttle_take(throttle, space, 10 * BURST, now_us), 0);
    assert_int_equal(throttle_take(throttle, space, 1, now_us), -1);
    assert_int_equal(throttle_take(throttle, space, 1, now_us + 9 * THROTTLE_BURST_S * SECOND - 1),
                     -1);
    assert_int_equal(throttle_take(throttle, space, 1, now_us + 9 * THROTTLE_BURST_S * SECOND), 0);
    throttle_free(throttle);
}

static void others_do_not_pay(void **state)
{
    (void)state;
    struct throttle *throttle = throttle_new(RATE);
    int refused = 0;
    take_all(throttle, SECOND);
    for (int i = 0; i < 1000; i++) {
        struct uuid id = uuid_v7();
        char other[UUID_TEXT_SIZE + 1];
        uuid_format(&id, other);
        refused += throttle_take(throttle, other, 1, SECOND) != 0;
    }
    assert_in_range(refused, 0, 5); /* 65,536 slots: 0.015 are to be expected */
    throttle_free(throttle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(burst_then_rate),
        cmocka_unit_test(large_request_passes_once),
        cmocka_unit_test(others_do_not_pay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
