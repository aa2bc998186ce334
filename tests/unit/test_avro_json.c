/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON to Avro and back: every type there and back, every fault by its pointer, and bytes that were
 * cut or changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/avro/decode.h"
#include "lib/avro/encode.h"
#include "lib/avro/json.h"
#include "tests/unit/avro_event.h"

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!json)
        fail_msg("%s: %s", error.text, text);
    return json;
}

/* `text` encoded by `schema` and read again is `expected`. */
static void expect_round(const char *schema_text, const char *text, const char *expected)
{
    struct schema_document *document = test_schema(schema_text);
    const struct schema *schema = schema_root(document);
    struct faults faults = {0};
    struct buf bytes = {0};
    struct error error;
    json_t *json = parse(text);
    json_t *wanted = parse(expected);
    json_t *again;
    if (avro_from_json(schema, json, &bytes, &faults) != 0)
        fail_msg("%s: %s %s", text, faults.items[0].pointer, faults.items[0].message);
    if (avro_to_json(schema, (unsigned char *)bytes.data, bytes.size, 0, &again, &error) != 0)
        fail_msg("%s: %s", text, error.message);
    if (!json_equal(again, wanted))
        fail_msg("%s became %s", text, json_dumps(again, JSON_ENCODE_ANY));
    json_decref(json);
    json_decref(wanted);
    json_decref(again);
    buf_free(&bytes);
    schema_free(document);
}

static void expect_same(const char *schema, const char *text)
{
    expect_round(schema, text, text);
}

/* The faults, as "pointer: message" in lines. */
static void expect_faults(const char *schema_text, const char *text, const char *expected)
{
    struct schema_document *document = test_schema(schema_text);
    struct faults faults = {0};
    struct buf bytes = {0};
    struct buf all = {0};
    json_t *json = parse(text);
    buf_put_text(&bytes, "kept");
    assert_int_equal(avro_from_json(schema_root(document), json, &bytes, &faults), -1);
    assert_int_equal(bytes.size, 4);
    for (size_t i = 0; i < faults.count; i++)
        buf_printf(&all, "%s%s: %s", i ? "\n" : "", faults.items[i].pointer,
                   faults.items[i].message);
    assert_string_equal(all.data, expected);
    buf_free(&all);
    buf_free(&bytes);
    json_decref(json);
    schema_free(document);
}

#define LOGICAL(type, name) "{\"type\":\"" type "\",\"logicalType\":\"" name "\"}"
#define DECIMAL(precision, scale)                                                                  \
    "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":" #precision                    \
    ",\"scale\":" #scale "}"

static void test_round(void **state)
{
    (void)state;
    expect_same("\"null\"", "null");
    expect_same("\"boolean\"", "true");
    expect_same("\"int\"", "-2147483648");
    expect_same("\"long\"", "9223372036854775807");
    expect_same("\"long\"", "-9223372036854775808");
    expect_same("\"double\"", "1.25e300");
    expect_same("\"float\"", "0.5");
    expect_round("\"double\"", "3", "3.0");
    expect_same("\"string\"", "\"\\u00e4 \\ud83d\\ude00\"");
    expect_same("\"bytes\"", "\"AAEC/w==\"");
    expect_same("\"bytes\"", "\"\"");
    expect_same("{\"type\":\"fixed\",\"name\":\"F\",\"size\":2}", "\"AP8=\"");
    expect_same("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}", "\"B\"");
    expect_same("{\"type\":\"array\",\"items\":\"int\"}", "[1,2,3]");
    expect_same("{\"type\":\"array\",\"items\":\"int\"}", "[]");
    expect_same("{\"type\":\"map\",\"values\":[\"null\",\"int\"]}", "{\"a\":1,\"b\":null}");
    expect_same("[\"null\",\"string\"]", "null");
    expect_same("[\"null\",\"string\"]", "\"x\"");
    expect_same("[\"int\",\"long\",\"string\",\"double\"]", "5000000000");
    expect_same("[\"int\",\"long\",\"string\",\"double\"]", "0.5");
}

