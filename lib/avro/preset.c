/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks schema and JSON side by side. Defaults of bytes and fixed are texts whose characters U+0000
 * to U+00FF stand for bytes; fields that a record's default leaves out take their own defaults,
 * which is why depth and work are bounded. */
#include "lib/avro/preset.h"

#include <string.h>

#include "lib/avro/encode.h"
#include "lib/base/uuid.h"

struct preset {
    struct buf *out;
    struct error *error;
    int depth;
    int values;
};

static int encode_value(struct preset *preset, const struct schema *schema, const json_t *json);

static int fail(struct preset *preset, const char *expected)
{
    return error_set(preset->error, ERROR_USAGE, "schema-invalid", "the default is not %s",
                     expected);
}

/* Appends the bytes that the characters of `text` stand for. Returns their count, or -1 for one
 * above U+00FF. */
static int put_latin(struct buf *out, const char *text, size_t size)
{
    int count = 0;
    for (size_t i = 0; i < size; i++, count++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x80) {
            if (c > 0xc3 || i + 1 == size)
                return -1;
            c = (unsigned char)(c << 6 | (text[++i] & 0x3f));
        }
        buf_put_u8(out, c);
    }
    return count;
}

static int encode_latin(struct preset *preset, const struct schema *schema, const json_t *json)
{
    struct buf bytes = {0};
    int count = json_is_string(json)
                    ? put_latin(&bytes, json_string_value(json), json_string_length(json))
                    : -1;
    int result = 0;
    if (count < 0 || (schema->type == AVRO_FIXED_TYPE && (size_t)count != schema->fixed_size))
        result = fail(preset, schema->type == AVRO_FIXED_TYPE
                                  ? "a text of as many bytes as the fixed has"
                                  : "a text of characters up to U+00FF");
    else if (schema->type == AVRO_FIXED_TYPE)
        buf_put(preset->out, bytes.data, bytes.size);
    else
        encode_bytes(preset->out, bytes.data, bytes.size);
    buf_free(&bytes);
    return result;
}

static int encode_text(struct preset *preset, const struct schema *schema, const json_t *json)
{
    struct uuid uuid;
    if (!json_is_string(json))
        return fail(preset, "a text");
    if (memchr(json_string_value(json), '\0', json_string_length(json)))
        return fail(preset, "a text without \\u0000");
    if (schema->logical == LOGICAL_UUID &&
        uuid_parse(json_string_value(json), json_string_length(json), &uuid) != 0)
        return fail(preset, "a UUID");
    encode_bytes(preset->out, json_string_value(json), json_string_length(json));
    return 0;
}

static int encode_integer(struct preset *preset, const struct schema *schema, const json_t *json)
{
    json_int_t value = json_integer_value(json);
    if (!json_is_integer(json))
        return fail(preset, "an integer");
    if (schema->type == AVRO_INT_TYPE && (value < INT32_MIN || value > INT32_MAX))
        return fail(preset, "an integer of 32 bits");
    encode_long(preset->out, value);
    return 0;
}

static int encode_real(struct preset *preset, const struct schema *schema, const json_t *json)
{
    if (!json_is_number(json))
        return fail(preset, "a number");
    if (schema->type == AVRO_FLOAT_TYPE)
        encode_float(preset->out, (float)json_number_value(json));
    else
        encode_double(preset->out, json_number_value(json));
    return 0;
}

static int encode_enum(struct preset *preset, const struct schema *schema, const json_t *json)
{
    for (size_t i = 0; json_is_string(json) && i < schema->symbol_count; i++) {
        if (strlen(schema->symbols[i]) == json_string_length(json) &&
            strcmp(schema->symbols[i], json_string_value(json)) == 0) {
            encode_long(preset->out, (int64_t)i);
            return 0;
        }
    }
    return fail(preset, "one of the symbols");
}

