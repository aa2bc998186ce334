/* SPDX-License-Identifier: Apache-2.0
 *
 * The catalog: the one that is shipped opens, and every rule is broken once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/avro/catalog.h"
#include "lib/avro/catalog_parts.h"
#include "lib/base/buf.h"
#include "lib/base/hash.h"

#define META                                                                                       \
    "{\"name\":\"meta\",\"doc\":\"d\",\"type\":{\"type\":\"record\",\"name\":\"Meta\","            \
    "\"namespace\":\"weir\","                                                                      \
    "\"doc\":\"d\",\"fields\":["                                                                   \
    "{\"name\":\"event_id\",\"doc\":\"d\",\"type\":{\"type\":\"string\",\"logicalType\":\"uuid\"}" \
    "},"                                                                                           \
    "{\"name\":\"occurred_at\",\"doc\":\"d\",\"type\":{\"type\":\"long\",\"logicalType\":"         \
    "\"timestamp-micros\"}},"                                                                      \
    "{\"name\":\"received_at\",\"doc\":\"d\",\"type\":{\"type\":\"long\",\"logicalType\":"         \
    "\"timestamp-micros\"}},"                                                                      \
    "{\"name\":\"actor\",\"doc\":\"d\",\"x-length-max\":9,\"type\":[\"null\",\"string\"],"         \
    "\"default\":null},"                                                                           \
    "{\"name\":\"correlation_id\",\"doc\":\"d\",\"type\":[\"null\",{\"type\":\"string\","          \
    "\"logicalType\":\"uuid\"}],"                                                                  \
    "\"default\":null},"                                                                           \
    "{\"name\":\"causation_id\",\"doc\":\"d\",\"type\":[\"null\",{\"type\":\"string\","            \
    "\"logicalType\":\"uuid\"}],"                                                                  \
    "\"default\":null},"                                                                           \
    "{\"name\":\"fingerprint\",\"x-unlimited\":true,\"doc\":\"d\",\"type\":\"long\"}]}}"

#define EVENT(name, head, fields)                                                                  \
    "{\"type\":\"record\",\"name\":\"" name "\",\"namespace\":\"weir.shop\"," head                 \
    "\"fields\":[" fields "]}"
#define DOC "\"doc\":\"d\","
#define GOOD                                                                                       \
    EVENT("Sold", DOC,                                                                             \
          META ",{\"name\":\"amount\",\"doc\":\"d\",\"x-unlimited\":true,\"type\":\"long\"}")

static char home[64];

static void write_file(const char *path, const char *text)
{
    char full[400];
    snprintf(full, sizeof full, "%s/%s", home, path);
    for (char *slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(home, "/tmp/weir-catalog-XXXXXX");
    assert_non_null(mkdtemp(home));
    write_file("sql/x.sql", "");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r '%s'", home);
    return system(command);
}

/* A line of the lock for `text`. */
static const char *locked(int id, const char *path, const char *text)
{
    static char line[400];
    char hex[65];
    hash_sha256_hex(text, strlen(text), hex);
    snprintf(line, sizeof line, "%d %s %s\n", id, hex, path);
    return line;
}

static int open_home(struct catalog **ret_catalog, struct error *error)
{
    struct assets *assets;
    assert_int_equal(assets_open(home, &assets, error), 0);
    int result = catalog_open(assets, ret_catalog, error);
    if (result == 0) { /* the texts go with the assets */
        catalog_free(*ret_catalog);
        *ret_catalog = NULL;
    }
    assets_free(assets);
    return result;
}

static void expect_failure(const char *words)
{
    struct catalog *catalog;
    struct error error = {0};
    assert_int_equal(open_home(&catalog, &error), -1);
    assert_int_equal(error.class, ERROR_USAGE);
    if (!strstr(error.message, words))
        fail_msg("\"%s\" does not say \"%s\"", error.message, words);
}

static void test_shipped(void **state)
{
    (void)state;
    struct assets *assets;
    struct catalog *catalog;
    struct error error = {0};
    assert_int_equal(assets_open(NULL, &assets, &error), 0);
    if (catalog_open(assets, &catalog, &error) != 0)
        fail_msg("%s", error.message);
    assert_int_equal(catalog_topic_count(catalog), 6);
    assert_string_equal(catalog_topic_at(catalog, 0), "weir.commerce");
    const struct catalog_event *event = catalog_find_event(catalog, "ProductPurchased");
    assert_non_null(event);
    assert_string_equal(event->relation, "product_purchased");
    assert_string_equal(event->topic, "weir.commerce");
    assert_ptr_equal(catalog_event_at(catalog, event->index), event);
    assert_ptr_equal(catalog_find_id(catalog, catalog_newest(event)->id), catalog_newest(event));
    assert_ptr_equal(catalog_newest(event)->event, event);
    assert_null(catalog_find_id(catalog, 0));
    assert_null(catalog_find_id(catalog, 1 << 30));
    assert_null(catalog_find_event(catalog, "Nothing"));
    catalog_free(catalog);
    assets_free(assets);
}

