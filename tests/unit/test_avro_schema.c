/* SPDX-License-Identifier: Apache-2.0
 *
 * Schemas: what the tree keeps, and every way in which a text is no schema. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/avro/sample.h"
#include "tests/unit/avro_event.h"

static void expect_failure(const char *text, const char *words)
{
    struct schema_document *document = NULL;
    struct error error = {0};
    if (schema_parse(text, strlen(text), &document, &error) == 0)
        fail_msg("taken: %s", text);
    assert_null(document);
    assert_int_equal(error.class, ERROR_USAGE);
    assert_string_equal(error.code, "schema-invalid");
    if (!strstr(error.message, words))
        fail_msg("\"%s\" does not say \"%s\"", error.message, words);
}

#define FIELD(type)                                                                                \
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"f\",\"type\":" type "}]}"
#define PRESET(type, preset)                                                                       \
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"f\",\"type\":" type               \
    ",\"default\":" preset "}]}"

static void test_tree(void **state)
{
    (void)state;
    struct schema_document *document =
        test_schema("{\"type\":\"record\",\"name\":\"Sold\",\"namespace\":\"a.b\",\"doc\":\"A "
                    "sale.\",\"aliases\":[\"Bought\",\"c.Paid\"],"
                    "\"x-ingest\":\"public\",\"fields\":["
                    "{\"name\":\"id\",\"type\":{\"type\":\"string\",\"logicalType\":\"uuid\"},"
                    "\"doc\":\"Its id.\",\"x-pii\":true,"
                    "\"aliases\":[\"key\"]},"
                    "{\"name\":\"kind\",\"type\":{\"type\":\"enum\",\"name\":\"Kind\",\"symbols\":["
                    "\"A\",\"B\"],\"default\":\"B\"},"
                    "\"default\":\"A\"},"
                    "{\"name\":\"again\",\"type\":[\"null\",\"Kind\"],\"default\":null},"
                    "{\"name\":\"price\",\"type\":{\"type\":\"bytes\",\"logicalType\":\"decimal\","
                    "\"precision\":9,\"scale\":2}},"
                    "{\"name\":\"parts\",\"type\":{\"type\":\"array\",\"items\":\"a.b.Sold\"}},"
                    "{\"name\":\"odd\",\"type\":{\"type\":\"string\",\"logicalType\":\"date\"}},"
                    "{\"name\":\"wrapped\",\"type\":{\"type\":{\"type\":\"string\"}}}]}");
    const struct schema *root = schema_root(document);
    assert_int_equal(root->type, AVRO_RECORD_TYPE);
    assert_string_equal(root->full_name, "a.b.Sold");
    assert_string_equal(root->name, "Sold");
    assert_string_equal(root->doc, "A sale.");
    assert_string_equal(root->aliases[0], "a.b.Bought");
    assert_string_equal(root->aliases[1], "c.Paid");
    assert_string_equal(json_string_value(json_object_get(root->json, "x-ingest")), "public");
    assert_int_equal(root->fields[0].type->logical, LOGICAL_UUID);
    assert_int_equal(root->fields[0].pii, 1);
    assert_string_equal(root->fields[0].doc, "Its id.");
    assert_string_equal(root->fields[0].aliases[0], "key");
    assert_string_equal(root->fields[1].type->preset_symbol, "B");
    assert_string_equal(json_string_value(root->fields[1].preset), "A");
    assert_null(root->fields[0].preset);
    assert_ptr_equal(schema_optional(root->fields[2].type), root->fields[1].type);
    assert_true(json_is_null(root->fields[2].preset));
    assert_null(schema_optional(root));
    assert_int_equal(root->fields[3].type->precision, 9);
    assert_int_equal(root->fields[3].type->scale, 2);
    assert_ptr_equal(root->fields[4].type->items, root);
    assert_int_equal(root->fields[5].type->logical, LOGICAL_NONE);
    assert_int_equal(root->fields[6].type->type, AVRO_STRING_TYPE);
    schema_free(document);
}

/* A logical type that does not fit is ignored, as the specification demands. */
static void test_ignored_logical(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"type\":\"bytes\",\"logicalType\":\"decimal\"}",
        "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":0}",
        "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":2,\"scale\":3}",
        "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":2,\"scale\":\"1\"}",
        "{\"type\":\"fixed\",\"name\":\"F\",\"size\":2,\"logicalType\":\"decimal\",\"precision\":"
        "5}",
        "{\"type\":\"fixed\",\"name\":\"F\",\"size\":15,\"logicalType\":\"uuid\"}",
        "{\"type\":\"fixed\",\"name\":\"F\",\"size\":13,\"logicalType\":\"duration\"}",
        "{\"type\":\"int\",\"logicalType\":\"timestamp-micros\"}",
        "{\"type\":\"long\",\"logicalType\":\"of-tomorrow\"}",
        "{\"type\":\"long\",\"logicalType\":7}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct schema_document *document = test_schema(texts[i]);
        assert_int_equal(schema_root(document)->logical, LOGICAL_NONE);
        schema_free(document);
    }
    struct schema_document *fits = test_schema("{\"type\":\"fixed\",\"name\":\"F\",\"size\":2,"
                                               "\"logicalType\":\"decimal\",\"precision\":4}");
    assert_int_equal(schema_root(fits)->logical, LOGICAL_DECIMAL);
    schema_free(fits);
}

