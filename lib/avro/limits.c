/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads the attributes of limits while a contract is parsed. Dates and times have bounds of their
 * own, which Postgres and the text forms can hold; enums, UUIDs, fixed, booleans and decimals are
 * bounded by what they are. Everything else has to say its limits. */
#include "lib/avro/limits.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/avro/scalar.h"
#include "lib/avro/schema_parse.h"
#include "lib/base/nearest.h"

#define BIT(type) (1u << (type))

enum said {
    SAID_LENGTH = 1,
    SAID_PATTERN = 2,
    SAID_ITEMS = 4,
    SAID_MINIMUM = 8,
    SAID_MAXIMUM = 16,
    SAID_UNLIMITED = 32
};

enum {
    INTEGERS = BIT(AVRO_INT_TYPE) | BIT(AVRO_LONG_TYPE),
    NUMBERS = INTEGERS | BIT(AVRO_FLOAT_TYPE) | BIT(AVRO_DOUBLE_TYPE),
    TEXTS = BIT(AVRO_STRING_TYPE) | BIT(AVRO_MAP_TYPE),
    COLLECTIONS = BIT(AVRO_ARRAY_TYPE) | BIT(AVRO_MAP_TYPE)
};

static const struct attribute {
    const char *name;
    unsigned types;
    unsigned said;
} attributes[] = {
    {"x-length-max", TEXTS | BIT(AVRO_BYTES_TYPE), SAID_LENGTH},
    {"x-pattern", TEXTS, SAID_PATTERN},
    {"x-items-max", COLLECTIONS, SAID_ITEMS},
    {"x-minimum", NUMBERS, SAID_MINIMUM},
    {"x-maximum", NUMBERS, SAID_MAXIMUM},
    {"x-unlimited", TEXTS | NUMBERS | COLLECTIONS | BIT(AVRO_BYTES_TYPE), SAID_UNLIMITED},
    {"x-pii", 0, 0}, /* read elsewhere */
    {"x-ingest", 0, 0},
};

enum { ATTRIBUTES = sizeof attributes / sizeof *attributes };

