/* SPDX-License-Identifier: Apache-2.0
 *
 * Builds the tree of a schema from its JSON, checking what the specification demands of names,
 * symbols and unions. A named type is entered in the table of names before its inside is read, so
 * that it can refer to itself. */
#include "lib/avro/schema_parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const primitive_names[] = {"null",  "boolean", "int",   "long",
                                              "float", "double",  "bytes", "string"};

enum { PRIMITIVE_COUNT = sizeof primitive_names / sizeof *primitive_names };

int schema_parse_fail(struct schema_parser *parser, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return error_set(parser->error, ERROR_USAGE, "schema-invalid", "%s%s%s", parser->path.text,
                     *parser->path.text ? ": " : "", message);
}

/* Whether `name` is letters, digits and underscores, not starting with a digit; with dots between
 * such if `dots`. */
static int valid_name(const char *name, int dots)
{
    int start = 1;
    if (!name)
        return 0;
    for (; *name; name++) {
        int letter =
            (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || *name == '_';
        int digit = *name >= '0' && *name <= '9';
        if (*name == '.' && dots && !start)
            start = 1;
        else if (letter || (digit && !start))
            start = 0;
        else
            return 0;
    }
    return !start;
}

static const char *full_name(struct schema_parser *parser, const char *name, const char *space)
{
    return strchr(name, '.') || !*space ? arena_strdup(parser->arena, name)
                                        : arena_printf(parser->arena, "%s.%s", space, name);
}

static const struct schema *find_name(const struct schema_parser *parser, const char *name)
{
    for (size_t i = 0; i < parser->name_count; i++)
        if (strcmp(parser->names[i]->full_name, name) == 0)
            return parser->names[i];
    return NULL;
}

static const struct schema *parse_reference(struct schema_parser *parser, const json_t *json,
                                            const char *space)
{
    const char *name = json_string_value(json);
    for (int i = 0; i < PRIMITIVE_COUNT; i++) {
        if (strcmp(name, primitive_names[i]) != 0)
            continue;
        struct schema *schema = arena_alloc(parser->arena, sizeof *schema);
        schema->type = (enum avro_type)i;
        schema->json = json;
        return schema;
    }
    const struct schema *found = find_name(parser, full_name(parser, name, space));
    if (!found)
        found = find_name(parser, name);
    if (!found)
        schema_parse_fail(
            parser, "there is no type \"%s\" (a named type must be defined before it is used)",
            name);
    return found;
}

/* A schema of unnamed type can be in a union once, a named one once by its full name. */
static int same_branch(const struct schema *left, const struct schema *right)
{
    if (left->type != right->type)
        return 0;
    return left->full_name ? strcmp(left->full_name, right->full_name) == 0 : 1;
}

static const struct schema *parse_union(struct schema_parser *parser, const json_t *json,
                                        const char *space)
{
    struct schema *schema = arena_alloc(parser->arena, sizeof *schema);
    schema->type = AVRO_UNION_TYPE;
    schema->json = json;
    schema->branch_count = json_array_size(json);
    schema->branches = arena_alloc(parser->arena, schema->branch_count * sizeof *schema->branches);
    if (schema->branch_count == 0) {
        schema_parse_fail(parser, "a union needs a branch");
        return NULL;
    }
    for (size_t i = 0; i < schema->branch_count; i++) {
        const struct schema *branch = schema_parse_node(parser, json_array_get(json, i), space);
        if (!branch)
            return NULL;
        if (branch->type == AVRO_UNION_TYPE) {
            schema_parse_fail(parser, "a union cannot be directly in a union");
            return NULL;
        }
        for (size_t k = 0; k < i; k++) {
            if (same_branch(schema->branches[k], branch)) {
                schema_parse_fail(parser, "the union has two branches of one type");
                return NULL;
            }
        }
        schema->branches[i] = branch;
    }
    return schema;
}

/* Reads the attribute `aliases`; as full names of `space` when it is not NULL. */
static int parse_aliases(struct schema_parser *parser, const json_t *json, const char *space,
                         const char *const **ret_aliases, size_t *ret_count)
{
    const json_t *list = json_object_get(json, "aliases");
    if (!list)
        return 0;
    if (!json_is_array(list))
        return schema_parse_fail(parser, "aliases must be an array of names");
    const char **aliases = arena_alloc(parser->arena, json_array_size(list) * sizeof *aliases);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (!valid_name(name, space != NULL))
            return schema_parse_fail(parser, "alias %zu is no valid name", i);
        aliases[i] = space ? full_name(parser, name, space) : name;
    }
    *ret_aliases = aliases;
    *ret_count = json_array_size(list);
    return 0;
}

/* Whatever an older or foreign schema says there marks a person; a contract says whose data it is.
 */
static int parse_pii(struct schema_parser *parser, struct schema_field *field, const json_t *json)
{
    const json_t *pii = json_object_get(json, "x-pii");
    field->pii = pii && !json_is_false(pii);
    field->subject = json_string_value(json_object_get(pii, "subject"));
    if (!pii || !parser->patterns || (field->subject && json_object_size(pii) == 1))
        return 0;
    return schema_parse_fail(parser, "x-pii names the field that says whose data it is, such as "
                                     "{\"subject\": \"member_id\"}");
}

