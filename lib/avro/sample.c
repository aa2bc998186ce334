/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks the schema and throws dice. What a field is called says more than its type: identifiers are
 * drawn from the pool of their name, currencies from a few, shares stay below one. Limits of a
 * contract are kept. A record that holds itself ends early, by nulls and empty lists. */
#include "lib/avro/sample.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/avro/limits.h"
#include "lib/avro/scalar.h"
#include "lib/base/base64.h"
#include "lib/base/timestamp.h"
#include "lib/base/uuid.h"

enum {
    SAMPLE_DEPTH_SOFT = 6, /* from here on what can be null or empty is */
    SAMPLE_DEPTH_MAX = SCHEMA_DEPTH_MAX,
    SAMPLE_ITEMS_MAX = 4,
    SAMPLE_AMOUNT_MAX = 10000,
    SAMPLE_TRIES_MAX = 20 /* for a text that matches its pattern */
};

static const int64_t SAMPLE_SPAN_US = INT64_C(90) * 86400 * 1000000;

/* What is being made, under which name. */
struct maker {
    struct sample *sample;
    const char *name;
    int depth;
};

static json_t *make_value(struct maker *maker, const struct schema *schema);

/* splitmix64 (Steele, Lea, Flood 2014) */
uint64_t sample_next(struct sample *sample)
{
    uint64_t mixed = sample->state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

static int below(struct maker *maker, int limit)
{
    return limit > 0 ? (int)(sample_next(maker->sample) % (uint64_t)limit) : 0;
}

static uint64_t next_of(void *context)
{
    return sample_next(context);
}

static int ends_with(const char *text, const char *end)
{
    size_t size = strlen(text);
    size_t end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static json_t *make_uuid(struct maker *maker)
{
    char name[200];
    char text[UUID_TEXT_SIZE + 1];
    int pool = maker->sample->pool_size > 0 ? maker->sample->pool_size : 1;
    snprintf(name, sizeof name, "sample/%s/%d", maker->name, below(maker, pool));
    struct uuid uuid = uuid_v5(name, strlen(name));
    uuid_format(&uuid, text);
    return json_string(text);
}

/* What is made of a pattern nearly always matches; what does not is told by who encodes it. */
static json_t *make_matching(struct maker *maker, const struct limits *limits)
{
    struct buf text = {0};
    for (int i = 0; i < SAMPLE_TRIES_MAX; i++) {
        buf_reset(&text);
        pattern_make(limits->pattern, next_of, maker->sample, &text);
        if (limits_characters(text.data, text.size) <= limits->length_max &&
            pattern_matches(limits->pattern, buf_text(&text)))
            break;
    }
    json_t *value = json_string(buf_text(&text));
    buf_free(&text);
    return value;
}

/* Cuts a text behind so many characters. */
static json_t *cut(json_t *value, int64_t characters)
{
    const char *text = json_string_value(value);
    size_t size = json_string_length(value);
    while (size > 0 && limits_characters(text, size) > characters)
        size--;
    while (text[size] && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    json_t *shorter = json_stringn(text, size);
    json_decref(value);
    return shorter;
}

static json_t *make_text(struct maker *maker, const struct schema *schema)
{
    const struct limits *limits = schema->limits;
    static const char *const currencies[] = {"EUR", "USD", "GBP"};
    static const char *const words[] = {"amber", "birch", "cedar", "dune",
                                        "ember", "fjord", "größe", "日本"};
    if (ends_with(maker->name, "currency"))
        return json_string(currencies[below(maker, 3)]);
    if (limits && limits->pattern)
        return make_matching(maker, limits);
    json_t *text =
        json_sprintf("%s %s %d", maker->name, words[below(maker, 8)], below(maker, 1000));
    return limits ? cut(text, limits->length_max) : text;
}

static json_t *make_timestamp(struct maker *maker, const char *end)
{
    char text[TIMESTAMP_TEXT_SIZE + 1];
    int64_t back = (int64_t)(sample_next(maker->sample) % (uint64_t)SAMPLE_SPAN_US);
    timestamp_format(maker->sample->now_us - back, text);
    text[TIMESTAMP_TEXT_SIZE - 1] = '\0';
    return json_sprintf("%s%s", text, end);
}

static json_t *make_usual(struct maker *maker, const struct schema *schema)
{
    char text[TIMESTAMP_TEXT_SIZE + 1];
    switch (schema->logical) {
    case LOGICAL_DATE:
        timestamp_format(maker->sample->now_us - (int64_t)below(maker, 90) * INT64_C(86400000000),
                         text);
        return json_stringn(text, 10);
    case LOGICAL_TIME_MILLIS:
        return json_integer(below(maker, 86400000));
    case LOGICAL_TIME_MICROS:
        return json_integer((json_int_t)below(maker, 86400000) * 1000);
    case LOGICAL_TIMESTAMP_MILLIS:
    case LOGICAL_TIMESTAMP_MICROS:
    case LOGICAL_TIMESTAMP_NANOS:
        return make_timestamp(maker, "Z");
    case LOGICAL_LOCAL_TIMESTAMP_MILLIS:
    case LOGICAL_LOCAL_TIMESTAMP_MICROS:
    case LOGICAL_LOCAL_TIMESTAMP_NANOS:
        return make_timestamp(maker, "");
    default:
        break;
    }
    if (ends_with(maker->name, "quantity") || ends_with(maker->name, "count"))
        return json_integer(1 + below(maker, 5));
    if (ends_with(maker->name, "_bps")) /* hundredths of a percent, and no share above a quarter */
        return json_integer(100 * below(maker, 26));
    return json_integer(1 + below(maker, SAMPLE_AMOUNT_MAX));
}

/* The usual number of such a name, or where the limits do not take it, any that they do. */
static json_t *make_integer(struct maker *maker, const struct schema *schema)
{
    const struct limits *limits = schema->limits;
    int64_t value;
    json_t *usual = make_usual(maker, schema);
    if (!limits || !(limits->minimum || limits->maximum))
        return usual;
    if (json_is_string(usual) &&
        scalar_from_text(schema, json_string_value(usual), json_string_length(usual), &value) != 0)
        return usual;
    if (json_is_integer(usual))
        value = json_integer_value(usual);
    if (value >= limits->least && value <= limits->most)
        return usual;
    uint64_t span = (uint64_t)limits->most - (uint64_t)limits->least;
    uint64_t drawn = sample_next(maker->sample);
    json_decref(usual);
    return json_integer(
        (int64_t)((uint64_t)limits->least + (span == UINT64_MAX ? drawn : drawn % (span + 1))));
}

static json_t *make_real(struct maker *maker, const struct schema *schema)
{
    const struct limits *limits = schema->limits;
    double value = below(maker, SAMPLE_AMOUNT_MAX) / 8.0; /* exact in 32 bits too */
    if (limits && (value < limits->real_least || value > limits->real_most))
        value = isfinite(limits->real_least) ? limits->real_least : limits->real_most;
    return json_real(value);
}

static json_t *make_decimal(struct maker *maker, const struct schema *schema)
{
    char digits[8];
    struct buf text = {0};
    int whole = schema->precision - schema->scale;
    snprintf(digits, sizeof digits, "%d", below(maker, SAMPLE_AMOUNT_MAX));
    buf_printf(&text, "%s%.*s", below(maker, 4) ? "" : "-", whole > 4 ? 4 : whole, digits);
    if (whole == 0)
        buf_put_u8(&text, '0');
    if (schema->scale > 0)
        buf_printf(&text, ".%d", below(maker, 10));
    json_t *value = json_stringn(text.data, text.size);
    buf_free(&text);
    return value;
}

static json_t *make_bytes(struct maker *maker, const struct schema *schema)
{
    struct buf bytes = {0};
    struct buf text = {0};
    if (schema->logical == LOGICAL_DECIMAL)
        return make_decimal(maker, schema);
    if (schema->logical == LOGICAL_UUID)
        return make_uuid(maker);
    if (schema->logical == LOGICAL_DURATION)
        return json_pack("{s:i,s:i,s:i}", "months", below(maker, 12), "days", below(maker, 31),
                         "millis", below(maker, 86400000));
    size_t size = schema->type == AVRO_FIXED_TYPE ? schema->fixed_size : (size_t)below(maker, 12);
    if (schema->limits && size > (size_t)schema->limits->length_max)
        size = (size_t)schema->limits->length_max;
    for (size_t i = 0; i < size; i++)
        buf_put_u8(&bytes, (uint8_t)sample_next(maker->sample));
    base64_encode(bytes.data, bytes.size, &text);
    json_t *value = json_stringn(text.data ? text.data : "", text.size);
    buf_free(&bytes);
    buf_free(&text);
    return value;
}

static json_t *make_fields(struct maker *maker, const struct schema *record, size_t first)
{
    const char *outer = maker->name;
    json_t *object = json_object();
    for (size_t i = first; i < record->field_count; i++) {
        const struct schema_field *field = &record->fields[i];
        /* What has a default is left to it now and then. */
        if (field->preset && below(maker, 8) == 0)
            continue;
        maker->name = field->name;
        json_object_set_new(object, field->name, make_value(maker, field->type));
    }
    maker->name = outer;
    return object;
}

static json_t *make_key(const struct limits *limits, struct maker *maker, int number)
{
    if (limits && limits->pattern)
        return make_matching(maker, limits);
    json_t *key = json_sprintf("%dkey", number); /* cut, it is still its own */
    return limits ? cut(key, limits->length_max) : key;
}

static json_t *make_collection(struct maker *maker, const struct schema *schema)
{
    int is_map = schema->type == AVRO_MAP_TYPE;
    json_t *collection = is_map ? json_object() : json_array();
    int count = maker->depth >= SAMPLE_DEPTH_SOFT || below(maker, 10) == 0
                    ? 0
                    : 1 + below(maker, SAMPLE_ITEMS_MAX);
    if (schema->limits && count > schema->limits->items_max)
        count = (int)schema->limits->items_max;
    for (int i = 0; i < count; i++) {
        json_t *item = make_value(maker, schema->items);
        if (is_map) {
            json_t *key = make_key(schema->limits, maker, i);
            json_object_set_new(collection, json_string_value(key), item);
            json_decref(key);
        } else {
            json_array_append_new(collection, item);
        }
    }
    return collection;
}

static json_t *make_union(struct maker *maker, const struct schema *schema)
{
    for (size_t i = 0; i < schema->branch_count; i++)
        if (schema->branches[i]->type == AVRO_NULL_TYPE &&
            (maker->depth >= SAMPLE_DEPTH_SOFT || below(maker, 3) == 0))
            return json_null();
    return make_value(maker, schema->branches[below(maker, (int)schema->branch_count)]);
}

static json_t *make_by_type(struct maker *maker, const struct schema *schema)
{
    switch (schema->type) {
    case AVRO_NULL_TYPE:
        break;
    case AVRO_BOOLEAN_TYPE:
        return json_boolean(below(maker, 2));
    case AVRO_INT_TYPE:
    case AVRO_LONG_TYPE:
        return make_integer(maker, schema);
    case AVRO_FLOAT_TYPE:
    case AVRO_DOUBLE_TYPE:
        return make_real(maker, schema);
    case AVRO_BYTES_TYPE:
    case AVRO_FIXED_TYPE:
        return make_bytes(maker, schema);
    case AVRO_STRING_TYPE:
        return schema->logical == LOGICAL_UUID ? make_uuid(maker) : make_text(maker, schema);
    case AVRO_RECORD_TYPE:
        return make_fields(maker, schema, 0);
    case AVRO_ENUM_TYPE:
        return json_string(schema->symbols[below(maker, (int)schema->symbol_count)]);
    case AVRO_ARRAY_TYPE:
    case AVRO_MAP_TYPE:
        return make_collection(maker, schema);
    case AVRO_UNION_TYPE:
        return make_union(maker, schema);
    }
    return json_null();
}

static json_t *make_value(struct maker *maker, const struct schema *schema)
{
    if (maker->depth == SAMPLE_DEPTH_MAX) /* only a record that must hold itself comes here */
        return json_null();
    maker->depth++;
    json_t *value = make_by_type(maker, schema);
    maker->depth--;
    return value;
}

json_t *sample_event(struct sample *sample, const struct schema *record)
{
    struct maker maker = {.sample = sample, .name = ""};
    return make_fields(&maker, record, 1);
}
