/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON to Avro, held against avro-c: what is written, an independent reader reads as the same
 * value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <avro.h>
#include <cmocka.h>

#include "lib/avro/json.h"
#include "lib/avro/sample.h"
#include "lib/base/base64.h"
#include "tests/unit/avro_event.h"

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!json)
        fail_msg("%s: %s", error.text, text);
    return json;
}

static void compare(avro_value_t *value, const json_t *json);

static void compare_children(avro_value_t *value, const json_t *json)
{
    size_t count;
    avro_value_get_size(value, &count);
    assert_int_equal(count, json_is_array(json) ? json_array_size(json) : json_object_size(json));
    for (size_t i = 0; i < count; i++) {
        avro_value_t child;
        const char *name = NULL;
        avro_value_get_by_index(value, i, &child, &name);
        compare(&child,
                json_is_array(json) ? json_array_get(json, i) : json_object_get(json, name));
    }
}

static void compare_bytes(avro_value_t *value, const json_t *json)
{
    const void *data;
    size_t size;
    struct buf text = {0};
    if (avro_value_get_type(value) == AVRO_FIXED)
        avro_value_get_fixed(value, &data, &size);
    else
        avro_value_get_bytes(value, &data, &size);
    base64_encode(data, size, &text);
    buf_put_u8(&text, 0);
    assert_string_equal(text.data, json_string_value(json));
    buf_free(&text);
}

/* A value as avro-c reads it is the one that was written. */
static void compare(avro_value_t *value, const json_t *json)
{
    int32_t i32;
    int64_t i64;
    double real;
    int boolean;
    const char *text;
    size_t size;
    avro_value_t branch;
    switch (avro_value_get_type(value)) {
    case AVRO_NULL:
        assert_true(json_is_null(json));
        break;
    case AVRO_BOOLEAN:
        avro_value_get_boolean(value, &boolean);
        assert_int_equal(boolean, json_is_true(json));
        break;
    case AVRO_INT32:
        avro_value_get_int(value, &i32);
        assert_int_equal(i32, json_integer_value(json));
        break;
    case AVRO_INT64:
        avro_value_get_long(value, &i64);
        assert_int_equal(i64, json_integer_value(json));
        break;
    case AVRO_DOUBLE:
        avro_value_get_double(value, &real);
        assert_true(real == json_real_value(json));
        break;
    case AVRO_BYTES:
    case AVRO_FIXED:
        compare_bytes(value, json);
        break;
    case AVRO_STRING:
        avro_value_get_string(value, &text, &size);
        assert_string_equal(text, json_string_value(json));
        break;
    case AVRO_ENUM:
        avro_value_get_enum(value, &i32);
        assert_string_equal(avro_schema_enum_get(avro_value_get_schema(value), i32),
                            json_string_value(json));
        break;
    case AVRO_UNION:
        avro_value_get_current_branch(value, &branch);
        compare(&branch, json);
        break;
    default:
        compare_children(value, json);
    }
}

