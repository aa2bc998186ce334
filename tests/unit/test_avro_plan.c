/* SPDX-License-Identifier: Apache-2.0
 *
 * The decode plan: what each type becomes, what a schema's change does to older events, which
 * changes are refused, and that damaged bytes leave no trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/avro_plan.h"

static void test_envelope(void **state)
{
    (void)state;
    struct error error = {0};
    struct buf out = {0};
    assert_int_equal(open_plan(&fixture, "", "", &error), 0);
    encode(&fixture, "{}");
    assert_int_equal(plan_decode(fixture.plan, &fixture.record, fixture.rows, fixture.counts,
                                 &fixture.envelope, &error),
                     0);
    rows_read(&out, relation_at(fixture.set, 0), 0, fixture.rows[0].data,
              fixture.rows[0].data + fixture.rows[0].size);
    buf_put_u8(&out, 0);
    assert_string_equal(
        out.data,
        "(9, abababab-abab-abab-abab-abababababab, 0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b, "
        "2026-11-22T10:00:00.000000Z, 2026-11-22T10:00:01.000000Z, NULL, NULL, NULL, -77, "
        "'weir.test', 3, 1234567890123, 2000-01-01T00:00:00.000005Z)");
    char text[UUID_TEXT_SIZE + 1];
    uuid_format(&fixture.envelope.event_id, text);
    assert_string_equal(text, "0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b");
    assert_int_equal(fixture.envelope.fingerprint, -77);
    buf_free(&out);
    close_plan(&fixture);
}

static void test_omit(void **state)
{
    static const char fields[] =
        ",{\"name\":\"a\",\"type\":[\"null\",\"string\"]},{\"name\":\"b\",\"type\":\"long\"},{"
        "\"name\":"
        "\"lines\","
        "\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"Line\",\"fields\":["
        "{\"name\":\"n\",\"type\":\"int\",\"doc\":\"d\"}]}}}";
    (void)state;
    struct error error = {0};
    assert_int_equal(open_plan(&fixture, fields, fields, &error), 0);
    plan_omit_column(fixture.plan, 0, ENVELOPE_COUNT);
    plan_omit_relation(fixture.plan, 1);
    assert_int_equal(plan_trim(fixture.plan, &error), 0);
    encode(&fixture, "{\"a\":\"x\",\"b\":5,\"lines\":[{\"n\":1},{\"n\":2}]}");
    assert_int_equal(plan_decode(fixture.plan, &fixture.record, fixture.rows, fixture.counts,
                                 &fixture.envelope, &error),
                     0);
    char *text = rows_text(&fixture);
    assert_string_equal(text, "(NULL, 5)");
    assert_int_equal(fixture.counts[1], 0);
    /* what is left out is checked all the same */
    fixture.record.avro_size--;
    assert_int_equal(plan_decode(fixture.plan, &fixture.record, fixture.rows, fixture.counts,
                                 &fixture.envelope, &error),
                     -1);
    free(text);
    close_plan(&fixture);
}

