/* SPDX-License-Identifier: Apache-2.0
 *
 * Every case in which avro-c 1.11 departs from the Avro specification (or from safety), one test
 * each, and every logical type. The rest of the specification's rules of schema resolution are in
 * test_avro_resolution.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/avro_reads.h"

enum { BOMB_SIZE = 4 << 20 };

static void default_for_a_missing_field(void **state)
{
    (void)state;
    READS(REC("R", FLD("x", "'int'")),
          REC("R", FLD("x", "'int'") "," FLD_PRESET("y", "'int'", "7")), "\x04", "{'x':2,'y':7}");
    READS(REC("R", FLD("x", "'int'")),
          REC("R", FLD_PRESET("y", "['null','string']", "null") "," FLD("x", "'int'")), "\x04",
          "{'x':2,'y':null}");
    refuses(REC("R", FLD("x", "'int'")), REC("R", FLD("x", "'int'") "," FLD("y", "'int'")),
            "R.y: the writer does not have the field, and it has no default");
}

static void enum_reordered_reads_by_symbol(void **state)
{
    (void)state;
    READS(SYM("E", "'A','B'"), SYM("E", "'B','A','C'"), "\x00", "'A'");
    READS(SYM("E", "'A','B'"), SYM("E", "'B','A','C'"), "\x02", "'B'");
}

static void unknown_symbol_takes_the_default(void **state)
{
    (void)state;
    READS(SYM("E", "'A','B'"), "{'type':'enum','name':'E','symbols':['A','Z'],'default':'Z'}",
          "\x02", "'Z'");
}

static void unknown_symbol_without_default_is_an_error(void **state)
{
    (void)state;
    FAILS(SYM("E", "'A','B'"), SYM("E", "'A'"), "\x02", "symbol");
    /* The default of a field is for a field that is missing, not for its symbols. */
    FAILS(REC("R", FLD("e", SYM("E", "'A','B'"))),
          REC("R", FLD_PRESET("e", SYM("E", "'A'"), "'A'")), "\x02", "symbol");
}

static void enum_index_out_of_range_is_an_error(void **state)
{
    (void)state;
    FAILS(SYM("E", "'A','B'"), SYM("E", "'A','B'"), "\x64", "an index is out of range");
    FAILS(SYM("E", "'A','B'"), SYM("E", "'A','B'"), "\x01", "an index is out of range");
    FAILS("['null','int']", "['null','int']", "\x04", "an index is out of range");
}

static void field_alias_matches(void **state)
{
    (void)state;
    READS(REC("R", FLD("old", "'int'")),
          REC("R", "{'name':'new','type':'long','aliases':['older','old']}"), "\x06", "{'new':3}");
}

static void string_and_bytes_promote_to_each_other(void **state)
{
    (void)state;
    READS("'string'", "'bytes'", "\x04\xc3\xa9", "'\\u00c3\\u00a9'");
    READS("'bytes'", "'string'", "\x04\xc3\xa9", "'\\u00e9'");
    FAILS("'bytes'", "'string'", "\x02\xff", "not valid UTF-8");
    READS(ARR("'bytes'"), ARR("'string'"), "\x02\x02z\x00", "['z']");
}

static void int_promotes_to_long_float_and_double(void **state)
{
    (void)state;
    READS("'int'", "'long'", "\x01", "-1");
    READS("'int'", "'float'", "\x01", "-1.0");
    READS("'int'", "'double'", "\x01", "-1.0");
    READS("'long'", "'float'", "\x80\x80\x80\x80\x80\x01", "17179869184.0");
    READS("'long'", "'double'", "\x01", "-1.0");
    READS("'float'", "'double'", "\x00\x00\x20\x40", "2.5");
    refuses("'long'", "'int'", "the writer's long cannot be read as int");
    refuses("'double'", "'float'", "cannot be read as float");
    refuses("'float'", "'long'", "cannot be read as long");
    refuses("'boolean'", "'int'", "cannot be read as int");
}

static void unions_widen(void **state)
{
    (void)state;
    READS("'int'", "['null','int']", "\x02", "{'int':1}");
    READS("['null','int']", "['null','int','string']", "\x02\x02", "{'int':1}");
    READS("['null','int']", "['string','long','null']", "\x02\x02", "{'long':1}");
    READS("['null','int']", "['string','long','null']", "\x00", "null");
}

