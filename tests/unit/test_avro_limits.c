/* SPDX-License-Identifier: Apache-2.0
 *
 * Limits of a contract: which attributes it takes, what is refused at and beyond each limit with
 * which pointer, that decoding asks nothing, and how two versions' limits compare. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/avro/json.h"
#include "lib/avro/limits.h"
#include "lib/avro/sample.h"
#include "lib/avro/words.h"

/* Fields are written with ' instead of ". */
static char *quoted(const char *text)
{
    char *copy = xstrdup(text);
    for (char *at = copy; *at; at++)
        *at = *at == '\'' ? '"' : *at;
    return copy;
}

static int parse(const char *fields, int contract, struct schema_document **ret_document,
                 struct error *error)
{
    char *inside = quoted(fields);
    char *text = xasprintf("{\"type\":\"record\",\"name\":\"R\",\"fields\":[%s]}", inside);
    int result =
        (contract ? schema_parse_contract : schema_parse)(text, strlen(text), ret_document, error);
    free(inside);
    free(text);
    return result;
}

static struct schema_document *contract(const char *fields)
{
    struct schema_document *document;
    struct error error = {0};
    if (parse(fields, 1, &document, &error) != 0)
        fail_msg("%s: %s", fields, error.message);
    return document;
}

static const struct {
    const char *field;
    const char *words; /* NULL: taken */
} attribute_cases[] = {
    {"'type':'string'", "R.f: the string has no limit: say \"x-length-max\": N"},
    {"'type':'bytes'", "R.f: the bytes has no limit: say \"x-length-max\": N"},
    {"'type':['null','string']", "R.f: the string has no limit"},
    {"'type':'int'", "R.f: the int has no limit: say \"x-minimum\": N"},
    {"'type':'double','x-minimum':0", "R.f: the double has no limit: say \"x-maximum\": N"},
    {"'type':{'type':'array','items':'boolean'}", "R.f: the array has no limit: say \"x-items"},
    {"'type':{'type':'array','items':'string'},'x-items-max':2", "R.f[]: the string has no limit"},
    {"'type':{'type':'map','values':'boolean'},'x-items-max':2",
     "R.f: the map has no limit: say \"x-length-max\": N, which is that of its keys"},
    {"'type':{'type':'map','values':'long'},'x-items-max':2,'x-length-max':3",
     "R.f{}: the long has no limit"},
    {"'type':['null','string',{'type':'array','items':'null','x-items-max':1}]",
     "R.f: the string has no limit"},
    {"'type':{'type':'record','name':'I','fields':[{'name':'g','type':'string'}]}",
     "R.f.g: the string has no limit"},
    {"'type':'string','x-length-max':'3'", "R.f: x-length-max must be an integer from 0"},
    {"'type':'string','x-length-max':-1", "R.f: x-length-max must be an integer from 0"},
    {"'type':'string','x-length-max':9999999999", "R.f: x-length-max must be an integer"},
    {"'type':{'type':'array','items':'null'},'x-items-max':1.5", "R.f: x-items-max must be"},
    {"'type':'int','x-minimum':'0','x-maximum':1", "R.f: x-minimum must be an integer"},
    {"'type':'int','x-minimum':0.5,'x-maximum':1", "R.f: x-minimum must be an integer"},
    {"'type':'int','x-minimum':0,'x-maximum':2147483648", "R.f: x-maximum is beyond what"},
    {"'type':'int','x-minimum':2,'x-maximum':1", "R.f: x-minimum is above x-maximum"},
    {"'type':'double','x-minimum':2,'x-maximum':1.5", "R.f: x-minimum is above x-maximum"},
    {"'type':'double','x-minimum':'2','x-maximum':3", "R.f: x-minimum must be a number"},
    {"'type':'string','x-length-max':3,'x-pattern':5", "R.f: x-pattern must be a text"},
    {"'type':'string','x-length-max':3,'x-pattern':'('",
     "R.f: x-pattern: ( is no pattern: a ( has"},
    {"'type':'string','x-length-max':20000,'x-pattern':'^a{200}$'",
     "R.f: x-pattern takes 203 steps for each of x-length-max characters, which is more than "
     "2000000"},
    {"'type':'string','x-unlimited':true,'x-pattern':'a'", "x-pattern needs x-length-max"},
    {"'type':'string','x-unlimited':1", "R.f: x-unlimited can only be true"},
    {"'type':'string','x-unlimited':false", "R.f: x-unlimited can only be true"},
    {"'type':'string','x-minimum':1", "R.f: x-minimum is no attribute of string"},
    {"'type':'long','x-length-max':1", "R.f: x-length-max is no attribute of long"},
    {"'type':'boolean','x-unlimited':true", "R.f: x-unlimited is no attribute of boolean"},
    {"'type':{'type':'string','logicalType':'uuid'},'x-length-max':36",
     "x-length-max is no attribute of string (uuid), which is bounded by itself"},
    {"'type':{'type':'bytes','logicalType':'decimal','precision':4},'x-maximum':1",
     "x-maximum is no attribute of bytes (decimal)"},
    {"'type':['null','string','long'],'x-length-max':1", "the type is a union of several"},
    {"'type':{'type':'string','x-length-max':2},'x-length-max':2",
     "R.f: x-length-max stands at the field and in its type"},
    {"'type':'string','x-lenght-max':2", "no attribute x-lenght-max; did you mean x-length-max"},
    {"'type':'boolean','x-color':1", "R.f: there is no attribute x-color"},
    {"'type':'int','x-minimum':1,'x-maximum':2,'default':0",
     "R.f: the default breaks the limits: must be from 1 to 2"},
    {"'type':{'type':'int','logicalType':'date'},'x-minimum':'yesterday'",
     "R.f: x-minimum must be an integer or a date"},
    {"'type':'boolean','x-pii':true", "R.f: x-pii names the field that says whose data it is"},
    {"'type':{'type':'boolean','x-pii':{'subject':'f'}}",
     "R.f: x-pii stands at a field, not in a type"},
    {"'type':'boolean','x-pii':{'subject':'f','more':1}", "R.f: x-pii names the field"},
    {"'type':'boolean','x-pii':{'subject':'gone'}", "R.f: x-pii: there is no field \"gone\""},
    {"'type':'boolean','x-pii':{'subject':'f'}", "R.f: x-pii: f cannot say whose data it is"},
    {"'type':'string','x-length-max':9,'x-pii':{'subject':'f'}", NULL},
    {"'type':'string','x-length-max':0", NULL},
    {"'type':['null',{'type':'string','x-length-max':2},'long'],'default':null",
     "R.f: the long has no limit"},
    {"'type':{'type':'string','x-length-max':3,'x-pattern':'^[[:upper:]]{3}$'}", NULL},
    {"'type':'long','x-minimum':-9223372036854775808,'x-maximum':9223372036854775807", NULL},
    {"'type':'long','x-minimum':0,'x-unlimited':true", NULL},
    {"'type':{'type':'int','logicalType':'date'},'x-minimum':'2020-01-01'", NULL},
    {"'type':{'type':'bytes','logicalType':'decimal','precision':4}", NULL},
    {"'type':{'type':'fixed','name':'F','size':4}", NULL},
    {"'type':'null'", NULL},
};

