/* SPDX-License-Identifier: Apache-2.0
 *
 * Damaged events of every shipped schema: each is cut at every byte and changed at random. Nothing
 * may crash (the sanitizers watch), a failure leaves no trace, and what the plan takes the JSON
 * decoder, which is another program, takes too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/avro/sample.h"
#include "tests/unit/avro_plan.h"

enum { CHANGES_PER_VERSION = 3000, BOMB_SIZE = 4 << 20 };

struct target {
    const struct schema *schema;
    struct relation_set *set;
    struct plan *plan;
    struct buf rows[RELATIONS_PER_EVENT_MAX];
};

/* Decodes a copy that ends where the allocation ends. Returns whether the plan took it. */
static int try_bytes(struct target *target, const char *bytes, size_t size)
{
    uint32_t counts[RELATIONS_PER_EVENT_MAX] = {0};
    struct plan_envelope envelope;
    struct error error = {0};
    json_t *json = NULL;
    unsigned char *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    struct plan_record record = {.avro = copy, .avro_size = size};
    for (size_t i = 0; i < RELATIONS_PER_EVENT_MAX; i++)
        target->rows[i].size = 0;
    int result = plan_decode(target->plan, &record, target->rows, counts, &envelope, &error);
    if (result != 0) {
        for (size_t i = 0; i < RELATIONS_PER_EVENT_MAX; i++)
            assert_int_equal(target->rows[i].size + counts[i], 0);
        assert_int_equal(error.class, ERROR_DEAD_LETTER);
        assert_non_null(strstr(error.message, "byte "));
    }
    int plain = avro_to_json(target->schema, copy, size, 0, &json, &error);
    if (result == 0)
        assert_int_equal(plain, 0);
    if (plain == 0)
        json_decref(json);
    free(copy);
    return result == 0;
}

static void fuzz_version(const struct catalog_version *version, struct sample *dice)
{
    struct error error = {0};
    struct target target = {.schema = version->schema};
    struct faults faults = {0};
    struct buf bytes = {0};
    if (relation_build(version->event, &target.set, &error) != 0 ||
        plan_compile(version->schema, target.set, &target.plan, &error) != 0)
        fail_msg("%s", error.message);
    json_t *meta = json_loads(META_JSON, 0, NULL);
    json_t *body = sample_event(dice, version->schema);
    assert_int_equal(avro_event_from_json(version->schema, meta, body, &bytes, &faults), 0);
    for (size_t size = 0; size < bytes.size; size++)
        assert_false(try_bytes(&target, bytes.data, size));
    assert_true(try_bytes(&target, bytes.data, bytes.size));
    int taken = 0;
    for (int i = 0; i < CHANGES_PER_VERSION; i++) {
        struct buf changed = {0};
        buf_put(&changed, bytes.data, bytes.size);
        for (int k = 0; k <= i % 3; k++)
            changed.data[sample_next(dice) % bytes.size] = (char)sample_next(dice);
        taken += try_bytes(&target, changed.data, changed.size);
        buf_free(&changed);
    }
    assert_in_range(taken, 1, CHANGES_PER_VERSION - 1);
    for (size_t i = 0; i < RELATIONS_PER_EVENT_MAX; i++)
        buf_free(&target.rows[i]);
    json_decref(meta);
    json_decref(body);
    buf_free(&bytes);
    plan_free(target.plan);
    relation_free(target.set);
}

static void test_catalog(void **state)
{
    (void)state;
    struct assets *assets;
    struct catalog *catalog;
    struct error error = {0};
    struct sample dice = {.state = 11, .pool_size = 8, .now_us = INT64_C(1795348800000000)};
    assert_int_equal(assets_open(NULL, &assets, &error), 0);
    if (catalog_open(assets, &catalog, &error) != 0)
        fail_msg("%s", error.message);
    for (size_t i = 0; i < catalog_event_count(catalog); i++) {
        const struct catalog_event *event = catalog_event_at(catalog, i);
        for (size_t k = 0; k < event->version_count; k++)
            fuzz_version(&event->versions[k], &dice);
    }
    catalog_free(catalog);
    assets_free(assets);
}

/* Megabytes that say "and one more inside" or "many items of no size": refused at once, by each way
 * of reading. */
static void test_bombs(void **state)
{
    (void)state;
    static const char *const fields[] = {
        ",{\"name\":\"list\",\"type\":{\"type\":\"record\",\"name\":\"L\",\"fields\":[{\"name\":"
        "\"next\",\"type\":[\"null\",\"L\"]}]}}",
        ",{\"name\":\"tree\",\"type\":{\"type\":\"record\",\"name\":\"T\",\"fields\":[{\"name\":"
        "\"all\",\"type\":{\"type\":"
        "\"array\",\"items\":\"T\"}}]}}",
        ",{\"name\":\"nulls\",\"type\":{\"type\":\"array\",\"items\":\"null\"}}",
        ",{\"name\":\"rows\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":"
        "\"E\",\"fields\":[]}}}",
        ",{\"name\":\"map\",\"type\":{\"type\":\"map\",\"values\":\"null\"}}",
    };
    static const char counts[] =
        "\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"; /* the largest count of nine bytes */
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct error error = {0};
        struct fixture f;
        if (open_plan(&f, "", "", &error) != 0)
            fail_msg("%s", error.message);
        encode(&f, "{}");
        struct buf bomb = {0};
        buf_put(&bomb, f.bytes.data, f.bytes.size);
        close_plan(&f);
        if (open_plan(&f, fields[i], fields[i], &error) != 0)
            fail_msg("%s", error.message);
        struct target target = {.schema = schema_root(f.writer), .set = f.set, .plan = f.plan};
        size_t head = bomb.size;
        memset(buf_reserve(&bomb, BOMB_SIZE), 2, BOMB_SIZE);
        bomb.size += BOMB_SIZE;
        assert_false(try_bytes(&target, bomb.data, bomb.size));
        memcpy(bomb.data + head, counts, sizeof counts - 1);
        assert_false(try_bytes(&target, bomb.data, bomb.size));
        for (size_t k = 0; k < RELATIONS_PER_EVENT_MAX; k++)
            buf_free(&target.rows[k]);
        buf_free(&bomb);
        close_plan(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_catalog),
                                       cmocka_unit_test(test_bombs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
