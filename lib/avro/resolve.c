/* SPDX-License-Identifier: Apache-2.0
 *
 * Decides pair by pair. Whether two types match at all is decided by kind and name alone; what then
 * does not fit inside of them is an error and not another branch, so that an incompatible change is
 * found when the plan is made and not when the first event comes. Only a branch of the writer's
 * union waits for a value: the data may hold none. */
#include "lib/avro/resolve.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/avro/path.h"
#include "lib/avro/preset.h"

struct known {
    const struct known *older;
    struct resolve *resolve;
};

/* Two records that do not fit. */
struct misfit {
    const struct misfit *older;
    const struct schema *writer;
    const struct schema *reader;
    const char *reason;
};

struct resolver {
    struct arena *arena;
    struct error *error;
    const struct known *known;    /* pairs of records, so that recursion ends */
    const struct misfit *misfits; /* and so that none is tried twice */
    int strict;                   /* a branch that does not fit is an error */
    int going_on;                 /* behind what cannot be read */
    int depth;
    struct path path;
};

/* How well a type of the writer fits one of the reader; higher is better. */
enum match { MATCH_NONE, MATCH_PROMOTED, MATCH_NAMED, MATCH_ALIAS, MATCH_SAME };

static const struct resolve *resolve_pair(struct resolver *resolver, const struct schema *writer,
                                          const struct schema *reader);

/* "long", "record Money": a type in words, in a buffer that the caller brings. */
static const char *type_name(const struct schema *schema, char text[80])
{
    snprintf(text, 80, "%s%s%s", schema_type_name(schema->type), schema->name ? " " : "",
             schema->name ? schema->name : "");
    return text;
}

static struct resolve *make(struct resolver *resolver, enum resolve_kind kind,
                            const struct schema *writer, const struct schema *reader)
{
    struct resolve *resolve = arena_alloc(resolver->arena, sizeof *resolve);
    resolve->kind = kind;
    resolve->writer = writer;
    resolve->reader = reader;
    return resolve;
}

static const struct resolve *fail(struct resolver *resolver, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    error_set(resolver->error, ERROR_HALT, "schema-incompatible", "%s: %s", resolver->path.text,
              message);
    if (!resolver->going_on)
        return NULL;
    struct resolve *hole = make(resolver, RESOLVE_FAIL, NULL, NULL);
    hole->reason = arena_strdup(resolver->arena, message);
    return hole;
}

static int is_promotion(enum avro_type writer, enum avro_type reader)
{
    switch (reader) {
    case AVRO_LONG_TYPE:
        return writer == AVRO_INT_TYPE;
    case AVRO_FLOAT_TYPE:
        return writer == AVRO_INT_TYPE || writer == AVRO_LONG_TYPE;
    case AVRO_DOUBLE_TYPE:
        return writer == AVRO_INT_TYPE || writer == AVRO_LONG_TYPE || writer == AVRO_FLOAT_TYPE;
    case AVRO_BYTES_TYPE:
        return writer == AVRO_STRING_TYPE;
    case AVRO_STRING_TYPE:
        return writer == AVRO_BYTES_TYPE;
    default:
        return 0;
    }
}

static enum match match_types(const struct schema *writer, const struct schema *reader)
{
    if (writer->type != reader->type)
        return is_promotion(writer->type, reader->type) ? MATCH_PROMOTED : MATCH_NONE;
    if (writer->type == AVRO_FIXED_TYPE && writer->fixed_size != reader->fixed_size)
        return MATCH_NONE;
    if (!writer->name || !reader->name || strcmp(writer->full_name, reader->full_name) == 0)
        return MATCH_SAME;
    /* An alias is a full name: it stands for the writer's type of that very name. */
    for (size_t i = 0; i < reader->alias_count; i++)
        if (strcmp(reader->aliases[i], writer->full_name) == 0)
            return MATCH_ALIAS;
    return strcmp(writer->name, reader->name) == 0 ? MATCH_NAMED : MATCH_NONE;
}