static void test_invalid(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "line 1"},
        {"{\"type\":\"int\",\"type\":\"int\"}", "line 1"},
        {"7", "a schema is a name"},
        {"{}", "needs a \"type\""},
        {"\"Nothing\"", "there is no type \"Nothing\""},
        {"[]", "a union needs a branch"},
        {"[\"int\",\"int\"]", "two branches of one type"},
        {"[\"int\",[\"string\"]]", "directly in a union"},
        {"{\"type\":\"array\"}", "has no \"items\""},
        {"{\"type\":\"map\"}", "has no \"values\""},
        {"{\"type\":\"record\",\"fields\":[]}", "no valid name"},
        {"{\"type\":\"record\",\"name\":\"1R\",\"fields\":[]}", "no valid name"},
        {"{\"type\":\"record\",\"name\":\"a..R\",\"fields\":[]}", "no valid name"},
        {"{\"type\":\"record\",\"name\":\"string\",\"fields\":[]}", "name of a primitive"},
        {"{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"a b\",\"fields\":[]}",
         "namespace of \"R\""},
        {"{\"type\":\"record\",\"name\":\"R\",\"namespace\":7,\"fields\":[]}",
         "namespace of \"R\""},
        {"{\"type\":\"record\",\"name\":\"R\"}", "R: a record needs an array \"fields\""},
        {"{\"type\":\"record\",\"name\":\"R\",\"aliases\":\"S\",\"fields\":[]}",
         "aliases must be an array"},
        {"{\"type\":\"record\",\"name\":\"R\",\"aliases\":[\"-\"],\"fields\":[]}", "alias 0"},
        {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"type\":\"int\"}]}",
         "R: field 0 has no valid name"},
        {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"f\"}]}",
         "R.f: the field has no type"},
        {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"f\",\"type\":\"int\"},{"
         "\"name\":\"f\",\"type\":\"int\"}]}",
         "R: there are two fields \"f\""},
        {FIELD("{\"type\":\"array\",\"items\":\"Gone\"}"), "R.f[]: there is no type"},
        {FIELD("{\"type\":\"map\",\"values\":\"Gone\"}"), "R.f{}: there is no type"},
        {FIELD("{\"type\":\"enum\",\"name\":\"R\",\"symbols\":[\"A\"]}"),
         "R.f: the type \"R\" is defined twice"},
        {FIELD("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[]}"), "R.f: an enum needs"},
        {FIELD("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A-B\"]}"),
         "symbol 0 is no valid name"},
        {FIELD("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"A\"]}"),
         "\"A\" occurs twice"},
        {FIELD("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"],\"default\":\"B\"}"),
         "none of the symbols"},
        {FIELD("{\"type\":\"fixed\",\"name\":\"F\"}"), "a fixed needs"},
        {FIELD("{\"type\":\"fixed\",\"name\":\"F\",\"size\":-1}"), "a fixed needs"},
        {FIELD("{\"type\":\"fixed\",\"name\":\"F\",\"size\":1048577}"), "a fixed needs"},
        {FIELD("{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":1001}"),
         "at most 1000 digits"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_failure(cases[i][0], cases[i][1]);
}

static void test_invalid_presets(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {PRESET("\"null\"", "0"), "R.f: the default is not null"},
        {PRESET("\"boolean\"", "0"), "true or false"},
        {PRESET("\"int\"", "2147483648"), "32 bits"},
        {PRESET("\"long\"", "1.5"), "an integer"},
        {PRESET("\"double\"", "\"1\""), "a number"},
        {PRESET("\"string\"", "1"), "a text"},
        {PRESET("{\"type\":\"string\",\"logicalType\":\"uuid\"}", "\"x\""), "a UUID"},
        {PRESET("\"bytes\"", "\"\\u0100\""), "characters up to U+00FF"},
        {PRESET("{\"type\":\"fixed\",\"name\":\"F\",\"size\":2}", "\"a\""), "as many bytes"},
        {PRESET("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]}", "\"B\""),
         "one of the symbols"},
        {PRESET("{\"type\":\"array\",\"items\":\"int\"}", "{}"), "an array"},
        {PRESET("{\"type\":\"array\",\"items\":\"int\"}", "[\"x\"]"), "an integer"},
        {PRESET("{\"type\":\"map\",\"values\":\"int\"}", "[]"), "an object"},
        {PRESET("{\"type\":\"map\",\"values\":\"int\"}", "{\"k\":null}"), "an integer"},
        {PRESET("[\"null\",\"int\"]", "\"x\""), "any type of the union"},
        {PRESET(
             "{\"type\":\"record\",\"name\":\"S\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"}]}",
             "{}"),
         "lacks the field \"a\""},
        {PRESET("{\"type\":\"record\",\"name\":\"S\",\"fields\":[]}", "{\"b\":1}"),
         "free of unknown fields"},
        {PRESET("{\"type\":\"record\",\"name\":\"S\",\"fields\":[]}", "[]"), "an object"},
        {PRESET("\"R\"", "{}"), "shallow enough"},
        {PRESET("\"string\"", "\"a\\u0000b\""), "a text without"},
        {PRESET("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]}", "\"A\\u0000\""),
         "one of the symbols"},
        {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"f\",\"type\":\"R\","
         "\"default\":{}},"
         "{\"name\":\"g\",\"type\":\"R\",\"default\":{}}]}",
         "shallow enough"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_failure(cases[i][0], cases[i][1]);
}