int64_t limits_characters(const char *text, size_t size)
{
    int64_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

/* Bounds that a value has by what it is: the years 1 to 9999, a day, and for the months and days of
 * a duration what Postgres can hold. */
static void own_bounds(const struct schema *schema, struct limits *limits)
{
    static const int64_t day_us = INT64_C(86400000000);
    static const int64_t first_day = -719162, last_day = 2932896; /* 0001-01-01, 9999-12-31 */
    int unit = scalar_unit(schema->logical);
    limits->least = schema->type == AVRO_INT_TYPE ? INT32_MIN : INT64_MIN;
    limits->most = schema->type == AVRO_INT_TYPE ? INT32_MAX : INT64_MAX;
    if (schema->logical == LOGICAL_DURATION) {
        limits->least = 0;
        limits->most = INT32_MAX;
    } else if (schema->logical == LOGICAL_DATE) {
        limits->least = first_day;
        limits->most = last_day;
    } else if (schema->logical == LOGICAL_TIME_MILLIS || schema->logical == LOGICAL_TIME_MICROS) {
        limits->least = 0;
        limits->most = day_us / (unit < 0 ? -unit : 1) - 1;
    } else if (unit == 1 || unit < 0) { /* nanoseconds end before Postgres does */
        limits->least = first_day * day_us / (unit < 0 ? -unit : 1);
        limits->most = (last_day + 1) * day_us / (unit < 0 ? -unit : 1) - 1;
    }
}

static struct limits *limits_of(const struct schema_parser *parser, struct schema *schema)
{
    if (!schema->limits) {
        struct limits *limits = arena_alloc(parser->arena, sizeof *limits);
        limits->length_max = limits->items_max = INT64_MAX;
        limits->real_least = -INFINITY;
        limits->real_most = INFINITY;
        own_bounds(schema, limits);
        schema->limits = limits;
    }
    return schema->limits;
}

/* A type that needs no limits. */
static int is_bounded(const struct schema *schema)
{
    return schema->logical != LOGICAL_NONE ||
           !(BIT(schema->type) & (TEXTS | NUMBERS | COLLECTIONS | BIT(AVRO_BYTES_TYPE)));
}

static int read_count(struct schema_parser *parser, const char *name, const json_t *value,
                      int64_t *ret_count)
{
    json_int_t count = json_integer_value(value);
    if (!json_is_integer(value) || count < 0 || count > LIMITS_COUNT_MAX)
        return schema_parse_fail(parser, "%s must be an integer from 0 to %d", name,
                                 LIMITS_COUNT_MAX);
    *ret_count = count;
    return 0;
}

static int read_pattern(struct schema_parser *parser, const json_t *value, struct limits *limits)
{
    struct error error;
    if (!json_is_string(value))
        return schema_parse_fail(parser, "x-pattern must be a text");
    if (pattern_compile(json_string_value(value), &limits->pattern, &error) != 0)
        return schema_parse_fail(parser, "x-pattern: %s", error.message);
    buf_put(parser->patterns, &limits->pattern, sizeof limits->pattern);
    return 0;
}

/* A bound narrows what the type has by itself; beyond that it could never be reached. */
static int read_bound(struct schema_parser *parser, const struct schema *schema, const char *name,
                      const json_t *value, int lower)
{
    struct limits *limits = schema->limits;
    const char *expected = scalar_expected(schema);
    int64_t bound = json_integer_value(value);
    if (lower)
        limits->minimum = value;
    else
        limits->maximum = value;
    *(lower ? &limits->real_least : &limits->real_most) = json_number_value(value);
    if (!(BIT(schema->type) & INTEGERS))
        return json_is_number(value) ? 0 : schema_parse_fail(parser, "%s must be a number", name);
    if (!json_is_integer(value) && !(expected && json_is_string(value) &&
                                     scalar_from_text(schema, json_string_value(value),
                                                      json_string_length(value), &bound) == 0))
        return schema_parse_fail(parser, "%s must be an integer%s%s", name, expected ? " or " : "",
                                 expected ? expected : "");
    struct limits own;
    own_bounds(schema, &own);
    if (bound < own.least || bound > own.most)
        return schema_parse_fail(parser, "%s is beyond what the type can be", name);
    *(lower ? &limits->least : &limits->most) = bound;
    return 0;
}

static int read_attribute(struct schema_parser *parser, struct schema *schema,
                          const struct attribute *attribute, const json_t *value)
{
    struct limits *limits = limits_of(parser, schema);
    if (limits->said & attribute->said)
        return schema_parse_fail(parser, "%s stands at the field and in its type", attribute->name);
    limits->said |= attribute->said;
    switch (attribute->said) {
    case SAID_LENGTH:
        return read_count(parser, attribute->name, value, &limits->length_max);
    case SAID_ITEMS:
        return read_count(parser, attribute->name, value, &limits->items_max);
    case SAID_PATTERN:
        return read_pattern(parser, value, limits);
    case SAID_UNLIMITED:
        limits->unlimited = json_is_true(value);
        return limits->unlimited ? 0 : schema_parse_fail(parser, "x-unlimited can only be true");
    default:
        return read_bound(parser, schema, attribute->name, value, attribute->said == SAID_MINIMUM);
    }
}

static int fail_unknown(struct schema_parser *parser, const char *name)
{
    size_t nearest = 0;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < ATTRIBUTES; i++) {
        size_t far = nearest_distance(name, attributes[i].name);
        if (far < least) {
            least = far;
            nearest = i;
        }
    }
    if (nearest_plausible(name, least))
        return schema_parse_fail(parser, "there is no attribute %s; did you mean %s?", name,
                                 attributes[nearest].name);
    return schema_parse_fail(parser, "there is no attribute %s", name);
}

/* Why an attribute cannot be of the type. */
static int fail_type(struct schema_parser *parser, const struct schema *schema, const char *name)
{
    if (schema->type == AVRO_UNION_TYPE)
        return schema_parse_fail(parser,
                                 "%s: the type is a union of several; say it in the one that is "
                                 "meant, {\"type\": \"string\", \"%s\": …}",
                                 name, name);
    if (schema->logical != LOGICAL_NONE)
        return schema_parse_fail(
            parser, "%s is no attribute of %s (%s), which is bounded by itself", name,
            schema_type_name(schema->type), schema_logical_name(schema->logical));
    return schema_parse_fail(parser, "%s is no attribute of %s", name,
                             schema_type_name(schema->type));
}