static void test_attributes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof attribute_cases / sizeof *attribute_cases; i++) {
        struct schema_document *document = NULL;
        struct error error = {0};
        char *field = xasprintf("{'name':'f',%s}", attribute_cases[i].field);
        int result = parse(field, 1, &document, &error);
        if ((result == 0) != (attribute_cases[i].words == NULL) ||
            (attribute_cases[i].words && !strstr(error.message, attribute_cases[i].words)))
            fail_msg("%s: \"%s\" does not say \"%s\"", attribute_cases[i].field, error.message,
                     attribute_cases[i].words ? attribute_cases[i].words : "nothing");
        schema_free(document);
        /* who only reads is not held to it */
        if (parse(field, 0, &document, &error) != 0)
            fail_msg("%s: %s", attribute_cases[i].field, error.message);
        schema_free(document);
        free(field);
    }
}

/* The subject of a field in a record inside may be beside it or in the event. */
static void test_subjects(void **state)
{
    (void)state;
    struct schema_document *document = contract(
        "{'name':'id','type':['null',{'type':'string','logicalType':'uuid'}]},"
        "{'name':'list','x-items-max':3,'type':{'type':'array','items':{'type':'record','name':'I',"
        "'fields':[{'name':'a','type':'boolean','x-pii':{'subject':'id'}},"
        "{'name':'b','type':'boolean','x-pii':{'subject':'own'}},"
        "{'name':'own','type':'long','x-unlimited':true}]}}}");
    const struct schema *record = schema_root(document)->fields[1].type->items;
    assert_string_equal(record->fields[0].subject, "id");
    assert_string_equal(record->fields[1].subject, "own");
    assert_int_equal(record->fields[0].pii, 1);
    assert_null(record->fields[2].subject);
    schema_free(document);
}

