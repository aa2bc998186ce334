/* SPDX-License-Identifier: Apache-2.0
 *
 * A newer schema under an older one's names: what an old build makes of fields and types that were
 * renamed with an alias after it was built. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/avro/rename.h"
#include "tests/unit/avro_reads.h"

static struct schema_document *parse_quoted(const char *text)
{
    struct schema_document *document = NULL;
    struct error error = {0};
    char *json = requoted(text);
    if (schema_parse(json, strlen(json), &document, &error) != 0)
        fail_msg("%s: %s", text, error.message);
    free(json);
    return document;
}

/* Bytes of the newer schema, read by the older one, as plain JSON; NULL: it cannot be resolved. */
static void expect(const char *newer, const char *older, const char *bytes, size_t size,
                   const char *plain)
{
    struct schema_document *from = parse_quoted(newer);
    struct schema_document *to = parse_quoted(older);
    struct datum_reader *reader = NULL;
    struct error error = {0};
    struct buf value = {0};
    struct buf text = {0};
    size_t used = 0;
    rename_back(schema_root(from), schema_root(to));
    int code = datum_open(schema_root(from), schema_root(to), &reader, &error);
    assert_int_equal(code, plain ? 0 : -1);
    if (plain) {
        char *expected = requoted(plain);
        if (datum_read(reader, (const unsigned char *)bytes, size, 0, &value, &used, &error) != 0)
            fail_msg("%s", error.message);
        assert_int_equal(used, size);
        assert_int_equal(datum_plain(reader, value.data, value.size, &text, &error), 0);
        assert_string_equal(buf_text(&text), expected);
        free(expected);
    }
    datum_free(reader);
    buf_free(&value);
    buf_free(&text);
    schema_free(from);
    schema_free(to);
}

#define EXPECT(newer, older, bytes, plain) expect(newer, older, bytes, sizeof bytes - 1, plain)
#define ALIASED(name, type, alias) "{'name':'" name "','type':" type ",'aliases':['" alias "']}"

static void renamed_field_keeps_its_value(void **state)
{
    (void)state;
    EXPECT(REC("R", ALIASED("new", "'int'", "old")), REC("R", FLD("old", "'int'")), "\x06",
           "{'old':3}");
    /* which a default would hide */
    EXPECT(REC("R", ALIASED("new", "'int'", "old")), REC("R", FLD_PRESET("old", "'int'", "7")),
           "\x06", "{'old':3}");
}

static void names_that_are_still_there_win(void **state)
{
    (void)state;
    EXPECT(REC("R", ALIASED("new", "'int'", "old") "," FLD("old", "'int'")),
           REC("R", FLD("old", "'int'")), "\x06\x08", "{'old':4}");
    EXPECT(REC("R", ALIASED("new", "'int'", "old")),
           REC("R", FLD("new", "'int'") "," FLD_PRESET("old", "'int'", "7")), "\x06",
           "{'new':3,'old':7}");
}

static void swapped_names_stay_apart(void **state)
{
    (void)state;
    EXPECT(REC("R", ALIASED("a", "'int'", "b") "," ALIASED("b", "'int'", "a")),
           REC("R", FLD("a", "'int'") "," FLD("b", "'int'")), "\x02\x04", "{'a':1,'b':2}");
}

static void renamed_types_are_the_same_types(void **state)
{
    (void)state;
    static const char newer[] = "{'type':'record','name':'New','aliases':['Old'],'fields':["
                                "{'name':'y','type':'int','aliases':['x']}]}";
    static const char older[] = "{'type':'record','name':'Old','fields':["
                                "{'name':'x','type':'int'}]}";
    EXPECT(newer, older, "\x06", "{'x':3}");
    char from[400];
    char to[400];
    snprintf(from, sizeof from, "['null',{'type':'array','items':%s}]", newer);
    snprintf(to, sizeof to, "['null',{'type':'array','items':%s}]", older);
    EXPECT(from, to, "\x02\x02\x06\x00", "[{'x':3}]");
    EXPECT("{'type':'fixed','name':'F','aliases':['G'],'size':1}",
           "{'type':'fixed','name':'H','size':1}", "", NULL);
}

static void records_that_hold_themselves_end(void **state)
{
    (void)state;
    EXPECT("{'type':'record','name':'N','fields':[{'name':'v','type':'int','aliases':['w']},"
           "{'name':'l','type':['null','N'],'aliases':['k']},"
           "{'name':'r','type':['null','N']}]}",
           "{'type':'record','name':'N','fields':[{'name':'w','type':'int'},"
           "{'name':'k','type':['null','N']},{'name':'r','type':['null','N']}]}",
           "\x02\x02\x04\x00\x00\x00", "{'w':1,'k':{'w':2,'k':null,'r':null},'r':null}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renamed_field_keeps_its_value),
        cmocka_unit_test(names_that_are_still_there_win),
        cmocka_unit_test(swapped_names_stay_apart),
        cmocka_unit_test(renamed_types_are_the_same_types),
        cmocka_unit_test(records_that_hold_themselves_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