static void fields_are_dropped_and_reordered(void **state)
{
    (void)state;
    READS(REC("R", FLD("a", "'int'") "," FLD("gone", ARR(MAPOF("'string'"))) "," FLD("b", "'int'")),
          REC("R", FLD("b", "'int'") "," FLD("a", "'int'")), "\x02\x02\x02\x02k\x02v\x00\x00\x04",
          "{'a':1,'b':2}");
}

static void same_name_in_two_namespaces_of_a_union(void **state)
{
    (void)state;
    static const char both[] =
        "[{'type':'record','name':'R','namespace':'a','fields':[{'name':'x','type':'int'}]},"
        "{'type':'record','name':'R','namespace':'b','fields':[{'name':'x','type':'string'}]}]";
    static const char swapped[] =
        "[{'type':'record','name':'R','namespace':'b','fields':[{'name':'x','type':'string'}]},"
        "{'type':'record','name':'R','namespace':'a','fields':[{'name':'x','type':'int'}]}]";
    READS(both, both, "\x00\x02", "{'a.R':{'x':1}}");
    READS(both, both, "\x02\x02z", "{'b.R':{'x':'z'}}");
    READS(both, swapped, "\x00\x02", "{'a.R':{'x':1}}");
    READS(both, swapped, "\x02\x02z", "{'b.R':{'x':'z'}}");
}

static void nested_type_objects(void **state)
{
    (void)state;
    READS("{'type':{'type':'string'}}", "'string'", "\x02z", "'z'");
    READS("{'type':{'type':{'type':'array','items':{'type':{'type':'int'}}}}}", ARR("'int'"),
          "\x02\x02\x00", "[1]");
    READS("{'type':['null','int']}", "['null','int']", "\x02\x02", "{'int':1}");
}

/* Four megabytes of "and one more inside". */
static void deep_nesting_is_an_error(void **state)
{
    (void)state;
    static const char *const schemas[] = {
        REC("L", FLD("next", "['null','L']")),
        REC("T", FLD("all", ARR("'T'"))),
        REC("M", FLD("all", MAPOF("'M'"))),
    };
    char *bytes = malloc(BOMB_SIZE);
    memset(bytes, 2, BOMB_SIZE);
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++)
        expect_fails(schemas[i], schemas[i], bytes, BOMB_SIZE, "nested too deeply");
    free(bytes);
}

static void trailing_bytes_are_an_error(void **state)
{
    (void)state;
    FAILS("'int'", "'int'", "\x02\x02", "left over");
    FAILS(REC("R", ""), REC("R", ""), "\x00", "left over");
}

static void invalid_utf8_is_an_error(void **state)
{
    (void)state;
    static const char *const bad[] = {"\x04\xc3\x28", "\x04\xc0\x80", "\x06\xed\xa0\x80",
                                      "\x08\xf4\x90\x80\x80", "\x02\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        expect_fails("'string'", "'string'", bad[i], strlen(bad[i]), "not valid UTF-8");
        expect_fails("'string'", "'bytes'", bad[i], strlen(bad[i]), "not valid UTF-8");
    }
    FAILS(MAPOF("'null'"), MAPOF("'null'"), "\x02\x02\xff\x00", "not valid UTF-8");
    FAILS(MAPOF("'string'"), MAPOF("'bytes'"), "\x02\x02k\x02\xff\x00", "not valid UTF-8");
    /* Where it is not wanted, too. */
    FAILS(REC("R", FLD("s", "'string'") "," FLD("i", "'int'")), REC("R", FLD("i", "'int'")),
          "\x02\xff\x02", "not valid UTF-8");
}

static void boolean_7_is_an_error(void **state)
{
    (void)state;
    READS("'boolean'", "'boolean'", "\x01", "true");
    FAILS("'boolean'", "'boolean'", "\x07", "neither 0 nor 1");
    FAILS(REC("R", FLD("b", "'boolean'")), REC("R", ""), "\x07", "neither 0 nor 1");
}

static void bytes_with_nul_become_json_in_full(void **state)
{
    (void)state;
    READS("'bytes'", "'bytes'",
          "\x08"
          "a\0\xff"
          "b",
          "'a\\u0000\\u00ffb'");
    PLAIN("'bytes'",
          "\x08"
          "a\0\xff"
          "b",
          "'YQD/Yg=='");
    READS(FIX("F", 3), FIX("F", 3), "\0\0c", "'\\u0000\\u0000c'");
}

