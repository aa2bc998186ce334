/* SPDX-License-Identifier: Apache-2.0
 *
 * Avro binary to JSON, plain as people read it or Avro's own, by the writer's own schema. Every
 * value is owned by its parent as soon as it is made; a NULL on the way back means that the cursor
 * holds the reason. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/avro/decimal.h"
#include "lib/avro/decode.h"
#include "lib/avro/json.h"
#include "lib/avro/path.h"
#include "lib/avro/scalar.h"
#include "lib/base/base64.h"
#include "lib/base/uuid.h"

struct decoder {
    struct cursor cursor;
    int flags;
    struct path path; /* of the value being read, for the error */
    struct buf text;  /* scratch */
};

static json_t *decode_value(struct decoder *decoder, const struct schema *schema);

static json_t *from_text(const struct buf *text)
{
    return json_stringn_nocheck(text->data ? text->data : "", text->size);
}

static json_t *decode_integer(struct decoder *decoder, const struct schema *schema)
{
    char text[SCALAR_TEXT_SIZE];
    int64_t value;
    int result = schema->type == AVRO_INT_TYPE ? cursor_int(&decoder->cursor, &value)
                                               : cursor_long(&decoder->cursor, &value);
    if (result != 0)
        return NULL;
    size_t size = decoder->flags & AVRO_JSON_TAGGED ? 0 : scalar_to_text(schema, value, text);
    return size ? json_stringn_nocheck(text, size) : json_integer(value);
}

static json_t *decode_real(struct decoder *decoder, const struct schema *schema)
{
    float single = 0;
    double value = 0;
    if (schema->type == AVRO_DOUBLE_TYPE) {
        if (cursor_double(&decoder->cursor, &value) != 0)
            return NULL;
    } else {
        if (cursor_float(&decoder->cursor, &single) != 0)
            return NULL;
        value = (double)single;
    }
    if (isnan(value)) /* JSON has no number for these */
        return json_string("NaN");
    return isinf(value) ? json_string(value > 0 ? "Infinity" : "-Infinity") : json_real(value);
}

static json_t *decode_duration(const unsigned char *data)
{
    uint32_t parts[3];
    for (int i = 0; i < 3; i++) {
        memcpy(&parts[i], data + 4 * i, 4);
        parts[i] = le32toh(parts[i]);
    }
    return json_pack("{s:I,s:I,s:I}", "months", (json_int_t)parts[0], "days", (json_int_t)parts[1],
                     "millis", (json_int_t)parts[2]);
}

/* Avro's own form: the characters U+0000 to U+00FF stand for the bytes. */
static json_t *bytes_as_characters(struct decoder *decoder, const unsigned char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] >= 0x80)
            buf_put_u8(&decoder->text, (uint8_t)(0xc0 | data[i] >> 6));
        buf_put_u8(&decoder->text, data[i] < 0x80 ? data[i] : (uint8_t)(0x80 | (data[i] & 0x3f)));
    }
    return from_text(&decoder->text);
}

static json_t *decode_bytes(struct decoder *decoder, const struct schema *schema)
{
    const unsigned char *data;
    size_t size = schema->fixed_size;
    int result = schema->type == AVRO_FIXED_TYPE ? cursor_take(&decoder->cursor, size, &data)
                                                 : cursor_bytes(&decoder->cursor, &data, &size);
    if (result != 0)
        return NULL;
    buf_reset(&decoder->text);
    if (decoder->flags & AVRO_JSON_TAGGED)
        return bytes_as_characters(decoder, data, size);
    if (schema->logical == LOGICAL_DURATION)
        return decode_duration(data);
    if (schema->logical == LOGICAL_UUID) {
        struct uuid uuid;
        char text[UUID_TEXT_SIZE + 1];
        memcpy(uuid.bytes, data, sizeof uuid.bytes);
        uuid_format(&uuid, text);
        return json_string_nocheck(text);
    }
    if (schema->logical != LOGICAL_DECIMAL)
        base64_encode(data, size, &decoder->text);
    else if (decimal_to_text(data, size, schema->scale, &decoder->text) != 0) {
        cursor_fail(&decoder->cursor, "a decimal is too long");
        return NULL;
    }
    return from_text(&decoder->text);
}

static json_t *decode_text(struct decoder *decoder)
{
    const unsigned char *data;
    size_t size;
    if (cursor_text(&decoder->cursor, &data, &size) != 0)
        return NULL;
    return json_stringn_nocheck((const char *)data, size);
}

static json_t *decode_record(struct decoder *decoder, const struct schema *schema)
{
    json_t *object = json_object();
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct schema_field *field = &schema->fields[i];
        size_t before = path_push(&decoder->path, ".", field->name);
        json_t *value = decode_value(decoder, field->type);
        if (!value) { /* the path stays where it happened */
            json_decref(object);
            return NULL;
        }
        path_pop(&decoder->path, before);
        if (field->pii && (decoder->flags & AVRO_JSON_MASK_PII) && !json_is_null(value)) {
            json_decref(value);
            value = json_string("***");
        }
        json_object_set_new_nocheck(object, field->name, value);
    }
    return object;
}

