/* SPDX-License-Identifier: Apache-2.0
 *
 * The difference of two schemas is found by name, then by alias, like resolution does, and goes
 * into records, items and branches for as long as both sides have the same kind of type. */
#include "lib/avro/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/avro/limits.h"
#include "lib/avro/path.h"

void words_type(const struct schema *schema, struct buf *out)
{
    if (schema->type == AVRO_UNION_TYPE) {
        for (size_t i = 0; i < schema->branch_count; i++) {
            buf_put_text(out, i ? " or " : "");
            words_type(schema->branches[i], out);
        }
        return;
    }
    buf_put_text(out, schema_type_name(schema->type));
    if (schema->type == AVRO_ARRAY_TYPE || schema->type == AVRO_MAP_TYPE) {
        buf_put_text(out, " of ");
        words_type(schema->items, out);
        return;
    }
    if (schema->name)
        buf_printf(out, " %s", schema->name);
    if (schema->type == AVRO_FIXED_TYPE)
        buf_printf(out, " of %zu bytes", schema->fixed_size);
    if (schema->logical == LOGICAL_DECIMAL)
        buf_printf(out, " (decimal %d,%d)", schema->precision, schema->scale);
    else if (schema->logical)
        buf_printf(out, " (%s)", schema_logical_name(schema->logical));
}

void words_limits(const struct schema *schema, struct buf *out)
{
    struct buf text = {0};
    for (size_t i = 0; i < schema->branch_count; i++)
        words_limits(schema->branches[i], out);
    limits_words(schema, out);
    if (schema->items)
        words_limits(schema->items, &text);
    if (text.size > 0)
        buf_printf(out, "%seach %s", out->size ? ", " : "", buf_text(&text));
    buf_free(&text);
}

void words_preset(const json_t *preset, struct buf *out)
{
    char *text = json_dumps(preset, JSON_COMPACT | JSON_ENCODE_ANY);
    buf_put_text(out, text ? text : "?");
    free(text);
}

const char *words_change_name(enum words_change change)
{
    static const char *const names[] = {
        [WORDS_ADDED] = "added",       [WORDS_REMOVED] = "removed", [WORDS_RENAMED] = "renamed",
        [WORDS_RETYPED] = "retyped",   [WORDS_DEFAULT] = "default", [WORDS_SYMBOLS] = "symbols",
        [WORDS_TIGHTENED] = "tighter", [WORDS_LOOSENED] = "looser", [WORDS_ATTRIBUTE] = "changed"};
    return names[change];
}

struct diff {
    void (*visit)(void *context, enum words_change change, const char *path, const char *old_name,
                  const char *text);
    const char *old_name;
    void *context;
    struct path path;
    struct buf seen; /* pairs of named types: once is enough, and a record can hold itself */
    struct buf text;
};

static void diff_types(struct diff *diff, const struct schema *old, const struct schema *new);

static void tell(struct diff *diff, enum words_change change)
{
    diff->visit(diff->context, change, diff->path.text, diff->old_name, buf_text(&diff->text));
    buf_reset(&diff->text);
}

static void put_default(struct buf *text, const struct schema_field *field)
{
    if (!field->preset) {
        buf_put_text(text, "no default");
        return;
    }
    buf_put_text(text, "default ");
    words_preset(field->preset, text);
}

/* The field of `record` that was called like `field` or has it among its aliases. */
static const struct schema_field *find_old(const struct schema *record,
                                           const struct schema_field *field)
{
    for (size_t i = 0; i < record->field_count; i++)
        if (strcmp(record->fields[i].name, field->name) == 0)
            return &record->fields[i];
    for (size_t a = 0; a < field->alias_count; a++)
        for (size_t i = 0; i < record->field_count; i++)
            if (strcmp(record->fields[i].name, field->aliases[a]) == 0)
                return &record->fields[i];
    return NULL;
}

static int same_text(const char *left, const char *right)
{
    return left && right ? strcmp(left, right) == 0 : left == right;
}

