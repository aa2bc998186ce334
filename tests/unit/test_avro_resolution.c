/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of the Avro specification's "Schema Resolution" and "Aliases" beyond those of
 * test_avro_rules.c, each by the name that it has there, and Avro's own JSON encoding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/avro_reads.h"

#define ALIASED(type, name, aliases, more)                                                         \
    "{'type':'" type "','name':'" name "','aliases':[" aliases "]," more "}"

static void aliases_of_named_types(void **state)
{
    (void)state;
    READS(REC("Old", FLD("x", "'int'")),
          ALIASED("record", "New", "'Old'", "'fields':[" FLD("x", "'int'") "]"), "\x02", "{'x':1}");
    READS(SYM("Old", "'A','B'"), ALIASED("enum", "New", "'Old'", "'symbols':['B','A']"), "\x00",
          "'A'");
    READS(FIX("Old", 2), ALIASED("fixed", "New", "'Old'", "'size':2"), "hi", "'hi'");
    READS("['null'," SYM("Old", "'A'") "]",
          "['null'," ALIASED("enum", "New", "'Old'", "'symbols':['A']") "]", "\x02\x00",
          "{'New':'A'}");
    refuses(SYM("Old", "'A'"), SYM("New", "'A'"), "enum Old cannot be read as enum New");
}

/* "if a type named a.b has aliases of c and x.y, then the fully qualified names of its aliases are
 * a.c and x.y" */
static void aliases_are_relative_to_the_name(void **state)
{
    (void)state;
    static const char reader[] =
        "['null',{'type':'fixed','name':'a.b','aliases':['c','x.y'],'size':1}]";
    READS("{'type':'fixed','name':'a.c','size':1}", reader, "z", "{'a.b':'z'}");
    READS("{'type':'fixed','name':'x.y','size':1}", reader, "z", "{'a.b':'z'}");
    /* A full alias is nearer than the bare name of another type. */
    READS("{'type':'fixed','name':'a.c','size':1}",
          "[{'type':'fixed','name':'q.c','size':1},"
          "{'type':'fixed','name':'a.b','aliases':['c'],'size':1}]",
          "z", "{'a.b':'z'}");
}

static void names_match_without_their_namespaces(void **state)
{
    (void)state;
    READS("{'type':'record','name':'R','namespace':'a','fields':[]}",
          "{'type':'record','name':'R','namespace':'b','fields':[]}", "", "{}");
    READS("{'type':'enum','name':'a.E','symbols':['A']}",
          "{'type':'enum','name':'b.c.E','symbols':['A']}", "\x00", "'A'");
}

static void namespaces_are_inherited(void **state)
{
    (void)state;
    READS("{'type':'record','name':'a.b.R','fields':[{'name':'e','type':['null'," SYM(
              "E", "'A'") "]},{'name':'f','type':['null','a.b.E']}]}",
          "{'type':'record','name':'R','namespace':'a.b','fields':["
          "{'name':'e','type':['null'," SYM("E", "'A'") "]},{'name':'f','type':['null','E']}]}",
          "\x02\x00\x02\x00", "{'e':{'a.b.E':'A'},'f':{'a.b.E':'A'}}");
}

static void fixed_need_name_and_size(void **state)
{
    (void)state;
    refuses(FIX("F", 2), FIX("F", 3), "cannot be read as fixed F");
    refuses(FIX("F", 2), FIX("G", 2), "cannot be read as fixed G");
}

static void arrays_and_maps_resolve_their_items(void **state)
{
    (void)state;
    READS(ARR("'int'"), ARR("'long'"), "\x04\x02\x04\x00", "[1,2]");
    READS(MAPOF("'int'"), MAPOF("['null','double']"), "\x02\x02k\x02\x00", "{'k':{'double':1.0}}");
    refuses(ARR("'string'"), ARR("'int'"), "[]: the writer's string");
    refuses(ARR("'int'"), MAPOF("'int'"), "array cannot be read as map");
}

/* "If a block's count is negative, its absolute value is used, and the count is followed
 * immediately by a long block size indicating the number of bytes in the block." */
static void blocks_with_negative_counts(void **state)
{
    (void)state;
    READS(ARR("'int'"), ARR("'int'"), "\x03\x04\x02\x04\x02\x06\x01\x02\x08\x00", "[1,2,3,4]");
    READS(ARR("'int'"), ARR("'long'"), "\x03\x04\x02\x04\x00", "[1,2]");
    READS(MAPOF("'int'"), MAPOF("'int'"), "\x01\x06\x02k\x02\x01\x06\x02l\x04\x00",
          "{'k':1,'l':2}");
    READS(REC("R", FLD("gone", ARR("'int'")) "," FLD("i", "'int'")), REC("R", FLD("i", "'int'")),
          "\x03\x04\x02\x04\x00\x0a", "{'i':5}");
    FAILS(ARR("'int'"), ARR("'int'"), "\x03\x64\x02\x04\x00", "the size of a block");
    FAILS(ARR("'int'"), ARR("'int'"), "\x03\x01\x02\x04\x00", "the size of a block");
}

