/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory of applied events: what was put is found, by event and Space; what has left the window
 * makes room, and nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "processors/rebuild/seen.h"

enum { WINDOW_US = 1000000 };

static struct uuid make_id(uint64_t number)
{
    struct uuid id = {{0}};
    memcpy(id.bytes, &number, sizeof number);
    return id;
}

static void test_found_by_event_and_space(void **state)
{
    struct seen *seen = seen_new(WINDOW_US);
    const struct uuid event = make_id(1);
    const struct uuid here = make_id(2);
    const struct uuid there = make_id(3);
    (void)state;
    assert_null(seen_find(seen, &event, &here));
    assert_int_equal(seen_put(seen, &event, &here, 7, 10), 0);
    assert_null(seen_find(seen, &event, &there));
    assert_null(seen_find(seen, &there, &here));
    assert_int_equal(seen_find(seen, &event, &here)->fingerprint, 7);
    /* a later copy takes the place of the one before */
    assert_int_equal(seen_put(seen, &event, &here, 8, 20), 0);
    assert_int_equal(seen_find(seen, &event, &here)->fingerprint, 8);
    assert_int_equal(seen_find(seen, &event, &here)->timestamp_us, 20);
    assert_int_equal(seen_count(seen), 1);
    seen_free(seen);
}

static void test_grows(void **state)
{
    struct seen *seen = seen_new(WINDOW_US);
    const uint64_t count = SEEN_EVENTS_FIRST * 3;
    (void)state;
    for (uint64_t i = 0; i < count; i++) {
        const struct uuid event = make_id(i);
        const struct uuid space = make_id(i % 5000);
        assert_int_equal(seen_put(seen, &event, &space, (int64_t)i, (int64_t)i), 0);
    }
    assert_int_equal(seen_count(seen), count);
    for (uint64_t i = 0; i < count; i++) {
        const struct uuid event = make_id(i);
        const struct uuid space = make_id(i % 5000);
        assert_int_equal(seen_find(seen, &event, &space)->fingerprint, i);
    }
    seen_free(seen);
}

/* A replay of a long past needs the room of one window. */
static void test_keeps_its_size(void **state)
{
    struct seen *seen = seen_new(WINDOW_US);
    const struct uuid space = make_id(1);
    const uint64_t count = SEEN_EVENTS_FIRST * 3;
    const int64_t step_us = WINDOW_US / (SEEN_EVENTS_FIRST / 8);
    (void)state;
    for (uint64_t i = 0; i < count; i++) {
        const struct uuid event = make_id(i);
        seen_set_horizon(seen, (int64_t)i * step_us);
        assert_int_equal(seen_put(seen, &event, &space, 0, (int64_t)i * step_us), 0);
        assert_true(seen_count(seen) <= SEEN_EVENTS_FIRST);
    }
    const struct uuid last_inside = make_id(count - SEEN_EVENTS_FIRST / 8);
    assert_non_null(seen_find(seen, &last_inside, &space));
    seen_free(seen);
}

/* Only what no record to come can be a copy of may be dropped, and only when room is needed. */
static void test_forgets_what_left_the_window(void **state)
{
    struct seen *seen = seen_new(WINDOW_US);
    const struct uuid space = make_id(1);
    const struct uuid first = make_id(0);
    (void)state;
    for (uint64_t i = 0; i < SEEN_EVENTS_FIRST / 2; i++) {
        const struct uuid event = make_id(i);
        assert_int_equal(seen_put(seen, &event, &space, 0, 0), 0);
    }
    seen_set_horizon(seen, WINDOW_US);
    for (uint64_t i = 0; i < SEEN_EVENTS_FIRST / 2; i++) {
        const struct uuid event = make_id(SEEN_EVENTS_FIRST + i);
        assert_int_equal(seen_put(seen, &event, &space, 0, WINDOW_US), 0);
    }
    assert_non_null(seen_find(seen, &first, &space)); /* exactly the window away: still a copy */
    seen_set_horizon(seen, WINDOW_US + 1);
    for (uint64_t i = 0; i < SEEN_EVENTS_FIRST * 2; i++) {
        const struct uuid event = make_id(SEEN_EVENTS_FIRST * 2 + i);
        assert_int_equal(seen_put(seen, &event, &space, 0, WINDOW_US + 1), 0);
    }
    assert_null(seen_find(seen, &first, &space));
    seen_free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_by_event_and_space),
        cmocka_unit_test(test_grows),
        cmocka_unit_test(test_keeps_its_size),
        cmocka_unit_test(test_forgets_what_left_the_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