/* U+0000 is a byte like any other, but has no place in names, docs and texts. */
static void test_nul(void **state)
{
    (void)state;
    static const char *const taken[] = {
        PRESET("\"bytes\"", "\"\\u0000\""),
        PRESET("{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}", "\"a\\u0000\\u00ff\"")};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        schema_free(test_schema(taken[i]));
    expect_failure("{\"type\":\"fixed\",\"name\":\"F\\u0000G\",\"size\":3}", "only allowed");
    expect_failure("[\"int\",\"string\\u0000\"]", "only allowed");
}

/* Nested defaults that multiply stop at a limit of work: five levels of twelve fields each. */
static void test_preset_work(void **state)
{
    (void)state;
    /* Written from the inside out. */
    char *inner = xstrdup("{\"type\":\"record\",\"name\":\"L0\",\"fields\":[]}");
    for (int level = 1; level <= 5; level++) {
        struct buf outer = {0};
        buf_printf(&outer,
                   "{\"type\":\"record\",\"name\":\"L%d\",\"fields\":[{\"name\":\"f\",\"type\":%s,"
                   "\"default\":{}}",
                   level, inner);
        for (int field = 1; field < 12; field++)
            buf_printf(&outer, ",{\"name\":\"f%d\",\"type\":\"L%d\",\"default\":{}}", field,
                       level - 1);
        buf_put_text(&outer, "]}");
        free(inner);
        inner = xstrndup(outer.data, outer.size);
        buf_free(&outer);
    }
    char *all = xasprintf(PRESET("%s", "{}"), inner);
    expect_failure(all, "small enough");
    free(all);
    free(inner);
}

static void test_depth(void **state)
{
    (void)state;
    struct buf text = {0};
    for (int i = 0; i < SCHEMA_DEPTH_MAX + 1; i++)
        buf_put_text(&text, "{\"type\":\"array\",\"items\":");
    buf_put_text(&text, "\"int\"");
    for (int i = 0; i < SCHEMA_DEPTH_MAX + 1; i++)
        buf_put_text(&text, "}");
    buf_put_u8(&text, 0);
    expect_failure(text.data, "nested deeper than 64");
    buf_free(&text);

    char *large = xcalloc(1, SCHEMA_TEXT_MAX + 2);
    memset(large, ' ', SCHEMA_TEXT_MAX + 1);
    expect_failure(large, "larger than");
    free(large);
}

/* Whatever is changed in a schema's text, it is parsed or refused. */
static void test_damage(void **state)
{
    (void)state;
    struct sample dice = {.state = 3};
    struct schema_document *good =
        test_event_schema(",{\"name\":\"a\",\"type\":[\"null\",{\"type\":\"array\",\"items\":"
                          "\"string\"}],\"default\":null},"
                          "{\"name\":\"b\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":["
                          "\"X\",\"Y\"]},\"default\":\"X\"}");
    char *text = json_dumps(schema_root(good)->json, JSON_COMPACT);
    size_t size = strlen(text);
    int taken = 0;
    for (int i = 0; i < 20000; i++) {
        struct schema_document *document;
        struct error error;
        char *copy = xstrdup(text);
        for (int k = 0; k < 1 + i % 3;
             k++) /* a byte becomes another of the text's own, so that JSON often stays JSON */
            copy[sample_next(&dice) % size] = text[sample_next(&dice) % size];
        if (schema_parse(copy, size, &document, &error) == 0) {
            schema_free(document);
            taken++;
        }
        free(copy);
    }
    assert_true(taken > 100);
    free(text);
    schema_free(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),    cmocka_unit_test(test_ignored_logical),
        cmocka_unit_test(test_invalid), cmocka_unit_test(test_invalid_presets),
        cmocka_unit_test(test_nul),     cmocka_unit_test(test_preset_work),
        cmocka_unit_test(test_depth),   cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
