/* SPDX-License-Identifier: Apache-2.0
 *
 * What a change of a schema breaks, for whom, and how it is said. Each row is held against the
 * resolver itself: a plan can be compiled if and only if nothing but values without a place is in
 * the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/avro/compat.h"
#include "lib/avro/resolve.h"
#include "lib/avro/words.h"
#include "tests/unit/avro_event.h"

#define R(fields) "{\"type\":\"record\",\"name\":\"R\",\"fields\":[" fields "]}"
#define F(name, type) "{\"name\":\"" name "\",\"type\":" type "}"
#define D(name, type, preset) "{\"name\":\"" name "\",\"type\":" type ",\"default\":" preset "}"
#define A(name, type, alias) "{\"name\":\"" name "\",\"type\":" type ",\"aliases\":[\"" alias "\"]}"
#define ENUM(symbols) "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[" symbols "]}"
#define ENUM_ELSE(symbols, preset)                                                                 \
    "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[" symbols "],\"default\":\"" preset "\"}"
#define FIXED(name, size) "{\"type\":\"fixed\",\"name\":\"" name "\",\"size\":" size "}"
#define FIXED_ALSO(name, size, alias)                                                              \
    "{\"type\":\"fixed\",\"name\":\"" name "\",\"size\":" size ",\"aliases\":[\"" alias "\"]}"
#define LOGICAL(type, logical) "{\"type\":\"" type "\",\"logicalType\":\"" logical "\"}"
#define DECIMAL(precision, scale)                                                                  \
    "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":" precision ",\"scale\":" scale \
    "}"
#define ARRAY(items) "{\"type\":\"array\",\"items\":" items "}"
#define MAP(values) "{\"type\":\"map\",\"values\":" values "}"
#define INNER(fields) "{\"type\":\"record\",\"name\":\"I\",\"fields\":[" fields "]}"
#define TREE(more)                                                                                 \
    "{\"type\":\"record\",\"name\":\"T\",\"fields\":[" F("left", "[\"null\",\"T\"]") more "]}"

static const char OK[] = "";

/* backward, forward: path, '|' and a part of what is said, or OK. */
static const struct {
    const char *old, *new;
    const char *backward, *forward;
} table[] = {
    {R(F("a", "\"int\"")), R(F("a", "\"int\"")), OK, OK},
    /* fields that come and go */
    {R(F("a", "\"int\"")), R(F("a", "\"int\"") "," F("b", "\"string\"")),
     "b|the field is new and has no default, so events of version 1 cannot be read", OK},
    {R(F("a", "\"int\"")), R(F("a", "\"int\"") "," D("b", "\"string\"", "\"\"")), OK, OK},
    {R(F("a", "\"int\"") "," F("b", "\"int\"")), R(F("a", "\"int\"")), OK,
     "b|the field is gone, and version 1, which has no default for it"},
    {R(F("a", "\"int\"") "," D("b", "\"int\"", "1")), R(F("a", "\"int\"")), OK, OK},
    {R(F("a", "\"int\"") "," F("b", "\"int\"")), R(F("b", "\"int\"") "," F("a", "\"int\"")), OK,
     OK},
    {R(F("a", "\"int\"")), R(F("b", "\"int\"")), "b|is new and has no default",
     "a|the field is gone"},
    {R(F("a", "\"int\"")), R(A("b", "\"int\"", "a")), OK, "a|the field is gone"},
    /* told in the newer version's names, whoever reads */
    {R(A("a", "\"int\"", "b")), R(A("b", "\"boolean\"", "a")), "b|int → boolean",
     "b|int → boolean"},
    /* types */
    {R(F("a", "\"int\"")), R(F("a", "\"long\"")), OK,
     "a|int → long: events of version 2 cannot be read by version 1"},
    {R(F("a", "\"long\"")), R(F("a", "\"double\"")), OK, "a|long → double"},
    {R(F("a", "\"float\"")), R(F("a", "\"double\"")), OK, "a|float → double"},
    {R(F("a", "\"double\"")), R(F("a", "\"float\"")),
     "a|double → float: events of version 1 cannot be read by version 2", OK},
    {R(F("a", "\"string\"")), R(F("a", "\"bytes\"")), OK, OK},
    {R(F("a", "\"long\"")), R(F("a", "\"string\"")), "a|long → string", "a|long → string"},
    {R(F("a", "\"int\"")), R(F("a", ARRAY("\"int\""))), "a|int → array of int",
     "a|int → array of int"},
    {R(F("a", ARRAY("\"int\""))), R(F("a", ARRAY("\"boolean\""))), "a[]|int → boolean",
     "a[]|int → boolean"},
    {R(F("a", MAP("\"int\""))), R(F("a", MAP("\"null\""))), "a{}|int → null", "a{}|int → null"},
    /* unions */
    {R(F("a", "\"int\"")), R(F("a", "[\"null\",\"int\"]")), OK,
     "a|null is allowed now, but version 1 cannot read it"},
    {R(F("a", "[\"null\",\"int\"]")), R(F("a", "\"int\"")),
     "a|null is no longer allowed, but events of version 1 may hold it", OK},
    {R(F("a", "[\"int\",\"string\"]")), R(F("a", "[\"string\",\"int\",\"boolean\"]")), OK,
     "a|boolean is allowed now"},
    {R(F("a", "[\"int\",\"string\"]")), R(F("a", "\"boolean\"")), "a|int or string → boolean",
     "a|int or string → boolean"},
    {R(F("a", "[\"null\",\"int\"]")), R(F("a", "[\"null\",\"long\"]")), OK,
     "a|long is allowed now, but version 1 cannot read it"},
    /* enums */
    {R(F("a", ENUM("\"X\",\"Y\""))), R(F("a", ENUM("\"Y\",\"X\""))), OK, OK},
    {R(F("a", ENUM("\"X\""))), R(F("a", ENUM("\"X\",\"Y\",\"Z\""))), OK,
     "a|new: Y, Z; version 1 cannot read events with it"},
    {R(F("a", ENUM("\"X\",\"Y\""))), R(F("a", ENUM("\"X\""))),
     "a|gone: Y; events of version 1 may hold it", OK},
    {R(F("a", ENUM("\"X\",\"Y\""))), R(F("a", ENUM_ELSE("\"X\"", "X"))), OK, OK},
    {R(F("a", ENUM_ELSE("\"X\"", "X"))), R(F("a", ENUM_ELSE("\"X\",\"Y\"", "X"))), OK, OK},
    {R(F("a", ENUM("\"X\""))), R(F("a", ENUM("\"Y\""))), "a|gone: X", "a|new: Y"},
    /* names */
    {R(F("a", FIXED("F", "4"))), R(F("a", FIXED("G", "4"))),
     "a|a fixed of another name is another type", "a|a fixed of another name"},
    {R(F("a", FIXED("F", "4"))), R(F("a", FIXED_ALSO("G", "4", "F"))), OK,
     "a|a fixed of another name"},
    {R(F("a", FIXED("F", "4"))), R(F("a", FIXED("F", "5"))),
     "a|fixed F of 4 bytes → fixed F of 5 bytes", "a|fixed F of 4 bytes → fixed F of 5 bytes"},
    /* logical types */
    {R(F("a", LOGICAL("long", "timestamp-millis"))), R(F("a", LOGICAL("long", "timestamp-micros"))),
     "a|the same numbers would mean something else", "a|the same numbers"},
    {R(F("a", "\"long\"")), R(F("a", LOGICAL("long", "timestamp-micros"))), OK, OK},
    {R(F("a", DECIMAL("9", "2"))), R(F("a", DECIMAL("12", "2"))), OK,
     "a|a decimal (12, 2) cannot be read as (9, 2)"},
    {R(F("a", DECIMAL("9", "2"))), R(F("a", DECIMAL("9", "3"))), "a|(decimal 9,2) → ",
     "a|(decimal 9,2) → "},
    /* deep inside */
    {R(F("a", ARRAY(INNER(F("b", "\"int\""))))), R(F("a", ARRAY(INNER(F("b", "\"boolean\""))))),
     "a[].b|int → boolean", "a[].b|int → boolean"},
    {R(F("a", "[\"null\"," INNER(F("b", "\"int\"")) "]")),
     R(F("a", "[\"null\"," INNER(F("b", "\"int\"") "," F("c", "\"int\"")) "]")),
     "a.c|is new and has no default", OK},
    {R(F("a", TREE(""))), R(F("a", TREE("," F("size", "\"int\"")))),
     "a.size|is new and has no default", OK},
    {R(F("a", TREE("," F("size", "\"int\"")))), R(F("a", TREE(""))), OK, "a.size|is gone"},
};

