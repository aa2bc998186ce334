/* SPDX-License-Identifier: Apache-2.0
 *
 * How many calls it takes to apply batches of which some events fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "processors/fold/slicing.h"

enum { COUNT = 4096, DEPTH = 12, CALLS_MAX = 100000 };

struct calls {
    size_t passed, failed;
    size_t largest; /* of those that passed */
};

/* Applies a batch; entries that fail are parked once each of them is known. */
static struct calls apply(struct slicing *slicing, char guilty[COUNT])
{
    struct calls calls = {0};
    slicing_begin(slicing, 1);
    for (size_t from = 0; from < COUNT;) {
        size_t to = slicing_end(slicing, from, COUNT);
        assert_in_range(to, from + 1, COUNT);
        assert_true(calls.passed + calls.failed < CALLS_MAX);
        if (!memchr(guilty + from, 1, to - from)) {
            slicing_passed(slicing, to - from);
            calls.passed++;
            calls.largest = to - from > calls.largest ? to - from : calls.largest;
            from = to;
            continue;
        }
        calls.failed++;
        if (to - from > 1) {
            slicing_bisect(slicing, to);
        } else {
            guilty[from] = 0;
            slicing_found(slicing, 1);
        }
    }
    return calls;
}

static void test_a_batch_is_one_call(void **state)
{
    (void)state;
    char guilty[COUNT] = {0};
    struct slicing slicing = slicing_new(COUNT);
    struct calls calls = apply(&slicing, guilty);
    assert_int_equal(calls.passed, 1);
    assert_int_equal(calls.failed, 0);
}

static void test_one_is_found_wherever_it_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i += i < 64 || i > COUNT - 64 ? 1 : 61) {
        char guilty[COUNT] = {0};
        struct slicing slicing = slicing_new(COUNT);
        guilty[i] = 1;
        struct calls calls = apply(&slicing, guilty);
        assert_null(memchr(guilty, 1, COUNT));
        assert_in_range(calls.failed, 1, DEPTH + 1);
        /* the good halves, and what grows behind it */
        assert_in_range(calls.passed, 1, DEPTH + SLICING_BACKOFF_RUN * DEPTH + 2);
    }
}

/* Without smaller slices each would cost what the only one in a batch does. */
static void test_many_are_found_by_fewer_calls_each(void **state)
{
    (void)state;
    char guilty[COUNT] = {0};
    struct slicing slicing = slicing_new(COUNT);
    size_t count = 0;
    for (size_t i = 0; i < COUNT; i += 32, count++)
        guilty[i] = 1;
    struct calls calls = apply(&slicing, guilty);
    assert_null(memchr(guilty, 1, COUNT));
    assert_in_range(calls.failed, count, count * 6);
    assert_in_range(calls.passed, count, count * 12);
}

static void test_slices_grow_back(void **state)
{
    (void)state;
    char guilty[COUNT] = {0};
    struct slicing slicing = slicing_new(COUNT);
    guilty[0] = 1;
    apply(&slicing, guilty);
    assert_true(slicing_end(&slicing, 0, COUNT) < COUNT);
    size_t batches = 0;
    while (apply(&slicing, guilty).largest < COUNT)
        assert_true(++batches < 2 * SLICING_BACKOFF_RUN);
}

/* What was parked before says nothing about new records. */
static void test_parked_records_are_sent_whole(void **state)
{
    (void)state;
    char guilty[COUNT] = {0};
    struct slicing slicing = slicing_new(COUNT);
    guilty[0] = guilty[9] = guilty[100] = 1;
    apply(&slicing, guilty);
    size_t limit = slicing.backoff_limit;
    slicing_begin(&slicing, 0);
    assert_int_equal(slicing_end(&slicing, 0, COUNT), COUNT);
    slicing_passed(&slicing, COUNT);
    assert_int_equal(slicing.backoff_limit, limit);
}

static void test_something_passing(void **state)
{
    (void)state;
    struct slicing slicing = slicing_new(COUNT);
    slicing_begin(&slicing, 1);
    for (int i = 0; i < 3; i++)
        assert_true(slicing_resend(&slicing, 3));
    assert_false(slicing_resend(&slicing, 3));
    slicing_bisect(&slicing, COUNT); /* each half has tries of its own */
    assert_true(slicing_resend(&slicing, 3));
    slicing_passed(&slicing, 1);
    for (int i = 0; i < 3; i++)
        assert_true(slicing_resend(&slicing, 3));
}

static void test_nothing_is_searched_twice(void **state)
{
    (void)state;
    struct slicing slicing = slicing_new(COUNT);
    slicing_begin(&slicing, 1);
    assert_true(slicing_search(&slicing, 10, 20));
    assert_false(slicing_search(&slicing, 15, 20));
    assert_true(slicing_search(&slicing, 20, 30));
    slicing_forget(&slicing);
    assert_true(slicing_search(&slicing, 15, 20));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_batch_is_one_call),
        cmocka_unit_test(test_one_is_found_wherever_it_is),
        cmocka_unit_test(test_many_are_found_by_fewer_calls_each),
        cmocka_unit_test(test_slices_grow_back),
        cmocka_unit_test(test_parked_records_are_sent_whole),
        cmocka_unit_test(test_something_passing),
        cmocka_unit_test(test_nothing_is_searched_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