/* The reader's type for a value of the writer's, NULL when there is none. */
static const struct schema *choose(const struct schema *writer, const struct schema *reader)
{
    if (reader->type != AVRO_UNION_TYPE)
        return match_types(writer, reader) ? reader : NULL;
    const struct schema *best = NULL;
    enum match best_match = MATCH_NONE;
    for (size_t i = 0; i < reader->branch_count; i++) {
        enum match match = match_types(writer, reader->branches[i]);
        if (match > best_match) {
            best_match = match;
            best = reader->branches[i];
        }
    }
    return best;
}

/* A logical type may be added or dropped, but not become another one: the numbers would mean
 * something else. */
static const struct resolve *resolve_scalar(struct resolver *resolver, const struct schema *writer,
                                            const struct schema *reader)
{
    int writer_decimal = writer->logical == LOGICAL_DECIMAL;
    int reader_decimal = reader->logical == LOGICAL_DECIMAL;
    if (writer->logical && reader->logical && writer->logical != reader->logical)
        return fail(resolver, "the logical type changed");
    if (writer_decimal && reader_decimal &&
        (writer->scale != reader->scale || writer->precision > reader->precision))
        return fail(resolver, "a decimal (%d, %d) cannot be read as (%d, %d)", writer->precision,
                    writer->scale, reader->precision, reader->scale);
    if (writer_decimal != reader_decimal && writer->type != reader->type)
        return fail(resolver, "a decimal and a text cannot be read as one another");
    return make(resolver, RESOLVE_SCALAR, writer, reader);
}

static const struct resolve *resolve_enum(struct resolver *resolver, const struct schema *writer,
                                          const struct schema *reader)
{
    struct resolve *resolve = make(resolver, RESOLVE_ENUM, writer, reader);
    const char **symbols = arena_alloc(resolver->arena, writer->symbol_count * sizeof *symbols);
    int known = 0;
    for (size_t i = 0; i < writer->symbol_count; i++) {
        symbols[i] = reader->preset_symbol;
        for (size_t k = 0; k < reader->symbol_count; k++)
            if (strcmp(writer->symbols[i], reader->symbols[k]) == 0)
                symbols[i] = reader->symbols[k];
        known |= symbols[i] != NULL;
    }
    resolve->symbols = symbols;
    return known ? resolve : fail(resolver, "the enums have no symbol in common");
}

/* Which field of the writer each field of the reader takes: by name first, then by alias. */
static void match_fields(const struct schema *writer, const struct schema *reader,
                         size_t *ret_reader_field)
{
    for (size_t w = 0; w < writer->field_count; w++) {
        ret_reader_field[w] = reader->field_count;
        for (size_t r = 0; r < reader->field_count; r++)
            if (strcmp(writer->fields[w].name, reader->fields[r].name) == 0)
                ret_reader_field[w] = r;
    }
    for (size_t r = 0; r < reader->field_count; r++) {
        int taken = 0;
        for (size_t w = 0; w < writer->field_count; w++)
            taken |= ret_reader_field[w] == r;
        for (size_t a = 0; a < reader->fields[r].alias_count && !taken; a++) {
            for (size_t w = 0; w < writer->field_count && !taken; w++) {
                if (ret_reader_field[w] == reader->field_count &&
                    strcmp(writer->fields[w].name, reader->fields[r].aliases[a]) == 0) {
                    ret_reader_field[w] = r;
                    taken = 1;
                }
            }
        }
    }
}

static int resolve_missing(struct resolver *resolver, const struct schema_field *field,
                           struct resolve_preset *preset)
{
    struct buf bytes = {0};
    if (!field->preset) {
        preset->value = fail(resolver, "the writer does not have the field, and it has no default");
        return preset->value ? 0 : -1;
    }
    if (preset_encode(field->type, field->preset, &bytes, resolver->error) != 0) {
        buf_free(&bytes);
        return -1;
    }
    char *copy = arena_alloc(resolver->arena, bytes.size);
    if (bytes.size > 0)
        memcpy(copy, bytes.data, bytes.size);
    preset->bytes = copy;
    preset->size = bytes.size;
    buf_free(&bytes);
    preset->value = resolve_pair(resolver, field->type, field->type);
    return preset->value ? 0 : -1;
}