struct findings {
    size_t count;
    char path[256], column[256], reason[512], advice[512];
    int older, forward;
};

static void take(void *context, const struct compat_break *found)
{
    struct findings *findings = context;
    if (findings->count++ > 0)
        return;
    snprintf(findings->path, sizeof findings->path, "%s", found->path);
    snprintf(findings->column, sizeof findings->column, "%s", found->column);
    snprintf(findings->reason, sizeof findings->reason, "%s", found->reason);
    snprintf(findings->advice, sizeof findings->advice, "%s", found->advice);
    findings->older = found->older;
    findings->forward = found->forward;
}

/* What is said of `writer` read as `reader`, and that the resolver agrees. */
static void expect(size_t row, const struct schema *writer, int from, const struct schema *reader,
                   int to, const char *wanted)
{
    struct findings findings = {0};
    struct error error = {0};
    size_t count = compat_pair(writer, from, reader, to, take, &findings);
    const char *bar = strchr(wanted, '|');
    assert_int_equal(count, findings.count);
    if (count != (bar ? 1 : 0))
        fail_msg("row %zu, %d → %d: %zu breaks, the first: %s: %s", row, from, to, count,
                 findings.path, findings.reason);
    int compiles = resolve_check(writer, reader, &error) == 0;
    if (!compiles && count == 0)
        fail_msg("row %zu, %d → %d: no plan can be made: %s", row, from, to, error.message);
    if (!bar)
        return;
    if (strlen(findings.path) != (size_t)(bar - wanted) ||
        memcmp(findings.path, wanted, (size_t)(bar - wanted)) != 0)
        fail_msg("row %zu: the path is %s, not %s", row, findings.path, wanted);
    if (!strstr(findings.reason, bar + 1))
        fail_msg("row %zu: \"%s\" does not say \"%s\"", row, findings.reason, bar + 1);
    assert_true(strlen(findings.advice) > 10);
    assert_int_equal(findings.older, 1);
    assert_int_equal(findings.forward, to == 1);
    /* an error of the resolver is always a break; a break without one is of single values */
    int of_values = strstr(findings.reason, "hold it") || strstr(findings.reason, "allowed now") ||
                    strstr(findings.reason, "events with it");
    if (compiles && !of_values)
        fail_msg("row %zu: a plan can be made, but: %s", row, findings.reason);
}

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct schema_document *old = test_schema(table[i].old);
        struct schema_document *new = test_schema(table[i].new);
        expect(i, schema_root(old), 1, schema_root(new), 2, table[i].backward);
        expect(i, schema_root(new), 2, schema_root(old), 1, table[i].forward);
        schema_free(old);
        schema_free(new);
    }
}

