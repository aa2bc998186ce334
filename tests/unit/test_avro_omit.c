/* SPDX-License-Identifier: Apache-2.0
 *
 * What nobody reads is left out of rows, and nothing else changes: events of every shipped schema
 * and of schemas that are harder, with columns and relations left out at random, against the rows
 * of a plan that keeps everything. What is damaged is refused by both, for the same reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/avro/sample.h"
#include "tests/unit/avro_plan.h"

enum { TRIALS_PER_VERSION = 40, EVENTS_PER_TRIAL = 10 };

static const uint64_t NOON_US = UINT64_C(1795348800000000);

struct omitted {
    unsigned char relations[RELATIONS_PER_EVENT_MAX];
    unsigned char columns[RELATIONS_PER_EVENT_MAX][RELATION_COLUMNS_MAX];
};

struct side {
    struct plan *plan;
    struct buf rows[RELATIONS_PER_EVENT_MAX];
    uint32_t counts[RELATIONS_PER_EVENT_MAX];
    struct plan_envelope envelope;
    struct error error;
};

/* The rows as they should be once columns are left out. */
static void blank(struct buf *out, const struct buf *rows, const unsigned char *columns)
{
    const char *at = rows->data;
    while (rows->size > 0 && at < rows->data + rows->size) {
        size_t start = out->size;
        uint32_t count = rows_be32(at + 4);
        buf_put(out, at, 8);
        at += 8;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t size = rows_be32(at + 4);
            size_t bytes = 8 + (size == UINT32_MAX ? 0 : size);
            buf_put(out, at, columns[i] ? 4 : bytes);
            if (columns[i])
                buf_put_be32(out, UINT32_MAX);
            at += bytes;
        }
        buf_set_be32(out, start, (uint32_t)(out->size - start - 4));
    }
}

static int run_side(struct side *side, const struct buf *bytes, size_t size)
{
    unsigned char *copy = malloc(size ? size : 1); /* so that the sanitizers see where it ends */
    memcpy(copy, bytes->data, size);
    struct plan_record record = {
        .partition = 1, .offset = 2, .timestamp_us = 3, .seq = 4, .avro = copy, .avro_size = size};
    for (size_t i = 0; i < RELATIONS_PER_EVENT_MAX; i++) {
        buf_reset(&side->rows[i]);
        side->counts[i] = 0;
    }
    int result =
        plan_decode(side->plan, &record, side->rows, side->counts, &side->envelope, &side->error);
    free(copy);
    return result;
}

static void compare(const struct relation_set *set, const struct omitted *omitted,
                    const struct side *whole, const struct side *trimmed)
{
    assert_memory_equal(&whole->envelope.event_id, &trimmed->envelope.event_id,
                        sizeof whole->envelope.event_id);
    assert_int_equal(whole->envelope.fingerprint, trimmed->envelope.fingerprint);
    for (size_t i = 0; i < relation_count(set); i++) {
        struct buf expected = {0};
        if (!omitted->relations[i])
            blank(&expected, &whole->rows[i], omitted->columns[i]);
        assert_int_equal(trimmed->counts[i], omitted->relations[i] ? 0 : whole->counts[i]);
        assert_int_equal(trimmed->rows[i].size, expected.size);
        if (expected.size > 0)
            assert_memory_equal(trimmed->rows[i].data, expected.data, expected.size);
        buf_free(&expected);
    }
}

static void omit(struct plan *plan, const struct relation_set *set, struct omitted *omitted,
                 struct sample *dice)
{
    struct error error = {0};
    uint64_t share = sample_next(dice) % 5;
    memset(omitted, 0, sizeof *omitted);
    for (size_t i = 0; i < relation_count(set); i++) {
        if ((omitted->relations[i] = sample_next(dice) % 4 == 0))
            plan_omit_relation(plan, i);
        for (size_t k = 0; k < relation_at(set, i)->column_count; k++)
            if ((omitted->columns[i][k] = sample_next(dice) % 4 < share))
                plan_omit_column(plan, i, k);
    }
    assert_int_equal(plan_trim(plan, &error), 0);
}

static void make_event(const struct schema *schema, struct sample *dice, struct buf *bytes)
{
    struct faults faults = {0};
    json_t *meta = json_loads(META_JSON, 0, NULL);
    json_t *body = sample_event(dice, schema);
    buf_reset(bytes);
    if (avro_event_from_json(schema, meta, body, bytes, &faults) != 0)
        fail_msg("%s %s", faults.items[0].pointer, faults.items[0].message);
    json_decref(meta);
    json_decref(body);
}

static void compile(const struct schema *writer, const struct relation_set *set,
                    struct plan **ret_plan)
{
    struct error error = {0};
    if (plan_compile(writer, set, ret_plan, &error) != 0)
        fail_msg("%s", error.message);
}