static void negative_and_overlong_sizes_are_errors(void **state)
{
    (void)state;
    FAILS("'bytes'", "'bytes'", "\x01", "a size is negative");
    FAILS("'string'", "'string'", "\x0azz", "larger than what is left");
    FAILS("'long'", "'long'", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "longer than 64 bits");
    FAILS("'long'", "'long'", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
          "longer than 64 bits");
    FAILS("'int'", "'int'", "\x80\x80\x80\x80\x20", "an int is out of range");
    FAILS(ARR("'null'"), ARR("'null'"), "\xfe\xff\xff\xff\xff\xff\xff\xff\x7f\x00",
          "too many items");
    FAILS(ARR("'null'"), ARR("'null'"), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00",
          "a count is out of range");
}

static void logical_decimal(void **state)
{
    (void)state;
    PLAIN("{'type':'bytes','logicalType':'decimal','precision':5,'scale':2}", "\x04\xcf\xc7",
          "'-123.45'");
    PLAIN("{'type':'bytes','logicalType':'decimal','precision':5}", "\x02\x07", "'7'");
    PLAIN("{'type':'fixed','name':'F','size':3,'logicalType':'decimal','precision':5,'scale':3}",
          "\x00\x30\x39", "'12.345'");
    /* "Two schemas that are decimal logical types match if their scales and precisions match." */
    refuses("{'type':'bytes','logicalType':'decimal','precision':5,'scale':2}",
            "{'type':'bytes','logicalType':'decimal','precision':5,'scale':1}", "a decimal (5, 2)");
}

static void logical_uuid(void **state)
{
    (void)state;
    PLAIN(LOG("string", "uuid"),
          "\x48"
          "0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b",
          "'0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b'");
    PLAIN("{'type':'fixed','name':'U','size':16,'logicalType':'uuid'}",
          "\x01\x90\xa6\xb2\x7c\x1d\x7e\x3f\x8a\x4b\x5c\x6d\x7e\x8f\x9a\x0b",
          "'0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b'");
}

static void logical_date_and_time(void **state)
{
    (void)state;
    PLAIN(LOG("int", "date"), "\x02", "'1970-01-02'");
    PLAIN(LOG("int", "time-millis"), "\xea\x0f", "'00:00:01.013000'");
    PLAIN(LOG("long", "time-micros"), "\x02", "'00:00:00.000001'");
}

static void logical_timestamps(void **state)
{
    (void)state;
    PLAIN(LOG("long", "timestamp-millis"), "\x02", "'1970-01-01T00:00:00.001000Z'");
    PLAIN(LOG("long", "timestamp-micros"), "\x02", "'1970-01-01T00:00:00.000001Z'");
    PLAIN(LOG("long", "timestamp-nanos"), "\xd0\x0f", "'1970-01-01T00:00:00.000001Z'");
    PLAIN(LOG("long", "local-timestamp-millis"), "\x02", "'1970-01-01T00:00:00.001000'");
    PLAIN(LOG("long", "local-timestamp-micros"), "\x02", "'1970-01-01T00:00:00.000001'");
    PLAIN(LOG("long", "local-timestamp-nanos"), "\xd0\x0f", "'1970-01-01T00:00:00.000001'");
    refuses(LOG("long", "timestamp-millis"), LOG("long", "timestamp-micros"),
            "the logical type changed");
}

static void logical_duration(void **state)
{
    (void)state;
    PLAIN("{'type':'fixed','name':'D','size':12,'logicalType':'duration'}",
          "\x01\0\0\0\x02\0\0\0\x03\0\0\0", "{'months':1,'days':2,'millis':3}");
}

/* "Language implementations must ignore unknown logical types when reading, and should use the
 * underlying Avro type. If a logical type is invalid, […] then implementations should ignore the
 * logical type and use the underlying Avro type." */