static void test_all_at_once(void **state)
{
    (void)state;
    struct findings findings = {0};
    struct schema_document *old = test_schema(
        R(F("a", "\"long\"") "," F("b", ENUM("\"X\",\"Y\"")) "," F("c", "[\"null\",\"int\"]")));
    struct schema_document *new = test_schema(R(F("a", "\"int\"") "," F("b", ENUM("\"X\"")) "," F(
        "c", "\"int\"") "," F("d", "\"int\"") "," F("e", INNER(F("f", "\"int\"")))));
    assert_int_equal(compat_pair(schema_root(old), 1, schema_root(new), 2, take, &findings), 5);
    schema_free(old);
    schema_free(new);
}

static void test_modes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t breaks;
    } modes[] = {{"NONE", 0},           {"BACKWARD", 0},           {"backward_transitive", 1},
                 {"FORWARD", 1},        {"FORWARD_TRANSITIVE", 2}, {"FULL", 1},
                 {"FULL_TRANSITIVE", 3}};
    /* version 3 reads version 2, but not version 1, where `a` was not; nobody before reads it */
    const char *const texts[] = {R(F("z", "\"int\"")),
                                 R(D("z", "\"int\"", "0") "," F("a", "\"int\"")),
                                 R(F("a", "\"long\""))};
    struct schema_document *documents[3];
    struct catalog_version versions[3] = {{0}};
    struct catalog_event event = {.name = "R", .versions = versions, .version_count = 3};
    for (int i = 0; i < 3; i++) {
        documents[i] = test_schema(texts[i]);
        versions[i] = (struct catalog_version){
            .version = i + 1, .schema = schema_root(documents[i]), .event = &event};
    }
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct findings findings = {0};
        struct error error = {0};
        enum compat_mode mode;
        assert_int_equal(compat_mode_parse(modes[i].name, &mode, &error), 0);
        size_t count = compat_event(&event, mode, take, &findings);
        if (count != modes[i].breaks)
            fail_msg("%s: %zu breaks", modes[i].name, count);
    }
    for (int i = 0; i < 3; i++)
        schema_free(documents[i]);
    struct error error = {0};
    enum compat_mode mode;
    assert_int_equal(compat_mode_parse("SIDEWAYS", &mode, &error), -1);
    assert_int_equal(error.class, ERROR_USAGE);
}