static void defaults_of_every_type(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"'null'", "null", "null"},
        {"'boolean'", "true", "true"},
        {"'int'", "1", "1"},
        {"'long'", "-5000000000", "-5000000000"},
        {"'float'", "1.5", "1.5"},
        {"'double'", "2", "2.0"},
        {"'bytes'", "'\\u00ff\\u0000'", "'\\u00ff\\u0000'"},
        {"'string'", "'\\u00e9'", "'\\u00e9'"},
        {FIX("F", 1), "'\\u0080'", "'\\u0080'"},
        {SYM("E", "'A','B'"), "'B'", "'B'"},
        {ARR("'int'"), "[1,2]", "[1,2]"},
        {MAPOF("'int'"), "{'k':1}", "{'k':1}"},
        {"['null','int']", "null", "null"},
        {"['int','null']", "1", "{'int':1}"},
        {"['string','null']", "null", "null"}, /* 1.12: of the first branch that it fits */
        {REC("N", FLD("x", "'int'")), "{'x':1}", "{'x':1}"},
        {REC("N", FLD("x", "'int'") "," FLD_PRESET("y", ARR("['null','int']"), "[1,null]")),
         "{'x':1}", "{'x':1,'y':[{'int':1},null]}"},
        {ARR(REC("N", FLD_PRESET("b", "'bytes'", "'z'"))), "[{},{'b':'y'}]",
         "[{'b':'z'},{'b':'y'}]"},
        {MAPOF(MAPOF("'long'")), "{'k':{'l':1}}", "{'k':{'l':1}}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *reader = xasprintf("{'type':'record','name':'R','fields':[{'name':'i','type':'int'},"
                                 "{'name':'d','type':%s,'default':%s}]}",
                                 cases[i][0], cases[i][1]);
        char *json = xasprintf("{'i':1,'d':%s}", cases[i][2]);
        READS(REC("R", FLD("i", "'int'")), reader, "\x02", json);
        free(reader);
        free(json);
    }
}

static void a_reader_union_takes_its_first_match(void **state)
{
    (void)state;
    READS("'int'", "['null','string','double','long']", "\x02", "{'double':1.0}");
    READS("'int'", "['float','int']", "\x02", "{'int':1}"); /* but the same type is nearer */
    READS("'string'", "['bytes','null']", "\x02z", "{'bytes':'z'}");
    READS(ARR("'int'"), "['null'," ARR("'long'") "]", "\x02\x02\x00", "{'array':[1]}");
    READS(MAPOF("'int'"), "['null'," MAPOF("'long'") "]", "\x02\x02k\x02\x00", "{'map':{'k':1}}");
    refuses("'string'", "['null','int']", "string cannot be read as union");
}

static void a_writer_union_resolves_by_its_value(void **state)
{
    (void)state;
    READS("['null','int']", "'long'", "\x02\x02", "1");
    FAILS("['null','int']", "'long'", "\x00", "writer's null has no place");
    refuses("['null','string']", "'long'", "no type of the writer's union can be read");
}

/* Records in an array become rows of their own, whatever surrounds them in the writer's schema. */
static void items_leave_the_writers_union(void **state)
{
    (void)state;
    READS(ARR("['null'," REC("I", FLD("x", "'int'") "," FLD("y", "'string'")) "]"),
          ARR(REC("I", FLD("y", "'string'") "," FLD("x", "'long'"))),
          "\x04\x02\x02\x02p\x02\x04\x02q\x00", "[{'x':1,'y':'p'},{'x':2,'y':'q'}]");
    FAILS(ARR("['null'," REC("I", FLD("x", "'string'")) "]"), ARR(REC("I", FLD("x", "'string'"))),
          "\x02\x00\x00", "writer's null has no place");
    READS("['null'," ARR(REC("I", FLD("x", "'string'"))) "]", ARR(REC("I", FLD("x", "'string'"))),
          "\x02\x02\x02p\x00", "[{'x':'p'}]");
}

static void unions_on_both_sides(void **state)
{
    (void)state;
    static const char writer[] = "['int','string',{'type':'array','items':['null','int']}]";
    static const char reader[] =
        "[{'type':'array','items':['long','null']},'bytes','null','double']";
    READS(writer, reader, "\x00\x02", "{'double':1.0}");
    READS(writer, reader, "\x02\x02z", "{'bytes':'z'}");
    READS(writer, reader, "\x04\x04\x02\x02\x00\x00", "{'array':[{'long':1},null]}");
}

static void records_resolve_recursively(void **state)
{
    (void)state;
    READS(REC("L", FLD("v", "'int'") "," FLD("next", "['null','L']")),
          REC("L",
              FLD("next", "['null','L']") "," FLD("v", "'long'") "," FLD_PRESET("n", "'int'", "9")),
          "\x02\x02\x04\x00", "{'v':1,'n':9,'next':{'L':{'v':2,'n':9,'next':null}}}");
    READS(REC("T", FLD("v", "'int'") "," FLD("all", ARR("'T'"))),
          REC("T", FLD("all", ARR("'T'")) "," FLD("v", "'double'")), "\x02\x02\x04\x00\x00",
          "{'v':1.0,'all':[{'v':2.0,'all':[]}]}");
}