/* Events as they are, and damaged ones. */
static void try_events(const struct schema *writer, const struct relation_set *set,
                       const struct omitted *omitted, struct side sides[2], struct sample *dice)
{
    struct buf bytes = {0};
    for (int i = 0; i < EVENTS_PER_TRIAL; i++) {
        make_event(writer, dice, &bytes);
        int whole = run_side(&sides[0], &bytes, bytes.size);
        assert_int_equal(whole, run_side(&sides[1], &bytes, bytes.size));
        if (whole == 0)
            compare(set, omitted, &sides[0], &sides[1]);
        bytes.data[sample_next(dice) % bytes.size] = (char)sample_next(dice);
        size_t size = i % 2 ? bytes.size : sample_next(dice) % bytes.size;
        whole = run_side(&sides[0], &bytes, size);
        assert_int_equal(whole, run_side(&sides[1], &bytes, size));
        if (whole == 0)
            compare(set, omitted, &sides[0], &sides[1]);
        else
            assert_string_equal(sides[0].error.message, sides[1].error.message);
    }
    buf_free(&bytes);
}

static void check(const struct schema *writer, const struct relation_set *set, struct sample *dice)
{
    for (int trial = 0; trial < TRIALS_PER_VERSION; trial++) {
        struct omitted omitted;
        struct side sides[2];
        memset(sides, 0, sizeof sides);
        compile(writer, set, &sides[0].plan);
        compile(writer, set, &sides[1].plan);
        omit(sides[1].plan, set, &omitted, dice);
        try_events(writer, set, &omitted, sides, dice);
        for (int s = 0; s < 2; s++) {
            plan_free(sides[s].plan);
            for (size_t i = 0; i < RELATIONS_PER_EVENT_MAX; i++)
                buf_free(&sides[s].rows[i]);
        }
    }
}

static void test_catalog(void **state)
{
    (void)state;
    struct assets *assets;
    struct catalog *catalog;
    struct error error = {0};
    struct sample dice = {.state = 5, .pool_size = 8, .now_us = (int64_t)NOON_US};
    assert_int_equal(assets_open(NULL, &assets, &error), 0);
    assert_int_equal(catalog_open(assets, &catalog, &error), 0);
    for (size_t i = 0; i < catalog_event_count(catalog); i++) {
        const struct catalog_event *event = catalog_event_at(catalog, i);
        struct relation_set *set;
        assert_int_equal(relation_build(event, &set, &error), 0);
        for (size_t k = 0; k < event->version_count; k++)
            check(event->versions[k].schema, set, &dice);
        relation_free(set);
    }
    catalog_free(catalog);
    assets_free(assets);
}

#define F(name, type) ",{\"name\":\"" name "\",\"type\":" type "}"
#define D(name, type, value) ",{\"name\":\"" name "\",\"type\":" type ",\"default\":" value "}"
#define ARRAY_OF(items) "{\"type\":\"array\",\"items\":" items "}"
#define MAP_OF(values) "{\"type\":\"map\",\"values\":" values "}"
#define NAMED(name, fields) "{\"type\":\"record\",\"name\":\"" name "\",\"fields\":[" fields "]}"
#define PRICE                                                                                      \
    NAMED("Price", "{\"name\":\"amount\",\"type\":\"long\"}" F("currency", "\"string\"")           \
                       F("parts", ARRAY_OF("[\"null\",\"int\"]")))
#define LINE NAMED("Line", "{\"name\":\"n\",\"type\":\"int\"}" F("t", "[\"null\",\"string\"]"))

static void check_pair(const char *writer, const char *reader)
{
    struct error error = {0};
    struct sample dice = {.state = 11, .pool_size = 3, .now_us = (int64_t)NOON_US};
    if (open_plan(&fixture, writer, reader, &error) != 0)
        fail_msg("%s", error.message);
    check(schema_root(fixture.writer), fixture.set, &dice);
    close_plan(&fixture);
}

static void test_shapes(void **state)
{
    (void)state;
    static const char plain[] = F("a", "[\"null\"," PRICE "]") F("b", MAP_OF("\"string\""))
        F("c", "\"double\"") F("lines", ARRAY_OF(LINE)) F("d", "[\"null\",\"long\",\"string\"]")
            F("e", "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}")
                F("f", "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":9}")
                    F("g", ARRAY_OF("\"string\"")) F("h", "\"boolean\"") F("i", "\"bytes\"");
    static const char moved[] = F("h", "[\"null\",\"boolean\"]") F("g", ARRAY_OF("\"string\""))
        D("z", PRICE, "{\"amount\":5,\"currency\":\"EUR\",\"parts\":[1,null]}")
            F("lines", ARRAY_OF(LINE)) F("c", "\"double\"") D("y", "\"string\"", "\"new\"")
                F("b", MAP_OF("\"string\""));
    check_pair(plain, plain);
    check_pair(plain, moved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_catalog),
        cmocka_unit_test(test_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