static int encode_record(struct preset *preset, const struct schema *schema, const json_t *json)
{
    size_t used = 0;
    if (!json_is_object(json))
        return fail(preset, "an object");
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct schema_field *field = &schema->fields[i];
        const json_t *value = json_object_get(json, field->name);
        used += value != NULL;
        if (!value && !field->preset)
            return error_set(preset->error, ERROR_USAGE, "schema-invalid",
                             "the default lacks the field \"%s\"", field->name);
        if (encode_value(preset, field->type, value ? value : field->preset) != 0)
            return -1;
    }
    return used == json_object_size(json) ? 0 : fail(preset, "free of unknown fields");
}

static int encode_array(struct preset *preset, const struct schema *schema, const json_t *json)
{
    if (!json_is_array(json))
        return fail(preset, "an array");
    if (json_array_size(json) > 0)
        encode_long(preset->out, (int64_t)json_array_size(json));
    for (size_t i = 0; i < json_array_size(json); i++)
        if (encode_value(preset, schema->items, json_array_get(json, i)) != 0)
            return -1;
    encode_long(preset->out, 0);
    return 0;
}

static int encode_map(struct preset *preset, const struct schema *schema, const json_t *json)
{
    const char *key;
    json_t *value;
    if (!json_is_object(json))
        return fail(preset, "an object");
    if (json_object_size(json) > 0)
        encode_long(preset->out, (int64_t)json_object_size(json));
    json_object_foreach((json_t *)json, key, value)
    {
        encode_bytes(preset->out, key, strlen(key));
        if (encode_value(preset, schema->items, value) != 0)
            return -1;
    }
    encode_long(preset->out, 0);
    return 0;
}

/* "The first schema that matches in the union." Why those before it do not is no error. */
static int encode_union(struct preset *preset, const struct schema *schema, const json_t *json)
{
    size_t before = preset->out->size;
    struct error *outer = preset->error;
    struct error tried;
    int result = -1;
    preset->error = &tried;
    for (size_t i = 0; i < schema->branch_count && result != 0; i++) {
        preset->out->size = before;
        encode_long(preset->out, (int64_t)i);
        result = encode_value(preset, schema->branches[i], json);
    }
    preset->error = outer;
    return result == 0 ? 0 : fail(preset, "of any type of the union");
}

static int encode_by_type(struct preset *preset, const struct schema *schema, const json_t *json)
{
    switch (schema->type) {
    case AVRO_NULL_TYPE:
        return json_is_null(json) ? 0 : fail(preset, "null");
    case AVRO_BOOLEAN_TYPE:
        if (!json_is_boolean(json))
            return fail(preset, "true or false");
        buf_put_u8(preset->out, json_is_true(json));
        return 0;
    case AVRO_INT_TYPE:
    case AVRO_LONG_TYPE:
        return encode_integer(preset, schema, json);
    case AVRO_FLOAT_TYPE:
    case AVRO_DOUBLE_TYPE:
        return encode_real(preset, schema, json);
    case AVRO_BYTES_TYPE:
    case AVRO_FIXED_TYPE:
        return encode_latin(preset, schema, json);
    case AVRO_STRING_TYPE:
        return encode_text(preset, schema, json);
    case AVRO_RECORD_TYPE:
        return encode_record(preset, schema, json);
    case AVRO_ENUM_TYPE:
        return encode_enum(preset, schema, json);
    case AVRO_ARRAY_TYPE:
        return encode_array(preset, schema, json);
    case AVRO_MAP_TYPE:
        return encode_map(preset, schema, json);
    case AVRO_UNION_TYPE:
        return encode_union(preset, schema, json);
    }
    return fail(preset, "of a known type");
}

static int encode_value(struct preset *preset, const struct schema *schema, const json_t *json)
{
    if (++preset->values > PRESET_VALUES_MAX)
        return fail(preset, "small enough");
    if (preset->depth == SCHEMA_DEPTH_MAX)
        return fail(preset, "shallow enough");
    preset->depth++;
    int result = encode_by_type(preset, schema, json);
    preset->depth--;
    return result;
}

int preset_encode(const struct schema *schema, const json_t *json, struct buf *out,
                  struct error *error)
{
    struct preset preset = {.out = out, .error = error};
    return encode_value(&preset, schema, json);
}
