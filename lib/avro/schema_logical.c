/* SPDX-License-Identifier: Apache-2.0
 *
 * Logical types. As the specification demands, one that is unknown or does not fit its base type is
 * ignored and the base type stands. */
#include <string.h>

#include "lib/avro/schema_parse.h"

static const struct {
    const char *name;
    enum avro_type type;
    size_t fixed_size; /* 0: any */
    enum avro_logical logical;
} kinds[] = {
    {"decimal", AVRO_BYTES_TYPE, 0, LOGICAL_DECIMAL},
    {"decimal", AVRO_FIXED_TYPE, 0, LOGICAL_DECIMAL},
    {"uuid", AVRO_STRING_TYPE, 0, LOGICAL_UUID},
    {"uuid", AVRO_FIXED_TYPE, 16, LOGICAL_UUID},
    {"date", AVRO_INT_TYPE, 0, LOGICAL_DATE},
    {"time-millis", AVRO_INT_TYPE, 0, LOGICAL_TIME_MILLIS},
    {"time-micros", AVRO_LONG_TYPE, 0, LOGICAL_TIME_MICROS},
    {"timestamp-millis", AVRO_LONG_TYPE, 0, LOGICAL_TIMESTAMP_MILLIS},
    {"timestamp-micros", AVRO_LONG_TYPE, 0, LOGICAL_TIMESTAMP_MICROS},
    {"timestamp-nanos", AVRO_LONG_TYPE, 0, LOGICAL_TIMESTAMP_NANOS},
    {"local-timestamp-millis", AVRO_LONG_TYPE, 0, LOGICAL_LOCAL_TIMESTAMP_MILLIS},
    {"local-timestamp-micros", AVRO_LONG_TYPE, 0, LOGICAL_LOCAL_TIMESTAMP_MICROS},
    {"local-timestamp-nanos", AVRO_LONG_TYPE, 0, LOGICAL_LOCAL_TIMESTAMP_NANOS},
    {"duration", AVRO_FIXED_TYPE, 12, LOGICAL_DURATION},
};

const char *schema_logical_name(enum avro_logical logical)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].logical == logical)
            return kinds[i].name;
    return "";
}

/* The decimal digits that any `size` bytes of two's complement can hold. */
static json_int_t digits_of_bytes(size_t size)
{
    return size ? (json_int_t)((double)(size * 8 - 1) * 0.30102999566398120) : 0;
}

static int parse_decimal(struct schema_parser *parser, struct schema *schema, const json_t *json)
{
    const json_t *scale_json = json_object_get(json, "scale");
    json_int_t precision = json_integer_value(json_object_get(json, "precision"));
    json_int_t scale = json_integer_value(scale_json);
    if (precision < 1 || scale < 0 || scale > precision ||
        (scale_json && !json_is_integer(scale_json)) ||
        (schema->type == AVRO_FIXED_TYPE && precision > digits_of_bytes(schema->fixed_size)))
        return 0;
    if (precision > DECIMAL_DIGITS_MAX)
        return schema_parse_fail(parser, "a decimal has at most %d digits", DECIMAL_DIGITS_MAX);
    schema->logical = LOGICAL_DECIMAL;
    schema->precision = (int)precision;
    schema->scale = (int)scale;
    return 0;
}

int schema_parse_logical(struct schema_parser *parser, struct schema *schema, const json_t *json)
{
    const char *name = json_string_value(json_object_get(json, "logicalType"));
    if (!name)
        return 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].name, name) != 0 || kinds[i].type != schema->type ||
            (kinds[i].fixed_size && kinds[i].fixed_size != schema->fixed_size))
            continue;
        if (kinds[i].logical == LOGICAL_DECIMAL)
            return parse_decimal(parser, schema, json);
        schema->logical = kinds[i].logical;
    }
    return 0;
}
