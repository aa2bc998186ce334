/* SPDX-License-Identifier: Apache-2.0
 *
 * For tests: what a pair of schemas makes of bytes. Schemas and JSON are written with single quotes
 * for double ones. Needs cmocka.h before it. */
#ifndef WEIR_TESTS_AVRO_READS_H
#define WEIR_TESTS_AVRO_READS_H

#include "tests/unit/avro_pair.h"

static inline char *requoted(const char *text)
{
    char *copy = xstrndup(text, strlen(text));
    for (char *at = copy; *at; at++)
        if (*at == '\'')
            *at = '"';
    return copy;
}

static inline void open_quoted(struct pair *pair, const char *writer, const char *reader,
                               int expected, struct error *error)
{
    char *from = requoted(writer);
    char *to = requoted(reader);
    if (pair_open(pair, from, to, error) != expected)
        fail_msg("%s → %s: %s", from, to, expected ? "taken" : error->message);
    if (expected == 0) /* whatever was tried on the way */
        assert_int_equal(error->class, ERROR_NONE);
    free(from);
    free(to);
}

/* The bytes become this JSON, in Avro's own form, and in plain form when `plain` is not NULL. */
static inline void expect_reads(const char *writer, const char *reader, const char *bytes,
                                size_t size, const char *tagged, const char *plain)
{
    struct pair pair;
    struct error error = {0};
    const char *wrong;
    open_quoted(&pair, writer, reader, 0, &error);
    json_t *json = pair_read(&pair, bytes, size, &wrong, &error);
    if (!json || wrong)
        fail_msg("%s → %s: %s", writer, reader, wrong ? wrong : error.message);
    if (tagged) {
        char *text = requoted(tagged);
        json_t *expected = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        char *got = json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT);
        if (!json_equal(json, expected))
            fail_msg("%s → %s: %s instead of %s", writer, reader, got, text);
        free(got);
        free(text);
        json_decref(expected);
    }
    if (plain) {
        char *text = requoted(plain);
        assert_int_equal(
            datum_plain(pair.datums, pair.value.data, pair.value.size, &pair.text, &error), 0);
        char *whole = xasprintf("{\"a\":%s}", text);
        buf_put_u8(&pair.text, 0);
        assert_string_equal(pair.text.data, whole);
        free(whole);
        free(text);
    }
    json_decref(json);
    pair_close(&pair);
}

/* The pair compiles, but not these bytes: an error with these words, by every way. */
static inline void expect_fails(const char *writer, const char *reader, const char *bytes,
                                size_t size, const char *words)
{
    struct pair pair;
    struct error error = {0};
    const char *wrong;
    open_quoted(&pair, writer, reader, 0, &error);
    if (pair_read(&pair, bytes, size, &wrong, &error) || wrong)
        fail_msg("%s → %s: %s", writer, reader, wrong ? wrong : "taken");
    assert_int_equal(error.class, ERROR_DEAD_LETTER);
    if (!strstr(error.message, words))
        fail_msg("\"%s\" does not say \"%s\"", error.message, words);
    pair_close(&pair);
}

/* The pair does not compile, as a pair or as an event's field. */
static inline void refuses(const char *writer, const char *reader, const char *words)
{
    struct pair pair;
    struct error error = {0};
    open_quoted(&pair, writer, reader, -1, &error);
    assert_null(pair.direct.plan);
    if (!strstr(error.message, words))
        fail_msg("\"%s\" does not say \"%s\"", error.message, words);
    pair_close(&pair);
}

/* `bytes` is a literal. */
#define READS(writer, reader, bytes, tagged)                                                       \
    expect_reads(writer, reader, bytes, sizeof(bytes) - 1, tagged, NULL)
#define PLAIN(schema, bytes, plain)                                                                \
    expect_reads(schema, schema, bytes, sizeof(bytes) - 1, NULL, plain)
#define FAILS(writer, reader, bytes, words)                                                        \
    expect_fails(writer, reader, bytes, sizeof(bytes) - 1, words)

#define REC(name, fields) "{'type':'record','name':'" name "','fields':[" fields "]}"
#define FLD(name, type) "{'name':'" name "','type':" type "}"
#define FLD_PRESET(name, type, preset) "{'name':'" name "','type':" type ",'default':" preset "}"
#define SYM(name, symbols) "{'type':'enum','name':'" name "','symbols':[" symbols "]}"
#define ARR(items) "{'type':'array','items':" items "}"
#define MAPOF(values) "{'type':'map','values':" values "}"
#define FIX(name, size) "{'type':'fixed','name':'" name "','size':" #size "}"
#define LOG(type, name) "{'type':'" type "','logicalType':'" name "'}"

#endif