static void test_types(void **state)
{
    (void)state;
    same("\"boolean\"", "true", "t");
    same("\"int\"", "-5", "-5");
    same("\"long\"", "-9223372036854775808", "-9223372036854775808");
    same("\"float\"", "0.5", "0.5");
    same("\"double\"", "-2.25", "-2.25");
    same("\"string\"", "\"h\\u00e9\"", "'hé'");
    same("\"string\"", "\"\"", "''");
    same("\"bytes\"", "\"AAEC/w==\"", "\\x000102ff");
    same("\"null\"", "null", "NULL");
    same("[\"null\",\"long\"]", "null", "NULL");
    same("[\"null\",\"long\"]", "7", "7");
    same("[\"long\",\"null\"]", "null", "NULL");
    same(ENUM("\"A\",\"B\""), "\"B\"", "'B'");
    same(FIXED(2, ""), "\"AP8=\"", "\\x00ff");
    same(FIXED(16, ",\"logicalType\":\"uuid\""), "\"0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b\"",
         "0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b");
    same(LOGICAL("string", "uuid"), "\"0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b\"",
         "0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b");
    same(LOGICAL("int", "date"), "\"2026-11-22\"", "2026-11-22");
    same(LOGICAL("int", "time-millis"), "\"10:00:00.123\"", "10:00:00.123000");
    same(LOGICAL("long", "time-micros"), "\"10:00:00.000001\"", "10:00:00.000001");
    same(LOGICAL("long", "timestamp-millis"), "1", "1970-01-01T00:00:00.001000Z");
    same(LOGICAL("long", "timestamp-micros"), "-1", "1969-12-31T23:59:59.999999Z");
    same(LOGICAL("long", "timestamp-nanos"), "-1", "1969-12-31T23:59:59.999999Z");
    same(LOGICAL("long", "timestamp-nanos"), "1999", "1970-01-01T00:00:00.000001Z");
    same(LOGICAL("long", "local-timestamp-micros"), "1", "1970-01-01T00:00:00.000001Z");
    same(FIXED(12, ",\"logicalType\":\"duration\""), "{\"months\":1,\"days\":2,\"millis\":3}",
         "1 months 2 days 3000 us");
}

static void test_decimals(void **state)
{
    (void)state;
    static const char *const numbers[] = {
        "0.00",   "12.34",    "-12.34",      "0.01",
        "-0.01",  "10000.00", "99999999.99", "-12345678901234567890123456789.12",
        "100.00", "0.10"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char value[80];
        snprintf(value, sizeof value, "\"%s\"", numbers[i]);
        same(DECIMAL(34, 2), value, numbers[i]);
    }
    same(DECIMAL(12, 9), "\"0.000000012\"", "0.000000012");
    same(DECIMAL(12, 5), "\"1.00001\"", "1.00001");
    same(DECIMAL(4, 0), "\"9999\"", "9999");
    same(FIXED(8, ",\"logicalType\":\"decimal\",\"precision\":9,\"scale\":3"), "\"-123.456\"",
         "-123.456");
    same(ARRAY(DECIMAL(9, 2)), "[\"1.50\",\"-2.00\"]", "{1.50,-2.00}");
}

static void test_nested(void **state)
{
    (void)state;
    same(RECORD("{\"name\":\"x\",\"type\":\"int\"},{\"name\":\"y\",\"type\":\"string\"}"),
         "{\"x\":1,\"y\":\"b\"}", "1, 'b'");
    same("[\"null\"," RECORD(
             "{\"name\":\"x\",\"type\":\"int\"},{\"name\":\"y\",\"type\":\"string\"}") "]",
         "null", "NULL, NULL");
    same("[\"null\"," RECORD(
             "{\"name\":\"x\",\"type\":\"int\"},{\"name\":\"y\",\"type\":\"string\"}") "]",
         "{\"x\":1,\"y\":\"b\"}", "1, 'b'");
    same(ARRAY("\"long\""), "[]", "{}");
    same(ARRAY("\"long\""), "[1,2,3]", "{1,2,3}");
    same(ARRAY("[\"null\",\"string\"]"), "[\"a\",null]", "{'a',NULL}");
    same("[\"null\"," ARRAY("\"int\"") "]", "null", "NULL");
    same(MAP("\"int\""), "{\"k\":1}", "{\"k\":1}");
    same(MAP(ARRAY("[\"null\",\"double\"]")), "{\"k\\\"\\n\":[0.1,null,3]}",
         "{\"k\\\"\\u000a\":[0.1,null,3]}");
    same("[\"null\",\"string\",\"long\"]", "5", "5");
    same("[\"null\",\"string\",\"long\"]", "\"x\"", "\"x\"");
    same("[\"null\",\"string\",\"long\"]", "null", "NULL");
    same(ARRAY(ARRAY(LOGICAL("int", "date"))), "[[\"2026-11-22\"],[]]", "[[\"2026-11-22\"],[]]");
    same(MAP("\"bytes\""), "{\"k\":\"AAEC\"}", "{\"k\":\"AAEC\"}");
    same(MAP(DECIMAL(9, 2)), "{\"k\":\"1.50\"}", "{\"k\":\"1.50\"}");
    same(MAP("\"float\""), "{\"k\":0.1}", "{\"k\":0.1}");
    same(RECORD("{\"name\":\"v\",\"type\":\"int\"},{\"name\":\"next\",\"type\":[\"null\",\"R\"]}"),
         "{\"v\":1,\"next\":{\"v\":2,\"next\":{\"v\":3}}}",
         "1, {\"v\":2,\"next\":{\"v\":3,\"next\":null}}");
}

