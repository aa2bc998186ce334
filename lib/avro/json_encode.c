/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON to Avro binary: the plain form, and Avro's own, which differs in unions and in single values
 * only. The walk goes on behind a fault, so that a person sees all of them at
 * once; the bytes made are dropped then. */
#include "lib/avro/json_encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/avro/encode.h"
#include "lib/avro/preset.h"

static int encode_value(struct encoder *encoder, const struct schema *schema, const json_t *json);

/* A field that was not sent: its default, else null where the type allows it. */
static int encode_missing(struct encoder *encoder, const struct schema_field *field)
{
    struct error error;
    if (field->preset) {
        if (preset_encode(field->type, field->preset, encoder->out, &error) == 0)
            return 0;
        return encoder_fault(encoder, "%s", error.message);
    }
    if (field->type->type == AVRO_NULL_TYPE)
        return 0;
    for (size_t i = 0; i < field->type->branch_count; i++) {
        if (field->type->branches[i]->type == AVRO_NULL_TYPE) {
            encode_long(encoder->out, (int64_t)i);
            return 0;
        }
    }
    return encoder_fault(encoder, "the field is required");
}

/* Encodes the fields from `first` on. */
static int encode_fields(struct encoder *encoder, const struct schema *record, size_t first,
                         const json_t *json)
{
    int result = 0;
    size_t used = 0;
    if (!json_is_object(json))
        return encoder_fault(encoder, "expected an object");
    for (size_t i = first; i < record->field_count; i++) {
        const struct schema_field *field = &record->fields[i];
        const char *name = encoder_field_name(record, field, json);
        const json_t *value = json_object_get(json, name);
        size_t before = encoder_push(encoder, name);
        used += value != NULL;
        if ((value ? encode_value(encoder, field->type, value) : encode_missing(encoder, field)) !=
            0)
            result = -1;
        encoder_pop(encoder, before);
    }
    if (used == json_object_size(json))
        return result;
    /* What the caller brings itself must not be offered as a field. */
    struct schema offered = *record;
    offered.fields += first;
    offered.field_count -= first;
    encoder_unknown_fields(encoder, &offered, json);
    return -1;
}

/* Writes the head of the one block that holds all items. */
static int begin_items(struct encoder *encoder, const struct schema *schema, size_t count)
{
    if (encoder_check_items(encoder, schema, count) != 0)
        return -1;
    encoder->items += count;
    if (encoder->items > ENCODE_ITEMS_MAX)
        return encoder_fault(encoder, "the event has more than %d items", ENCODE_ITEMS_MAX);
    if (count > 0)
        encode_long(encoder->out, (int64_t)count);
    return 0;
}

static int encode_array(struct encoder *encoder, const struct schema *schema, const json_t *json)
{
    int result = 0;
    if (!json_is_array(json))
        return encoder_fault(encoder, "expected an array");
    if (begin_items(encoder, schema, json_array_size(json)) != 0)
        return -1;
    for (size_t i = 0; i < json_array_size(json); i++) {
        char index[24];
        snprintf(index, sizeof index, "%zu", i);
        size_t before = encoder_push(encoder, index);
        if (encode_value(encoder, schema->items, json_array_get(json, i)) != 0)
            result = -1;
        encoder_pop(encoder, before);
    }
    encode_long(encoder->out, 0);
    return result;
}

static int encode_map(struct encoder *encoder, const struct schema *schema, const json_t *json)
{
    const char *key;
    size_t size;
    json_t *value;
    int result = 0;
    if (!json_is_object(json))
        return encoder_fault(encoder, "expected an object");
    if (begin_items(encoder, schema, json_object_size(json)) != 0)
        return -1;
    json_object_keylen_foreach((json_t *)json, key, size, value)
    {
        if (encoder_check_text(encoder, schema, key, strlen(key)) != 0) {
            result = -1;
            continue;
        }
        size_t before = encoder_push(encoder, key);
        encode_bytes(encoder->out, key, size);
        if (encode_value(encoder, schema->items, value) != 0)
            result = -1;
        encoder_pop(encoder, before);
    }
    encode_long(encoder->out, 0);
    return result;
}