/* Returns how deep a value may be nested that is `more` over and over, then a zero, and `after`
 * zeros for each that was begun. All ways of reading must agree on it. */
static int nest(const char *writer, const char *reader, const char *more, int after)
{
    struct pair pair;
    struct error error = {0};
    struct buf bytes = {0};
    const char *wrong;
    int taken = 0;
    open_quoted(&pair, writer, reader, 0, &error);
    for (int depth = 1; depth < 80; depth++) {
        buf_reset(&bytes);
        for (int i = 1; i < depth; i++)
            buf_put_text(&bytes, more);
        for (int i = 0; i < 1 + after * (depth - 1); i++)
            buf_put_u8(&bytes, 0);
        json_t *json = pair_read(&pair, bytes.data, bytes.size, &wrong, &error);
        if (wrong)
            fail_msg("%s, %d deep: %s (%s)", writer, depth, wrong, error.message);
        if (json)
            assert_int_equal(++taken, depth);
        json_decref(json);
    }
    assert_non_null(strstr(error.message, "nested too deeply"));
    buf_free(&bytes);
    pair_close(&pair);
    return taken;
}

/* Records, arrays and maps may be nested 64 levels deep, of which the event's record is one. */
static void nesting_has_one_limit_everywhere(void **state)
{
    (void)state;
    static const char list[] = REC("L", FLD("next", "['null','L']"));
    static const char tree[] = REC("T", FLD("all", ARR("'T'")));
    static const char maps[] =
        REC("M", FLD("map", "{'type':'map','values':['null','M']}") "," FLD("t", "'null'"));
    static const char longer[] =
        REC("L", FLD("next", "['null','L']") "," FLD_PRESET("d", ARR(ARR("'int'")), "[[1]]"));
    assert_int_equal(nest(list, list, "\x02", 0), 63);
    assert_int_equal(nest(tree, tree, "\x02", 1), 31);
    assert_int_equal(nest(maps, maps, "\x02\x02k\x02", 1), 31);
    assert_int_equal(nest(list, longer, "\x02", 0), 61); /* the default counts where it is */
    /* What is passed over counts too. */
    assert_int_equal(
        nest("{'type':'record','name':'R','fields':[{'name':'gone','type':{'type':'record','name':"
             "'L','fields':[{'name':'next','type':['null','L']}]}},{'name':'a','type':'null'}]}",
             REC("R", FLD("a", "'null'")), "\x02", 0),
        62);
}

static void the_name_of_a_field_beats_an_alias(void **state)
{
    (void)state;
    READS(REC("R", FLD("a", "'int'")),
          REC("R", "{'name':'b','aliases':['a'],'type':'int','default':9}," FLD("a", "'int'")),
          "\x02", "{'a':1,'b':9}");
}

/* The reader's JSON, as it is read and written by the specification's "JSON Encoding". */
static void avro_json_of_the_specification(void **state)
{
    (void)state;
    static const char foo[] = "['null','string'," FIX("Foo", 3) "]";
    READS(foo, foo, "\x00", "null");
    READS(foo, foo,
          "\x02\x02"
          "a",
          "{'string':'a'}");
    READS(foo, foo,
          "\x04"
          "abc",
          "{'Foo':'abc'}");
    READS("'double'", "'double'", "\0\0\0\0\0\0\xf8\x7f", "'NaN'");
    READS("'float'", "'float'", "\0\0\x80\xff", "'-Infinity'");
    READS(LOG("string", "uuid"), LOG("string", "uuid"), "\x02z", "'z'");
    READS("{'type':'bytes','logicalType':'decimal','precision':4,'scale':2}",
          "{'type':'bytes','logicalType':'decimal','precision':4,'scale':2}", "\x02\xff",
          "'\\u00ff'");
    READS(LOG("int", "date"), LOG("int", "date"), "\x02", "1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aliases_of_named_types),
        cmocka_unit_test(aliases_are_relative_to_the_name),
        cmocka_unit_test(names_match_without_their_namespaces),
        cmocka_unit_test(namespaces_are_inherited),
        cmocka_unit_test(fixed_need_name_and_size),
        cmocka_unit_test(arrays_and_maps_resolve_their_items),
        cmocka_unit_test(blocks_with_negative_counts),
        cmocka_unit_test(defaults_of_every_type),
        cmocka_unit_test(a_reader_union_takes_its_first_match),
        cmocka_unit_test(a_writer_union_resolves_by_its_value),
        cmocka_unit_test(items_leave_the_writers_union),
        cmocka_unit_test(unions_on_both_sides),
        cmocka_unit_test(records_resolve_recursively),
        cmocka_unit_test(nesting_has_one_limit_everywhere),
        cmocka_unit_test(the_name_of_a_field_beats_an_alias),
        cmocka_unit_test(avro_json_of_the_specification),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