static json_t *decode_array(struct decoder *decoder, const struct schema *schema)
{
    json_t *array = json_array();
    int64_t count = 0;
    int result;
    while ((result = cursor_block(&decoder->cursor, &count)) == 0 && count > 0) {
        for (; count > 0 && result == 0; count--)
            result = json_array_append_new(array, decode_value(decoder, schema->items));
        if (result != 0)
            break;
    }
    if (result == 0)
        return array;
    json_decref(array);
    return NULL;
}

static json_t *decode_map(struct decoder *decoder, const struct schema *schema)
{
    json_t *object = json_object();
    const unsigned char *key;
    size_t size;
    int64_t count = 0;
    int result;
    while ((result = cursor_block(&decoder->cursor, &count)) == 0 && count > 0) {
        for (; count > 0 && result == 0; count--) {
            result = cursor_text(&decoder->cursor, &key, &size);
            if (result == 0)
                result = json_object_setn_new_nocheck(object, (const char *)key, size,
                                                      decode_value(decoder, schema->items));
        }
        if (result != 0)
            break;
    }
    if (result == 0)
        return object;
    json_decref(object);
    return NULL;
}

/* With tags, a value of a union is an object of one member, named like its type; null is bare. */
static json_t *decode_union(struct decoder *decoder, const struct schema *schema)
{
    size_t index;
    if (cursor_index(&decoder->cursor, schema->branch_count, &index) != 0)
        return NULL;
    const struct schema *branch = schema->branches[index];
    json_t *value = decode_value(decoder, branch);
    if (!value || !(decoder->flags & AVRO_JSON_TAGGED) || branch->type == AVRO_NULL_TYPE)
        return value;
    json_t *tagged = json_object();
    json_object_set_new_nocheck(tagged, schema_tag(branch), value);
    return tagged;
}

static json_t *decode_by_type(struct decoder *decoder, const struct schema *schema)
{
    size_t index;
    int boolean;
    switch (schema->type) {
    case AVRO_NULL_TYPE:
        return json_null();
    case AVRO_BOOLEAN_TYPE:
        return cursor_boolean(&decoder->cursor, &boolean) == 0 ? json_boolean(boolean) : NULL;
    case AVRO_INT_TYPE:
    case AVRO_LONG_TYPE:
        return decode_integer(decoder, schema);
    case AVRO_FLOAT_TYPE:
    case AVRO_DOUBLE_TYPE:
        return decode_real(decoder, schema);
    case AVRO_BYTES_TYPE:
    case AVRO_FIXED_TYPE:
        return decode_bytes(decoder, schema);
    case AVRO_STRING_TYPE:
        return decode_text(decoder);
    case AVRO_RECORD_TYPE:
        return decode_record(decoder, schema);
    case AVRO_ENUM_TYPE:
        return cursor_index(&decoder->cursor, schema->symbol_count, &index) == 0
                   ? json_string_nocheck(schema->symbols[index])
                   : NULL;
    case AVRO_ARRAY_TYPE:
        return decode_array(decoder, schema);
    case AVRO_MAP_TYPE:
        return decode_map(decoder, schema);
    case AVRO_UNION_TYPE:
        return decode_union(decoder, schema);
    }
    return NULL;
}

static json_t *decode_value(struct decoder *decoder, const struct schema *schema)
{
    if (!schema_nests(schema))
        return decode_by_type(decoder, schema);
    if (cursor_enter(&decoder->cursor) != 0)
        return NULL;
    json_t *value = decode_by_type(decoder, schema);
    cursor_leave(&decoder->cursor);
    return value;
}

int avro_to_json(const struct schema *schema, const unsigned char *avro, size_t size, int flags,
                 json_t **ret_value, struct error *error)
{
    struct decoder decoder = {
        .cursor = {.at = avro, .end = avro + size, .items_left = DECODE_ITEMS_MAX}, .flags = flags};
    json_t *value = decode_value(&decoder, schema);
    const char *reason = decoder.cursor.reason;
    if (value && decoder.cursor.at != decoder.cursor.end)
        reason = "bytes are left over";
    buf_free(&decoder.text);
    if (value && !reason) {
        *ret_value = value;
        return 0;
    }
    json_decref(value);
    return error_set(error, ERROR_DEAD_LETTER, "avro-invalid", "%s%sbyte %zu: %s",
                     decoder.path.text, *decoder.path.text ? ", " : "",
                     (size_t)(decoder.cursor.at - avro), reason ? reason : "out of memory");
}
