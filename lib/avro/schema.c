/* SPDX-License-Identifier: Apache-2.0
 *
 * A document owns the JSON of a schema and an arena with the tree that points into it. The tree is
 * built by schema_parse.c; here the text is read, and each default is held against its type by
 * encoding it. */
#include "lib/avro/schema.h"

#include <stdlib.h>
#include <string.h>

#include "lib/avro/preset.h"
#include "lib/avro/schema_parse.h"
#include "lib/base/buf.h"

struct schema_document {
    struct arena arena;
    json_t *json;
    const struct schema *root;
};

static int check_presets(const struct schema_parser *parser, struct error *error)
{
    struct buf bytes = {0};
    int result = 0;
    for (size_t i = 0; i < parser->name_count && result == 0; i++) {
        const struct schema *record = parser->names[i];
        for (size_t k = 0; k < record->field_count && result == 0; k++) {
            const struct schema_field *field = &record->fields[k];
            buf_reset(&bytes);
            if (field->preset && preset_encode(field->type, field->preset, &bytes, error) != 0)
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

int schema_parse(const char *text, size_t size, struct schema_document **ret_document,
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
    struct schema_parser parser = {.arena = &document->arena, .error = error};
    parser.names = xcalloc(SCHEMA_NAMES_MAX, sizeof(struct schema *));
    document->root = schema_parse_node(&parser, json, "");
    int result = document->root ? check_presets(&parser, error) : -1;
    free(parser.names);
    if (result != 0) {
        schema_free(document);
        return -1;
    }
    *ret_document = document;
    return 0;
}

void schema_free(struct schema_document *document)
{
    if (!document)
        return;
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

const struct schema *schema_optional(const struct schema *schema)
{
    if (schema->type != AVRO_UNION_TYPE || schema->branch_count != 2)
        return NULL;
    if (schema->branches[0]->type == AVRO_NULL_TYPE)
        return schema->branches[1];
    return schema->branches[1]->type == AVRO_NULL_TYPE ? schema->branches[0] : NULL;
}
