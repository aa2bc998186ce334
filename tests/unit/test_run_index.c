/* SPDX-License-Identifier: Apache-2.0
 *
 * The index of applied events: each hash that was added is found with the range of its run, however
 * many there are; the oldest go first, and no others with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "processors/fold/run_index.h"

/* Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014). */
static uint64_t hash_of(uint64_t number)
{
    uint64_t hash = (number + 1) * 0x9e3779b97f4a7c15;
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111eb;
    return hash ^ hash >> 31;
}

static void add_hash(struct run_index *index, int32_t position, int64_t run, int64_t newest_us,
                     uint64_t hash)
{
    uint64_t stored = htobe64(hash);
    run_index_add(index, position, run, newest_us, (const char *)&stored, 1);
}

/* A run of `count` hashes from `first` on. */
static void add_run(struct run_index *index, int32_t position, int64_t run, uint64_t first,
                    size_t count)
{
    struct buf hashes = {0};
    for (uint64_t i = first; i < first + count; i++) {
        uint64_t stored = htobe64(hash_of(i));
        buf_put(&hashes, &stored, sizeof stored);
    }
    run_index_add(index, position, run, run, hashes.data, count);
    buf_free(&hashes);
}

/* How many ranges with this run the search comes to. */
static int find(const struct run_index *index, uint64_t hash, int32_t position, int64_t run)
{
    struct run_search search = {0};
    int found = 0;
    for (const struct run_range *range; (range = run_index_next(index, hash, &search));)
        found +=
            range->position_id == position && range->first_run <= run && run <= range->last_run;
    return found;
}

static int find_any(const struct run_index *index, uint64_t hash)
{
    struct run_search search = {0};
    int found = 0;
    while (run_index_next(index, hash, &search))
        found++;
    return found;
}

static void test_what_was_added_is_found(void **state)
{
    struct run_index *index = run_index_new();
    enum { RUNS = 3000, EACH = 100, POSITIONS = 12 };
    (void)state;
    for (int64_t run = 0; run < RUNS; run++)
        add_run(index, (int32_t)(run % POSITIONS), run, (uint64_t)run * EACH, EACH);
    assert_int_equal(run_index_count(index), RUNS * EACH);
    int strangers = 0;
    for (uint64_t i = 0; i < RUNS * EACH; i++) {
        int64_t run = (int64_t)i / EACH;
        assert_int_equal(find(index, hash_of(i), (int32_t)(run % POSITIONS), run), 1);
        strangers += find_any(index, hash_of(RUNS * EACH + i));
    }
    assert_true(strangers < 10); /* 32 bits of the hash are compared: 0.0001 are to be expected */
    assert_true(run_index_bytes(index) < RUNS * EACH * 16);
    run_index_free(index);
}

/* As when there are many topics of many partitions, and little comes of each. */
static void test_many_partitions_share_a_segment(void **state)
{
    struct run_index *index = run_index_new();
    enum { RUNS = 300, POSITIONS = 600 };
    (void)state;
    for (int64_t run = 0; run < RUNS; run++)
        for (int32_t position = 0; position < POSITIONS; position++)
            add_hash(index, position, run, 0, hash_of((uint64_t)run * POSITIONS + position));
    for (int64_t run = 0; run < RUNS; run++)
        assert_int_equal(find(index, hash_of((uint64_t)run * POSITIONS), 0, run), 1);
    assert_true(run_index_bytes(index) < RUNS * POSITIONS * 16);
    run_index_free(index);
}

/* Whoever chooses ids cannot choose hashes, but equal ones have to be found all the same. */
static void test_equal_hashes_are_all_found(void **state)
{
    struct run_index *index = run_index_new();
    const uint64_t hashes[] = {0, UINT64_MAX, UINT64_C(1) << 32, 1};
    (void)state;
    for (int64_t run = 1; run <= 5; run++)
        for (size_t i = 0; i < 4; i++)
            add_hash(index, (int32_t)run, run, 0, hashes[i]);
    for (int64_t run = 1; run <= 5; run++)
        for (size_t i = 0; i < 4; i++)
            assert_true(find(index, hashes[i], (int32_t)run, run) >= 1);
    assert_int_equal(find_any(index, UINT64_MAX), 5);
    run_index_free(index);
}

/* Ranges of a position are short enough to be read: neither far apart nor of many hashes. */
static void test_ranges_stay_short(void **state)
{
    struct run_index *index = run_index_new();
    struct run_search search = {0};
    (void)state;
    for (int64_t run = 1; run <= 4000; run++)
        add_hash(index, 1, run, 0, hash_of((uint64_t)run));
    add_hash(index, 1, 1000000, 0, hash_of(0));
    add_hash(index, 1, 5, 0, hash_of(5000)); /* read anew, of an older run */
    const struct run_range *range = run_index_next(index, hash_of(1), &search);
    assert_int_equal(range->first_run, 1);
    assert_int_equal(range->last_run, 1024);
    search = (struct run_search){0};
    range = run_index_next(index, hash_of(0), &search);
    assert_int_equal(range->first_run, 1000000);
    search = (struct run_search){0};
    range = run_index_next(index, hash_of(5000), &search);
    assert_int_equal(range->first_run, 5);
    assert_int_equal(range->last_run, 5);
    run_index_free(index);
}

static void test_the_oldest_are_forgotten(void **state)
{
    struct run_index *index = run_index_new();
    struct run_range *ranges = NULL;
    (void)state;
    assert_int_equal(run_index_forget(index, INT64_MAX, &ranges), 0);
    for (int64_t run = 1; run <= 200; run++) /* more than the first segment takes */
        add_run(index, 7, run, (uint64_t)run * 100, 100);
    assert_int_equal(run_index_forget(index, 1, &ranges), 0);
    size_t count = run_index_forget(index, 150, &ranges);
    assert_true(count > 0);
    int64_t last = ranges[count - 1].last_run;
    assert_true(ranges[0].position_id == 7 && ranges[0].first_run == 1 && last < 150);
    free(ranges);
    assert_int_equal(find_any(index, hash_of(100)), 0);
    for (int64_t run = last + 1; run <= 200; run++)
        for (uint64_t i = 0; i < 100; i++)
            assert_int_equal(find(index, hash_of((uint64_t)run * 100 + i), 7, run), 1);
    assert_int_equal(run_index_forget(index, 150, &ranges), 0); /* the next has younger ones */
    run_index_free(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_added_is_found),
        cmocka_unit_test(test_many_partitions_share_a_segment),
        cmocka_unit_test(test_equal_hashes_are_all_found),
        cmocka_unit_test(test_ranges_stay_short),
        cmocka_unit_test(test_the_oldest_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