#define ITEM                                                                                       \
    RECORD("{\"name\":\"x\",\"type\":\"int\"},{\"name\":\"tags\",\"type\":" ARRAY("\"string\"") "}")

static void test_children(void **state)
{
    (void)state;
    same(ARRAY(ITEM), "[{\"x\":5,\"tags\":[]},{\"x\":6,\"tags\":[\"a\",\"b\"]}]",
         ")(1, 5, {})(2, 6, {'a','b'}");
    same(ARRAY(ITEM), "[]", "");
    same("[\"null\"," ARRAY(ITEM) "]", "null", "");
    /* An item's new field takes its default in each row. */
    expect_rows(",{\"name\":\"a\",\"type\":" ARRAY(RECORD("{\"name\":\"x\",\"type\":\"int\"}")) "}",
                ",{\"name\":\"a\",\"type\":" ARRAY(
                    RECORD("{\"name\":\"y\",\"type\":\"string\",\"default\":\"new\"},{\"name\":"
                           "\"x\",\"type\":\"long\"}")) "}",
                "{\"a\":[{\"x\":1},{\"x\":2}]}", "()(1, 'new', 1)(2, 'new', 2)");
}

static void test_promotions(void **state)
{
    (void)state;
    expect_field("\"int\"", "\"long\"", "-5", "-5");
    expect_field("\"int\"", "\"float\"", "-5", "-5");
    expect_field("\"int\"", "\"double\"", "-5", "-5");
    expect_field("\"long\"", "\"float\"", "-5", "-5");
    expect_field("\"long\"", "\"double\"", "-5", "-5");
    expect_field("\"float\"", "\"double\"", "0.5", "0.5");
    expect_field("\"string\"", "\"bytes\"", "\"ab\"", "\\x6162");
    expect_field("\"bytes\"", "\"string\"", "\"YWI=\"", "'ab'");
    expect_field("\"long\"", LOGICAL("long", "timestamp-micros"), "1",
                 "1970-01-01T00:00:00.000001Z");
    expect_field("\"int\"", LOGICAL("long", "timestamp-millis"), "1",
                 "1970-01-01T00:00:00.001000Z");
    expect_field(ARRAY("\"int\""), ARRAY("\"double\""), "[1,2]", "{1,2}");
    expect_field(MAP("\"int\""), MAP("\"double\""), "{\"k\":1}", "{\"k\":1}");
    expect_field(DECIMAL(4, 2), DECIMAL(9, 2), "\"1.5\"", "1.50");
    expect_field("\"int\"", "[\"null\",\"long\"]", "5", "5");
    expect_field("[\"null\",\"int\"]", "[\"null\",\"long\"]", "5", "5");
    expect_field("[\"null\",\"int\"]", "[\"null\",\"long\"]", "null", "NULL");
    expect_field("[\"null\",\"long\"]", "\"long\"", "5", "5");
    expect_field("[\"int\",\"string\"]", "[\"null\",\"string\",\"long\"]", "5", "5");
    expect_field("\"string\"", "[\"null\",\"string\",\"long\"]", "\"x\"", "\"x\"");
    expect_field(ENUM("\"A\",\"B\""), ENUM("\"B\",\"C\",\"A\""), "\"A\"", "'A'");
    expect_field(ENUM("\"A\",\"B\""), ENUM("\"Z\"],\"default\":\"Z\",\"x\":["), "\"A\"", "'Z'");
}