static int resolve_fields(struct resolver *resolver, struct resolve *resolve)
{
    const struct schema *writer = resolve->writer;
    const struct schema *reader = resolve->reader;
    size_t *reader_field = arena_alloc(resolver->arena, writer->field_count * sizeof *reader_field);
    struct resolve_field *fields =
        arena_alloc(resolver->arena, writer->field_count * sizeof *fields);
    struct resolve_preset *presets =
        arena_alloc(resolver->arena, reader->field_count * sizeof *presets);
    match_fields(writer, reader, reader_field);
    resolve->fields = fields;
    resolve->presets = presets;
    for (size_t w = 0; w < writer->field_count; w++) {
        fields[w].field = reader_field[w];
        if (reader_field[w] == reader->field_count) {
            fields[w].skip = writer->fields[w].type;
            continue;
        }
        size_t before = path_push(&resolver->path, ".", reader->fields[reader_field[w]].name);
        fields[w].value =
            resolve_pair(resolver, writer->fields[w].type, reader->fields[reader_field[w]].type);
        if (!fields[w].value)
            return -1;
        path_pop(&resolver->path, before);
    }
    for (size_t r = 0; r < reader->field_count; r++) {
        int taken = 0;
        for (size_t w = 0; w < writer->field_count; w++)
            taken |= reader_field[w] == r;
        if (taken)
            continue;
        size_t before = path_push(&resolver->path, ".", reader->fields[r].name);
        presets[resolve->preset_count].field = r;
        if (resolve_missing(resolver, &reader->fields[r], &presets[resolve->preset_count++]) != 0)
            return -1;
        path_pop(&resolver->path, before);
    }
    return 0;
}

static const struct resolve *resolve_record(struct resolver *resolver, const struct schema *writer,
                                            const struct schema *reader)
{
    const struct known *before = resolver->known;
    for (const struct known *known = before; known; known = known->older)
        if (known->resolve->writer == writer && known->resolve->reader == reader)
            return known->resolve;
    for (const struct misfit *misfit = resolver->misfits; misfit; misfit = misfit->older)
        if (misfit->writer == writer && misfit->reader == reader)
            return fail(resolver, "%s", misfit->reason);
    struct known *known = arena_alloc(resolver->arena, sizeof *known);
    known->resolve = make(resolver, RESOLVE_RECORD, writer, reader);
    known->older = before;
    resolver->known = known;
    if (resolve_fields(resolver, known->resolve) == 0)
        return known->resolve;
    resolver->known = before; /* what came behind it may refer to it */
    struct misfit *misfit = arena_alloc(resolver->arena, sizeof *misfit);
    *misfit = (struct misfit){resolver->misfits, writer, reader,
                              arena_strdup(resolver->arena, resolver->error->message)};
    resolver->misfits = misfit;
    return NULL;
}

static const struct resolve *resolve_items(struct resolver *resolver, enum resolve_kind kind,
                                           const struct schema *writer, const struct schema *reader)
{
    struct resolve *resolve = make(resolver, kind, writer, reader);
    size_t before = path_push(&resolver->path, "", kind == RESOLVE_ARRAY ? "[]" : "{}");
    resolve->items = resolve_pair(resolver, writer->items, reader->items);
    path_pop(&resolver->path, before);
    return resolve->items ? resolve : NULL;
}

/* A branch of the writer's that cannot be read: no error before a value of it comes. */
static const struct resolve *make_hole(struct resolver *resolver, const struct schema *branch,
                                       const struct schema *reader, const char *why)
{
    char name[80];
    struct resolve *hole = make(resolver, RESOLVE_FAIL, branch, reader);
    hole->reason =
        arena_printf(resolver->arena, "the writer's %s %s", type_name(branch, name), why);
    return hole;
}

static const struct resolve *resolve_branch(struct resolver *resolver, const struct schema *branch,
                                            const struct schema *reader)
{
    size_t before = resolver->path.size;
    const struct resolve *resolve = resolve_pair(resolver, branch, reader);
    if (resolve || resolver->going_on || resolver->strict)
        return resolve;
    path_pop(&resolver->path, before);
    char *why = arena_printf(resolver->arena, "does not fit: %s", resolver->error->message);
    return make_hole(resolver, branch, reader, why);
}

