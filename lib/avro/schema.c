/* SPDX-License-Identifier: Apache-2.0
 *
 * A document owns the JSON of a schema and an arena with the tree that points into it. The tree is
 * built by schema_parse.c; here the text is read, and each default is held against its type by
 * encoding it. */
#include "lib/avro/schema.h"

#include <stdlib.h>
#include <string.h>

#include "lib/avro/json.h"
#include "lib/avro/limits.h"
#include "lib/avro/preset.h"
#include "lib/avro/schema_parse.h"
#include "lib/base/buf.h"

struct schema_document {
    struct arena arena;
    json_t *json;
    const struct schema *root;
    struct buf patterns; /* struct pattern * */
};

/* A default is what events show that do not have the field, so it keeps the limits: its bytes are
 * made JSON and sent once more. */
static int check_preset_limits(const struct schema_field *field, const struct buf *bytes,
                               struct error *error)
{
    struct faults faults = {0};
    struct buf again = {0};
    json_t *value;
    const unsigned char *data = (const unsigned char *)(bytes->data ? bytes->data : "");
    if (avro_to_json(field->type, data, bytes->size, 0, &value, error) != 0)
        return -1;
    int result = avro_from_json(field->type, value, &again, &faults);
    json_decref(value);
    buf_free(&again);
    return result == 0 ? 0
                       : error_set(error, ERROR_USAGE, "schema-invalid",
                                   "the default breaks the limits: %s", faults.items[0].message);
}

/* The field that says whose data another one is: beside it, or in the event itself. */
static int check_subject(const struct schema *root, const struct schema *record,
                         const struct schema_field *field, struct error *error)
{
    const struct schema_field *found = schema_find_field(record, field->subject);
    if (!found)
        found = schema_find_field(root, field->subject);
    if (!found)
        return error_set(error, ERROR_USAGE, "schema-invalid",
                         "x-pii: there is no field \"%s\" in %s or %s to say whose data it is",
                         field->subject, record->name, root->name);
    const struct schema *type = schema_optional(found->type);
    if (!type)
        type = found->type;
    if (type->type == AVRO_STRING_TYPE || type->type == AVRO_INT_TYPE ||
        type->type == AVRO_LONG_TYPE || type->type == AVRO_FIXED_TYPE)
        return 0;
    return error_set(error, ERROR_USAGE, "schema-invalid",
                     "x-pii: %s cannot say whose data it is: it is no text, number or UUID",
                     field->subject);
}

static int check_field(const struct schema_parser *parser, const struct schema *root,
                       const struct schema *record, const struct schema_field *field,
                       struct buf *bytes, struct error *error)
{
    buf_reset(bytes);
    if (field->preset && preset_encode(field->type, field->preset, bytes, error) != 0)
        return -1;
    if (!parser->patterns)
        return 0;
    if (field->preset && check_preset_limits(field, bytes, error) != 0)
        return -1;
    return field->subject ? check_subject(root, record, field, error) : 0;
}

static int check_fields(const struct schema_parser *parser, const struct schema *root,
                        struct error *error)
{
    struct buf bytes = {0};
    int result = 0;
    for (size_t i = 0; i < parser->name_count && result == 0; i++) {
        const struct schema *record = parser->names[i];
        for (size_t k = 0; k < record->field_count && result == 0; k++) {
            const struct schema_field *field = &record->fields[k];
            if (check_field(parser, root, record, field, &bytes, error) != 0)
                result = error_prefix(error, "%s.%s", record->name, field->name);
        }
    }
    buf_free(&bytes);
    return result;
}

/* Whether a text outside of defaults, where it stands for bytes, has a NUL. jansson's own limit
 * keeps the JSON shallow enough. */
static int has_nul(const json_t *json)
{
    const char *key;
    json_t *value;
    size_t i;
    if (json_is_string(json))
        return memchr(json_string_value(json), '\0', json_string_length(json)) != NULL;
    json_object_foreach((json_t *)json, key, value)
    {
        if (strcmp(key, "default") != 0 && has_nul(value))
            return 1;
    }
    json_array_foreach(json, i, value)
    {
        if (has_nul(value))
            return 1;
    }
    return 0;
}

static int parse(const char *text, size_t size, int contract, struct schema_document **ret_document,
                 struct error *error)
{
    if (size > SCHEMA_TEXT_MAX)
        return error_set(error, ERROR_USAGE, "schema-invalid", "the schema is larger than %d bytes",
                         SCHEMA_TEXT_MAX);
    json_error_t fault;
    json_t *json =
        json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &fault);
    if (json && has_nul(json)) {
        json_decref(json);
        return error_set(error, ERROR_USAGE, "schema-invalid",
                         "\\u0000 is only allowed in the defaults of bytes and fixed");
    }
    if (!json)
        return error_set(error, ERROR_USAGE, "schema-invalid", "line %d, column %d: %s", fault.line,
                         fault.column, fault.text);
    struct schema_document *document = xcalloc(1, sizeof *document);
    document->json = json;
    struct schema_parser parser = {.arena = &document->arena,
                                   .error = error,
                                   .patterns = contract ? &document->patterns : NULL};
    parser.names = xcalloc(SCHEMA_NAMES_MAX, sizeof(struct schema *));
    document->root = schema_parse_node(&parser, json, "");
    int result = document->root ? check_fields(&parser, document->root, error) : -1;
    free(parser.names);
    if (result != 0) {
        schema_free(document);
        return -1;
    }
    *ret_document = document;
    return 0;
}

int schema_parse(const char *text, size_t size, struct schema_document **ret_document,
                 struct error *error)
{
    return parse(text, size, 0, ret_document, error);
}

int schema_parse_contract(const char *text, size_t size, struct schema_document **ret_document,
                          struct error *error)
{
    return parse(text, size, 1, ret_document, error);
}

void schema_free(struct schema_document *document)
{
    if (!document)
        return;
    for (size_t i = 0; i < document->patterns.size; i += sizeof(struct pattern *)) {
        struct pattern *pattern;
        memcpy(&pattern, document->patterns.data + i, sizeof pattern);
        pattern_free(pattern);
    }
    buf_free(&document->patterns);
    json_decref(document->json);
    arena_free(&document->arena);
    free(document);
}

const struct schema *schema_root(const struct schema_document *document)
{
    return document->root;
}

const char *schema_type_name(enum avro_type type)
{
    static const char *const names[] = {"null",   "boolean", "int",    "long",   "float",
                                        "double", "bytes",   "string", "record", "enum",
                                        "array",  "map",     "union",  "fixed"};
    return names[type];
}

const char *schema_tag(const struct schema *schema)
{
    return schema->full_name ? schema->full_name : schema_type_name(schema->type);
}

const struct schema_field *schema_find_field(const struct schema *record, const char *name)
{
    for (size_t i = 0; i < record->field_count; i++)
        if (strcmp(record->fields[i].name, name) == 0)
            return &record->fields[i];
    return NULL;
}

const struct schema *schema_optional(const struct schema *schema)
{
    if (schema->type != AVRO_UNION_TYPE || schema->branch_count != 2)
        return NULL;
    if (schema->branches[0]->type == AVRO_NULL_TYPE)
        return schema->branches[1];
    return schema->branches[1]->type == AVRO_NULL_TYPE ? schema->branches[0] : NULL;
}