/* Sends one value of a field and expects the fault at the pointer, or none. */
static void sends(const struct schema *schema, const char *value, const char *pointer,
                  const char *words)
{
    struct faults faults = {0};
    struct buf out = {0};
    char *text = quoted(value);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    int result = avro_from_json(schema, json, &out, &faults);
    if (!pointer && result != 0)
        fail_msg("%.60s: %s %s", value, faults.items[0].pointer, faults.items[0].message);
    if (pointer) {
        if (result == 0)
            fail_msg("%.60s is taken", value);
        assert_int_equal(faults.count, 1);
        assert_string_equal(faults.items[0].pointer, pointer);
        if (!strstr(faults.items[0].message, words))
            fail_msg("%.60s: \"%s\" does not say \"%s\"", value, faults.items[0].message, words);
        assert_int_equal(out.size, 0);
    }
    json_decref(json);
    buf_free(&out);
    free(text);
}

static const struct {
    const char *field;
    const char *value;
    const char *pointer; /* NULL: taken */
    const char *words;
} value_cases[] = {
    {"'type':'string','x-length-max':3", "''", NULL, NULL},
    {"'type':'string','x-length-max':3", "'abc'", NULL, NULL},
    {"'type':'string','x-length-max':3", "'🙂🙂🙂'", NULL, NULL},
    {"'type':'string','x-length-max':3", "'abcd'", "/f", "has 4 characters, but may have 3"},
    {"'type':'string','x-length-max':3", "'🙂🙂🙂🙂'", "/f", "has 4 characters"},
    {"'type':'string','x-length-max':0", "'a'", "/f", "has 1 characters, but may have 0"},
    {"'type':'string','x-length-max':3,'x-pattern':'^[A-Z]{3}$'", "'EUR'", NULL, NULL},
    {"'type':'string','x-length-max':3,'x-pattern':'^[A-Z]{3}$'", "'eur'", "/f",
     "does not match the pattern ^[A-Z]{3}$"},
    {"'type':'string','x-length-max':3,'x-pattern':'^[A-Z]{3}$'", "'EU'", "/f", "not match"},
    {"'type':'string','x-length-max':3,'x-pattern':'^[A-Z]{3}$'", "'EURO'", "/f", "4 char"},
    {"'type':'string','x-length-max':9,'x-pattern':'^.{2}$'", "'äö'", NULL, NULL},
    {"'type':'string','x-length-max':9,'x-pattern':'^[äö]+$'", "'öä'", NULL, NULL},
    {"'type':'string','x-length-max':9,'x-pattern':'^[äö]+$'", "'ü'", "/f", "not match"},
    {"'type':'bytes','x-length-max':3", "'AAAA'", NULL, NULL},
    {"'type':'bytes','x-length-max':3", "'AAAAAA=='", "/f", "has 4 bytes, but may have 3"},
    {"'type':'int','x-minimum':-1,'x-maximum':2", "-1", NULL, NULL},
    {"'type':'int','x-minimum':-1,'x-maximum':2", "2", NULL, NULL},
    {"'type':'int','x-minimum':-1,'x-maximum':2", "-2", "/f", "must be from -1 to 2"},
    {"'type':'int','x-minimum':-1,'x-maximum':2", "3", "/f", "must be from -1 to 2"},
    {"'type':'long','x-minimum':0,'x-unlimited':true", "9223372036854775807", NULL, NULL},
    {"'type':'long','x-minimum':0,'x-unlimited':true", "-1", "/f", "must be from 0"},
    {"'type':'double','x-minimum':0,'x-maximum':1.5", "1.5", NULL, NULL},
    {"'type':'double','x-minimum':0,'x-maximum':1.5", "1.5000001", "/f", "from 0 to 1.5"},
    {"'type':'float','x-minimum':0,'x-maximum':1", "-0.1", "/f", "must be from 0 to 1"},
    {"'type':{'type':'int','logicalType':'date'}", "'9999-12-31'", NULL, NULL},
    {"'type':{'type':'int','logicalType':'date'}", "-719162", NULL, NULL},
    {"'type':{'type':'int','logicalType':'date'}", "-719163", "/f", "to 9999-12-31"},
    {"'type':{'type':'int','logicalType':'date'}", "2932897", "/f", "to 9999-12-31"},
    {"'type':{'type':'int','logicalType':'date'},'x-minimum':'2020-01-01'", "'2019-12-31'", "/f",
     "must be from 2020-01-01 to 9999-12-31"},
    {"'type':{'type':'long','logicalType':'timestamp-micros'}", "253402300799999999", NULL, NULL},
    {"'type':{'type':'long','logicalType':'timestamp-micros'}", "253402300800000000", "/f",
     "to 9999-12-31T23:59:59.999999Z"},
    {"'type':{'type':'long','logicalType':'timestamp-micros'}", "-62135596800000001", "/f",
     "must be from"},
    {"'type':{'type':'long','logicalType':'timestamp-millis'}", "253402300800000", "/f",
     "must be from"},
    {"'type':{'type':'int','logicalType':'time-millis'}", "86400000", "/f", "must be from"},
    {"'type':{'type':'long','logicalType':'time-micros'}", "86399999999", NULL, NULL},
    {"'type':{'type':'fixed','name':'D','size':12,'logicalType':'duration'}",
     "{'months':2147483648}", "/f", "months must be an integer from 0 to 2147483647"},
    {"'type':{'type':'array','items':'null'},'x-items-max':1", "[null]", NULL, NULL},
    {"'type':{'type':'array','items':'null'},'x-items-max':1", "[null,null]", "/f",
     "has 2 items, but may have 1"},
    {"'type':{'type':'array','items':{'type':'string','x-length-max':1}},'x-items-max':2",
     "['a','bc']", "/f/1", "has 2 characters"},
    {"'type':{'type':'map','values':'null'},'x-items-max':1,'x-length-max':2", "{'ab':null}", NULL,
     NULL},
    {"'type':{'type':'map','values':'null'},'x-items-max':1,'x-length-max':2",
     "{'a':null,'b':null}", "/f", "has 2 items"},
    {"'type':{'type':'map','values':'null'},'x-items-max':1,'x-length-max':2", "{'abc':null}", "/f",
     "the key \"abc\" has 3 characters, but may have 2"},
    {"'type':{'type':'map','values':'null'},'x-items-max':1,'x-length-max':2,"
     "'x-pattern':'^[a-z]*$'",
     "{'A':null}", "/f", "the key \"A\" does not match"},
    {"'type':{'type':'map','values':{'type':'int','x-minimum':0,'x-maximum':1}},"
     "'x-items-max':1,'x-length-max':2",
     "{'a':2}", "/f/a", "must be from 0 to 1"},
    {"'type':['null','string'],'x-length-max':1", "null", NULL, NULL},
    {"'type':['null','string'],'x-length-max':1", "'ab'", "/f", "has 2 characters"},
    {"'type':['null',{'type':'string','x-length-max':1},{'type':'long','x-minimum':0,"
     "'x-maximum':1}]",
     "2", "/f", "must be from 0 to 1"},
    {"'type':{'type':'record','name':'I','fields':[{'name':'g','type':'string',"
     "'x-length-max':1}]}",
     "{'g':'ab'}", "/f/g", "has 2 characters"},
    {"'type':{'type':'array','items':{'type':'record','name':'I','fields':["
     "{'name':'g','type':['null','int'],'x-minimum':0,'x-maximum':1}]}},'x-items-max':9",
     "[{'g':1},{'g':9}]", "/f/1/g", "must be from 0 to 1"},
};

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof value_cases / sizeof *value_cases; i++) {
        char *field = xasprintf("{'name':'f',%s}", value_cases[i].field);
        char *value = xasprintf("{'f':%s}", value_cases[i].value);
        struct schema_document *document = contract(field);
        sends(schema_root(document), value, value_cases[i].pointer, value_cases[i].words);
        schema_free(document);
        free(field);
        free(value);
    }
}