static void logical_unknown_or_unfit_falls_back(void **state)
{
    (void)state;
    PLAIN(LOG("long", "of-tomorrow"), "\x02", "1");
    PLAIN(LOG("string", "date"), "\x02z", "'z'");
    PLAIN(LOG("int", "timestamp-micros"), "\x02", "1");
    PLAIN(LOG("bytes", "decimal"), "\x02\x01", "'AQ=='");
    PLAIN("{'type':'bytes','logicalType':'decimal','precision':2,'scale':3}", "\x02\x01", "'AQ=='");
    PLAIN("{'type':'fixed','name':'F','size':1,'logicalType':'decimal','precision':3}", "\x01",
          "'AQ=='");
    PLAIN("{'type':'fixed','name':'F','size':2,'logicalType':'uuid'}", "\x01\x02", "'AQI='");
    PLAIN("{'type':'fixed','name':'F','size':2,'logicalType':'duration'}", "\x01\x02", "'AQI='");
    READS(LOG("long", "of-tomorrow"), LOG("long", "timestamp-micros"), "\x02", "1");
}

/* U+0000 is a character like any other to Avro. Postgres has no place for it: the row is refused
 * under a code of its own. */
static void expect_no_row(const char *type, const char *bytes, size_t size, const char *tagged)
{
    struct pair pair;
    struct error error = {0};
    const char *wrong;
    expect_reads(type, type, bytes, size, tagged, NULL);
    open_quoted(&pair, type, type, 0, &error);
    json_decref(pair_read(&pair, bytes, size, &wrong, &error));
    assert_null(wrong);
    assert_string_equal(pair.direct.error.code, PLAN_NUL);
    assert_int_equal(pair.direct.error.class, ERROR_DEAD_LETTER);
    pair_close(&pair);
}

#define NO_ROW(type, bytes, tagged) expect_no_row(type, bytes, sizeof(bytes) - 1, tagged)

static void nul_is_text_but_for_postgres(void **state)
{
    (void)state;
    NO_ROW("'string'",
           "\x06"
           "a\x00"
           "b",
           "'a\\u0000b'");
    NO_ROW(ARR("'string'"), "\x02\x02\x00\x00", "['\\u0000']");
    NO_ROW(MAPOF("'string'"), "\x02\x02k\x02\x00\x00", "{'k':'\\u0000'}");
    NO_ROW("['null',{'type':'map','values':['null','string']}]", "\x02\x02\x02k\x02\x02\x00\x00",
           "{'map':{'k':{'string':'\\u0000'}}}");
    NO_ROW(REC("R", FLD("x", ARR(MAPOF("'int'")))), "\x02\x02\x02\x00\x02\x00\x00", NULL);
    PLAIN("'string'",
          "\x06"
          "a\x00"
          "b",
          "'a\\u0000b'");
    PLAIN(MAPOF("'string'"), "\x02\x04k\x00\x02\x00\x00", "{'k\\u0000':'\\u0000'}");
    READS("'string'", "'bytes'", "\x02\x00", "'\\u0000'");
    READS("'bytes'", "'string'", "\x02\x00", "'\\u0000'");
    READS(REC("R", FLD("gone", "'string'") "," FLD("i", "'int'")), REC("R", FLD("i", "'int'")),
          "\x02\x00\x02", "{'i':1}");
    FAILS("'string'", "'string'", "\x04\x00\xff", "a text is not valid UTF-8");
}

static void numbers_have_a_length(void **state)
{
    (void)state;
    READS("'int'", "'int'", "\x82\x80\x80\x80\x00", "1");
    FAILS("'int'", "'int'", "\x82\x80\x80\x80\x80\x00", "an int is longer than five bytes");
    FAILS("'int'", "'double'", "\x82\x80\x80\x80\x80\x00", "an int is longer than five bytes");
    FAILS(MAPOF("'int'"), MAPOF("'long'"), "\x02\x02k\x82\x80\x80\x80\x80\x00\x00",
          "an int is longer than five bytes");
    FAILS("'int'", "'int'", "\xff\xff\xff\xff\x1f", "an int is out of range");
    FAILS(REC("R", FLD("gone", "'int'") "," FLD("i", "'int'")), REC("R", FLD("i", "'int'")),
          "\x82\x80\x80\x80\x80\x00\x02", "an int is longer than five bytes");
    FAILS("['null','int']", "['null','int']", "\x82\x80\x80\x80\x80\x00\x02",
          "an int is longer than five bytes");
    FAILS(SYM("E", "'A','B'"), SYM("E", "'A','B'"), "\x82\x80\x80\x80\x80\x00",
          "an int is longer than five bytes");
    READS("'long'", "'long'", "\x82\x80\x80\x80\x80\x80\x80\x80\x80\x00", "1");
    FAILS("'long'", "'long'", "\x82\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00",
          "a number is longer than 64 bits");
    FAILS("'long'", "'long'", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x03",
          "a number is longer than 64 bits");
}

