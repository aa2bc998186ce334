/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks a resolution that went on behind its faults and words each of them: what is in the way, for
 * whom, and what to do instead. The path is told in the names of the newer version. */
#include "lib/avro/compat.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/avro/catalog_parts.h"
#include "lib/avro/path.h"
#include "lib/avro/resolve.h"
#include "lib/avro/words.h"

struct walk {
    compat_visit *visit;
    void *context;
    int writer_version;
    int reader_version;
    size_t count;
    struct path path;
    struct buf seen; /* resolutions of records, which can hold themselves */
    struct buf reason;
};

static int is_forward(const struct walk *walk)
{
    return walk->reader_version < walk->writer_version;
}

int compat_mode_parse(const char *text, enum compat_mode *ret_mode, struct error *error)
{
    static const struct {
        const char *name;
        int mode;
    } modes[] = {{"NONE", COMPAT_NONE},
                 {"BACKWARD", COMPAT_BACKWARD},
                 {"BACKWARD_TRANSITIVE", COMPAT_BACKWARD | COMPAT_TRANSITIVE},
                 {"FORWARD", COMPAT_FORWARD},
                 {"FORWARD_TRANSITIVE", COMPAT_FORWARD | COMPAT_TRANSITIVE},
                 {"FULL", COMPAT_FULL},
                 {"FULL_TRANSITIVE", COMPAT_FULL | COMPAT_TRANSITIVE}};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (strcasecmp(text, modes[i].name) == 0) {
            *ret_mode = (enum compat_mode)modes[i].mode;
            return 0;
        }
    }
    return error_set(error, ERROR_USAGE, "bad-option",
                     "compatibility is \"%s\", but must be BACKWARD, FORWARD or FULL, each also "
                     "with _TRANSITIVE, or NONE",
                     text);
}

void compat_column(const char *path, char *ret_column, size_t size)
{
    char part[NAME_SIZE_MAX + 1];
    char snake[NAME_SIZE_MAX + 1];
    size_t used = 0;
    *ret_column = '\0';
    while (*path) {
        size_t length = strcspn(path, ".[{");
        snprintf(part, sizeof part, "%.*s", (int)length, path);
        path += length;
        if (catalog_snake_case(part, snake) == 0 && used + strlen(snake) + 2 < size)
            used +=
                (size_t)snprintf(ret_column + used, size - used, "%s%s", used ? "_" : "", snake);
        if (*path == '{')
            return;
        if (strncmp(path, "[].", 3) == 0)
            used = 0;
        path += strcspn(path, ".");
        path += *path == '.';
    }
}

/* What stands in walk->reason is the reason. */
static void found(struct walk *walk, const char *advice)
{
    char column[2 * sizeof walk->path.text];
    compat_column(walk->path.text, column, sizeof column);
    struct compat_break item = {.path = walk->path.text,
                                .column = column,
                                .reason = buf_text(&walk->reason),
                                .advice = advice,
                                .older =
                                    is_forward(walk) ? walk->reader_version : walk->writer_version,
                                .forward = is_forward(walk)};
    walk->count++;
    walk->visit(walk->context, &item);
    buf_reset(&walk->reason);
}

static void found_missing(struct walk *walk)
{
    if (is_forward(walk)) {
        buf_printf(&walk->reason,
                   "the field is gone, and version %d, which has no default for it, cannot read "
                   "events without it",
                   walk->reader_version);
        found(walk, "keep the field, and stop filling it with anything that matters");
    } else {
        buf_printf(&walk->reason,
                   "the field is new and has no default, so events of version %d cannot be read",
                   walk->writer_version);
        found(walk, "give it a default: a value that is true of old events, or the type "
                    "[\"null\", …] with \"default\": null");
    }
}