static int encode_branch(struct encoder *encoder, const struct schema *schema, size_t branch,
                         const json_t *json)
{
    encode_long(encoder->out, (int64_t)branch);
    return encode_value(encoder, schema->branches[branch], json);
}

/* Tries the branches that a value of its kind fits; faults of a trial are not told. */
static int try_branches(struct encoder *encoder, const struct schema *schema, const json_t *json)
{
    struct faults *told = encoder->faults;
    struct faults *untold = xmalloc(sizeof *untold);
    size_t before = encoder->out->size;
    int result = -1;
    for (size_t i = 0; i < schema->branch_count && result != 0; i++) {
        if (!encoder_kind_fits(schema->branches[i], json))
            continue;
        untold->count = 0;
        encoder->faults = untold;
        encoder->out->size = before;
        result = encode_branch(encoder, schema, i, json);
    }
    encoder->faults = told;
    free(untold);
    return result == 0 ? 0 : encoder_fault(encoder, "the value fits no type of the union");
}

static int encode_union(struct encoder *encoder, const struct schema *schema, const json_t *json)
{
    size_t fitting = 0;
    size_t last = 0;
    for (size_t i = 0; i < schema->branch_count; i++) {
        if (encoder_kind_fits(schema->branches[i], json)) {
            fitting++;
            last = i;
        }
    }
    if (fitting == 1)
        return encode_branch(encoder, schema, last, json);
    if (fitting > 1)
        return try_branches(encoder, schema, json);
    /* For an optional value the fault of its one type says most. */
    for (size_t i = 0; schema_optional(schema) && i < 2; i++)
        if (schema->branches[i]->type != AVRO_NULL_TYPE)
            return encode_branch(encoder, schema, i, json);
    return encoder_fault(encoder, "the value fits no type of the union");
}

static int encode_by_type(struct encoder *encoder, const struct schema *schema, const json_t *json)
{
    switch (schema->type) {
    case AVRO_RECORD_TYPE:
        return encode_fields(encoder, schema, 0, json);
    case AVRO_ARRAY_TYPE:
        return encode_array(encoder, schema, json);
    case AVRO_MAP_TYPE:
        return encode_map(encoder, schema, json);
    case AVRO_UNION_TYPE:
        return encode_union(encoder, schema, json);
    default:
        return encoder_scalar(encoder, schema, json);
    }
}

static int encode_value(struct encoder *encoder, const struct schema *schema, const json_t *json)
{
    if (++encoder->values > ENCODE_VALUES_MAX)
        return encoder_fault(encoder, "the event has more than %d values", ENCODE_VALUES_MAX);
    if (!schema_nests(schema))
        return encode_by_type(encoder, schema, json);
    if (encoder->depth == ENCODE_DEPTH_MAX)
        return encoder_fault(encoder, "the value is nested deeper than %d levels",
                             ENCODE_DEPTH_MAX);
    encoder->depth++;
    int result = encode_by_type(encoder, schema, json);
    encoder->depth--;
    return result;
}

int avro_from_json(const struct schema *schema, const json_t *value, struct buf *out,
                   struct faults *faults)
{
    size_t before = out->size;
    struct encoder encoder = {.out = out, .faults = faults};
    int result = encode_value(&encoder, schema, value);
    if (result != 0)
        out->size = before;
    return result;
}

int avro_event_from_json(const struct schema *schema, const json_t *meta, const json_t *fields,
                         struct buf *out, struct faults *faults)
{
    size_t before = out->size;
    struct encoder encoder = {.out = out, .faults = faults, .depth = 1}; /* the event's record */
    size_t root = encoder_push(&encoder, schema->fields[0].name);
    int result = encode_value(&encoder, schema->fields[0].type, meta);
    encoder_pop(&encoder, root);
    if (encode_fields(&encoder, schema, 1, fields) != 0)
        result = -1;
    if (result != 0)
        out->size = before;
    return result;
}
