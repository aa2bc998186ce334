/* SPDX-License-Identifier: Apache-2.0
 *
 * For tests: a writer's and a reader's schema, and values that go through them by every way there
 * is: the walk behind `weir schema decode`, both forms of JSON, and the plan, which gets the pair
 * as the field `a` of an event. The ways must agree: what the walk makes of a value, read by the
 * reader's own plan, gives the very rows that the plan of the pair gives. The walk and JSON take it
 * as the one field of a record, which is the same bytes, so that it is nested alike everywhere. */
#ifndef WEIR_TESTS_AVRO_PAIR_H
#define WEIR_TESTS_AVRO_PAIR_H

#include <endian.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "lib/avro/datum.h"
#include "lib/avro/json.h"
#include "lib/avro/plan.h"
#include "tests/unit/avro_event.h"

#define PAIR_META                                                                                  \
    "{\"event_id\":\"0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b\",\"occurred_at\":1,\"received_at\":2,"  \
    "\"fingerprint\":3}"

/* The plan of a pair, as an event's. */
struct pair_plan {
    struct schema_document *writer;
    struct schema_document *reader;
    struct catalog_event event;
    struct catalog_version version;
    struct relation_set *set;
    struct plan *plan; /* NULL: there is none, for `error` */
    struct error error;
    struct buf rows[RELATIONS_PER_EVENT_MAX];
    uint32_t counts[RELATIONS_PER_EVENT_MAX];
};

struct pair {
    struct schema_document *writer;
    struct schema_document *reader;
    struct datum_reader *datums;
    struct pair_plan direct; /* writer → reader */
    struct pair_plan itself; /* reader → reader */
    struct buf meta;
    struct buf value; /* the last one, in the reader's encoding */
    struct buf text;
};

static inline struct schema_document *pair_event_schema(const char *type, struct error *error)
{
    struct schema_document *document = NULL;
    char *text = xasprintf("{\"type\":\"record\",\"name\":\"ThingHappened\",\"fields\":[%s,"
                           "{\"name\":\"a\",\"type\":%s}]}",
                           TEST_META, type);
    schema_parse(text, strlen(text), &document, error);
    free(text);
    return document;
}

/* Whether both are schemas by themselves, and go together. */
static inline int pair_check(const char *writer, const char *reader, struct error *error)
{
    struct schema_document *from = NULL;
    struct schema_document *to = NULL;
    struct datum_reader *datums = NULL;
    int result = schema_parse(writer, strlen(writer), &from, error) == 0 &&
                         schema_parse(reader, strlen(reader), &to, error) == 0 &&
                         datum_open(schema_root(from), schema_root(to), &datums, error) == 0
                     ? 0
                     : -1;
    datum_free(datums);
    schema_free(from);
    schema_free(to);
    return result;
}

/* The record around a value. */
static inline int pair_record_schema(const char *type, struct schema_document **ret_document,
                                     struct error *error)
{
    char *text = xasprintf("{\"type\":\"record\",\"name\":\"ValueOfPair\",\"fields\":["
                           "{\"name\":\"a\",\"type\":%s}]}",
                           type);
    int result = schema_parse(text, strlen(text), ret_document, error);
    free(text);
    return result;
}

static inline void pair_plan_open(struct pair_plan *plan, const char *writer, const char *reader)
{
    plan->writer = pair_event_schema(writer, &plan->error);
    plan->reader = pair_event_schema(reader, &plan->error);
    if (!plan->writer || !plan->reader)
        return;
    plan->version = (struct catalog_version){
        .version = 1, .id = 1, .schema = schema_root(plan->reader), .event = &plan->event};
    plan->event = (struct catalog_event){.name = "ThingHappened",
                                         .relation = "thing_happened",
                                         .domain = "test",
                                         .topic = "weir.test",
                                         .versions = &plan->version,
                                         .version_count = 1};
    if (relation_build(&plan->event, &plan->set, &plan->error) == 0)
        plan_compile(schema_root(plan->writer), plan->set, &plan->plan, &plan->error);
}

static inline void pair_plan_close(struct pair_plan *plan)
{
    plan_free(plan->plan);
    relation_free(plan->set);
    schema_free(plan->writer);
    schema_free(plan->reader);
    for (size_t i = 0; i < RELATIONS_PER_EVENT_MAX; i++)
        buf_free(&plan->rows[i]);
}

static inline void pair_close(struct pair *pair)
{
    pair_plan_close(&pair->direct);
    pair_plan_close(&pair->itself);
    datum_free(pair->datums);
    schema_free(pair->writer);
    schema_free(pair->reader);
    buf_free(&pair->meta);
    buf_free(&pair->value);
    buf_free(&pair->text);
}

/* Returns 0, or -1 with the reason; pair_close either way. */
static inline int pair_open(struct pair *pair, const char *writer, const char *reader,
                            struct error *error)
{
    struct faults faults = {0};
    memset(pair, 0, sizeof *pair);
    pair_plan_open(&pair->direct, writer, reader);
    pair_plan_open(&pair->itself, reader, reader);
    if (pair->direct.writer) {
        const struct schema *meta = schema_root(pair->direct.writer)->fields[0].type;
        json_t *json = json_loads(PAIR_META, 0, NULL);
        avro_from_json(meta, json, &pair->meta, &faults);
        json_decref(json);
    }
    if (pair_check(writer, reader, error) != 0 ||
        pair_record_schema(writer, &pair->writer, error) != 0 ||
        pair_record_schema(reader, &pair->reader, error) != 0)
        return -1;
    return datum_open(schema_root(pair->writer), schema_root(pair->reader), &pair->datums, error);
}

