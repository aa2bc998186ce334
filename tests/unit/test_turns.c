/* SPDX-License-Identifier: Apache-2.0
 *
 * Whose turn it is: Space by Space, within the bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "producers/gateway/turns.h"

enum { READS = 64, QUEUED_MAX = 16, WAIT_US = 60000000 };

static struct read reads[READS];

static struct turns *begin(int running_of_space_max)
{
    struct turns_limits limits = {.queued_max = QUEUED_MAX,
                                  .running_of_space_max = running_of_space_max,
                                  .wait_us = WAIT_US,
                                  .read_bytes = 10,
                                  .bytes_max = 120};
    memset(reads, 0, sizeof reads);
    return turns_new(&limits);
}

/* Queues the read with that number for a Space. Returns what turns_put does. */
static int put(struct turns *turns, int number, int space, struct read **ret_out)
{
    struct read *out;
    snprintf(reads[number].space, sizeof reads[number].space,
             "0190a5f0-7a1c-7000-8000-00000000%04d", space);
    int code = turns_put(turns, &reads[number], &out);
    if (ret_out)
        *ret_out = out;
    else
        assert_null(out);
    return code;
}

static void finish(struct turns *turns, struct read *read)
{
    turns_answered(turns, read, 3);
    turns_sent(turns, read);
}

static void spaces_take_turns(void **state)
{
    (void)state;
    struct turns *turns = begin(4);
    static const int order[] = {0, 3, 5, 1, 4, 2};
    for (int i = 0; i < 3; i++)
        assert_int_equal(put(turns, i, 1, NULL), 0);
    assert_int_equal(put(turns, 3, 2, NULL), 0);
    assert_int_equal(put(turns, 4, 2, NULL), 0);
    assert_int_equal(put(turns, 5, 3, NULL), 0);
    for (int i = 0; i < 6; i++) {
        assert_ptr_equal(turns_take(turns), &reads[order[i]]);
        finish(turns, &reads[order[i]]);
    }
    assert_null(turns_take(turns));
    assert_int_equal(turns_bytes(turns), 0);
    turns_free(turns);
}

static void a_space_has_a_share_of_the_workers(void **state)
{
    (void)state;
    struct turns *turns = begin(2);
    for (int i = 0; i < 4; i++)
        put(turns, i, 1, NULL);
    assert_ptr_equal(turns_take(turns), &reads[0]);
    assert_ptr_equal(turns_take(turns), &reads[1]);
    assert_null(turns_take(turns));
    put(turns, 4, 2, NULL);
    assert_ptr_equal(turns_take(turns), &reads[4]);
    turns_answered(turns, &reads[0], 3);
    assert_ptr_equal(turns_take(turns), &reads[2]);
    assert_null(turns_take(turns));
    turns_free(turns);
}

static void a_space_has_a_share_of_the_queue(void **state)
{
    (void)state;
    struct turns *turns = begin(4);
    struct read *out;
    for (int i = 0; i < 4; i++)
        assert_int_equal(put(turns, i, 1, NULL), 0);
    assert_int_equal(put(turns, 4, 1, NULL), -1);
    /* four Spaces fill it; who comes then takes the latest place of one of them */
    for (int i = 4; i < QUEUED_MAX; i++)
        assert_int_equal(put(turns, i, i / 4 + 1, NULL), 0);
    assert_int_equal(put(turns, 20, 5, &out), 0);
    assert_ptr_equal(out, &reads[3]);
    assert_int_equal(turns_queued(turns), QUEUED_MAX);
    assert_int_equal(put(turns, 21, 5, &out), 0);
    assert_ptr_equal(out, &reads[7]);
    /* not when the Space has as many itself */
    assert_int_equal(put(turns, 22, 5, &out), 0);
    assert_int_equal(put(turns, 23, 5, &out), -1);
    assert_null(out);
    static const int order[] = {0, 4, 8, 12, 20};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        assert_ptr_equal(turns_take(turns), &reads[order[i]]);
    turns_free(turns);
}

static void answers_count_until_they_are_sent(void **state)
{
    (void)state;
    struct turns *turns = begin(4);
    for (int i = 0; i < 4; i++)
        put(turns, i, 1, NULL);
    for (int i = 0; i < 3; i++) /* three of ten bytes are the Space's quarter */
        assert_ptr_equal(turns_take(turns), &reads[i]);
    assert_null(turns_take(turns));
    turns_answered(turns, &reads[0], 3);
    assert_null(turns_take(turns));
    turns_sent(turns, &reads[0]);
    assert_int_equal(turns_bytes(turns), 20);
    assert_ptr_equal(turns_take(turns), &reads[3]);
    put(turns, 4, 1, NULL);
    for (int i = 5; i < 15; i++) /* and twelve everything */
        put(turns, i, i, NULL);
    for (int i = 5; i < 14; i++)
        assert_ptr_equal(turns_take(turns), &reads[i]);
    assert_null(turns_take(turns));
    assert_int_equal(turns_bytes(turns), 120);
    turns_free(turns);
}

static void waiting_ends(void **state)
{
    (void)state;
    struct turns *turns = begin(4);
    put(turns, 0, 1, NULL);
    put(turns, 1, 1, NULL);
    put(turns, 2, 2, NULL);
    assert_null(turns_expired(turns, reads[0].expires_us - 1));
    assert_ptr_equal(turns_expired(turns, reads[0].expires_us), &reads[0]);
    turns_answered(turns, &reads[0], 3); /* never ran: nothing */
    turns_sent(turns, &reads[0]);
    assert_ptr_equal(turns_take(turns), &reads[1]);
    assert_ptr_equal(turns_expired(turns, INT64_MAX), &reads[2]);
    assert_null(turns_expired(turns, INT64_MAX));
    put(turns, 3, 3, NULL);
    assert_ptr_equal(turns_take(turns), &reads[3]);
    assert_int_equal(turns_queued(turns), 0);
    turns_free(turns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spaces_take_turns), cmocka_unit_test(a_space_has_a_share_of_the_workers),
        cmocka_unit_test(a_space_has_a_share_of_the_queue),
        cmocka_unit_test(answers_count_until_they_are_sent), cmocka_unit_test(waiting_ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