static const struct resolve *resolve_union(struct resolver *resolver, const struct schema *writer,
                                           const struct schema *reader)
{
    struct resolve *resolve = make(resolver, RESOLVE_UNION, writer, reader);
    const struct resolve **branches =
        arena_alloc(resolver->arena, writer->branch_count * sizeof *branches);
    const char *why = "no type of the writer's union can be read";
    int usable = 0;
    for (size_t i = 0; i < writer->branch_count; i++) {
        const struct schema *branch = writer->branches[i];
        int fits = choose(branch, reader) != NULL;
        branches[i] =
            fits ? resolve_branch(resolver, branch, reader)
                 : make_hole(resolver, branch, reader, "has no place in the newest schema");
        if (!branches[i])
            return NULL;
        usable |= fits && (resolver->going_on || branches[i]->kind != RESOLVE_FAIL);
        if (fits && branches[i]->kind == RESOLVE_FAIL)
            why = branches[i]->reason;
    }
    resolve->branches = branches;
    return usable ? resolve : fail(resolver, "%s", why);
}

static const struct resolve *resolve_chosen(struct resolver *resolver, const struct schema *writer,
                                            const struct schema *reader)
{
    switch (writer->type) {
    case AVRO_RECORD_TYPE:
        return resolve_record(resolver, writer, reader);
    case AVRO_ENUM_TYPE:
        return resolve_enum(resolver, writer, reader);
    case AVRO_ARRAY_TYPE:
        return resolve_items(resolver, RESOLVE_ARRAY, writer, reader);
    case AVRO_MAP_TYPE:
        return resolve_items(resolver, RESOLVE_MAP, writer, reader);
    default:
        return resolve_scalar(resolver, writer, reader);
    }
}

static const struct resolve *resolve_pair(struct resolver *resolver, const struct schema *writer,
                                          const struct schema *reader)
{
    char from[80];
    char to[80];
    const struct resolve *resolve = NULL;
    if (++resolver->depth > RESOLVE_DEPTH_MAX)
        resolve = fail(resolver, "the schema is nested deeper than %d levels", RESOLVE_DEPTH_MAX);
    else if (writer->type == AVRO_UNION_TYPE)
        resolve = resolve_union(resolver, writer, reader);
    else {
        const struct schema *chosen = choose(writer, reader);
        resolve = chosen ? resolve_chosen(resolver, writer, chosen)
                         : fail(resolver, "the writer's %s cannot be read as %s",
                                type_name(writer, from), type_name(reader, to));
    }
    resolver->depth--;
    return resolve;
}

static int resolve_whole(struct resolver *resolver, const struct schema *writer,
                         const struct schema *reader, const struct resolve **ret_resolve,
                         struct error *error)
{
    struct error tried; /* may be set, although a way was found */
    resolver->error = &tried;
    path_push(&resolver->path, "", reader->name ? reader->name : "value");
    *ret_resolve = resolve_pair(resolver, writer, reader);
    if (!*ret_resolve)
        *error = tried;
    return *ret_resolve ? 0 : -1;
}

int resolve_build(struct arena *arena, const struct schema *writer, const struct schema *reader,
                  const struct resolve **ret_resolve, struct error *error)
{
    struct resolver resolver = {.arena = arena};
    return resolve_whole(&resolver, writer, reader, ret_resolve, error);
}

int resolve_check(const struct schema *writer, const struct schema *reader, struct error *error)
{
    struct arena arena = {0};
    struct resolver resolver = {.arena = &arena, .strict = 1};
    const struct resolve *resolve;
    int result = resolve_whole(&resolver, writer, reader, &resolve, error);
    arena_free(&arena);
    return result;
}

int resolve_explain(struct arena *arena, const struct schema *writer, const struct schema *reader,
                    const struct resolve **ret_resolve, struct error *error)
{
    struct resolver resolver = {.arena = arena, .going_on = 1};
    return resolve_whole(&resolver, writer, reader, ret_resolve, error);
}