static void found_symbols(struct walk *walk, const struct schema *writer,
                          const struct schema *reader)
{
    const char *separator = "";
    buf_put_text(&walk->reason, is_forward(walk) ? "new: " : "gone: ");
    for (size_t i = 0; i < writer->symbol_count; i++) {
        size_t k = 0;
        while (k < reader->symbol_count && strcmp(writer->symbols[i], reader->symbols[k]) != 0)
            k++;
        if (k == reader->symbol_count) {
            buf_printf(&walk->reason, "%s%s", separator, writer->symbols[i]);
            separator = ", ";
        }
    }
    buf_printf(&walk->reason,
               is_forward(walk) ? "; version %d cannot read events with it, as its enum has no "
                                  "\"default\" for unknown symbols"
                                : "; events of version %d may hold it, and the enum has no "
                                  "\"default\" for them",
               is_forward(walk) ? walk->reader_version : walk->writer_version);
    found(walk, is_forward(walk)
                    ? "bring every program to a version whose enum has a \"default\" symbol first"
                    : "keep the symbol, or name one for unknown values: \"default\": \"UNKNOWN\"");
}

static void found_branch(struct walk *walk, const struct schema *branch)
{
    int null = branch->type == AVRO_NULL_TYPE;
    words_type(branch, &walk->reason);
    if (is_forward(walk))
        buf_printf(&walk->reason, " is allowed now, but version %d cannot read it",
                   walk->reader_version);
    else
        buf_printf(&walk->reason, " is no longer allowed, but events of version %d may hold it",
                   walk->writer_version);
    found(walk, is_forward(walk) ? (null ? "keep the field required, and add an optional one"
                                         : "add a field of the new type instead")
                : null           ? "keep the type [\"null\", …]: what once was optional stays so"
                                 : "keep the type in the union");
}

/* Named types of one kind that only differ by name. */
static int is_renamed(const struct schema *writer, const struct schema *reader)
{
    return writer->type == reader->type && writer->name && reader->name &&
           strcmp(writer->name, reader->name) != 0 &&
           (writer->type != AVRO_FIXED_TYPE || writer->fixed_size == reader->fixed_size);
}

static void found_type(struct walk *walk, const struct schema *writer, const struct schema *reader,
                       const char *reason)
{
    const struct schema *old = is_forward(walk) ? reader : writer;
    const struct schema *new = is_forward(walk) ? writer : reader;
    char advice[200] = "keep the type, and add a field of the new type beside it";
    words_type(old, &walk->reason);
    buf_put_text(&walk->reason, " → ");
    words_type(new, &walk->reason);
    if (is_renamed(writer, reader)) {
        buf_printf(&walk->reason, ": a %s of another name is another type",
                   schema_type_name(writer->type));
        if (is_forward(walk))
            snprintf(advice, sizeof advice, "keep the name %s", old->name);
        else
            snprintf(advice, sizeof advice, "keep the name, or give %s \"aliases\": [\"%s\"]",
                     new->name, old->name);
    } else if (writer->type == reader->type && writer->logical != reader->logical) {
        buf_put_text(&walk->reason, ": the same numbers would mean something else");
    } else if (writer->type == reader->type && reason) {
        buf_printf(&walk->reason, ": %s", reason);
    } else {
        buf_printf(&walk->reason, ": events of version %d cannot be read by version %d",
                   walk->writer_version, walk->reader_version);
    }
    found(walk, advice);
}

static void walk_pair(struct walk *walk, const struct resolve *resolve, const struct schema *writer,
                      const struct schema *reader);

static void walk_record(struct walk *walk, const struct resolve *resolve)
{
    for (size_t i = 0; i < walk->seen.size; i += sizeof resolve)
        if (memcmp(walk->seen.data + i, &resolve, sizeof resolve) == 0)
            return;
    buf_put(&walk->seen, &resolve, sizeof resolve);
    for (size_t i = 0; i < resolve->writer->field_count; i++) {
        const struct resolve_field *field = &resolve->fields[i];
        const struct schema_field *from = &resolve->writer->fields[i];
        if (field->skip)
            continue;
        const struct schema_field *to = &resolve->reader->fields[field->field];
        size_t before = path_push(&walk->path, ".", is_forward(walk) ? from->name : to->name);
        walk_pair(walk, field->value, from->type, to->type);
        path_pop(&walk->path, before);
    }
    for (size_t i = 0; i < resolve->preset_count; i++) {
        if (resolve->presets[i].value->kind != RESOLVE_FAIL)
            continue;
        size_t before =
            path_push(&walk->path, ".", resolve->reader->fields[resolve->presets[i].field].name);
        found_missing(walk);
        path_pop(&walk->path, before);
    }
}