/* A key that would be cut out of the pointer is told by its beginning, at a character's end. */
static void test_long_key(void **state)
{
    (void)state;
    struct schema_document *document = contract(
        "{'name':'f','type':{'type':'map','values':'null'},'x-items-max':1,'x-length-max':300}");
    struct buf value = {0};
    buf_put_text(&value, "{'f':{'a");
    for (int i = 0; i < 300; i++)
        buf_put_text(&value, "漢");
    buf_put_text(&value, "':null}}");
    sends(schema_root(document), buf_text(&value), "/f", "the key \"a漢漢漢漢漢漢漢…\" has 301");
    buf_free(&value);
    schema_free(document);
}

/* A record that a looser build wrote is read by a stricter one. */
static void test_decoding(void **state)
{
    (void)state;
    struct schema_document *loose = contract("{'name':'f','type':'string','x-length-max':9}");
    struct schema_document *strict = contract("{'name':'f','type':'string','x-length-max':1}");
    struct faults faults = {0};
    struct error error = {0};
    struct buf out = {0};
    json_t *json = json_loads("{\"f\":\"abcdefghi\"}", 0, NULL);
    json_t *back = NULL;
    assert_int_equal(avro_from_json(schema_root(loose), json, &out, &faults), 0);
    assert_int_equal(
        avro_to_json(schema_root(strict), (unsigned char *)out.data, out.size, 0, &back, &error),
        0);
    assert_true(json_equal(json, back));
    json_decref(json);
    json_decref(back);
    buf_free(&out);
    schema_free(loose);
    schema_free(strict);
}