#define LIST(type) REC("L", FLD("v", type) "," FLD("next", "['null','L']"))

#define OLD_UNION "['null'," REC("R", FLD("x", "'string'")) ",'int']"
#define NEW_UNION "['null'," REC("R", FLD("x", "'int'")) ",'long']"

/* What fits of a writer's union is read; values of the other branches are refused. */
static void a_part_of_a_union_fits(void **state)
{
    (void)state;
    READS(OLD_UNION, NEW_UNION, "\x00", "null");
    READS(OLD_UNION, NEW_UNION, "\x04\x02", "{'long':1}");
    FAILS(OLD_UNION, NEW_UNION, "\x02\x02z", "the writer's record R does not fit");
    READS(ARR(OLD_UNION), ARR(NEW_UNION), "\x04\x00\x04\x02\x00", "[null,{'long':1}]");
    FAILS(ARR(OLD_UNION), ARR(NEW_UNION), "\x04\x00\x02\x02z\x00", ".x: the writer's string");
    READS("['null'," ARR("'string'") "]", "['null'," ARR("'int'") "]", "\x00", "null");
    READS("['null'," LOG("long", "timestamp-millis") "]",
          "['null'," LOG("long", "timestamp-micros") "]", "\x00", "null");
    /* one that holds itself, and one that is met again behind its branch */
    READS("['null'," LIST("'string'") "]", "['null'," LIST("'int'") "]", "\x00", "null");
    FAILS("['null'," LIST("'string'") "]", "['null'," LIST("'int'") "]", "\x02\x02z\x00",
          "does not fit");
    READS(REC("T", FLD("a", "['null'," LIST("'string'") "]") "," FLD("b", "['null','L']")),
          REC("T", FLD("a", "['null'," LIST("'int'") "]") "," FLD("b", "['null','L']")), "\x00\x00",
          "{'a':null,'b':null}");
    refuses(REC("T", FLD("a", "['null'," LIST("'string'") "]") "," FLD("b", "'L'")),
            REC("T", FLD("a", "['null'," LIST("'int'") "]") "," FLD("b", "'L'")),
            "T.a.v: the writer's string cannot be read as int");
    refuses("[" REC("R", FLD("x", "'string'")) "]", "[" REC("R", FLD("x", "'int'")) "]",
            "cannot be read as int");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nul_is_text_but_for_postgres),
        cmocka_unit_test(numbers_have_a_length),
        cmocka_unit_test(a_part_of_a_union_fits),
        cmocka_unit_test(default_for_a_missing_field),
        cmocka_unit_test(enum_reordered_reads_by_symbol),
        cmocka_unit_test(unknown_symbol_takes_the_default),
        cmocka_unit_test(unknown_symbol_without_default_is_an_error),
        cmocka_unit_test(enum_index_out_of_range_is_an_error),
        cmocka_unit_test(field_alias_matches),
        cmocka_unit_test(string_and_bytes_promote_to_each_other),
        cmocka_unit_test(int_promotes_to_long_float_and_double),
        cmocka_unit_test(unions_widen),
        cmocka_unit_test(fields_are_dropped_and_reordered),
        cmocka_unit_test(same_name_in_two_namespaces_of_a_union),
        cmocka_unit_test(nested_type_objects),
        cmocka_unit_test(deep_nesting_is_an_error),
        cmocka_unit_test(trailing_bytes_are_an_error),
        cmocka_unit_test(invalid_utf8_is_an_error),
        cmocka_unit_test(boolean_7_is_an_error),
        cmocka_unit_test(bytes_with_nul_become_json_in_full),
        cmocka_unit_test(negative_and_overlong_sizes_are_errors),
        cmocka_unit_test(logical_decimal),
        cmocka_unit_test(logical_uuid),
        cmocka_unit_test(logical_date_and_time),
        cmocka_unit_test(logical_timestamps),
        cmocka_unit_test(logical_duration),
        cmocka_unit_test(logical_unknown_or_unfit_falls_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