static void test_good(void **state)
{
    (void)state;
    struct catalog *catalog;
    struct error error = {0};
    write_file("schemas/shop/Sold/1.avsc", GOOD);
    write_file("schemas/catalog.lock", locked(1, "shop/Sold/1", GOOD));
    if (open_home(&catalog, &error) != 0)
        fail_msg("%s", error.message);
}

static void test_lock(void **state)
{
    (void)state;
    char two[800];
    write_file("schemas/shop/Sold/1.avsc", GOOD);
    expect_failure("catalog.lock is missing");
    write_file("schemas/catalog.lock", "# nothing\n\n");
    expect_failure("is not in schemas/catalog.lock; append `1 ");
    write_file("schemas/catalog.lock", "1 abc shop/Sold/1\n");
    expect_failure("catalog.lock:1: expected");
    write_file("schemas/catalog.lock", locked(1, "shop/Sold/1", "another text"));
    expect_failure("differs");
    snprintf(two, sizeof two, "%s", locked(2, "shop/Sold/1", GOOD));
    strcat(two, locked(2, "shop/Sold/2", GOOD));
    write_file("schemas/catalog.lock", two);
    expect_failure("is not above");
    snprintf(two, sizeof two, "%s", locked(1, "shop/Sold/1", GOOD));
    strcat(two, locked(2, "shop/Sold/1", GOOD));
    write_file("schemas/catalog.lock", two);
    expect_failure("locked twice");
    snprintf(two, sizeof two, "%s", locked(1, "shop/Sold/1", GOOD));
    strcat(two, locked(2, "shop/Sold/2", GOOD));
    write_file("schemas/catalog.lock", two);
    expect_failure("the file is missing");
}

static void test_paths(void **state)
{
    (void)state;
    write_file("schemas/catalog.lock", locked(1, "shop/Sold/2", GOOD));
    write_file("schemas/shop/Sold/2.avsc", GOOD);
    expect_failure("version 1 is missing");
    write_file("schemas/shop/Sold/02.avsc", GOOD);
    expect_failure("a schema's path is");
}

static void write_second(const char *text)
{
    char two[800];
    snprintf(two, sizeof two, "%s", locked(1, "shop/Sold/1", GOOD));
    strcat(two, locked(2, "shop/Sold/2", text));
    write_file("schemas/catalog.lock", two);
    write_file("schemas/shop/Sold/1.avsc", GOOD);
    write_file("schemas/shop/Sold/2.avsc", text);
}

static void test_older_versions(void **state)
{
    (void)state;
    struct catalog *catalog;
    struct error error = {0};
    write_second(EVENT(
        "Sold", DOC,
        META
        ",{\"name\":\"tip\",\"doc\":\"d\",\"x-unlimited\":true,\"type\":\"long\",\"default\":0}"));
    if (open_home(&catalog, &error) != 0)
        fail_msg("%s", error.message);
    write_second(EVENT("Sold", DOC,
                       META
                       ",{\"name\":\"tip\",\"doc\":\"d\",\"x-unlimited\":true,\"type\":\"long\"}"));
    expect_failure("shop/Sold/2.avsc: records of version 1 could not be read any more");
    write_second(EVENT(
        "Sold", DOC,
        META ",{\"name\":\"amount\",\"doc\":\"d\",\"x-unlimited\":true,\"type\":\"string\"}"));
    expect_failure("amount");
}

static void test_one_relation(void **state)
{
    (void)state;
    char two[800];
    const char *other = EVENT("SOLD", DOC, META);
    const char *good = EVENT("Sold", DOC, META);
    snprintf(two, sizeof two, "%s", locked(1, "shop/Sold/1", good));
    strcat(two, locked(2, "shop/SOLD/1", other));
    write_file("schemas/catalog.lock", two);
    write_file("schemas/shop/Sold/1.avsc", good);
    write_file("schemas/shop/SOLD/1.avsc", other);
    expect_failure("are both the relation sold");
}

