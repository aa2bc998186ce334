/* SPDX-License-Identifier: Apache-2.0
 *
 * Relations: which column each kind of field becomes, and which schemas have none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "lib/avro/relation.h"
#include "tests/unit/avro_event.h"

static struct test_event event;

static struct relation_set *build(const char *fields)
{
    struct relation_set *set = NULL;
    struct error error = {0};
    test_event_open(&event, fields);
    if (relation_build(&event.event, &set, &error) != 0)
        fail_msg("%s", error.message);
    return set;
}

static void close_set(struct relation_set *set)
{
    relation_free(set);
    test_event_close(&event);
}

static void expect_failure(const char *fields, const char *words)
{
    struct relation_set *set = NULL;
    struct error error = {0};
    test_event_open(&event, fields);
    assert_int_equal(relation_build(&event.event, &set, &error), -1);
    assert_int_equal(error.class, ERROR_USAGE);
    if (!strstr(error.message, words))
        fail_msg("\"%s\" does not say \"%s\"", error.message, words);
    test_event_close(&event);
}

/* "name type" of each column behind the head, with "?" for nullable and "!" for pii. */
static void expect_columns(const struct relation *relation, const char *expected)
{
    char text[4000] = "";
    for (size_t i = relation->child ? 2 : ENVELOPE_COUNT; i < relation->column_count; i++) {
        const struct relation_column *column = &relation->columns[i];
        char sql[32];
        relation_column_sql(column, sql);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s %s%s%s", *text ? ", " : "",
                 column->name, sql, column->nullable ? "?" : "", column->pii ? "!" : "");
    }
    assert_string_equal(text, expected);
}

static void test_envelope(void **state)
{
    (void)state;
    static const char *const names[] = {"seq",
                                        "space_id",
                                        "event_id",
                                        "occurred_at",
                                        "received_at",
                                        "actor",
                                        "correlation_id",
                                        "causation_id",
                                        "fingerprint",
                                        "kafka_topic",
                                        "kafka_partition",
                                        "kafka_offset",
                                        "kafka_timestamp"};
    struct relation_set *set = build("");
    const struct relation *relation = relation_at(set, 0);
    assert_int_equal(relation_count(set), 1);
    assert_string_equal(relation->name, "thing_happened");
    assert_int_equal(relation->column_count, ENVELOPE_COUNT);
    for (size_t i = 0; i < ENVELOPE_COUNT; i++)
        assert_string_equal(relation->columns[i].name, names[i]);
    assert_int_equal(relation_column_oid(&relation->columns[ENVELOPE_SPACE_ID]), 2950);
    close_set(set);
}

static void test_scalars(void **state)
{
    (void)state;
    struct relation_set *set = build(
        ",{\"name\":\"a\",\"type\":\"boolean\"},{\"name\":\"b\",\"type\":\"int\"},{\"name\":\"c\","
        "\"type\":\"long\"}"
        ",{\"name\":\"d\",\"type\":\"float\"},{\"name\":\"e\",\"type\":[\"null\",\"double\"]}"
        ",{\"name\":\"f\",\"type\":\"bytes\"},{\"name\":\"gText\",\"type\":\"string\",\"x-pii\":"
        "true}"
        ",{\"name\":\"h\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]}}"
        ",{\"name\":\"i\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}}"
        ",{\"name\":\"j\",\"type\":{\"type\":\"string\",\"logicalType\":\"uuid\"}}"
        ",{\"name\":\"k\",\"type\":{\"type\":\"int\",\"logicalType\":\"date\"}}"
        ",{\"name\":\"l\",\"type\":{\"type\":\"int\",\"logicalType\":\"time-millis\"}}"
        ",{\"name\":\"m\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}}"
        ",{\"name\":\"n\",\"type\":{\"type\":\"long\",\"logicalType\":\"local-timestamp-micros\"}}"
        ",{\"name\":\"o\",\"type\":{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":9,"
        "\"scale\":2}}"
        ",{\"name\":\"p\",\"type\":{\"type\":\"fixed\",\"name\":\"D\",\"size\":12,\"logicalType\":"
        "\"duration\"}}"
        ",{\"name\":\"q\",\"type\":{\"type\":\"long\",\"logicalType\":\"date\"}}"
        ",{\"name\":\"r\",\"type\":\"null\"}");
    expect_columns(
        relation_at(set, 0),
        "a bool, b int4, c int8, d float4, e float8?, f bytea, g_text text!, h text, i bytea, "
        "j uuid, k date, l time, m timestamptz, n timestamp, o numeric, p interval, q int8, r "
        "text?");
    close_set(set);
}

