/* SPDX-License-Identifier: Apache-2.0
 *
 * Single values from JSON: each is checked completely before its bytes are appended. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/avro/decimal.h"
#include "lib/avro/encode.h"
#include "lib/avro/json_encode.h"
#include "lib/avro/limits.h"
#include "lib/avro/scalar.h"
#include "lib/base/base64.h"
#include "lib/base/uuid.h"

enum { SYMBOLS_SHOWN = 8 };

/* The text of a JSON string, without NUL, which Postgres cannot hold; otherwise NULL and a
 * fault. */
static const char *text_of(struct encoder *encoder, const json_t *json, const char *expected)
{
    const char *text = json_string_value(json);
    if (!text)
        encoder_fault(encoder, "expected %s", expected);
    else if (strlen(text) != json_string_length(json)) {
        encoder_fault(encoder, "the text has a NUL character");
        text = NULL;
    }
    return text;
}

static int encode_text(struct encoder *encoder, const struct schema *schema, const json_t *json)
{
    int is_uuid = schema->logical == LOGICAL_UUID;
    struct uuid uuid;
    char lower[UUID_TEXT_SIZE + 1];
    const char *text = text_of(encoder, json, is_uuid ? "a UUID" : "a text");
    if (!text)
        return -1;
    if (!is_uuid) {
        if (encoder_check_text(encoder, schema, text, json_string_length(json)) != 0)
            return -1;
        encode_bytes(encoder->out, text, json_string_length(json));
        return 0;
    }
    if (uuid_parse(text, json_string_length(json), &uuid) != 0)
        return encoder_fault(encoder,
                             "expected a UUID such as \"0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b\"");
    uuid_format(&uuid, lower);
    encode_bytes(encoder->out, lower, UUID_TEXT_SIZE);
    return 0;
}

static int encode_integer(struct encoder *encoder, const struct schema *schema, const json_t *json)
{
    const char *expected = scalar_expected(schema);
    int64_t value = json_integer_value(json);
    if (json_is_string(json) && expected) {
        if (scalar_from_text(schema, json_string_value(json), json_string_length(json), &value) !=
            0)
            return encoder_fault(encoder, "expected %s", expected);
    } else if (json_is_real(json)) {
        return encoder_fault(encoder,
                             "expected an integer, not a number with a fraction or exponent");
    } else if (!json_is_integer(json)) {
        return expected ? encoder_fault(encoder, "expected %s, or an integer", expected)
                        : encoder_fault(encoder, "expected an integer");
    }
    if (schema->type == AVRO_INT_TYPE && (value < INT32_MIN || value > INT32_MAX))
        return encoder_fault(encoder, "expected an integer from %d to %d", INT32_MIN, INT32_MAX);
    if (encoder_check_integer(encoder, schema, value) != 0)
        return -1;
    encode_long(encoder->out, value);
    return 0;
}

static int encode_real(struct encoder *encoder, const struct schema *schema, const json_t *json)
{
    double value = json_number_value(json);
    if (!json_is_number(json))
        return encoder_fault(encoder, "expected a number");
    if (encoder_check_real(encoder, schema, value) != 0)
        return -1;
    if (schema->type == AVRO_DOUBLE_TYPE)
        encode_double(encoder->out, value);
    else if (fabs(value) > (double)FLT_MAX)
        return encoder_fault(encoder, "the number is too large for 32 bits");
    else
        encode_float(encoder->out, (float)value);
    return 0;
}

static int encode_enum(struct encoder *encoder, const struct schema *schema, const json_t *json)
{
    char shown[120] = "";
    const char *text = json_string_value(json);
    for (size_t i = 0; text && i < schema->symbol_count; i++) {
        if (strcmp(schema->symbols[i], text) == 0 && strlen(text) == json_string_length(json)) {
            encode_long(encoder->out, (int64_t)i);
            return 0;
        }
    }
    for (size_t i = 0; i < schema->symbol_count && i < SYMBOLS_SHOWN; i++) {
        size_t size = strlen(shown);
        snprintf(shown + size, sizeof shown - size, "%s%s", i ? ", " : "", schema->symbols[i]);
    }
    return encoder_fault(encoder, "expected one of %s%s", shown,
                         schema->symbol_count > SYMBOLS_SHOWN ? ", …" : "");
}