static void test_logical(void **state)
{
    (void)state;
    expect_round(LOGICAL("string", "uuid"), "\"0190A6B2-7c1d-7e3f-8a4b-5c6d7e8f9a0b\"",
                 "\"0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b\"");
    expect_same("{\"type\":\"fixed\",\"name\":\"F\",\"size\":16,\"logicalType\":\"uuid\"}",
                "\"0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b\"");
    expect_same(LOGICAL("int", "date"), "\"2026-11-22\"");
    expect_round(LOGICAL("int", "date"), "0", "\"1970-01-01\"");
    expect_same(LOGICAL("int", "date"), "-1");
    expect_round(LOGICAL("long", "timestamp-micros"), "\"2026-11-22T11:00:00.5+01:00\"",
                 "\"2026-11-22T10:00:00.500000Z\"");
    expect_round(LOGICAL("long", "timestamp-micros"), "1000000", "\"1970-01-01T00:00:01.000000Z\"");
    expect_same(LOGICAL("long", "timestamp-micros"), "9223372036854775807");
    expect_same(LOGICAL("long", "timestamp-millis"), "\"2026-11-22T10:00:00.500000Z\"");
    expect_same(LOGICAL("long", "timestamp-millis"), "9223372036854775807");
    expect_same(LOGICAL("long", "timestamp-nanos"), "\"2026-11-22T10:00:00.500000Z\"");
    expect_same(LOGICAL("long", "timestamp-nanos"), "1001");
    expect_same(LOGICAL("long", "local-timestamp-micros"), "\"2026-11-22T10:00:00.500000\"");
    expect_round(LOGICAL("int", "time-millis"), "\"10:00:01\"", "\"10:00:01.000000\"");
    expect_same(LOGICAL("long", "time-micros"), "\"23:59:59.999999\"");
    expect_same(LOGICAL("long", "time-micros"), "86400000000");
    expect_same("{\"type\":\"fixed\",\"name\":\"F\",\"size\":12,\"logicalType\":\"duration\"}",
                "{\"months\":1,\"days\":2,\"millis\":4294967295}");
}

static void test_decimals(void **state)
{
    (void)state;
    static const char *const same[] = {"\"0.00\"",
                                       "\"12.34\"",
                                       "\"-12.34\"",
                                       "\"1.28\"",
                                       "\"-1.28\"",
                                       "\"-1.29\"",
                                       "\"0.01\"",
                                       "\"-0.01\"",
                                       "\"100000.00\"",
                                       "\"99999999999999999999999999999999.99\"",
                                       "\"-99999999999999999999999999999999.99\"",
                                       "\"2.55\"",
                                       "\"2.56\""};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        expect_same(DECIMAL(34, 2), same[i]);
    expect_round(DECIMAL(34, 2), "\"1\"", "\"1.00\"");
    expect_round(DECIMAL(34, 2), "\"+1.5\"", "\"1.50\"");
    expect_round(DECIMAL(34, 2), "\"-0\"", "\"0.00\"");
    expect_same(DECIMAL(9, 0), "\"123456789\"");
    expect_same(DECIMAL(9, 9), "\"0.000012345\"");
    expect_same("{\"type\":\"fixed\",\"name\":\"F\",\"size\":5,\"logicalType\":\"decimal\","
                "\"precision\":9,\"scale\":3}",
                "\"-123.456\"");
    expect_faults(DECIMAL(4, 2), "\"123\"",
                  ": the value has more digits than the precision (precision 4, scale 2)");
    expect_faults(
        DECIMAL(4, 2), "\"1.234\"",
        ": the value has more digits behind the point than the scale (precision 4, scale 2)");
    expect_faults(DECIMAL(4, 2), "\"1e2\"",
                  ": the value is no decimal such as \"12.34\" (precision 4, scale 2)");
    expect_faults(DECIMAL(4, 2), "\"1.\"",
                  ": the value is no decimal such as \"12.34\" (precision 4, scale 2)");
    expect_faults(DECIMAL(4, 2), "1.5", ": expected a decimal as a text");
}