static void walk_enum(struct walk *walk, const struct resolve *resolve)
{
    for (size_t i = 0; i < resolve->writer->symbol_count; i++) {
        if (!resolve->symbols[i]) {
            found_symbols(walk, resolve->writer, resolve->reader);
            return;
        }
    }
}

static void walk_union(struct walk *walk, const struct resolve *resolve,
                       const struct schema *reader)
{
    for (size_t i = 0; i < resolve->writer->branch_count; i++) {
        const struct resolve *branch = resolve->branches[i];
        /* a branch without a place, unlike one that has a place and does not fit it */
        if (branch->kind == RESOLVE_FAIL && branch->writer)
            found_branch(walk, resolve->writer->branches[i]);
        else
            walk_pair(walk, branch, resolve->writer->branches[i], reader);
    }
}

static void walk_pair(struct walk *walk, const struct resolve *resolve, const struct schema *writer,
                      const struct schema *reader)
{
    switch (resolve->kind) {
    case RESOLVE_RECORD:
        walk_record(walk, resolve);
        return;
    case RESOLVE_ENUM:
        walk_enum(walk, resolve);
        return;
    case RESOLVE_ARRAY:
    case RESOLVE_MAP: {
        size_t before = path_push(&walk->path, "", resolve->kind == RESOLVE_ARRAY ? "[]" : "{}");
        walk_pair(walk, resolve->items, resolve->writer->items, resolve->reader->items);
        path_pop(&walk->path, before);
        return;
    }
    case RESOLVE_UNION:
        walk_union(walk, resolve, reader);
        return;
    case RESOLVE_FAIL:
        if (writer->type == AVRO_ENUM_TYPE && reader->type == AVRO_ENUM_TYPE &&
            !is_renamed(writer, reader))
            found_symbols(walk, writer, reader);
        else
            found_type(walk, writer, reader, resolve->reason);
        return;
    case RESOLVE_SCALAR:
        return;
    }
}

size_t compat_pair(const struct schema *writer, int writer_version, const struct schema *reader,
                   int reader_version, compat_visit *visit, void *context)
{
    struct walk walk = {.visit = visit,
                        .context = context,
                        .writer_version = writer_version,
                        .reader_version = reader_version};
    struct arena arena = {0};
    struct error error = {0};
    const struct resolve *resolve;
    if (resolve_explain(&arena, writer, reader, &resolve, &error) == 0) {
        walk_pair(&walk, resolve, writer, reader);
    } else {
        buf_put_text(&walk.reason, error.message);
        found(&walk, "make the schema simpler");
    }
    arena_free(&arena);
    buf_free(&walk.seen);
    buf_free(&walk.reason);
    return walk.count;
}

size_t compat_event(const struct catalog_event *event, enum compat_mode mode, compat_visit *visit,
                    void *context)
{
    const struct catalog_version *newest = catalog_newest(event);
    size_t count = 0;
    for (size_t back = 1; back < event->version_count; back++) {
        const struct catalog_version *older = newest - back;
        if (mode & COMPAT_BACKWARD)
            count += compat_pair(older->schema, older->version, newest->schema, newest->version,
                                 visit, context);
        if (mode & COMPAT_FORWARD)
            count += compat_pair(newest->schema, newest->version, older->schema, older->version,
                                 visit, context);
        if (!(mode & COMPAT_TRANSITIVE))
            break;
    }
    return count;
}
