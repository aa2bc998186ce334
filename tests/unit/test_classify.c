/* SPDX-License-Identifier: Apache-2.0
 *
 * What classification makes of repeated events: the same as folding record by record would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "processors/fold/batch.h"

static const int64_t DAY_US = 86400 * INT64_C(1000000);
static struct processor processor = {.duplicate_window_ms = 7 * 86400 * INT64_C(1000)};

static void release_nothing(void *owner)
{
    (void)owner;
}

static struct uuid id_of(unsigned char number)
{
    struct uuid uuid = {{0}};
    uuid.bytes[15] = number;
    return uuid;
}

static void add(struct batch *batch, unsigned char space, unsigned char event, int64_t fingerprint,
                int64_t day)
{
    batch->entries[batch->count++] = (struct entry){.space_id = id_of(space),
                                                    .event_id = id_of(event),
                                                    .fingerprint = fingerprint,
                                                    .record = {.timestamp_us = day * DAY_US}};
}

/* An anchor's id must not depend on what else is wrong with the record. */
static void test_an_event_id_is_read_from_bytes_alone(void **state)
{
    (void)state;
    static const struct uuid none;
    char value[] = "\0\0\0\0\1\x48"
                   "0190a5f0-7a1c-7000-8000-000000000001";
    struct uuid id = decoder_event_id(value, sizeof value - 1);
    assert_int_equal(id.bytes[0], 0x01);
    assert_int_equal(id.bytes[15], 0x01);
    id = decoder_event_id(value, sizeof value - 2);
    assert_memory_equal(&id, &none, sizeof id);
    value[0] = 1;
    id = decoder_event_id(value, sizeof value - 1);
    assert_memory_equal(&id, &none, sizeof id);
    id = decoder_event_id(NULL, 0);
    assert_memory_equal(&id, &none, sizeof id);
}

static int setup(void **state)
{
    struct batch *batch = batch_new(&processor, 64, release_nothing);
    batch_reset(batch, 1);
    *state = batch;
    return 0;
}

static int teardown(void **state)
{
    batch_free(*state);
    return 0;
}

static void test_the_same_event_again_is_a_duplicate(void **state)
{
    struct batch *batch = *state;
    add(batch, 1, 1, 10, 0);
    add(batch, 1, 2, 10, 0);
    add(batch, 1, 1, 10, 1);
    assert_int_equal(batch_classify(batch, 0, 3, NULL, 0), 3);
    assert_int_equal(batch->entries[0].fate, FATE_APPLIED);
    assert_int_equal(batch->entries[1].fate, FATE_APPLIED);
    assert_int_equal(batch->entries[2].fate, FATE_DUPLICATE);
}

static void test_another_space_may_have_the_same_id(void **state)
{
    struct batch *batch = *state;
    add(batch, 1, 1, 10, 0);
    add(batch, 2, 1, 99, 0);
    assert_int_equal(batch_classify(batch, 0, 2, NULL, 0), 2);
    assert_int_equal(batch->entries[1].fate, FATE_APPLIED);
}

static void test_another_body_is_a_conflict(void **state)
{
    struct batch *batch = *state;
    add(batch, 1, 1, 10, 0);
    add(batch, 1, 1, 11, 0);
    assert_int_equal(batch_classify(batch, 0, 2, NULL, 0), 2);
    assert_int_equal(batch->entries[1].fate, FATE_DEAD_LETTER);
    assert_string_equal(batch->entries[1].code, "fingerprint-conflict");
}

static void test_beyond_the_window_it_is_a_new_event_of_its_own_slice(void **state)
{
    struct batch *batch = *state;
    add(batch, 1, 1, 10, 0);
    add(batch, 1, 1, 10, 7); /* exactly the window: still inside */
    add(batch, 1, 1, 11, 8);
    assert_int_equal(batch_classify(batch, 0, 3, NULL, 0), 2);
    assert_int_equal(batch->entries[1].fate, FATE_DUPLICATE);
    const struct known known = {id_of(1), id_of(1), 10, 0};
    assert_int_equal(batch_classify(batch, 2, 3, &known, 1), 3);
    assert_int_equal(batch->entries[2].fate, FATE_APPLIED);
}

static void test_what_the_database_knows_counts(void **state)
{
    struct batch *batch = *state;
    const struct known known[] = {{id_of(1), id_of(1), 10, 0}, {id_of(2), id_of(1), 20, 0}};
    add(batch, 1, 1, 10, 1);
    add(batch, 1, 2, 21, 1);
    add(batch, 1, 3, 30, 1);
    assert_int_equal(batch_classify(batch, 0, 3, known, 2), 3);
    assert_int_equal(batch->entries[0].fate, FATE_DUPLICATE);
    assert_int_equal(batch->entries[1].fate, FATE_DEAD_LETTER);
    assert_int_equal(batch->entries[2].fate, FATE_APPLIED);
}

/* The copy at day 6 is a duplicate and does not count; the one at day 8 is compared with the
 * applied one at day 0. */
static void test_only_applied_copies_count(void **state)
{
    struct batch *batch = *state;
    const struct known known = {id_of(1), id_of(1), 10, 0};
    add(batch, 1, 1, 10, 6);
    add(batch, 1, 1, 10, 8);
    assert_int_equal(batch_classify(batch, 0, 2, &known, 1), 2);
    assert_int_equal(batch->entries[0].fate, FATE_DUPLICATE);
    assert_int_equal(batch->entries[1].fate, FATE_APPLIED);
}

static void test_classifying_again_forgets_the_first_time(void **state)
{
    struct batch *batch = *state;
    const struct known known = {id_of(1), id_of(1), 11, 0};
    add(batch, 1, 1, 10, 0);
    batch_classify(batch, 0, 1, &known, 1);
    assert_int_equal(batch->entries[0].fate, FATE_DEAD_LETTER);
    batch_classify(batch, 0, 1, NULL, 0);
    assert_int_equal(batch->entries[0].fate, FATE_APPLIED);
}

#define CLASSIFY_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLASSIFY_TEST(test_the_same_event_again_is_a_duplicate),
        CLASSIFY_TEST(test_an_event_id_is_read_from_bytes_alone),
        CLASSIFY_TEST(test_another_space_may_have_the_same_id),
        CLASSIFY_TEST(test_another_body_is_a_conflict),
        CLASSIFY_TEST(test_beyond_the_window_it_is_a_new_event_of_its_own_slice),
        CLASSIFY_TEST(test_what_the_database_knows_counts),
        CLASSIFY_TEST(test_only_applied_copies_count),
        CLASSIFY_TEST(test_classifying_again_forgets_the_first_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
