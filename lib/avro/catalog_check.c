/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of the house for an event's schema, beyond what Avro demands. */
#include <avro.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/avro/catalog_parts.h"
#include "lib/avro/resolve.h"

static const char *const reserved[] = {"seq",
                                       "space_id",
                                       "event_id",
                                       "occurred_at",
                                       "received_at",
                                       "actor",
                                       "correlation_id",
                                       "causation_id",
                                       "fingerprint",
                                       "kafka_topic",
                                       "kafka_partition",
                                       "kafka_offset",
                                       "kafka_timestamp"};

static const struct {
    const char *name;
    int optional;
    enum avro_type type;
    enum avro_logical logical;
} meta_fields[] = {
    {"event_id", 0, AVRO_STRING_TYPE, LOGICAL_UUID},
    {"occurred_at", 0, AVRO_LONG_TYPE, LOGICAL_TIMESTAMP_MICROS},
    {"received_at", 0, AVRO_LONG_TYPE, LOGICAL_TIMESTAMP_MICROS},
    {"actor", 1, AVRO_STRING_TYPE, LOGICAL_NONE},
    {"correlation_id", 1, AVRO_STRING_TYPE, LOGICAL_UUID},
    {"causation_id", 1, AVRO_STRING_TYPE, LOGICAL_UUID},
    {"fingerprint", 0, AVRO_LONG_TYPE, LOGICAL_NONE},
};

enum { META_FIELDS = sizeof meta_fields / sizeof *meta_fields };

/* Whether a column of this name stands in the envelope. */
static int is_reserved(const char *column)
{
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (strcmp(reserved[i], column) == 0)
            return 1;
    return 0;
}

int catalog_snake_case(const char *name, char ret_name[NAME_SIZE_MAX + 1])
{
    size_t size = 0;
    for (size_t i = 0; name[i]; i++) {
        int upper = isupper((unsigned char)name[i]);
        int after_small =
            i > 0 && (islower((unsigned char)name[i - 1]) || isdigit((unsigned char)name[i - 1]));
        int before_small = i > 0 && name[i - 1] != '_' && islower((unsigned char)name[i + 1]);
        if (size + 2 > NAME_SIZE_MAX)
            return -1;
        if (upper && (after_small || before_small))
            ret_name[size++] = '_';
        ret_name[size++] = (char)tolower((unsigned char)name[i]);
    }
    ret_name[size] = '\0';
    return 0;
}

/* Walks the definition, which ends, and not the tree, in which a record can hold itself. */
static int check_docs(const json_t *json, struct error *error)
{
    static const char *const inside[] = {"type", "items", "values"};
    const json_t *fields = json_object_get(json, "fields");
    const char *name = json_string_value(json_object_get(json, "name"));
    if (!json)
        return 0;
    for (size_t i = 0; i < json_array_size(json); i++)
        if (check_docs(json_array_get(json, i), error) != 0)
            return -1;
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        if (check_docs(json_object_get(json, inside[i]), error) != 0)
            return -1;
    if (fields && json_string_length(json_object_get(json, "doc")) == 0)
        return error_set(error, ERROR_USAGE, "catalog-invalid", "the record %s has no doc", name);
    for (size_t i = 0; i < json_array_size(fields); i++) {
        const json_t *field = json_array_get(fields, i);
        if (json_string_length(json_object_get(field, "doc")) == 0)
            return error_set(error, ERROR_USAGE, "catalog-invalid", "the field %s.%s has no doc",
                             name, json_string_value(json_object_get(field, "name")));
        if (check_docs(json_object_get(field, "type"), error) != 0)
            return -1;
    }
    return 0;
}

static int check_meta(const struct schema *schema, struct error *error)
{
    const struct schema *meta = schema->field_count ? schema->fields[0].type : NULL;
    if (!meta || strcmp(schema->fields[0].name, "meta") != 0 || meta->type != AVRO_RECORD_TYPE ||
        strcmp(meta->full_name, "weir.Meta") != 0)
        return error_set(error, ERROR_USAGE, "catalog-invalid",
                         "the first field must be `meta`, a record weir.Meta written out in full");
    for (size_t i = 0; i < META_FIELDS; i++) {
        const struct schema_field *field = i < meta->field_count ? &meta->fields[i] : NULL;
        const struct schema *type = field ? field->type : NULL;
        if (type && meta_fields[i].optional)
            type = schema_optional(type);
        if (!type || strcmp(field->name, meta_fields[i].name) != 0 ||
            type->type != meta_fields[i].type || type->logical != meta_fields[i].logical ||
            (meta_fields[i].optional &&
             (!json_is_null(field->preset) || field->type->branches[1] != type)))
            return error_set(
                error, ERROR_USAGE, "catalog-invalid",
                "meta: field %zu must be `%s` as in every other event; copy `meta` from one", i + 1,
                meta_fields[i].name);
    }
    if (meta->field_count != META_FIELDS)
        return error_set(error, ERROR_USAGE, "catalog-invalid", "meta has fields beyond `%s`",
                         meta_fields[META_FIELDS - 1].name);
    return 0;
}