static void test_fields(void **state)
{
    (void)state;
    /* Reordered, dropped, renamed. */
    expect_rows(",{\"name\":\"a\",\"type\":\"int\"},{\"name\":\"gone\",\"type\":" MAP(
                    ITEM) "},{\"name\":\"old\",\"type\":\"string\"}",
                ",{\"name\":\"new\",\"aliases\":[\"older\",\"old\"],\"type\":\"string\"},{\"name\":"
                "\"a\",\"type\":\"int\"}",
                "{\"a\":1,\"gone\":{\"k\":{\"x\":1,\"tags\":[\"t\"]}},\"old\":\"o\"}", "('o', 1)");
    /* A name comes before an alias. */
    expect_rows(",{\"name\":\"a\",\"type\":\"int\"}",
                ",{\"name\":\"b\",\"aliases\":[\"a\"],\"type\":\"int\",\"default\":9},{\"name\":"
                "\"a\",\"type\":\"int\"}",
                "{\"a\":1}", "(9, 1)");
    /* Renamed types. */
    expect_rows(",{\"name\":\"a\",\"type\":{\"type\":\"record\",\"name\":\"Old\",\"fields\":[{"
                "\"name\":\"x\",\"type\":\"int\"}]}}",
                ",{\"name\":\"a\",\"type\":{\"type\":\"record\",\"name\":\"New\",\"aliases\":["
                "\"Old\"],\"fields\":["
                "{\"name\":\"x\",\"type\":\"int\"}]}}",
                "{\"a\":{\"x\":4}}", "(4)");
}

/* Cells that come in another order than columns: in the row, under an optional record, in children,
 * and from a default. */
static void test_order(void **state)
{
    (void)state;
    static const char reader[] =
        ",{\"name\":\"added\",\"type\":[\"null\",\"string\"],\"default\":null},"
        "{\"name\":\"c\",\"type\":" ARRAY(RECORD("{\"name\":\"tags\",\"type\":" ARRAY(
            "\"string\"") "},{\"name\":\"x\",\"type\":\"int\"}")) "},"
                                                                  "{\"name\":\"p\",\"type\":["
                                                                  "\"null\",{\"type\":\"record\","
                                                                  "\"name\":\"P\",\"fields\":["
                                                                  "{\"name\":\"m\",\"type\":" MAP(
                                                                      "\"string\"") "},"
                                                                                    "{\"name\":"
                                                                                    "\"y\","
                                                                                    "\"type\":"
                                                                                    "\"long\"}]}]},"
                                                                                    "{\"name\":"
                                                                                    "\"a\","
                                                                                    "\"type\":"
                                                                                    "\"int\"}";
    static const char writer[] =
        ",{\"name\":\"a\",\"type\":\"int\"},"
        "{\"name\":\"p\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"P\",\"fields\":["
        "{\"name\":\"y\",\"type\":\"int\"},"
        "{\"name\":\"m\",\"type\":" MAP("\"string\"") "}]}]},"
                                                      "{\"name\":\"c\",\"type\":" ARRAY(ITEM) "}";
    expect_rows(writer, reader,
                "{\"a\":7,\"p\":{\"y\":1,\"m\":{\"k\":\"v\",\"a longer key\":\"say \\\"no\\\"\"}},"
                "\"c\":[{\"x\":5,\"tags\":[\"s\",\"t\"]},{\"x\":6,\"tags\":[]}]}",
                "(NULL, {\"k\":\"v\",\"a longer key\":\"say \\\"no\\\"\"}, 1, 7)"
                "(1, {'s','t'}, 5)(2, {}, 6)");
    expect_rows(writer, reader, "{\"a\":7,\"p\":null,\"c\":[]}", "(NULL, NULL, NULL, 7)");
}