static void test_columns(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"total", "total"},
                                           {"price.amount", "price_amount"},
                                           {"unitPrice", "unit_price"},
                                           {"items[]", "items"},
                                           {"items[].quantity", "quantity"},
                                           {"items[].price.amount", "price_amount"},
                                           {"labels{}", "labels"},
                                           {"labels{}.text", "labels"},
                                           {"", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char column[64];
        compat_column(cases[i][0], column, sizeof column);
        assert_string_equal(column, cases[i][1]);
    }
}

struct changes {
    char text[2000];
    size_t size;
};

static void note(void *context, enum words_change change, const char *path, const char *old_name,
                 const char *text)
{
    struct changes *changes = context;
    changes->size +=
        (size_t)snprintf(changes->text + changes->size, sizeof changes->text - changes->size,
                         "%s %s(%s): %s\n", words_change_name(change), path, old_name, text);
}

static void test_diff(void **state)
{
    (void)state;
    struct changes changes = {0};
    struct schema_document *old = test_schema(
        R(F("a", "\"int\"") "," D("b", "\"long\"", "1") "," F("c", ENUM("\"X\",\"Y\"")) "," F(
            "t", TREE("," F("size", "\"int\""))) "," F("gone", "\"int\"")));
    struct schema_document *new =
        test_schema(R(A("aa", "\"int\"", "a") "," D("b", "[\"long\",\"null\"]", "2") "," F(
            "c",
            ENUM_ELSE("\"X\",\"Z\"",
                      "Z")) "," F("t",
                                  TREE("," F("size", "\"long\""))) "," D("fresh",
                                                                         "[\"null\"," LOGICAL(
                                                                             "string", "uuid") "]",
                                                                         "null")));
    words_diff(schema_root(old), schema_root(new), note, &changes);
    assert_string_equal(changes.text, "renamed aa(a): was called a, which is an alias now\n"
                                      "retyped b(b): long → long or null\n"
                                      "default b(b): default 1 → default 2\n"
                                      "symbols c(c): new: Z; gone: Y\n"
                                      "default c(c): the symbol for unknown ones: none → Z\n"
                                      "retyped t.size(size): int → long\n"
                                      "added fresh(): null or string (uuid), default null\n"
                                      "removed gone(gone): was int\n");
    schema_free(old);
    schema_free(new);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table), cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_modes), cmocka_unit_test(test_columns), cmocka_unit_test(test_diff)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