struct seen {
    struct buf text;
};

static void take(void *context, enum words_change change, const char *path, const char *old_name,
                 const char *text)
{
    struct seen *seen = context;
    (void)old_name;
    buf_printf(&seen->text, "%s %s: %s\n", words_change_name(change), path, text);
}

static void test_differences(void **state)
{
    (void)state;
    static const struct {
        const char *old;
        const char *new;
        const char *words;
    } cases[] = {
        {"'type':'string','x-length-max':9", "'type':'string','x-length-max':8",
         "tighter f: at most 9 characters → at most 8 characters\n"},
        {"'type':'string','x-length-max':8", "'type':'string','x-length-max':9",
         "looser f: at most 8 characters → at most 9 characters\n"},
        {"'type':'string','x-unlimited':true", "'type':'string','x-length-max':9",
         "tighter f: unlimited → at most 9 characters\n"},
        {"'type':'string','x-length-max':8", "'type':'string','x-length-max':9,'x-pattern':'a'",
         "tighter f: at most 8 characters → at most 9 characters, matching a\n"},
        {"'type':'string','x-length-max':8,'x-pattern':'b'",
         "'type':'string','x-length-max':8,'x-pattern':'a'",
         "tighter f: at most 8 characters, matching b → at most 8 characters, matching a\n"},
        {"'type':'string','x-length-max':8,'x-pattern':'b'", "'type':'string','x-length-max':8",
         "looser f: at most 8 characters, matching b → at most 8 characters\n"},
        {"'type':'int','x-minimum':0,'x-maximum':9", "'type':'long','x-minimum':0,'x-maximum':8",
         "retyped f: int → long\ntighter f: from 0 to 9 → from 0 to 8\n"},
        {"'type':'int','x-minimum':0,'x-maximum':9", "'type':'double','x-minimum':0,'x-maximum':9",
         "retyped f: int → double\n"},
        {"'type':'int','x-minimum':0,'x-maximum':9", "'type':'string','x-length-max':9",
         "retyped f: int → string\n"},
        {"'type':'long','x-minimum':1,'x-unlimited':true", "'type':'long','x-unlimited':true",
         "looser f: at least 1, else unlimited → unlimited\n"},
        {"'type':{'type':'array','items':{'type':'bytes','x-length-max':2}},'x-items-max':3",
         "'type':{'type':'array','items':{'type':'bytes','x-length-max':1}},'x-items-max':4",
         "looser f: at most 3 items → at most 4 items\n"
         "tighter f[]: at most 2 bytes → at most 1 byte\n"},
        {"'type':{'type':'map','values':'null'},'x-items-max':3,'x-length-max':5",
         "'type':{'type':'map','values':'null'},'x-items-max':3,'x-length-max':4",
         "tighter f: at most 3 items, keys of at most 5 characters → at most 3 items, keys of at "
         "most 4 characters\n"},
        {"'type':['null','string'],'x-length-max':9,'default':null",
         "'type':['null',{'type':'string','x-length-max':8},'boolean'],'default':null",
         "retyped f: null or string → null or string or boolean\n"
         "tighter f: at most 9 characters → at most 8 characters\n"},
        {"'type':{'type':'int','logicalType':'date'}",
         "'type':{'type':'int','logicalType':'date'},'x-minimum':'2020-01-01'",
         "tighter f: no limit → at least \"2020-01-01\"\n"},
        {"'type':'boolean'", "'type':'boolean','x-pii':{'subject':'id'}",
         "changed f: identifies a person now (x-pii), whom id names\n"},
        {"'type':'boolean','x-pii':{'subject':'id'}",
         "'type':'boolean','x-pii':{'subject':'other'}",
         "changed f: x-pii: whose it is: id → other\n"},
    };
    static const char others[] = ",{'name':'id','type':'int','x-unlimited':true},"
                                 "{'name':'other','type':'int','x-unlimited':true}";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seen seen = {{0}};
        char *old_field = xasprintf("{'name':'f',%s}%s", cases[i].old, others);
        char *new_field = xasprintf("{'name':'f',%s}%s", cases[i].new, others);
        struct schema_document *old = contract(old_field);
        struct schema_document *new = contract(new_field);
        words_diff(schema_root(old), schema_root(new), take, &seen);
        assert_string_equal(buf_text(&seen.text), cases[i].words);
        buf_free(&seen.text);
        schema_free(old);
        schema_free(new);
        free(old_field);
        free(new_field);
    }
}

