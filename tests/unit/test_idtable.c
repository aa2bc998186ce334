/* SPDX-License-Identifier: Apache-2.0
 *
 * The table over ids: it keeps what a list would keep, and ids that are chosen to fall together do
 * not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/idtable.h"

struct item {
    struct idtable_key key;
    uint64_t value;
};

static struct idtable_key make_key(uint64_t first, uint64_t second)
{
    const uint64_t words[4] = {first, second};
    struct idtable_key key;
    memcpy(&key, words, sizeof key);
    return key;
}

static void put(struct idtable *table, struct idtable_key key, uint64_t value)
{
    int is_new;
    ((struct item *)idtable_put(table, &key, &is_new))->value = value;
}

/* Keys come and go; `values` is what must be there. */
static void test_keeps_what_a_list_keeps(void **state)
{
    enum { KEYS = 500, STEPS = 200000 };
    struct idtable *table = idtable_new(sizeof(struct item));
    uint64_t values[KEYS] = {0};
    size_t count = 0;
    (void)state;
    srandom(1);
    for (uint64_t step = 1; step <= STEPS; step++) {
        size_t i = (size_t)random() % KEYS;
        struct idtable_key key = make_key(0, i);
        const struct item *item = idtable_find(table, &key);
        assert_int_equal(item ? item->value : 0, values[i]);
        if (random() % 2) {
            count += values[i] == 0;
            put(table, key, values[i] = step);
        } else {
            count -= values[i] != 0;
            idtable_remove(table, &key);
            values[i] = 0;
        }
        assert_int_equal(idtable_count(table), count);
    }
    for (size_t i = 0; i < idtable_count(table); i++) {
        const struct item *item = idtable_at(table, i);
        assert_ptr_equal(idtable_find(table, &item->key), item);
    }
    idtable_free(table);
}

static void test_id_and_scope_are_the_key(void **state)
{
    struct idtable *table = idtable_new(sizeof(struct item));
    const struct idtable_key here = {{"1"}, {"2"}};
    const struct idtable_key there = {{"2"}, {"1"}};
    int is_new;
    (void)state;
    idtable_put(table, &here, &is_new);
    assert_true(is_new);
    assert_null(idtable_find(table, &there));
    idtable_put(table, &here, &is_new);
    assert_false(is_new);
    idtable_free(table);
}

/* Often enough that numbers begin anew: nothing of a round before may look used. */
static void test_clearing(void **state)
{
    enum { KEYS = 1000, ROUNDS = 20000 };
    struct idtable *table = idtable_new(sizeof(struct item));
    (void)state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct idtable_key before = make_key(round - 1, 0);
        assert_null(idtable_find(table, &before));
        for (uint64_t i = 0; i < KEYS; i++)
            put(table, make_key(round, i), i);
        assert_int_equal(idtable_count(table), KEYS);
        idtable_clear(table);
    }
    assert_int_equal(idtable_count(table), 0);
    idtable_free(table);
}

/* For hashes of the kind `a ^ b * constant`, these all fall into one slot. */
static void test_crafted_ids_are_spread(void **state)
{
    enum { KEYS = 20000, LONGEST = 1000 };
    static const uint64_t constants[] = {0x9e3779b97f4a7c15u, 0xbf58476d1ce4e5b9u};
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct idtable *table = idtable_new(sizeof(struct item));
        for (uint64_t i = 0; i < KEYS; i++) {
            uint64_t product = (kind < 2 ? i : i ^ constants[1]) * constants[kind % 2];
            put(table, kind < 2 ? make_key(product, i) : make_key(i, product), i);
        }
        assert_int_equal(idtable_count(table), KEYS);
        assert_in_range(idtable_longest(table), 1, LONGEST);
        idtable_free(table);
    }
}

/* With one seed, what is crafted for one table would do for all. */
static void test_each_table_has_a_seed(void **state)
{
    enum { KEYS = 1000, SETS = 30 };
    int differ = 0;
    (void)state;
    for (uint64_t set = 0; set < SETS; set++) {
        struct idtable *one = idtable_new(sizeof(struct item));
        struct idtable *other = idtable_new(sizeof(struct item));
        for (uint64_t i = 0; i < KEYS; i++) {
            put(one, make_key(set, i), i);
            put(other, make_key(set, i), i);
        }
        differ += idtable_longest(one) != idtable_longest(other);
        idtable_free(one);
        idtable_free(other);
    }
    assert_int_not_equal(differ, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_what_a_list_keeps),
        cmocka_unit_test(test_id_and_scope_are_the_key),
        cmocka_unit_test(test_clearing),
        cmocka_unit_test(test_crafted_ids_are_spread),
        cmocka_unit_test(test_each_table_has_a_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
