/* SPDX-License-Identifier: Apache-2.0
 *
 * Random events: valid for every schema of the catalog, the same for the same seed, and decoded by
 * each version's plan to the rows that JSON says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/avro/sample.h"
#include "tests/unit/avro_plan.h"

static const int64_t NOON_US = INT64_C(1795348800000000);

enum { EVENTS_PER_VERSION = 100 };

struct shipped {
    struct assets *assets;
    struct catalog *catalog;
};

static void open_shipped(struct shipped *shipped)
{
    struct error error = {0};
    assert_int_equal(assets_open(NULL, &shipped->assets, &error), 0);
    if (catalog_open(shipped->assets, &shipped->catalog, &error) != 0)
        fail_msg("%s", error.message);
}

static void close_shipped(struct shipped *shipped)
{
    catalog_free(shipped->catalog);
    assets_free(shipped->assets);
}

/* Encodes a random event of the version. */
static void encode_sample(struct sample *sample, const struct schema *schema, struct buf *out)
{
    struct faults faults = {0};
    json_t *meta = json_loads(META_JSON, 0, NULL);
    json_t *body = sample_event(sample, schema);
    out->size = 0;
    if (avro_event_from_json(schema, meta, body, out, &faults) != 0)
        fail_msg("%s: %s %s", schema->name, faults.items[0].pointer, faults.items[0].message);
    json_decref(meta);
    json_decref(body);
}

static void test_same_for_same_seed(void **state)
{
    (void)state;
    struct shipped shipped;
    open_shipped(&shipped);
    const struct schema *schema =
        catalog_newest(catalog_find_event(shipped.catalog, "ProductPurchased"))->schema;
    struct sample one = {.state = 1, .pool_size = 8, .now_us = NOON_US};
    struct sample again = one;
    struct sample other = {.state = 2, .pool_size = 8, .now_us = NOON_US};
    json_t *first = sample_event(&one, schema);
    json_t *second = sample_event(&again, schema);
    json_t *third = sample_event(&other, schema);
    assert_true(json_equal(first, second));
    assert_false(json_equal(first, third));
    assert_null(json_object_get(first, "meta"));
    json_decref(first);
    json_decref(second);
    json_decref(third);
    close_shipped(&shipped);
}

static void test_pools(void **state)
{
    (void)state;
    struct schema_document *document =
        test_event_schema(",{\"name\":\"member_id\",\"type\":" TEST_UUID "}");
    struct sample sample = {.state = 5, .pool_size = 3, .now_us = NOON_US};
    json_t *seen = json_object();
    for (int i = 0; i < 200; i++) {
        json_t *event = sample_event(&sample, schema_root(document));
        json_object_set_new(seen, json_string_value(json_object_get(event, "member_id")),
                            json_true());
        json_decref(event);
    }
    assert_int_equal(json_object_size(seen), 3);
    json_decref(seen);
    schema_free(document);
}

static void test_every_type(void **state)
{
    (void)state;
    struct schema_document *document = test_event_schema(
        ",{\"name\":\"a\",\"type\":[\"null\",\"boolean\",\"float\"]},{\"name\":\"b\",\"type\":"
        "\"bytes\"}"
        ",{\"name\":\"c\",\"type\":{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":4,"
        "\"scale\":4}}"
        ",{\"name\":\"d\",\"type\":{\"type\":\"fixed\",\"name\":\"D\",\"size\":12,\"logicalType\":"
        "\"duration\"}}"
        ",{\"name\":\"e\",\"type\":{\"type\":\"int\",\"logicalType\":\"date\"}}"
        ",{\"name\":\"f\",\"type\":{\"type\":\"int\",\"logicalType\":\"time-millis\"}}"
        ",{\"name\":\"g\",\"type\":{\"type\":\"long\",\"logicalType\":\"local-timestamp-millis\"}}"
        ",{\"name\":\"h\",\"type\":{\"type\":\"map\",\"values\":\"double\"}}"
        ",{\"name\":\"i\",\"type\":{\"type\":\"record\",\"name\":\"N\",\"fields\":[{\"name\":"
        "\"next\",\"type\":[\"N\","
        "\"null\"]},{\"name\":\"all\",\"type\":{\"type\":\"array\",\"items\":\"N\"}}]}}"
        ",{\"name\":\"j\",\"type\":\"null\"},{\"name\":\"k\",\"type\":{\"type\":\"fixed\",\"name\":"
        "\"F\",\"size\":3}}"
        ",{\"name\":\"l\",\"type\":{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":"
        "12,\"scale\":2}}");
    struct sample sample = {.state = 7, .pool_size = 3, .now_us = NOON_US};
    struct buf bytes = {0};
    for (int i = 0; i < 1000; i++)
        encode_sample(&sample, schema_root(document), &bytes);
    buf_free(&bytes);
    schema_free(document);
}

/* Each event is decoded to rows that read, and goes to JSON and back without a byte changed. */
static void check_version(const struct catalog_version *version, struct sample *sample)
{
    struct error error = {0};
    struct relation_set *set;
    struct plan *plan;
    struct buf bytes = {0};
    struct buf again = {0};
    struct buf rows[RELATIONS_PER_EVENT_MAX] = {0};
    uint32_t counts[RELATIONS_PER_EVENT_MAX] = {0};
    struct plan_envelope envelope;
    if (relation_build(version->event, &set, &error) != 0 ||
        plan_compile(version->schema, set, &plan, &error) != 0)
        fail_msg("%s", error.message);
    for (int i = 0; i < EVENTS_PER_VERSION; i++) {
        encode_sample(sample, version->schema, &bytes);
        struct plan_record record = {.avro = (unsigned char *)bytes.data, .avro_size = bytes.size};
        if (plan_decode(plan, &record, rows, counts, &envelope, &error) != 0)
            fail_msg("%s: %s", version->event->name, error.message);
        json_t *json;
        struct faults faults = {0};
        assert_int_equal(avro_to_json(version->schema, record.avro, bytes.size, 0, &json, &error),
                         0);
        again.size = 0;
        if (avro_from_json(version->schema, json, &again, &faults) != 0)
            fail_msg("%s %s", faults.items[0].pointer, faults.items[0].message);
        json_decref(json);
        assert_int_equal(again.size, bytes.size);
        assert_memory_equal(again.data, bytes.data, bytes.size);
    }
    struct buf text = {0};
    for (size_t r = 0; r < relation_count(set); r++) {
        const char *at = rows[r].data;
        uint32_t count = 0;
        for (; rows[r].size && at < rows[r].data + rows[r].size; count++)
            at = rows_read(&text, relation_at(set, r), 0, at, rows[r].data + rows[r].size);
        assert_int_equal(count, counts[r]);
        buf_free(&rows[r]);
    }
    assert_int_equal(counts[0], EVENTS_PER_VERSION);
    buf_free(&text);
    buf_free(&bytes);
    buf_free(&again);
    plan_free(plan);
    relation_free(set);
}

static void test_catalog(void **state)
{
    (void)state;
    struct shipped shipped;
    struct sample sample = {.state = 42, .pool_size = 8, .now_us = NOON_US};
    open_shipped(&shipped);
    for (size_t i = 0; i < catalog_event_count(shipped.catalog); i++) {
        const struct catalog_event *event = catalog_event_at(shipped.catalog, i);
        for (size_t k = 0; k < event->version_count; k++)
            check_version(&event->versions[k], &sample);
    }
    close_shipped(&shipped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_for_same_seed),
        cmocka_unit_test(test_pools),
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_catalog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