static void test_faults(void **state)
{
    (void)state;
    expect_faults("\"int\"", "2147483648", ": expected an integer from -2147483648 to 2147483647");
    expect_faults("\"long\"", "1.0",
                  ": expected an integer, not a number with a fraction or exponent");
    expect_faults("\"long\"", "\"1\"", ": expected an integer");
    expect_faults("\"boolean\"", "1", ": expected true or false");
    expect_faults("\"null\"", "1", ": expected null");
    expect_faults("\"double\"", "\"1\"", ": expected a number");
    expect_faults("\"float\"", "1e39", ": the number is too large for 32 bits");
    expect_faults("\"string\"", "1", ": expected a text");
    expect_faults("\"string\"", "\"a\\u0000b\"", ": the text has a NUL character");
    expect_faults("\"bytes\"", "\"AAE\"", ": expected bytes as base64");
    expect_faults("\"bytes\"", "\"AB==\"", ": expected bytes as base64");
    expect_faults("\"bytes\"", "\"A===\"", ": expected bytes as base64");
    expect_faults("{\"type\":\"fixed\",\"name\":\"F\",\"size\":2}", "\"AAAA\"",
                  ": expected 2 bytes as base64, got 3");
    expect_faults("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}", "\"C\"",
                  ": expected one of A, B");
    expect_faults("{\"type\":\"array\",\"items\":\"int\"}", "{}", ": expected an array");
    expect_faults("{\"type\":\"map\",\"values\":\"int\"}", "{\"a/b~c\":true}",
                  "/a~1b~0c: expected an integer");
    expect_faults("[\"null\",\"string\"]", "1", ": expected a text");
    expect_faults("[\"null\",\"string\",\"int\"]", "true", ": the value fits no type of the union");
    expect_faults("[\"null\"," LOGICAL("string", "uuid") "," LOGICAL("int", "date") "]", "\"x\"",
                  ": the value fits no type of the union");
    expect_faults(LOGICAL("string", "uuid"), "\"x\"",
                  ": expected a UUID such as \"0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b\"");
    expect_faults(LOGICAL("int", "date"), "\"2026-02-30\"",
                  ": expected a date such as \"2026-11-22\"");
    expect_faults(LOGICAL("long", "timestamp-micros"), "\"today\"",
                  ": expected a time such as \"2026-11-22T10:00:00Z\"");
    expect_faults(LOGICAL("long", "timestamp-micros"), "true",
                  ": expected a time such as \"2026-11-22T10:00:00Z\", or an integer");
    expect_faults(LOGICAL("int", "time-millis"), "\"24:00:00\"",
                  ": expected a time such as \"10:00:00.5\"");
    expect_faults("{\"type\":\"fixed\",\"name\":\"F\",\"size\":12,\"logicalType\":\"duration\"}",
                  "{\"days\":-1}", ": days must be an integer from 0 to 4294967295");
    expect_faults("{\"type\":\"fixed\",\"name\":\"F\",\"size\":12,\"logicalType\":\"duration\"}",
                  "{\"hours\":1}", ": expected an object of \"months\", \"days\" and \"millis\"");
}

static const char record[] = "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
                             "{\"name\":\"amount\",\"type\":\"long\"},{\"name\":\"currency\","
                             "\"type\":\"string\",\"default\":\"EUR\"},"
                             "{\"name\":\"note\",\"type\":[\"null\",\"string\"]},"
                             "{\"name\":\"items\",\"type\":{\"type\":\"array\",\"items\":{\"type\":"
                             "\"record\",\"name\":\"I\",\"fields\":["
                             "{\"name\":\"quantity\",\"type\":\"int\",\"default\":1},{\"name\":"
                             "\"price\",\"type\":\"long\"}]}},\"default\":[]}]}";

static void test_records(void **state)
{
    (void)state;
    expect_round(record, "{\"amount\":1}",
                 "{\"amount\":1,\"currency\":\"EUR\",\"note\":null,\"items\":[]}");
    expect_round(record, "{\"amount\":1,\"items\":[{\"price\":2}]}",
                 "{\"amount\":1,\"currency\":\"EUR\",\"note\":null,\"items\":[{\"quantity\":1,"
                 "\"price\":2}]}");
    expect_faults(
        record,
        "{\"ammount\":1,\"currency\":7,\"items\":[{\"price\":2},{\"quantity\":true,\"x\":1}]}",
        "/amount: the field is required\n"
        "/currency: expected a text\n"
        "/items/1/quantity: expected an integer\n"
        "/items/1/price: the field is required\n"
        "/items/1/x: there is no such field\n"
        "/ammount: there is no such field; did you mean \"amount\"?");
    expect_faults(record, "[]", ": expected an object");
}

/* A body may use the names that fields had. */
static void test_aliases(void **state)
{
    (void)state;
    static const char schema[] =
        "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
        "{\"name\":\"a\",\"type\":\"int\",\"aliases\":[\"x\",\"y\",\"b\"]},"
        "{\"name\":\"b\",\"type\":\"int\",\"default\":7,\"aliases\":[\"y\",\"z\"]}]}";
    expect_round(schema, "{\"x\":1}", "{\"a\":1,\"b\":7}");
    expect_round(schema, "{\"y\":1,\"z\":2}", "{\"a\":1,\"b\":2}");
    expect_round(schema, "{\"a\":1,\"z\":2}", "{\"a\":1,\"b\":2}");
    expect_faults(schema, "{\"b\":1}", "/a: the field is required");
    expect_faults(schema, "{\"a\":1,\"x\":2}", "/x: there is no such field; did you mean \"a\"?");
    expect_faults(schema, "{\"x\":\"no\"}", "/x: expected an integer");
}