static void test_defaults(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        const char *preset;
        const char *expected;
    } cases[] = {
        {"\"null\"", "null", "(NULL)"},
        {"\"boolean\"", "true", "(t)"},
        {"\"int\"", "-3", "(-3)"},
        {"\"long\"", "5000000000", "(5000000000)"},
        {"\"float\"", "1", "(1)"},
        {"\"double\"", "0.25", "(0.25)"},
        {"\"bytes\"", "\"\\u00ff\\u0001\"", "(\\xff01)"},
        {"\"string\"", "\"d\"", "('d')"},
        {FIXED(2, ""), "\"a\\u00e9\"", "(\\x61e9)"},
        {ENUM("\"A\",\"B\""), "\"B\"", "('B')"},
        {"[\"null\",\"long\"]", "null", "(NULL)"},
        {"[\"long\",\"null\"]", "8", "(8)"},
        {ARRAY("\"int\""), "[1,2]", "({1,2})"},
        {ARRAY("\"int\""), "[]", "({})"},
        {MAP("\"int\""), "{\"k\":1}", "({\"k\":1})"},
        {RECORD(
             "{\"name\":\"x\",\"type\":\"int\"},{\"name\":\"y\",\"type\":\"int\",\"default\":2}"),
         "{\"x\":1}", "(1, 2)"},
        {ARRAY(ITEM), "[{\"x\":1,\"tags\":[\"t\"]}]", "()(1, 1, {'t'})"},
        {LOGICAL("long", "timestamp-micros"), "1", "(1970-01-01T00:00:00.000001Z)"},
        {DECIMAL(4, 2), "\"\\u0001\"", "(0.01)"},
        {"[\"null\",\"string\",\"long\"]", "null", "(NULL)"},
        {"[\"string\",\"long\"]", "\"s\"", "(\"s\")"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *field = xasprintf(",{\"name\":\"a\",\"type\":%s,\"default\":%s}", cases[i].type,
                                cases[i].preset);
        expect_rows("", field, "{}", cases[i].expected);
        free(field);
    }
    /* Inside of jsonb too. */
    expect_field(MAP(RECORD("{\"name\":\"x\",\"type\":\"int\"},{\"name\":\"z\",\"type\":\"int\"}")),
                 MAP(RECORD("{\"name\":\"x\",\"type\":\"int\"},{\"name\":\"y\",\"type\":\"string\","
                            "\"default\":\"d\"}")),
                 "{\"k\":{\"x\":1,\"z\":2}}", "{\"k\":{\"x\":1,\"y\":\"d\"}}");
}

static void test_refused(void **state)
{
    (void)state;
    expect_refused("\"string\"", "\"long\"",
                   "ThingHappened.a: the writer's string cannot be read as long");
    expect_refused("\"long\"", "\"int\"",
                   "ThingHappened.a: the writer's long cannot be read as int");
    expect_refused("\"double\"", "\"float\"", "cannot be read");
    expect_refused("\"long\"", "[\"null\",\"string\"]", "cannot be read as union");
    expect_refused("[\"null\",\"string\"]", "\"long\"", "no type of the writer's union");
    expect_refused(FIXED(2, ""), FIXED(3, ""), "writer's fixed F cannot be read as fixed F");
    expect_refused(ENUM("\"A\""), ENUM("\"B\""), "no symbol in common");
    expect_refused(ENUM("\"A\""), "{\"type\":\"enum\",\"name\":\"X\",\"symbols\":[\"A\"]}",
                   "enum E cannot be read as enum X");
    expect_refused(ARRAY("\"string\""), ARRAY("\"int\""), "ThingHappened.a[]: ");
    expect_refused(MAP("\"string\""), MAP("\"int\""), "ThingHappened.a{}: ");
    expect_refused(RECORD(""), RECORD("{\"name\":\"x\",\"type\":\"int\"}"),
                   "ThingHappened.a.x: the writer does not have the field, and it has no default");
    expect_refused(LOGICAL("long", "timestamp-millis"), LOGICAL("long", "timestamp-micros"),
                   "logical type changed");
    expect_refused(DECIMAL(9, 2), DECIMAL(9, 3), "a decimal (9, 2) cannot be read as (9, 3)");
    expect_refused(DECIMAL(9, 2), DECIMAL(8, 2), "a decimal (9, 2) cannot be read as (8, 2)");
    expect_refused(DECIMAL(9, 2), "\"string\"", "a decimal and a text");
}