static int encode_duration(struct encoder *encoder, const struct schema *schema, const json_t *json)
{
    static const char *const names[] = {"months", "days", "millis"};
    uint32_t parts[3];
    size_t known = 0;
    for (int i = 0; i < 3; i++) {
        const json_t *part = json_object_get(json, names[i]);
        json_int_t value = json_integer_value(part);
        /* Postgres counts months and days of an interval in 31 bits: limits.c. */
        json_int_t most = i < 2 && schema->limits ? schema->limits->most : UINT32_MAX;
        if ((part && !json_is_integer(part)) || value < 0 || value > most)
            return encoder_fault(encoder, "%s must be an integer from 0 to %lld", names[i],
                                 (long long)most);
        parts[i] = htole32((uint32_t)value);
        known += part != NULL;
    }
    if (!json_is_object(json) || known != json_object_size(json))
        return encoder_fault(encoder, "expected an object of \"months\", \"days\" and \"millis\"");
    buf_put(encoder->out, parts, sizeof parts);
    return 0;
}

/* Appends the bytes that a base64 text or a decimal stands for. */
static int read_bytes(struct encoder *encoder, const struct schema *schema, const json_t *json,
                      struct buf *bytes)
{
    int is_decimal = schema->logical == LOGICAL_DECIMAL;
    const char *text =
        text_of(encoder, json, is_decimal ? "a decimal as a text" : "bytes as base64");
    if (!text)
        return -1;
    if (is_decimal) {
        const char *wrong = decimal_from_text(text, strlen(text), schema->precision, schema->scale,
                                              schema->fixed_size, bytes);
        return wrong ? encoder_fault(encoder, "the value %s (precision %d, scale %d)", wrong,
                                     schema->precision, schema->scale)
                     : 0;
    }
    if (base64_decode(text, strlen(text), bytes) != 0)
        return encoder_fault(encoder, "expected bytes as base64");
    if (schema->type == AVRO_FIXED_TYPE && bytes->size != schema->fixed_size)
        return encoder_fault(encoder, "expected %zu bytes as base64, got %zu", schema->fixed_size,
                             bytes->size);
    return 0;
}

static int encode_raw(struct encoder *encoder, const struct schema *schema, const json_t *json)
{
    struct buf bytes = {0};
    struct uuid uuid;
    if (schema->logical == LOGICAL_DURATION)
        return encode_duration(encoder, schema, json);
    if (schema->logical == LOGICAL_UUID) {
        if (!json_is_string(json) ||
            uuid_parse(json_string_value(json), json_string_length(json), &uuid) != 0)
            return encoder_fault(encoder, "expected a UUID");
        buf_put(encoder->out, uuid.bytes, sizeof uuid.bytes);
        return 0;
    }
    int result = read_bytes(encoder, schema, json, &bytes);
    if (result == 0)
        result = encoder_check_bytes(encoder, schema, bytes.size);
    if (result == 0 && schema->type == AVRO_FIXED_TYPE)
        buf_put(encoder->out, bytes.data, bytes.size);
    else if (result == 0)
        encode_bytes(encoder->out, bytes.data, bytes.size);
    buf_free(&bytes);
    return result;
}

int encoder_scalar(struct encoder *encoder, const struct schema *schema, const json_t *json)
{
    switch (schema->type) {
    case AVRO_NULL_TYPE:
        return json_is_null(json) ? 0 : encoder_fault(encoder, "expected null");
    case AVRO_BOOLEAN_TYPE:
        if (!json_is_boolean(json))
            return encoder_fault(encoder, "expected true or false");
        buf_put_u8(encoder->out, json_is_true(json));
        return 0;
    case AVRO_INT_TYPE:
    case AVRO_LONG_TYPE:
        return encode_integer(encoder, schema, json);
    case AVRO_FLOAT_TYPE:
    case AVRO_DOUBLE_TYPE:
        return encode_real(encoder, schema, json);
    case AVRO_STRING_TYPE:
        return encode_text(encoder, schema, json);
    case AVRO_ENUM_TYPE:
        return encode_enum(encoder, schema, json);
    default: /* bytes, fixed */
        return encode_raw(encoder, schema, json);
    }
}

int encoder_kind_fits(const struct schema *schema, const json_t *json)
{
    switch (schema->type) {
    case AVRO_NULL_TYPE:
        return json_is_null(json);
    case AVRO_BOOLEAN_TYPE:
        return json_is_boolean(json);
    case AVRO_INT_TYPE:
    case AVRO_LONG_TYPE:
        return json_is_integer(json) || (json_is_string(json) && scalar_expected(schema));
    case AVRO_FLOAT_TYPE:
    case AVRO_DOUBLE_TYPE:
        return json_is_number(json);
    case AVRO_BYTES_TYPE:
    case AVRO_STRING_TYPE:
    case AVRO_ENUM_TYPE:
        return json_is_string(json);
    case AVRO_FIXED_TYPE:
        return schema->logical == LOGICAL_DURATION ? json_is_object(json) : json_is_string(json);
    case AVRO_ARRAY_TYPE:
        return json_is_array(json);
    case AVRO_RECORD_TYPE:
    case AVRO_MAP_TYPE:
        return json_is_object(json);
    case AVRO_UNION_TYPE:
        break;
    }
    return 0;
}