static int parse_field(struct schema_parser *parser, const struct schema *record, size_t index,
                       const json_t *json, const char *space)
{
    struct schema_field *field = &record->fields[index];
    field->name = json_string_value(json_object_get(json, "name"));
    if (!valid_name(field->name, 0))
        return schema_parse_fail(parser, "field %zu has no valid name", index);
    for (size_t i = 0; i < index; i++)
        if (strcmp(record->fields[i].name, field->name) == 0)
            return schema_parse_fail(parser, "there are two fields \"%s\"", field->name);
    size_t before = path_push(&parser->path, ".", field->name);
    const json_t *type = json_object_get(json, "type");
    if (!type)
        return schema_parse_fail(parser, "the field has no type");
    field->doc = json_string_value(json_object_get(json, "doc"));
    field->preset = json_object_get(json, "default");
    if (parse_pii(parser, field, json) != 0 ||
        parse_aliases(parser, json, NULL, &field->aliases, &field->alias_count) != 0)
        return -1;
    field->type = schema_parse_node(parser, type, space);
    if (!field->type || (parser->patterns && (limits_read(parser, field->type, json) != 0 ||
                                              limits_check(parser, field->type) != 0)))
        return -1;
    path_pop(&parser->path, before);
    return 0;
}

static int parse_record(struct schema_parser *parser, struct schema *schema, const json_t *json,
                        const char *space)
{
    const json_t *fields = json_object_get(json, "fields");
    if (!json_is_array(fields))
        return schema_parse_fail(parser, "a record needs an array \"fields\"");
    schema->field_count = json_array_size(fields);
    schema->fields = arena_alloc(parser->arena, schema->field_count * sizeof *schema->fields);
    for (size_t i = 0; i < schema->field_count; i++)
        if (parse_field(parser, schema, i, json_array_get(fields, i), space) != 0)
            return -1;
    return 0;
}

static int parse_enum(struct schema_parser *parser, struct schema *schema, const json_t *json)
{
    const json_t *symbols = json_object_get(json, "symbols");
    const json_t *preset = json_object_get(json, "default");
    if (!json_is_array(symbols) || json_array_size(symbols) == 0)
        return schema_parse_fail(parser, "an enum needs an array \"symbols\"");
    schema->symbol_count = json_array_size(symbols);
    schema->symbols = arena_alloc(parser->arena, schema->symbol_count * sizeof *schema->symbols);
    for (size_t i = 0; i < schema->symbol_count; i++) {
        const char *symbol = json_string_value(json_array_get(symbols, i));
        if (!valid_name(symbol, 0))
            return schema_parse_fail(parser, "symbol %zu is no valid name", i);
        for (size_t k = 0; k < i; k++)
            if (strcmp(schema->symbols[k], symbol) == 0)
                return schema_parse_fail(parser, "the symbol \"%s\" occurs twice", symbol);
        schema->symbols[i] = symbol;
        if (json_is_string(preset) && strlen(symbol) == json_string_length(preset) &&
            strcmp(symbol, json_string_value(preset)) == 0)
            schema->preset_symbol = symbol;
    }
    if (preset && !schema->preset_symbol)
        return schema_parse_fail(parser, "the default is none of the symbols");
    return 0;
}

static int parse_fixed(struct schema_parser *parser, struct schema *schema, const json_t *json)
{
    const json_t *size = json_object_get(json, "size");
    if (!json_is_integer(size) || json_integer_value(size) < 0 ||
        json_integer_value(size) > SCHEMA_FIXED_MAX)
        return schema_parse_fail(parser, "a fixed needs a \"size\" from 0 to %d", SCHEMA_FIXED_MAX);
    schema->fixed_size = (size_t)json_integer_value(size);
    return 0;
}

/* Sets the names of a record, enum or fixed and enters it in the table. Returns the namespace of
 * its inside. */
static const char *parse_name(struct schema_parser *parser, struct schema *schema,
                              const json_t *json, const char *space)
{
    const char *name = json_string_value(json_object_get(json, "name"));
    const json_t *own_space = json_object_get(json, "namespace");
    if (!valid_name(name, 1)) {
        schema_parse_fail(parser, "a named type has no valid name");
        return NULL;
    }
    if (own_space && !json_is_null(own_space)) {
        space = json_string_value(own_space);
        if (!space || (*space && !valid_name(space, 1))) {
            schema_parse_fail(parser, "the namespace of \"%s\" is not valid", name);
            return NULL;
        }
    }
    schema->full_name = full_name(parser, name, space);
    const char *dot = strrchr(schema->full_name, '.');
    schema->name = dot ? dot + 1 : schema->full_name;
    for (int i = 0; i < PRIMITIVE_COUNT; i++) {
        if (strcmp(schema->name, primitive_names[i]) == 0) {
            schema_parse_fail(parser, "\"%s\" is the name of a primitive type", schema->name);
            return NULL;
        }
    }
    if (find_name(parser, schema->full_name)) {
        schema_parse_fail(parser, "the type \"%s\" is defined twice", schema->full_name);
        return NULL;
    }
    if (parser->name_count == SCHEMA_NAMES_MAX) {
        schema_parse_fail(parser, "more than %d named types", SCHEMA_NAMES_MAX);
        return NULL;
    }
    parser->names[parser->name_count++] = schema;
    char *inside = arena_strdup(parser->arena, schema->full_name);
    inside[dot ? dot - schema->full_name : 0] = '\0';
    return inside;
}