static void test_event(void **state)
{
    (void)state;
    struct schema_document *document =
        test_event_schema(",{\"name\":\"amount\",\"type\":\"long\"}");
    const struct schema *schema = schema_root(document);
    struct faults faults = {0};
    struct buf bytes = {0};
    struct error error;
    json_t *meta = parse("{\"event_id\":\"0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b\",\"occurred_at\":1,"
                         "\"received_at\":2,\"actor\":\"eve\",\"fingerprint\":3}");
    json_t *fields = parse("{\"amount\":5}");
    json_t *again;
    assert_int_equal(avro_event_from_json(schema, meta, fields, &bytes, &faults), 0);
    assert_int_equal(
        avro_to_json(schema, (unsigned char *)bytes.data, bytes.size, 0, &again, &error), 0);
    assert_int_equal(json_integer_value(json_object_get(again, "amount")), 5);
    assert_string_equal(json_string_value(json_object_get(json_object_get(again, "meta"), "actor")),
                        "eve");
    json_decref(again);
    assert_int_equal(avro_to_json(schema, (unsigned char *)bytes.data, bytes.size,
                                  AVRO_JSON_MASK_PII, &again, &error),
                     0);
    assert_string_equal(json_string_value(json_object_get(json_object_get(again, "meta"), "actor")),
                        "***");
    json_decref(again);
    /* That there is none is no secret. */
    json_object_set_new(meta, "actor", json_null());
    bytes.size = 0;
    assert_int_equal(avro_event_from_json(schema, meta, fields, &bytes, &faults), 0);
    assert_int_equal(avro_to_json(schema, (unsigned char *)bytes.data, bytes.size,
                                  AVRO_JSON_MASK_PII, &again, &error),
                     0);
    assert_true(json_is_null(json_object_get(json_object_get(again, "meta"), "actor")));
    json_decref(again);
    json_object_set_new(fields, "meta", json_object());
    json_object_set_new(meta, "event_id", json_null());
    bytes.size = 0;
    assert_int_equal(avro_event_from_json(schema, meta, fields, &bytes, &faults), -1);
    assert_int_equal(faults.count, 2);
    assert_string_equal(faults.items[0].pointer, "/meta/event_id");
    assert_string_equal(faults.items[1].pointer, "/meta");
    json_decref(meta);
    json_decref(fields);
    buf_free(&bytes);
    schema_free(document);
}

static void test_limits(void **state)
{
    enum { NESTED = DECODE_DEPTH_MAX + 1 };
    (void)state;
    struct buf text = {0};
    for (int i = 0; i < NESTED; i++)
        buf_put_text(&text, "{\"next\":");
    buf_put_text(&text, "null");
    for (int i = 0; i < NESTED; i++)
        buf_put_text(&text, "}");
    buf_put_u8(&text, 0);
    struct faults faults = {0};
    struct buf bytes = {0};
    struct schema_document *list =
        test_schema("{\"type\":\"record\",\"name\":\"L\",\"fields\":[{\"name\":\"next\","
                    "\"type\":[\"null\",\"L\"]}]}");
    json_t *json = parse(text.data);
    assert_int_equal(avro_from_json(schema_root(list), json, &bytes, &faults), -1);
    assert_non_null(strstr(faults.items[0].message, "nested deeper"));
    json_decref(json);
    schema_free(list);

    struct schema_document *array = test_schema("{\"type\":\"array\",\"items\":\"null\"}");
    json = json_array();
    for (int i = 0; i <= DECODE_ITEMS_MAX; i++)
        json_array_append_new(json, json_null());
    faults.count = 0;
    assert_int_equal(avro_from_json(schema_root(array), json, &bytes, &faults), -1);
    assert_non_null(strstr(faults.items[0].message, "more than 100000 items"));
    json_decref(json);
    schema_free(array);

    /* More faults than are listed. */
    struct schema_document *ints = test_schema("{\"type\":\"array\",\"items\":\"int\"}");
    json = json_array();
    for (int i = 0; i <= FAULTS_MAX; i++)
        json_array_append_new(json, json_true());
    faults.count = 0;
    assert_int_equal(avro_from_json(schema_root(ints), json, &bytes, &faults), -1);
    assert_int_equal(faults.count, FAULTS_MAX);
    json_decref(json);
    schema_free(ints);
    buf_free(&bytes);
    buf_free(&text);
}