static void test_unreadable(void **state)
{
    (void)state;
    expect_unreadable("[\"null\",\"long\"]", "\"long\"", "null", "a, byte ");
    expect_unreadable("[\"null\",\"long\"]", "\"long\"", "null", "writer's null has no place");
    expect_unreadable("[\"string\",\"long\"]", "\"long\"", "\"x\"", "writer's string has no place");
    expect_unreadable("[\"null\"," RECORD("") "]",
                      "[\"null\"," RECORD("{\"name\":\"x\",\"type\":\"int\"}") "]", "{}",
                      "the writer's record R does not fit: ThingHappened.a.x: the writer does not "
                      "have the field");
    expect_unreadable(ENUM("\"A\",\"B\""), ENUM("\"A\""), "\"B\"",
                      "symbol is not in the newest schema");
    expect_unreadable(MAP(ENUM("\"A\",\"B\"")), MAP(ENUM("\"A\"")), "{\"k\":\"B\"}",
                      "symbol is not in the newest");
    expect_unreadable("\"string\"", LOGICAL("string", "uuid"), "\"x\"", "a text is no UUID");
    expect_unreadable("\"bytes\"", "\"string\"", "\"/w==\"", "not valid UTF-8");
    expect_unreadable(MAP("\"bytes\""), MAP("\"string\""), "{\"k\":\"/w==\"}", "not valid UTF-8");
    expect_unreadable("\"long\"", LOGICAL("long", "timestamp-micros"), "-9223372036854775807",
                      "timestamp is out of range");
    expect_unreadable("\"long\"", LOGICAL("long", "timestamp-millis"), "-9223372036854775807",
                      "timestamp is out of range");
    expect_unreadable("\"int\"", LOGICAL("int", "date"), "-2147483648", "date is out of range");
    expect_unreadable("\"int\"", LOGICAL("int", "time-millis"), "86400001",
                      "time of day is out of range");
    expect_unreadable("\"long\"", LOGICAL("long", "time-micros"), "-1",
                      "time of day is out of range");
    expect_unreadable(FIXED(12, ",\"logicalType\":\"duration\""),
                      FIXED(12, ",\"logicalType\":\"duration\""), "{\"days\":4294967295}",
                      "duration is out of range");
}

/* An int that is none stays an error where it is promoted. */
static void test_narrow(void **state)
{
    (void)state;
    static const char *const readers[] = {
        "\"int\"",      "\"long\"", "\"float\"", "\"double\"", LOGICAL("long", "timestamp-millis"),
        MAP("\"long\"")};
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        const char *writer = i == 5 ? MAP("\"int\"") : "\"int\"";
        struct error error = {0};
        char *from = xasprintf(",{\"name\":\"a\",\"type\":%s}", writer);
        char *to = xasprintf(",{\"name\":\"a\",\"type\":%s}", readers[i]);
        assert_int_equal(open_plan(&fixture, from, to, &error), 0);
        encode(&fixture, i == 5 ? "{\"a\":{\"k\":1}}" : "{\"a\":1}");
        /* The number is the last byte (before the map's end). */
        fixture.bytes.size -= i == 5 ? 2 : 1;
        buf_put(&fixture.bytes, "\x80\x80\x80\x80\x10", 5);
        if (i == 5)
            buf_put_u8(&fixture.bytes, 0);
        fixture.record.avro = (const unsigned char *)fixture.bytes.data;
        fixture.record.avro_size = fixture.bytes.size;
        assert_int_equal(plan_decode(fixture.plan, &fixture.record, fixture.rows, fixture.counts,
                                     &fixture.envelope, &error),
                         -1);
        assert_non_null(strstr(error.message, "an int is out of range"));
        close_plan(&fixture);
        free(from);
        free(to);
    }
}

