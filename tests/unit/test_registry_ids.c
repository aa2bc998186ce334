/* SPDX-License-Identifier: Apache-2.0
 *
 * What decides whether a registry means the same as the catalog: comparing schemas, and giving the
 * catalog other ids. How a registry is talked to is in tests/system/test_registry_client.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lib/avro/catalog.h"
#include "lib/avro/same.h"

static int same(const char *left, const char *right)
{
    struct schema_document *a = NULL;
    struct schema_document *b = NULL;
    struct error error = {0};
    if (schema_parse(left, strlen(left), &a, &error) != 0 ||
        schema_parse(right, strlen(right), &b, &error) != 0)
        fail_msg("%s", error.message);
    int forth = schema_same(schema_root(a), schema_root(b));
    assert_int_equal(forth, schema_same(schema_root(b), schema_root(a)));
    schema_free(a);
    schema_free(b);
    return forth;
}

#define RECORD(name, more, fields)                                                                 \
    "{\"type\":\"record\",\"name\":\"" name "\"" more ",\"fields\":[" fields "]}"
#define FIELD(name, type) "{\"name\":\"" name "\",\"type\":" type "}"
#define LIST RECORD("n.List", "", FIELD("next", "[\"null\",\"List\"]") "," FIELD("v", "\"int\""))

static void what_counts(void **state)
{
    (void)state;
    static const char *const different[] = {
        "\"int\"",
        "\"long\"",
        "{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}",
        "{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}",
        "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":9,\"scale\":2}",
        "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":9,\"scale\":3}",
        "[\"null\",\"int\"]",
        "[\"int\",\"null\"]",
        "{\"type\":\"array\",\"items\":\"int\"}",
        "{\"type\":\"array\",\"items\":\"long\"}",
        "{\"type\":\"map\",\"values\":\"int\"}",
        "{\"type\":\"fixed\",\"name\":\"F\",\"size\":4}",
        "{\"type\":\"fixed\",\"name\":\"F\",\"size\":5}",
        "{\"type\":\"fixed\",\"name\":\"G\",\"size\":4}",
        "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}",
        "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"B\",\"A\"]}",
        "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"],\"default\":\"A\"}",
        RECORD("R", "", FIELD("a", "\"int\"")),
        RECORD("R", "", FIELD("b", "\"int\"")),
        RECORD("R", "", FIELD("a", "\"long\"")),
        RECORD("R", "", FIELD("a", "\"int\"") "," FIELD("b", "\"int\"")),
        RECORD("R", "", FIELD("b", "\"int\"") "," FIELD("a", "\"int\"")),
        RECORD("R", "", "{\"name\":\"a\",\"type\":\"int\",\"default\":0}"),
        RECORD("R", "", "{\"name\":\"a\",\"type\":\"int\",\"default\":1}"),
        RECORD("R", "", "{\"name\":\"a\",\"type\":\"int\",\"aliases\":[\"z\"]}"),
        RECORD("R", ",\"aliases\":[\"Q\"]", FIELD("a", "\"int\"")),
        RECORD("R", ",\"namespace\":\"n\"", FIELD("a", "\"int\"")),
        LIST,
    };
    size_t count = sizeof different / sizeof *different;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++)
            if (same(different[i], different[j]) != (i == j))
                fail_msg("%s and %s", different[i], different[j]);
}

static void what_does_not_count(void **state)
{
    (void)state;
    assert_true(same("\"int\"", "{\"type\":\"int\",\"x-more\":1}"));
    assert_true(same(RECORD("R", ",\"doc\":\"d\",\"x-ingest\":\"public\"", FIELD("a", "\"int\"")),
                     RECORD("R", "", "{\"type\":\"int\",\"doc\":\"e\",\"name\":\"a\"}")));
    assert_true(
        same(RECORD("R", ",\"namespace\":\"n\"",
                    FIELD("a", "{\"type\":\"fixed\",\"name\":\"F\",\"size\":4}") "," FIELD(
                        "b", "\"F\"")),
             RECORD("n.R", "",
                    FIELD("a", "{\"type\":\"fixed\",\"name\":\"n.F\",\"size\":4}") "," FIELD(
                        "b", "\"n.F\""))));
    assert_true(
        same(LIST, RECORD("List", ",\"namespace\":\"n\"",
                          FIELD("next", "[\"null\",\"n.List\"]") "," FIELD("v", "\"int\""))));
}

static void other_ids(void **state)
{
    (void)state;
    struct assets *assets = NULL;
    struct catalog *catalog = NULL;
    struct error error = {0};
    assert_int_equal(assets_open("", &assets, &error), 0);
    assert_int_equal(catalog_open(assets, &catalog, &error), 0);
    size_t count = catalog_version_count(catalog);
    const struct catalog_version *first = catalog_version_at(catalog, 0);
    int32_t *ids = calloc(count, sizeof *ids);
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(catalog_find_id(catalog, catalog_version_at(catalog, i)->id),
                         catalog_version_at(catalog, i));
        ids[i] = INT32_MAX - (int32_t)i; /* the other way round */
    }
    ids[1] = ids[0];
    assert_int_equal(catalog_set_ids(catalog, ids, &error), -1);
    assert_string_equal(error.code, "schema-ids");
    assert_int_equal(first->id, 1);
    ids[1] = INT32_MAX - 1;
    assert_int_equal(catalog_set_ids(catalog, ids, &error), 0);
    assert_int_equal(first->id, INT32_MAX);
    assert_ptr_equal(catalog_version_at(catalog, count - 1), first);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(catalog_find_id(catalog, ids[i])->id, ids[i]);
    assert_null(catalog_find_id(catalog, 1));
    free(ids);
    catalog_free(catalog);
    assets_free(assets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_counts),
        cmocka_unit_test(what_does_not_count),
        cmocka_unit_test(other_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