int limits_read(struct schema_parser *parser, const struct schema *type, const json_t *json)
{
    const char *name;
    json_t *value;
    const struct schema *inside = schema_optional(type);
    struct schema *schema = (struct schema *)(uintptr_t)(inside ? inside : type);
    json_object_foreach((json_t *)json, name, value)
    {
        size_t i = 0;
        if (strncmp(name, "x-", 2) != 0)
            continue;
        while (i < ATTRIBUTES && strcmp(attributes[i].name, name) != 0)
            i++;
        if (i == ATTRIBUTES)
            return fail_unknown(parser, name);
        if (attributes[i].said == 0)
            continue;
        int bound = (attributes[i].said & (SAID_MINIMUM | SAID_MAXIMUM)) != 0;
        if (!(BIT(schema->type) & attributes[i].types) || (is_bounded(schema) && !bound))
            return fail_type(parser, schema, name);
        if (read_attribute(parser, schema, &attributes[i], value) != 0)
            return -1;
    }
    return 0;
}

/* Which attribute the node lacks, or NULL. */
static const char *lacking(const struct schema *schema)
{
    unsigned said = schema->limits ? schema->limits->said : 0;
    unsigned types = BIT(schema->type);
    if (said & SAID_UNLIMITED || is_bounded(schema))
        return NULL;
    if (types & COLLECTIONS && !(said & SAID_ITEMS))
        return "\"x-items-max\": N";
    if (types & (TEXTS | BIT(AVRO_BYTES_TYPE)) && !(said & SAID_LENGTH))
        return schema->type == AVRO_MAP_TYPE ? "\"x-length-max\": N, which is that of its keys"
                                             : "\"x-length-max\": N";
    if (types & NUMBERS && (said & SAID_MINIMUM) == 0)
        return "\"x-minimum\": N";
    return types & NUMBERS && (said & SAID_MAXIMUM) == 0 ? "\"x-maximum\": N" : NULL;
}

static int check_node(struct schema_parser *parser, struct schema *schema)
{
    int bounds = BIT(schema->type) & INTEGERS || schema->logical == LOGICAL_DURATION;
    const struct limits *limits = bounds ? limits_of(parser, schema) : schema->limits;
    const char *missing = lacking(schema);
    if (missing)
        return schema_parse_fail(parser, "the %s has no limit: say %s, or \"x-unlimited\": true",
                                 schema_type_name(schema->type), missing);
    if (!limits)
        return 0;
    if (limits->pattern && !(limits->said & SAID_LENGTH))
        return schema_parse_fail(parser,
                                 "x-pattern needs x-length-max, so that no text is too long "
                                 "to be matched");
    if (limits->pattern &&
        limits->length_max * (int64_t)pattern_steps(limits->pattern) > LIMITS_WORK_MAX)
        return schema_parse_fail(parser,
                                 "x-pattern takes %zu steps for each of x-length-max characters, "
                                 "which is more than %d: make one of them shorter",
                                 pattern_steps(limits->pattern), LIMITS_WORK_MAX);
    if (limits->least > limits->most || limits->real_least > limits->real_most)
        return schema_parse_fail(parser, "x-minimum is above x-maximum");
    return 0;
}

int limits_check(struct schema_parser *parser, const struct schema *schema)
{
    for (size_t i = 0; i < schema->branch_count; i++)
        if (limits_check(parser, schema->branches[i]) != 0)
            return -1;
    if (check_node(parser, (struct schema *)(uintptr_t)schema) != 0)
        return -1;
    if (!schema->items)
        return 0;
    size_t before = path_push(&parser->path, "", schema->type == AVRO_ARRAY_TYPE ? "[]" : "{}");
    int result = limits_check(parser, schema->items);
    if (result == 0)
        path_pop(&parser->path, before);
    return result;
}