#define EVERYTHING                                                                                 \
    ",{\"name\":\"b\",\"type\":\"boolean\"},{\"name\":\"i\",\"type\":\"int\"},{\"name\":\"l\","    \
    "\"type\":\"long\"},"                                                                          \
    "{\"name\":\"f\",\"type\":\"float\"},{\"name\":\"d\",\"type\":\"double\"},{\"name\":\"t\","    \
    "\"type\":\"string\"},"                                                                        \
    "{\"name\":\"o\",\"type\":[\"null\",\"string\"]},{\"name\":\"n\",\"type\":" DECIMAL(           \
        9,                                                                                         \
        2) "},"                                                                                    \
           "{\"name\":\"e\",\"type\":" ENUM("\"A\",\"B\"") "},{\"name\":\"c\",\"type\":" ARRAY(    \
               ITEM) "},"                                                                          \
                     "{\"name\":\"m\",\"type\":" MAP(                                              \
                         "[\"null\",\"int\"]") "},{\"name\":\"u\",\"type\":" LOGICAL("string",     \
                                                                                     "uuid") "}"

/* Every prefix fails; every changed byte fails or decodes to rows that still read. */
static void test_damage(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(open_plan(&fixture, EVERYTHING, EVERYTHING, &error), 0);
    encode(&fixture, "{\"b\":true,\"i\":300,\"l\":70000,\"f\":1,\"d\":2,\"t\":\"text\",\"o\":"
                     "\"opt\",\"n\":\"1.5\","
                     "\"e\":\"B\",\"c\":[{\"x\":1,\"tags\":[\"p\",\"q\"]},{\"x\":2,\"tags\":[]}],"
                     "\"m\":{\"k\":1,\"j\":null},"
                     "\"u\":\"0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b\"}");
    for (size_t size = 0; size < fixture.bytes.size; size++) {
        struct plan_record record = fixture.record;
        unsigned char *cut = malloc(size ? size : 1);
        memcpy(cut, fixture.bytes.data, size);
        record.avro = cut;
        record.avro_size = size;
        assert_int_equal(plan_decode(fixture.plan, &record, fixture.rows, fixture.counts,
                                     &fixture.envelope, &error),
                         -1);
        assert_int_equal(
            fixture.rows[0].size + fixture.rows[1].size + fixture.counts[0] + fixture.counts[1], 0);
        free(cut);
    }
    size_t good = 0;
    for (size_t i = 0; i < fixture.bytes.size * 256; i++) {
        char old = fixture.bytes.data[i / 256];
        fixture.bytes.data[i / 256] = (char)(i % 256);
        fixture.rows[0].size = fixture.rows[1].size = fixture.counts[0] = fixture.counts[1] = 0;
        if (plan_decode(fixture.plan, &fixture.record, fixture.rows, fixture.counts,
                        &fixture.envelope, &error) == 0) {
            free(rows_text(&fixture));
            good++;
        }
        fixture.bytes.data[i / 256] = old;
    }
    assert_true(good > fixture.bytes.size);
    /* Bytes behind the event. */
    buf_put_u8(&fixture.bytes, 0);
    fixture.record.avro = (const unsigned char *)fixture.bytes.data;
    fixture.record.avro_size = fixture.bytes.size;
    assert_int_equal(plan_decode(fixture.plan, &fixture.record, fixture.rows, fixture.counts,
                                 &fixture.envelope, &error),
                     -1);
    assert_non_null(strstr(error.message, "left over"));
    close_plan(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_envelope),   cmocka_unit_test(test_omit),
        cmocka_unit_test(test_types),      cmocka_unit_test(test_decimals),
        cmocka_unit_test(test_nested),     cmocka_unit_test(test_children),
        cmocka_unit_test(test_promotions), cmocka_unit_test(test_fields),
        cmocka_unit_test(test_order),      cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_narrow),     cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