/* Runs a plan over meta and `data`. Returns 0 or -1. */
static inline int pair_plan_run(const struct pair *pair, struct pair_plan *plan, const void *data,
                                size_t size)
{
    struct buf event = {0};
    struct plan_envelope envelope;
    buf_put(&event, pair->meta.data, pair->meta.size);
    if (size > 0)
        buf_put(&event, data, size);
    struct plan_record record = {.avro = (const unsigned char *)event.data,
                                 .avro_size = event.size};
    for (size_t i = 0; i < RELATIONS_PER_EVENT_MAX; i++) {
        plan->rows[i].size = 0;
        plan->counts[i] = 0;
    }
    int result =
        plan_decode(plan->plan, &record, plan->rows, plan->counts, &envelope, &plan->error);
    buf_free(&event);
    return result;
}

static inline uint32_t pair_be32(const char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return be32toh(value);
}

/* Whether two columns are the same; members of a jsonb have no order. */
static inline int pair_same_column(uint32_t oid, const char *left, uint32_t left_size,
                                   const char *right, uint32_t right_size)
{
    enum { JSONB_OID = 3802 };
    if (oid != JSONB_OID || left_size == UINT32_MAX || right_size == UINT32_MAX)
        return left_size == right_size &&
               (left_size == UINT32_MAX || memcmp(left, right, left_size) == 0);
    json_t *one = json_loadb(left + 1, left_size - 1, JSON_DECODE_ANY, NULL);
    json_t *other = json_loadb(right + 1, right_size - 1, JSON_DECODE_ANY, NULL);
    int same = one && other && json_equal(one, other);
    json_decref(one);
    json_decref(other);
    return same;
}

static inline int pair_same_rows(const struct buf *left, const struct buf *right)
{
    const char *one = left->data;
    const char *other = right->data;
    while (one < left->data + left->size && other < right->data + right->size) {
        uint32_t columns = pair_be32(one + 4);
        if (pair_be32(other + 4) != columns)
            return 0;
        one += 8;
        other += 8;
        for (uint32_t i = 0; i < columns; i++) {
            uint32_t one_size = pair_be32(one + 4);
            uint32_t other_size = pair_be32(other + 4);
            if (memcmp(one, other, 4) != 0 ||
                !pair_same_column(pair_be32(one), one + 8, one_size, other + 8, other_size))
                return 0;
            one += 8 + (one_size == UINT32_MAX ? 0 : one_size);
            other += 8 + (other_size == UINT32_MAX ? 0 : other_size);
        }
    }
    return one == left->data + left->size && other == right->data + right->size;
}

/* Whether the plan makes of `data` what the walk made of it (`read`: whether it could). Returns
 * NULL or what is wrong. */
static inline const char *pair_compare_plan(struct pair *pair, const void *data, size_t size,
                                            int read)
{
    struct pair_plan *direct = &pair->direct;
    struct pair_plan *itself = &pair->itself;
    if (!itself->plan) /* no relation holds such a value */
        return NULL;
    if (!direct->plan)
        return "the plan does not compile";
    int planned = pair_plan_run(pair, direct, data, size) == 0;
    if (!read)
        return planned ? "the plan takes a value that cannot be read" : NULL;
    int expected = pair_plan_run(pair, itself, pair->value.data, pair->value.size) == 0;
    if (planned != expected) /* both fail where Postgres has no such value */
        return planned ? "the plan takes a value that it refuses from the reader"
                       : direct->error.message;
    for (size_t i = 0; planned && i < RELATIONS_PER_EVENT_MAX; i++)
        if (direct->counts[i] != itself->counts[i] ||
            !pair_same_rows(&direct->rows[i], &itself->rows[i]))
            return "the plan gives other rows";
    return NULL;
}

/* Reads one value that takes all of `data`, and compares the ways. Returns its JSON, Avro's own, or
 * NULL with the error. `ret_wrong` is NULL or says which ways part. */
static inline json_t *pair_read(struct pair *pair, const void *data, size_t size,
                                const char **ret_wrong, struct error *error)
{
    const struct schema *reader = schema_root(pair->reader);
    size_t used = 0;
    json_t *json = NULL;
    *ret_wrong = NULL;
    buf_reset(&pair->value);
    buf_reset(&pair->text);
    int result = datum_read(pair->datums, data, size, 0, &pair->value, &used, error);
    if (result == 0 && used != size)
        result = error_set(error, ERROR_DEAD_LETTER, "avro-invalid", "bytes are left over");
    if (result == 0) {
        const unsigned char *value = (const unsigned char *)pair->value.data;
        result = avro_to_json(reader, value ? value : (const unsigned char *)"", pair->value.size,
                              AVRO_JSON_TAGGED, &json, error);
        if (result != 0)
            *ret_wrong = "the walk's value is none of the reader's";
    }
    if (!*ret_wrong)
        *ret_wrong = pair_compare_plan(pair, data, size, result == 0);
    if (result != 0)
        return NULL;
    json_t *value = json_incref(json_object_get(json, "a"));
    json_decref(json);
    return value;
}

#endif