static void test_rules(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *words;
    } cases[] = {
        {"{", "shop/Sold/1.avsc: line 1"},
        {"\"string\"", "a record named weir.shop.Sold"},
        {EVENT("Bought", DOC, META), "a record named weir.shop.Sold"},
        {EVENT("Sold", "", META), "record Sold has no doc"},
        {EVENT("Sold", DOC, META ",{\"name\":\"a\",\"x-unlimited\":true,\"type\":\"int\"}"),
         "field Sold.a has no doc"},
        {EVENT("Sold", DOC, "{\"name\":\"a\",\"doc\":\"d\",\"x-unlimited\":true,\"type\":\"int\"}"),
         "must be `meta`"},
        {EVENT("Sold", DOC,
               META ",{\"name\":\"event_id\",\"doc\":\"d\",\"x-unlimited\":true,\"type\":\"int\"}"),
         "envelope uses"},
        {EVENT("Sold", DOC,
               META ",{\"name\":\"eventId\",\"doc\":\"d\",\"x-unlimited\":true,\"type\":\"int\"}"),
         "envelope uses"},
        {EVENT("Sold", DOC "\"x-ingest\":\"anyone\",", META), "x-ingest must be"},
        {EVENT("Sold", DOC,
               META ",{\"name\":\"a\",\"doc\":\"d\",\"x-unlimited\":true,\"type\":\"bytes\","
                    "\"default\":\"\\u0000\"}"),
         "avro-c"},
        {EVENT("Sold", DOC,
               META ",{\"name\":\"a\",\"doc\":\"d\",\"type\":{\"type\":\"array\",\"x-items-max\":1,"
                    "\"items\":{\"type\":"
                    "\"record\","
                    "\"name\":\"I\",\"doc\":\"d\",\"fields\":[{\"name\":\"b\",\"x-unlimited\":true,"
                    "\"type\":\"int\"}]}}}"),
         "field I.b has no doc"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file("schemas/shop/Sold/1.avsc", cases[i].text);
        write_file("schemas/catalog.lock", locked(1, "shop/Sold/1", cases[i].text));
        expect_failure(cases[i].words);
    }
}

/* The specification allows a type object around a type object, which avro-c does not know. */
static void test_nested_type_objects(void **state)
{
    (void)state;
    static const char *const types[] = {
        "{\"x-unlimited\":true,\"type\":{\"type\":\"string\"}}",
        "{\"type\":[\"null\",{\"x-unlimited\":true,\"type\":{\"type\":\"int\"}}]}",
        "{\"x-unlimited\":true,\"type\":\"array\",\"items\":{\"type\":{\"type\":{\"x-unlimited\":"
        "true,\"type\":\"map\",\"values\":{\"x-unlimited\":true,\"type\":\"int\"}}}}"
        "}",
        "{\"type\":{\"type\":\"record\",\"name\":\"I\",\"doc\":\"d\",\"fields\":[{\"name\":\"b\","
        "\"x-unlimited\":true,\"doc\":\"d\",\"type\":{\"type\":{\"type\":\"int\"}}}]}}",
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct catalog *catalog;
        struct error error = {0};
        char *text = xasprintf(
            EVENT("Sold", DOC, META ",{\"name\":\"a\",\"doc\":\"d\",\"type\":%s}"), types[i]);
        write_file("schemas/shop/Sold/1.avsc", text);
        write_file("schemas/catalog.lock", locked(1, "shop/Sold/1", text));
        if (open_home(&catalog, &error) != 0)
            fail_msg("%s: %s", types[i], error.message);
        free(text);
    }
}

static void test_meta(void **state)
{
    (void)state;
    static const char *const changes[][2] = {
        {"timestamp-micros", "timestamp-millis"},
        {"\"received_at\"", "\"received_on\""},
        {"[\"null\",\"string\"]", "[\"string\",\"null\"]"},
        {"\"fingerprint\",\"x-unlimited\":true,\"doc\":\"d\",\"type\":\"long\"}", ""}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char text[4000];
        const char *found = strstr(GOOD, changes[i][0]);
        assert_non_null(found);
        int before = (int)(found - GOOD);
        if (i == 3) /* one field too many */
            snprintf(
                text, sizeof text,
                "%.*s%s,{\"name\":\"more\",\"doc\":\"d\",\"x-unlimited\":true,\"type\":\"int\"}%s",
                before, GOOD, changes[i][0], found + strlen(changes[i][0]));
        else
            snprintf(text, sizeof text, "%.*s%s%s", before, GOOD, changes[i][1],
                     found + strlen(changes[i][0]));
        write_file("schemas/shop/Sold/1.avsc", text);
        write_file("schemas/catalog.lock", locked(1, "shop/Sold/1", text));
        expect_failure(i == 2 ? "schemas/shop/Sold/1.avsc: " : "meta");
    }
}

static void test_snake_case(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"ProductPurchased", "product_purchased"},
                                           {"snake_case", "snake_case"},
                                           {"HTTPServer", "http_server"},
                                           {"Sold2Go", "sold2_go"},
                                           {"A", "a"}};
    char name[NAME_SIZE_MAX + 1];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(catalog_snake_case(cases[i][0], name), 0);
        assert_string_equal(name, cases[i][1]);
    }
    assert_int_equal(
        catalog_snake_case("AbcdefghijAbcdefghijAbcdefghijAbcdefghijAbcdefghijAbcdefghijAbcdefghij",
                           name),
        -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shipped),
        cmocka_unit_test_setup_teardown(test_good, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lock, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_paths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_older_versions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_relation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rules, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nested_type_objects, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_meta, set_up, tear_down),
        cmocka_unit_test(test_snake_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
