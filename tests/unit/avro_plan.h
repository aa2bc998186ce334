/* SPDX-License-Identifier: Apache-2.0
 *
 * For tests: events of one schema decoded by the plan to another, and the rows as text. Needs
 * cmocka.h before it. */
#ifndef WEIR_TESTS_AVRO_PLAN_H
#define WEIR_TESTS_AVRO_PLAN_H

#include "lib/avro/json.h"
#include "lib/avro/plan.h"
#include "tests/unit/avro_event.h"
#include "tests/unit/avro_rows.h"

#define META_JSON                                                                                  \
    "{\"event_id\":\"0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b\",\"occurred_at\":\"2026-11-22T10:00:"   \
    "00Z\","                                                                                       \
    "\"received_at\":\"2026-11-22T10:00:01Z\",\"fingerprint\":-77}"

struct fixture {
    struct schema_document *writer;
    struct test_event reader;
    struct relation_set *set;
    struct plan *plan;
    struct buf bytes;
    struct buf rows[RELATIONS_PER_EVENT_MAX];
    uint32_t counts[RELATIONS_PER_EVENT_MAX];
    struct plan_record record;
    struct plan_envelope envelope;
};

static struct fixture fixture;

static inline void encode(struct fixture *f, const char *body)
{
    struct faults faults = {0};
    json_t *meta = json_loads(META_JSON, 0, NULL);
    json_t *fields = json_loads(body, 0, NULL);
    assert_non_null(fields);
    f->bytes.size = 0;
    if (avro_event_from_json(schema_root(f->writer), meta, fields, &f->bytes, &faults) != 0)
        fail_msg("%s %s", faults.items[0].pointer, faults.items[0].message);
    json_decref(meta);
    json_decref(fields);
    f->record = (struct plan_record){.partition = 3,
                                     .offset = 1234567890123,
                                     .timestamp_us = POSTGRES_EPOCH_US + 5,
                                     .seq = 9,
                                     .avro = (const unsigned char *)f->bytes.data,
                                     .avro_size = f->bytes.size};
    memset(f->record.space_id.bytes, 0xab, 16);
}

static inline int open_plan(struct fixture *f, const char *writer, const char *reader,
                            struct error *error)
{
    memset(f, 0, sizeof *f);
    f->writer = test_event_schema(writer);
    test_event_open(&f->reader, reader);
    if (relation_build(&f->reader.event, &f->set, error) != 0)
        fail_msg("%s", error->message);
    return plan_compile(schema_root(f->writer), f->set, &f->plan, error);
}

static inline void close_plan(struct fixture *f)
{
    plan_free(f->plan);
    relation_free(f->set);
    test_event_close(&f->reader);
    schema_free(f->writer);
    buf_free(&f->bytes);
    for (size_t i = 0; i < RELATIONS_PER_EVENT_MAX; i++)
        buf_free(&f->rows[i]);
}

/* All rows, relation by relation, without the envelope (of children without seq). */
static inline char *rows_text(struct fixture *f)
{
    struct buf out = {0};
    for (size_t i = 0; i < relation_count(f->set); i++) {
        const struct relation *relation = relation_at(f->set, i);
        const char *at = f->rows[i].data;
        const char *end = at + f->rows[i].size;
        uint32_t count = 0;
        for (; at < end; count++)
            at = rows_read(&out, relation, relation->child ? 1 : ENVELOPE_COUNT, at, end);
        assert_int_equal(count, f->counts[i]);
    }
    buf_put_u8(&out, 0);
    return out.data;
}

static inline void expect_rows(const char *writer, const char *reader, const char *body,
                               const char *expected)
{
    struct error error = {0};
    if (open_plan(&fixture, writer, reader, &error) != 0)
        fail_msg("%s", error.message);
    encode(&fixture, body);
    if (plan_decode(fixture.plan, &fixture.record, fixture.rows, fixture.counts, &fixture.envelope,
                    &error) != 0)
        fail_msg("%s", error.message);
    char *text = rows_text(&fixture);
    assert_string_equal(text, expected);
    free(text);
    close_plan(&fixture);
}

/* One field `a` of these types. */
static inline void expect_field(const char *writer, const char *reader, const char *value,
                                const char *expected)
{
    char *from = xasprintf(",{\"name\":\"a\",\"type\":%s}", writer);
    char *to = xasprintf(",{\"name\":\"a\",\"type\":%s}", reader);
    char *body = xasprintf("{\"a\":%s}", value);
    char *row = xasprintf("(%s)", expected);
    expect_rows(from, to, body, row);
    free(from);
    free(to);
    free(body);
    free(row);
}

static inline void expect_refused(const char *writer, const char *reader, const char *words)
{
    struct error error = {0};
    char *from = xasprintf(",{\"name\":\"a\",\"type\":%s}", writer);
    char *to = xasprintf(",{\"name\":\"a\",\"type\":%s}", reader);
    assert_int_equal(open_plan(&fixture, from, to, &error), -1);
    assert_int_equal(error.class, ERROR_HALT);
    assert_string_equal(error.code, "schema-incompatible");
    if (!strstr(error.message, words))
        fail_msg("\"%s\" does not say \"%s\"", error.message, words);
    close_plan(&fixture);
    free(from);
    free(to);
}

/* Compiles, but this value cannot be read. */
static inline void expect_unreadable(const char *writer, const char *reader, const char *value,
                                     const char *words)
{
    struct error error = {0};
    char *from = xasprintf(",{\"name\":\"a\",\"type\":%s}", writer);
    char *to = xasprintf(",{\"name\":\"a\",\"type\":%s}", reader);
    char *body = xasprintf("{\"a\":%s}", value);
    if (open_plan(&fixture, from, to, &error) != 0)
        fail_msg("%s", error.message);
    encode(&fixture, body);
    buf_put_text(&fixture.rows[0], "kept");
    fixture.counts[0] = 7;
    assert_int_equal(plan_decode(fixture.plan, &fixture.record, fixture.rows, fixture.counts,
                                 &fixture.envelope, &error),
                     -1);
    assert_int_equal(error.class, ERROR_DEAD_LETTER);
    assert_string_equal(error.code, "avro-invalid");
    if (!strstr(error.message, words))
        fail_msg("\"%s\" does not say \"%s\"", error.message, words);
    assert_int_equal(fixture.rows[0].size, 4);
    assert_int_equal(fixture.counts[0], 7);
    close_plan(&fixture);
    free(from);
    free(to);
    free(body);
}

static inline void same(const char *type, const char *value, const char *expected)
{
    expect_field(type, type, value, expected);
}

#define LOGICAL(type, name) "{\"type\":\"" type "\",\"logicalType\":\"" name "\"}"
#define DECIMAL(precision, scale)                                                                  \
    "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":" #precision                    \
    ",\"scale\":" #scale "}"
#define ENUM(symbols) "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[" symbols "]}"
#define FIXED(size, more) "{\"type\":\"fixed\",\"name\":\"F\",\"size\":" #size more "}"
#define ARRAY(items) "{\"type\":\"array\",\"items\":" items "}"
#define MAP(values) "{\"type\":\"map\",\"values\":" values "}"
#define RECORD(fields) "{\"type\":\"record\",\"name\":\"R\",\"fields\":[" fields "]}"

#endif