static void diff_field(struct diff *diff, const struct schema_field *old,
                       const struct schema_field *new)
{
    if (strcmp(old->name, new->name) != 0) {
        buf_printf(&diff->text, "was called %s, which is an alias now", old->name);
        tell(diff, WORDS_RENAMED);
    }
    diff_types(diff, old->type, new->type);
    diff->old_name = old->name;
    if (old->preset ? !json_equal(old->preset, new->preset) : new->preset != NULL) {
        put_default(&diff->text, old);
        buf_put_text(&diff->text, " → ");
        put_default(&diff->text, new);
        tell(diff, WORDS_DEFAULT);
    }
    if (old->pii && !new->pii) {
        buf_put_text(&diff->text, "no longer marked as identifying a person (x-pii)");
        tell(diff, WORDS_ATTRIBUTE);
    } else if (new->pii && !old->pii) {
        buf_printf(&diff->text, "identifies a person now (x-pii), whom %s names", new->subject);
        tell(diff, WORDS_ATTRIBUTE);
    } else if (!same_text(old->subject, new->subject)) {
        buf_printf(&diff->text, "x-pii: whose it is: %s → %s", old->subject, new->subject);
        tell(diff, WORDS_ATTRIBUTE);
    }
    if (!same_text(old->doc, new->doc)) {
        buf_printf(&diff->text, "doc: %s", new->doc ? new->doc : "(none)");
        tell(diff, WORDS_ATTRIBUTE);
    }
}

/* The type and the limits of a field that is new. */
static void put_added(struct diff *diff, const struct schema_field *field)
{
    struct buf limits = {0};
    words_type(field->type, &diff->text);
    words_limits(field->type, &limits);
    buf_printf(&diff->text, ", %s%s", buf_text(&limits), limits.size ? ", " : "");
    buf_free(&limits);
}

static void diff_fields(struct diff *diff, const struct schema *old, const struct schema *new)
{
    char *kept = xcalloc(old->field_count + 1, 1);
    for (size_t i = 0; i < new->field_count; i++) {
        const struct schema_field *field = &new->fields[i];
        const struct schema_field *before = find_old(old, field);
        size_t path = path_push(&diff->path, ".", field->name);
        diff->old_name = before ? before->name : "";
        if (before) {
            kept[before - old->fields] = 1;
            diff_field(diff, before, field);
        } else {
            put_added(diff, field);
            put_default(&diff->text, field);
            tell(diff, WORDS_ADDED);
        }
        path_pop(&diff->path, path);
    }
    for (size_t i = 0; i < old->field_count; i++) {
        if (kept[i])
            continue;
        size_t path = path_push(&diff->path, ".", old->fields[i].name);
        diff->old_name = old->fields[i].name;
        buf_put_text(&diff->text, "was ");
        words_type(old->fields[i].type, &diff->text);
        tell(diff, WORDS_REMOVED);
        path_pop(&diff->path, path);
    }
    free(kept);
}

static int has_symbol(const struct schema *schema, const char *symbol)
{
    for (size_t i = 0; i < schema->symbol_count; i++)
        if (strcmp(schema->symbols[i], symbol) == 0)
            return 1;
    return 0;
}

/* Symbols of `one` that `other` lacks. Returns how many. */
static int put_symbols(struct buf *text, const char *head, const struct schema *one,
                       const struct schema *other)
{
    int count = 0;
    for (size_t i = 0; i < one->symbol_count; i++)
        if (!has_symbol(other, one->symbols[i]))
            buf_printf(text, "%s%s", count++ ? ", " : head, one->symbols[i]);
    return count;
}

static void diff_symbols(struct diff *diff, const struct schema *old, const struct schema *new)
{
    int added = put_symbols(&diff->text, "new: ", new, old);
    int gone = put_symbols(&diff->text, added ? "; gone: " : "gone: ", old, new);
    if (added + gone > 0)
        tell(diff, WORDS_SYMBOLS);
    if (!same_text(old->preset_symbol, new->preset_symbol)) {
        buf_printf(&diff->text, "the symbol for unknown ones: %s → %s",
                   old->preset_symbol ? old->preset_symbol : "none",
                   new->preset_symbol ? new->preset_symbol : "none");
        tell(diff, WORDS_DEFAULT);
    }
}

