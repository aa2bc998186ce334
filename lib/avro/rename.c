/* SPDX-License-Identifier: Apache-2.0
 *
 * Both trees are walked side by side, down to where they differ; what cannot be paired is left to
 * the resolution, which says why. Records are visited once, as they may hold themselves. */
#include "lib/avro/rename.h"

#include <string.h>

#include "lib/base/buf.h"

struct walk {
    struct buf seen; /* records of the newer schema */
};

static int has_alias(const char *const *aliases, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(aliases[i], name) == 0)
            return 1;
    return 0;
}

/* The field of the newer record that the older one's field is called now. */
static struct schema_field *find_renamed(const struct schema *newer, const struct schema *older,
                                         const char *name)
{
    for (size_t i = 0; i < newer->field_count; i++) {
        struct schema_field *field = &newer->fields[i];
        if (has_alias(field->aliases, field->alias_count, name) &&
            !schema_find_field(older, field->name))
            return field;
    }
    return NULL;
}

static int is_pair(const struct schema *newer, const struct schema *older)
{
    return newer->type == older->type &&
           (!newer->name || strcmp(newer->full_name, older->full_name) == 0 ||
            has_alias(newer->aliases, newer->alias_count, older->full_name));
}

static void walk_pair(struct walk *walk, const struct schema *newer, const struct schema *older);

static void walk_record(struct walk *walk, const struct schema *newer, const struct schema *older)
{
    for (size_t i = 0; i < walk->seen.size; i += sizeof newer)
        if (memcmp(walk->seen.data + i, &newer, sizeof newer) == 0)
            return;
    buf_put(&walk->seen, &newer, sizeof newer);
    for (size_t i = 0; i < older->field_count; i++) {
        const char *name = older->fields[i].name;
        const struct schema_field *field = schema_find_field(newer, name);
        if (!field) {
            struct schema_field *renamed = find_renamed(newer, older, name);
            if (renamed)
                renamed->name = name;
            field = renamed;
        }
        if (field)
            walk_pair(walk, field->type, older->fields[i].type);
    }
}

static void walk_pair(struct walk *walk, const struct schema *newer, const struct schema *older)
{
    if (newer->type == AVRO_UNION_TYPE) {
        for (size_t i = 0; i < newer->branch_count; i++)
            walk_pair(walk, newer->branches[i], older);
        return;
    }
    if (older->type == AVRO_UNION_TYPE) {
        for (size_t i = 0; i < older->branch_count; i++)
            if (is_pair(newer, older->branches[i]))
                walk_pair(walk, newer, older->branches[i]);
        return;
    }
    if (!is_pair(newer, older))
        return;
    if (newer->name) {
        /* The tree is const to those who read it; its document is this caller's own. */
        struct schema *named = (struct schema *)newer;
        named->full_name = older->full_name;
        named->name = older->name;
    }
    if (newer->type == AVRO_RECORD_TYPE)
        walk_record(walk, newer, older);
    else if (newer->type == AVRO_ARRAY_TYPE || newer->type == AVRO_MAP_TYPE)
        walk_pair(walk, newer->items, older->items);
}

void rename_back(const struct schema *newer, const struct schema *older)
{
    struct walk walk = {0};
    walk_pair(&walk, newer, older);
    buf_free(&walk.seen);
}