static void test_json(void **state)
{
    (void)state;
    struct schema_document *document = contract(
        "{'name':'price','type':{'type':'record','name':'M','fields':[{'name':'currency','type':"
        "'string','x-length-max':3,'x-pattern':'^[A-Z]{3}$'},{'name':'up','type':['null','M']}]}},"
        "{'name':'tags','x-items-max':2,'type':{'type':'array','items':{'type':'string',"
        "'x-length-max':5}}},"
        "{'name':'on','type':{'type':'int','logicalType':'date'},'x-maximum':'2030-01-01'},"
        "{'name':'any','type':'bytes','x-unlimited':true}");
    json_t *limits = limits_json(schema_root(document));
    char *text = json_dumps(limits, JSON_COMPACT);
    const char *rest = strstr(text, "\"tags\"");
    assert_non_null(rest);
    assert_non_null(strstr(text, "{\"price.currency\":{\"x-length-max\":3,\"x-pattern\":"
                                 "\"^[A-Z]{3}$\"},\"price.up.currency\":{"));
    assert_string_equal(rest, "\"tags\":{\"x-items-max\":2},\"tags[]\":{\"x-length-max\":5},"
                              "\"on\":{\"x-maximum\":\"2030-01-01\"},"
                              "\"any\":{\"x-unlimited\":true}}");
    free(text);
    json_decref(limits);
    schema_free(document);
}

/* Made-up events keep limits that their usual values would break, and patterns of many shapes. */
static void test_samples(void **state)
{
    (void)state;
    static const char *const fields[] = {
        "'type':'string','x-length-max':1",
        "'type':'string','x-length-max':12",
        "'type':'string','x-length-max':20,'x-pattern':'^[a-z]{2,4}(-[A-Z]+|_x?)*[^a-z]$'",
        "'type':'string','x-length-max':40,'x-pattern':'^(https?|ftp)://[[:alnum:]]+[.][a-z]{2,}$'",
        "'type':'string','x-length-max':9,'x-pattern':'^[]0-9-]{3}.\\\\.$'",
        "'type':'string','x-length-max':4,'x-pattern':'^((a|b)(c|d)?|ef)$'",
        "'type':'bytes','x-length-max':1",
        "'type':'int','x-minimum':-3,'x-maximum':-2",
        "'type':'long','x-minimum':1000000000000,'x-maximum':1000000000001",
        "'type':'double','x-minimum':-3,'x-maximum':-2",
        "'type':{'type':'array','items':'null'},'x-items-max':1",
        "'type':{'type':'map','values':'null'},'x-items-max':9,'x-length-max':2",
        "'type':{'type':'map','values':'null'},'x-items-max':9,'x-length-max':9,"
        "'x-pattern':'^k[0-9]+$'",
        "'type':{'type':'int','logicalType':'date'},'x-maximum':'2000-01-01'",
    };
    struct sample sample = {.state = 11, .pool_size = 3, .now_us = INT64_C(1795348800000000)};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        char *field = xasprintf("{'name':'meta','type':'null'},{'name':'f',%s}", fields[i]);
        struct schema_document *document = contract(field);
        for (int k = 0; k < 200; k++) {
            struct faults faults = {0};
            struct buf out = {0};
            json_t *event = sample_event(&sample, schema_root(document));
            json_object_set_new(event, "meta", json_null());
            if (avro_from_json(schema_root(document), event, &out, &faults) != 0)
                fail_msg("%s: %s %s", fields[i], json_dumps(event, 0), faults.items[0].message);
            json_decref(event);
            buf_free(&out);
        }
        schema_free(document);
        free(field);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attributes), cmocka_unit_test(test_subjects),
        cmocka_unit_test(test_values),     cmocka_unit_test(test_long_key),
        cmocka_unit_test(test_decoding),   cmocka_unit_test(test_differences),
        cmocka_unit_test(test_json),       cmocka_unit_test(test_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