static void test_nested(void **state)
{
    (void)state;
    struct relation_set *set =
        build(",{\"name\":\"price\",\"type\":{\"type\":\"record\",\"name\":\"M\",\"fields\":[{"
              "\"name\":\"amount\",\"type\":\"long\"},"
              "{\"name\":\"currency\",\"type\":\"string\"}]}}"
              ",{\"name\":\"fee\",\"type\":[\"null\",\"M\"],\"x-pii\":true}"
              ",{\"name\":\"tags\",\"type\":{\"type\":\"array\",\"items\":\"string\"}}"
              ",{\"name\":\"counts\",\"type\":[\"null\",{\"type\":\"array\",\"items\":[\"null\","
              "\"long\"]}]}"
              ",{\"name\":\"extra\",\"type\":{\"type\":\"map\",\"values\":\"string\"}}"
              ",{\"name\":\"any\",\"type\":[\"null\",\"string\",\"long\"]}"
              ",{\"name\":\"grid\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"array\","
              "\"items\":\"int\"}}}"
              ",{\"name\":\"maybe\",\"type\":{\"type\":\"array\",\"items\":[\"null\",\"M\"]}}");
    expect_columns(relation_at(set, 0),
                   "price_amount int8, price_currency text, fee_amount int8?!, fee_currency "
                   "text?!, tags text[], counts int8[]?, extra jsonb, any jsonb?, grid jsonb, "
                   "maybe jsonb");
    close_set(set);
}

static void test_children(void **state)
{
    (void)state;
    struct relation_set *set = build(",{\"name\":\"items\",\"type\":{\"type\":\"array\",\"items\":{"
                                     "\"type\":\"record\",\"name\":\"I\",\"fields\":["
                                     "{\"name\":\"id\",\"type\":\"long\"},{\"name\":\"notes\","
                                     "\"type\":{\"type\":\"array\",\"items\":\"string\"}},"
                                     "{\"name\":\"parts\",\"type\":{\"type\":\"array\",\"items\":{"
                                     "\"type\":\"record\",\"name\":\"P\",\"fields\":[]}}}]}}}"
                                     ",{\"name\":\"cart\",\"type\":[\"null\",{\"type\":\"record\","
                                     "\"name\":\"C\",\"fields\":[{\"name\":\"lines\",\"type\":"
                                     "{\"type\":\"array\",\"items\":\"I\"}}]}]}");
    assert_int_equal(relation_count(set), 3);
    expect_columns(relation_at(set, 0), "");
    assert_string_equal(relation_at(set, 1)->name, "thing_happened_items");
    assert_string_equal(relation_at(set, 2)->name, "thing_happened_cart_lines");
    for (size_t i = 1; i < 3; i++) {
        assert_int_equal(relation_at(set, i)->child, 1);
        assert_string_equal(relation_at(set, i)->columns[0].name, "seq");
        assert_string_equal(relation_at(set, i)->columns[1].name, "ordinal");
        expect_columns(relation_at(set, i), "id int8, notes text[], parts jsonb");
    }
    close_set(set);
}

static void test_recursion(void **state)
{
    (void)state;
    struct relation_set *set = build(",{\"name\":\"list\",\"type\":{\"type\":\"record\",\"name\":"
                                     "\"N\",\"fields\":[{\"name\":\"value\",\"type\":\"int\"},"
                                     "{\"name\":\"next\",\"type\":[\"null\",\"N\"]},{\"name\":"
                                     "\"all\",\"type\":{\"type\":\"array\",\"items\":\"N\"}}]}}");
    expect_columns(relation_at(set, 0), "list_value int4, list_next jsonb?, list_all jsonb");
    close_set(set);
}

static void test_failures(void **state)
{
    (void)state;
    char many[20000] = "";
    for (int i = 0; i < RELATION_COLUMNS_MAX; i++)
        sprintf(many + strlen(many), ",{\"name\":\"c%d\",\"type\":\"int\"}", i);
    expect_failure(many, "more than 256 columns");
    expect_failure(",{\"name\":\"a_b\",\"type\":\"int\"},{\"name\":\"aB\",\"type\":\"int\"}",
                   "two columns named a_b");
    expect_failure(",{\"name\":\"i\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\","
                   "\"name\":\"I\",\"fields\":["
                   "{\"name\":\"ordinal\",\"type\":\"int\"}]}}}",
                   "two columns named ordinal");
    expect_failure(",{\"name\":\"a_name_that_is_longer_than_postgres_takes_for_an_identifier_of_"
                   "its_own\",\"type\":\"int\"}",
                   "more than 63 characters");
    expect_failure(",{\"name\":\"a_name_that_is_too_long_behind_the_name_of_the_event_itself\","
                   "\"type\":{\"type\":\"array\","
                   "\"items\":{\"type\":\"record\",\"name\":\"I\",\"fields\":[]}}}",
                   "more than 63 characters");
    strcpy(many, ",{\"name\":\"r0\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\","
                 "\"name\":\"I\",\"fields\":[]}}}");
    for (int i = 1; i < RELATIONS_PER_EVENT_MAX; i++)
        sprintf(many + strlen(many),
                ",{\"name\":\"r%d\",\"type\":{\"type\":\"array\",\"items\":\"I\"}}", i);
    expect_failure(many, "more than 16 relations");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_envelope),  cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_nested),    cmocka_unit_test(test_children),
        cmocka_unit_test(test_recursion), cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