static void test_oracle(void **state)
{
    (void)state;
    static const char text[] =
        "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
        "{\"name\":\"a\",\"type\":\"boolean\"},{\"name\":\"b\",\"type\":\"int\"},{\"name\":\"c\","
        "\"type\":\"long\"},"
        "{\"name\":\"d\",\"type\":\"double\"},{\"name\":\"e\",\"type\":\"string\"},"
        "{\"name\":\"f\",\"type\":[\"null\",\"string\",\"long\"]},"
        "{\"name\":\"g\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"X\",\"Y\"]}},"
        "{\"name\":\"h\",\"type\":{\"type\":\"array\",\"items\":[\"null\",\"int\"]}},"
        "{\"name\":\"i\",\"type\":{\"type\":\"map\",\"values\":{\"type\":\"array\",\"items\":"
        "\"long\"}}},"
        "{\"name\":\"j\",\"type\":{\"type\":\"record\",\"name\":\"S\",\"fields\":[{\"name\":\"k\","
        "\"type\":\"string\","
        "\"default\":\"preset\"}]}}]}";
    struct schema_document *document = test_schema(text);
    struct faults faults = {0};
    struct buf bytes = {0};
    json_t *json = parse(
        "{\"a\":true,\"b\":-7,\"c\":1234567890123,\"d\":-0.125,\"e\":\"hé\",\"f\":99,\"g\":\"Y\","
        "\"h\":[1,null,3],\"i\":{\"p\":[1,2],\"q\":[]},\"j\":{}}");
    assert_int_equal(avro_from_json(schema_root(document), json, &bytes, &faults), 0);
    json_object_set_new(json_object_get(json, "j"), "k", json_string("preset"));

    avro_schema_t schema;
    avro_value_t value;
    assert_int_equal(avro_schema_from_json_length(text, sizeof text - 1, &schema), 0);
    avro_value_iface_t *class = avro_generic_class_from_schema(schema);
    avro_generic_value_new(class, &value);
    avro_reader_t reader = avro_reader_memory(bytes.data, (int64_t)bytes.size);
    assert_int_equal(avro_value_read(reader, &value), 0);
    compare(&value, json);
    size_t size;
    avro_value_sizeof(&value, &size);
    assert_int_equal(size, bytes.size);
    avro_reader_free(reader);
    avro_value_decref(&value);
    avro_value_iface_decref(class);
    avro_schema_decref(schema);
    json_decref(json);
    buf_free(&bytes);
    schema_free(document);
}

/* Takes the logical types out of a schema, which avro-c does not know, so that both sides show base
 * types. */
static void strip(json_t *schema)
{
    const char *key;
    json_t *value;
    size_t index;
    json_object_del(schema, "logicalType");
    json_object_foreach(schema, key, value) strip(value);
    json_array_foreach(schema, index, value) strip(value);
}

static void check_version(const struct catalog_version *version, struct sample *sample)
{
    struct buf bytes = {0};
    json_t *json = json_deep_copy(version->schema->json);
    strip(json);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    struct schema_document *plain = test_schema(text);
    avro_schema_t schema;
    avro_value_t value;
    assert_int_equal(avro_schema_from_json_length(text, strlen(text), &schema), 0);
    avro_value_iface_t *class = avro_generic_class_from_schema(schema);
    avro_generic_value_new(class, &value);
    for (int i = 0; i < 20; i++) {
        struct faults faults = {0};
        struct error error;
        json_t *meta =
            parse("{\"event_id\":\"0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b\",\"occurred_at\":1,"
                  "\"received_at\":2,\"actor\":\"eve\",\"fingerprint\":-3}");
        json_t *body = sample_event(sample, version->schema);
        bytes.size = 0;
        assert_int_equal(avro_event_from_json(version->schema, meta, body, &bytes, &faults), 0);
        assert_int_equal(avro_to_json(schema_root(plain), (unsigned char *)bytes.data, bytes.size,
                                      0, &json, &error),
                         0);
        avro_reader_t reader = avro_reader_memory(bytes.data, (int64_t)bytes.size);
        avro_value_reset(&value);
        assert_int_equal(avro_value_read(reader, &value), 0);
        compare(&value, json);
        size_t size;
        avro_value_sizeof(&value, &size);
        assert_int_equal(size, bytes.size);
        avro_reader_free(reader);
        json_decref(json);
        json_decref(meta);
        json_decref(body);
    }
    avro_value_decref(&value);
    avro_value_iface_decref(class);
    avro_schema_decref(schema);
    schema_free(plain);
    buf_free(&bytes);
    free(text);
}

static void test_catalog(void **state)
{
    (void)state;
    struct assets *assets;
    struct catalog *catalog;
    struct error error = {0};
    struct sample sample = {.state = 6, .pool_size = 8, .now_us = INT64_C(1795348800000000)};
    assert_int_equal(assets_open(NULL, &assets, &error), 0);
    if (catalog_open(assets, &catalog, &error) != 0)
        fail_msg("%s", error.message);
    for (size_t i = 0; i < catalog_event_count(catalog); i++) {
        const struct catalog_event *event = catalog_event_at(catalog, i);
        for (size_t k = 0; k < event->version_count; k++)
            check_version(&event->versions[k], &sample);
    }
    catalog_free(catalog);
    assets_free(assets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oracle),
        cmocka_unit_test(test_catalog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