static int seen_before(struct diff *diff, const struct schema *old, const struct schema *new)
{
    const struct schema *pair[] = {old, new};
    for (size_t i = 0; i < diff->seen.size; i += sizeof pair)
        if (memcmp(diff->seen.data + i, pair, sizeof pair) == 0)
            return 1;
    buf_put(&diff->seen, pair, sizeof pair);
    return 0;
}

static void put_limits(struct buf *text, const struct schema *schema)
{
    size_t before = text->size;
    limits_words(schema, text);
    if (text->size == before)
        buf_put_text(text, "no limit");
}

static void diff_limits(struct diff *diff, const struct schema *old, const struct schema *new)
{
    int sign = limits_compare(old, new);
    if (sign == 0)
        return;
    put_limits(&diff->text, old);
    buf_put_text(&diff->text, " → ");
    put_limits(&diff->text, new);
    tell(diff, sign < 0 ? WORDS_TIGHTENED : WORDS_LOOSENED);
}

/* What was `type` in the old version: it itself, or the branch of the same name, else the same
 * kind.
 */
static const struct schema *find_branch(const struct schema *old, const struct schema *type)
{
    const struct schema *found = NULL;
    if (old->type != AVRO_UNION_TYPE)
        return old;
    for (size_t i = 0; i < old->branch_count; i++) {
        if (same_text(old->branches[i]->full_name, type->full_name) &&
            old->branches[i]->type == type->type)
            return old->branches[i];
        if (old->branches[i]->type == type->type ||
            (!found && limits_numeric(old->branches[i]) && limits_numeric(type)))
            found = old->branches[i];
    }
    return found;
}

static void diff_inside(struct diff *diff, const struct schema *old, const struct schema *new)
{
    if (new->type == AVRO_UNION_TYPE) {
        for (size_t i = 0; i < new->branch_count; i++) {
            const struct schema *before = find_branch(old, new->branches[i]);
            if (before)
                diff_inside(diff, before, new->branches[i]);
        }
        return;
    }
    old = find_branch(old, new);
    if (!old)
        return;
    diff_limits(diff, old, new);
    if (old->type != new->type || (new->name &&seen_before(diff, old, new)))
        return;
    if (new->type == AVRO_RECORD_TYPE)
        diff_fields(diff, old, new);
    else if (new->type == AVRO_ENUM_TYPE)
        diff_symbols(diff, old, new);
    else if (new->items) {
        size_t path = path_push(&diff->path, "", new->type == AVRO_ARRAY_TYPE ? "[]" : "{}");
        diff_types(diff, old->items, new->items);
        path_pop(&diff->path, path);
    }
}

static void diff_types(struct diff *diff, const struct schema *old, const struct schema *new)
{
    struct buf before = {0};
    words_type(old, &before);
    words_type(new, &diff->text);
    if (strcmp(buf_text(&before), buf_text(&diff->text)) != 0) {
        buf_reset(&diff->text);
        buf_printf(&diff->text, "%s → ", buf_text(&before));
        words_type(new, &diff->text);
        tell(diff, WORDS_RETYPED);
    }
    buf_reset(&diff->text);
    buf_free(&before);
    diff_inside(diff, old, new);
}

void words_diff(const struct schema *old_schema, const struct schema *new_schema,
                void (*visit)(void *context, enum words_change change, const char *path,
                              const char *old_name, const char *text),
                void *context)
{
    struct diff diff = {.visit = visit, .context = context, .old_name = ""};
    diff_types(&diff, old_schema, new_schema);
    diff.old_name = "";
    if (!same_text(old_schema->doc, new_schema->doc)) {
        buf_printf(&diff.text, "doc: %s", new_schema->doc ? new_schema->doc : "(none)");
        tell(&diff, WORDS_ATTRIBUTE);
    }
    const char *old_ingest = json_string_value(json_object_get(old_schema->json, "x-ingest"));
    const char *new_ingest = json_string_value(json_object_get(new_schema->json, "x-ingest"));
    if (!same_text(old_ingest, new_ingest)) {
        buf_printf(&diff.text, "x-ingest: %s → %s", old_ingest ? old_ingest : "service",
                   new_ingest ? new_ingest : "service");
        tell(&diff, WORDS_ATTRIBUTE);
    }
    buf_free(&diff.text);
    buf_free(&diff.seen);
}