static const struct schema *parse_named(struct schema_parser *parser, enum avro_type type,
                                        const json_t *json, const char *space)
{
    struct schema *schema = arena_alloc(parser->arena, sizeof *schema);
    schema->type = type;
    schema->json = json;
    schema->doc = json_string_value(json_object_get(json, "doc"));
    const char *inside = parse_name(parser, schema, json, space);
    if (!inside || parse_aliases(parser, json, inside, &schema->aliases, &schema->alias_count) != 0)
        return NULL;
    size_t before = parser->path.size;
    if (before == 0)
        path_push(&parser->path, "", schema->name);
    int result = type == AVRO_RECORD_TYPE ? parse_record(parser, schema, json, inside)
                 : type == AVRO_ENUM_TYPE ? parse_enum(parser, schema, json)
                                          : parse_fixed(parser, schema, json);
    if (result == 0)
        path_pop(&parser->path, before);
    return result == 0 ? schema : NULL;
}

static const struct schema *parse_collection(struct schema_parser *parser, enum avro_type type,
                                             const json_t *json, const char *space)
{
    const char *key = type == AVRO_ARRAY_TYPE ? "items" : "values";
    const json_t *items = json_object_get(json, key);
    struct schema *schema = arena_alloc(parser->arena, sizeof *schema);
    schema->type = type;
    schema->json = json;
    if (!items) {
        schema_parse_fail(parser, "the type has no \"%s\"", key);
        return NULL;
    }
    size_t before = path_push(&parser->path, "", type == AVRO_ARRAY_TYPE ? "[]" : "{}");
    schema->items = schema_parse_node(parser, items, space);
    if (schema->items)
        path_pop(&parser->path, before);
    return schema->items ? schema : NULL;
}

static const struct schema *parse_object(struct schema_parser *parser, const json_t *json,
                                         const char *space)
{
    const json_t *type = json_object_get(json, "type");
    const char *name = json_string_value(type);
    if (json_is_object(type) || json_is_array(type))
        return schema_parse_node(parser, type, space); /* {"type": {"type": "string"}} */
    if (!name) {
        schema_parse_fail(parser, "a schema object needs a \"type\"");
        return NULL;
    }
    if (strcmp(name, "record") == 0 || strcmp(name, "error") == 0)
        return parse_named(parser, AVRO_RECORD_TYPE, json, space);
    if (strcmp(name, "enum") == 0)
        return parse_named(parser, AVRO_ENUM_TYPE, json, space);
    if (strcmp(name, "fixed") == 0) {
        const struct schema *fixed = parse_named(parser, AVRO_FIXED_TYPE, json, space);
        return fixed && schema_parse_logical(parser, (struct schema *)fixed, json) == 0 ? fixed
                                                                                        : NULL;
    }
    if (strcmp(name, "array") == 0)
        return parse_collection(parser, AVRO_ARRAY_TYPE, json, space);
    if (strcmp(name, "map") == 0)
        return parse_collection(parser, AVRO_MAP_TYPE, json, space);
    const struct schema *schema = parse_reference(parser, type, space);
    if (!schema || schema->full_name)
        return schema;
    struct schema *primitive = (struct schema *)schema; /* just made, not shared yet */
    primitive->json = json;
    return schema_parse_logical(parser, primitive, json) == 0 ? primitive : NULL;
}

const struct schema *schema_parse_node(struct schema_parser *parser, const json_t *json,
                                       const char *space)
{
    const struct schema *schema = NULL;
    if (++parser->depth > SCHEMA_DEPTH_MAX)
        schema_parse_fail(parser, "the schema is nested deeper than %d levels", SCHEMA_DEPTH_MAX);
    else if (json_is_string(json))
        schema = parse_reference(parser, json, space);
    else if (json_is_array(json))
        schema = parse_union(parser, json, space);
    else if (json_is_object(json))
        schema = parse_object(parser, json, space);
    else
        schema_parse_fail(parser, "a schema is a name, an object or an array");
    parser->depth--;
    if (schema && parser->patterns && json_is_object(json) && json_object_get(json, "x-pii")) {
        schema_parse_fail(parser, "x-pii stands at a field, not in a type");
        return NULL;
    }
    if (schema && parser->patterns && json_is_object(json) &&
        limits_read(parser, schema, json) != 0)
        return NULL;
    return schema;
}