/* Decoding `size` bytes fails with `words`. */
static void expect_invalid(const char *schema_text, const char *bytes, size_t size,
                           const char *words)
{
    struct schema_document *document = test_schema(schema_text);
    struct error error = {0};
    json_t *value;
    assert_int_equal(
        avro_to_json(schema_root(document), (const unsigned char *)bytes, size, 0, &value, &error),
        -1);
    assert_int_equal(error.class, ERROR_DEAD_LETTER);
    assert_string_equal(error.code, "avro-invalid");
    if (!strstr(error.message, words))
        fail_msg("\"%s\" does not say \"%s\"", error.message, words);
    schema_free(document);
}

#define INVALID(schema, bytes, words) expect_invalid(schema, bytes, sizeof bytes - 1, words)

static void test_invalid(void **state)
{
    (void)state;
    INVALID("\"int\"", "\x80\x80\x80\x80\x10", "an int is out of range");
    INVALID("\"long\"", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "longer than 64 bits");
    INVALID("\"long\"", "\x80", "end inside a number");
    INVALID("\"boolean\"", "\x02", "neither 0 nor 1");
    INVALID("\"boolean\"", "", "end inside a value");
    INVALID("\"string\"", "\x01", "negative");
    INVALID("\"string\"", "\x04\x61", "larger than what is left");
    INVALID("\"string\"", "\x02\xff", "not valid UTF-8");
    INVALID("\"string\"", "\x02\xff", "not valid UTF-8");
    INVALID("\"string\"", "\x06\xed\xa0\x80", "not valid UTF-8");
    INVALID("\"double\"", "\x01\x02", "end inside a value");
    INVALID("[\"null\",\"int\"]", "\x04", "index is out of range");
    INVALID("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]}", "\x02",
            "index is out of range");
    INVALID("{\"type\":\"array\",\"items\":\"null\"}", "\xc2\x9a\x0c\x00", "too many items");
    INVALID("{\"type\":\"array\",\"items\":\"null\"}", "\x01\x09", "size of a block");
    INVALID("{\"type\":\"array\",\"items\":\"null\"}", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            "count is out of range");
    INVALID("\"int\"", "\x02\x02", "byte 1: bytes are left over");
    INVALID("{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":{\"type\":"
            "\"record\",\"name\":\"S\","
            "\"fields\":[{\"name\":\"b\",\"type\":\"boolean\"}]}}]}",
            "\x07", "a.b, byte 1");
    char deep[200];
    memset(deep, 2, sizeof deep);
    expect_invalid("{\"type\":\"record\",\"name\":\"L\",\"fields\":[{\"name\":\"next\",\"type\":["
                   "\"null\",\"L\"]}]}",
                   deep, sizeof deep, "nested too deeply");
}

/* Every prefix of a good event, and every byte changed: an error or a value, never more. */
static void test_damage(void **state)
{
    (void)state;
    struct schema_document *document = test_schema(record);
    const struct schema *schema = schema_root(document);
    struct faults faults = {0};
    struct buf bytes = {0};
    struct error error;
    json_t *json =
        parse("{\"amount\":123456789,\"note\":\"nö\",\"items\":[{\"price\":2},{\"price\":3}]}");
    json_t *again;
    assert_int_equal(avro_from_json(schema, json, &bytes, &faults), 0);
    for (size_t size = 0; size < bytes.size; size++) {
        unsigned char *cut = malloc(size ? size : 1); /* so that the sanitizer sees its end */
        memcpy(cut, bytes.data, size);
        assert_int_equal(avro_to_json(schema, cut, size, 0, &again, &error), -1);
        free(cut);
    }
    for (size_t i = 0; i < bytes.size * 256; i++) {
        char old = bytes.data[i / 256];
        bytes.data[i / 256] = (char)(i % 256);
        if (avro_to_json(schema, (unsigned char *)bytes.data, bytes.size, 0, &again, &error) == 0)
            json_decref(again);
        bytes.data[i / 256] = old;
    }
    json_decref(json);
    buf_free(&bytes);
    schema_free(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),    cmocka_unit_test(test_logical),
        cmocka_unit_test(test_decimals), cmocka_unit_test(test_faults),
        cmocka_unit_test(test_records),  cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_event),    cmocka_unit_test(test_limits),
        cmocka_unit_test(test_invalid),  cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