static int check_ingest(const struct schema *schema, enum catalog_ingest *ret_ingest,
                        struct error *error)
{
    static const char *const names[] = {"public", "service", "internal"};
    const json_t *ingest = json_object_get(schema->json, "x-ingest");
    *ret_ingest = INGEST_SERVICE;
    if (!ingest)
        return 0;
    for (int i = 0; json_is_string(ingest) && i < 3; i++) {
        if (strcmp(json_string_value(ingest), names[i]) == 0) {
            *ret_ingest = (enum catalog_ingest)i;
            return 0;
        }
    }
    return error_set(error, ERROR_USAGE, "catalog-invalid",
                     "x-ingest must be public, service or internal");
}

int catalog_check_schema(const struct schema *schema, const char *domain, const char *event,
                         enum catalog_ingest *ret_ingest, struct error *error)
{
    char expected[300];
    char column[NAME_SIZE_MAX + 1];
    snprintf(expected, sizeof expected, "weir.%s.%s", domain, event);
    if (schema->type != AVRO_RECORD_TYPE || strcmp(schema->full_name, expected) != 0)
        return error_set(error, ERROR_USAGE, "catalog-invalid",
                         "an event's schema is a record named %s, as its folder says", expected);
    if (check_meta(schema, error) != 0 || check_ingest(schema, ret_ingest, error) != 0 ||
        check_docs(schema->json, error) != 0)
        return -1;
    for (size_t i = 1; i < schema->field_count; i++)
        if (catalog_snake_case(schema->fields[i].name, column) != 0 || is_reserved(column))
            return error_set(error, ERROR_USAGE, "catalog-invalid",
                             "the field %s has a name that %s", schema->fields[i].name,
                             is_reserved(column) ? "the envelope uses"
                                                 : "is longer than a column's may be");
    return 0;
}

/* A copy of the schema without type objects around type objects, {"type": {"type": "string"}}: the
 * specification allows them, avro-c alone does not. */
static json_t *unwrapped(const json_t *schema)
{
    static const char *const inside[] = {"items", "values"};
    const json_t *type = json_object_get(schema, "type");
    if (json_is_object(type) || json_is_array(type))
        return unwrapped(type);
    json_t *copy = json_deep_copy(schema);
    json_t *fields = json_object_get(copy, "fields");
    for (size_t i = 0; i < json_array_size(copy); i++)
        json_array_set_new(copy, i, unwrapped(json_array_get(schema, i)));
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        if (json_object_get(copy, inside[i]))
            json_object_set_new(copy, inside[i], unwrapped(json_object_get(copy, inside[i])));
    for (size_t i = 0; i < json_array_size(fields); i++) {
        json_t *field = json_array_get(fields, i);
        json_object_set_new(field, "type", unwrapped(json_object_get(field, "type")));
    }
    return copy;
}

int catalog_check_portable(const struct schema *tree, struct error *error)
{
    avro_schema_t schema = NULL;
    json_t *json = unwrapped(tree->json);
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    int result = 0;
    if (!text || avro_schema_from_json_length(text, strlen(text), &schema) != 0)
        result = error_set(error, ERROR_USAGE, "catalog-invalid",
                           "avro-c, and so the clients built on it, cannot read the schema: %s",
                           avro_strerror());
    else
        avro_schema_decref(schema);
    free(text);
    json_decref(json);
    return result;
}

int catalog_check_readable(const struct catalog_event *event, struct error *error)
{
    const struct catalog_version *newest = catalog_newest(event);
    int result = 0;
    for (size_t i = 0; result == 0 && i + 1 < event->version_count; i++) {
        result = resolve_check(event->versions[i].schema, newest->schema, error);
        if (result != 0) {
            error_prefix(error,
                         "schemas/%s/%s/%d.avsc: records of version %d could not be read any more",
                         event->domain, event->name, newest->version, event->versions[i].version);
            error->class = ERROR_USAGE;
        }
    }
    return result;
}
