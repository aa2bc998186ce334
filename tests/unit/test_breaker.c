/* SPDX-License-Identifier: Apache-2.0
 *
 * What speaks against the processor, and what against events; and how often one of them is tried.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "processors/engine/breaker.h"

static const struct policy policy = {
    .attempts = 8, .breaker_failures = 10, .breaker_after_ms = 1000};

static struct uuid space(unsigned char number)
{
    struct uuid uuid = {{0}};
    uuid.bytes[15] = number;
    return uuid;
}

static void fails(struct breaker *breaker, unsigned char number, int64_t now_us)
{
    struct uuid id = space(number);
    breaker_failed(breaker, &policy, &id, now_us);
}

static void test_ten_spaces_that_keep_failing(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    for (unsigned char i = 0; i < 9; i++)
        fails(&breaker, i, 5);
    assert_false(breaker_doubts(&breaker, &policy));
    struct uuid tenth = space(9);
    assert_true(breaker_failed(&breaker, &policy, &tenth, 6));
    assert_false(breaker_failed(&breaker, &policy, &tenth, 7));
    assert_true(breaker_doubts(&breaker, &policy));
    assert_false(breaker_is_open(&breaker, &policy, 1000004));
    assert_true(breaker_is_open(&breaker, &policy, 1000005));
}

static void test_one_that_is_applied_clears_the_processor(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    for (unsigned char i = 0; i < 200; i++)
        fails(&breaker, i, i);
    breaker_passed(&breaker);
    assert_false(breaker_doubts(&breaker, &policy));
    fails(&breaker, 1, 5000000);
    assert_false(breaker_is_open(&breaker, &policy, 5000000));
    /* the time is that of the first failure since then */
    for (unsigned char i = 0; i < 10; i++)
        fails(&breaker, i, 5500000);
    assert_false(breaker_is_open(&breaker, &policy, 5999999));
    assert_true(breaker_is_open(&breaker, &policy, 6000000));
}

static void test_one_space_never_opens_it(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    for (int64_t i = 0; i < 100000; i++)
        fails(&breaker, 7, i * 1000);
    assert_false(breaker_doubts(&breaker, &policy));
    assert_false(breaker_is_open(&breaker, &policy, INT64_MAX / 2));
}

/* However few Spaces there are, dead letters in a row are few. */
static void test_dead_letters_in_a_row_are_bounded(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    fails(&breaker, 7, 1);
    int made = 0;
    for (; !breaker_doubts(&breaker, &policy); made++)
        assert_int_equal(breaker_set_aside(&breaker, &policy), made == 9);
    assert_int_equal(made, 10);
    assert_false(breaker_is_open(&breaker, &policy, INT64_MAX / 2));
    breaker_passed(&breaker);
    assert_false(breaker_doubts(&breaker, &policy));
}

static void test_what_cannot_pass_is_tried_twice(void **state)
{
    (void)state;
    static const char *const hopeless[] = {"22003", "22P02", "54000", "screened"};
    static const char *const others[] = {"23505", "23514", "P0001", "53200", "57014"};
    const struct policy once = {.attempts = 1};
    for (size_t i = 0; i < sizeof hopeless / sizeof *hopeless; i++) {
        assert_int_equal(policy_attempts(&policy, hopeless[i]), 2);
        assert_int_equal(policy_attempts(&once, hopeless[i]), 1);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(policy_attempts(&policy, others[i]), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_spaces_that_keep_failing),
        cmocka_unit_test(test_one_that_is_applied_clears_the_processor),
        cmocka_unit_test(test_one_space_never_opens_it),
        cmocka_unit_test(test_dead_letters_in_a_row_are_bounded),
        cmocka_unit_test(test_what_cannot_pass_is_tried_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
