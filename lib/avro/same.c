/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks both trees at once. A named type is walked where it stands first; later it is known by its
 * name, so that recursive types end and shared ones are not walked again and again. */
#include "lib/avro/same.h"

#include <string.h>

#include "lib/base/buf.h"

struct walk {
    struct buf seen; /* const struct schema *, of the left tree */
};

static int same(struct walk *walk, const struct schema *left, const struct schema *right);

static int same_names(const char *const *left, size_t left_count, const char *const *right,
                      size_t right_count)
{
    if (left_count != right_count)
        return 0;
    for (size_t i = 0; i < left_count; i++)
        if (strcmp(left[i], right[i]) != 0)
            return 0;
    return 1;
}

static int same_text(const char *left, const char *right)
{
    return left && right ? strcmp(left, right) == 0 : left == right;
}

static int was_seen(struct walk *walk, const struct schema *schema)
{
    for (size_t i = 0; i < walk->seen.size; i += sizeof(struct schema *))
        if (memcmp(walk->seen.data + i, &schema, sizeof schema) == 0)
            return 1;
    buf_put(&walk->seen, &schema, sizeof schema);
    return 0;
}

static int same_record(struct walk *walk, const struct schema *left, const struct schema *right)
{
    if (left->field_count != right->field_count)
        return 0;
    for (size_t i = 0; i < left->field_count; i++) {
        const struct schema_field *a = &left->fields[i];
        const struct schema_field *b = &right->fields[i];
        if (strcmp(a->name, b->name) != 0 || !a->preset != !b->preset ||
            (a->preset && !json_equal(a->preset, b->preset)) ||
            !same_names(a->aliases, a->alias_count, b->aliases, b->alias_count) ||
            !same(walk, a->type, b->type))
            return 0;
    }
    return 1;
}

static int same_union(struct walk *walk, const struct schema *left, const struct schema *right)
{
    if (left->branch_count != right->branch_count)
        return 0;
    for (size_t i = 0; i < left->branch_count; i++)
        if (!same(walk, left->branches[i], right->branches[i]))
            return 0;
    return 1;
}

static int same(struct walk *walk, const struct schema *left, const struct schema *right)
{
    if (left->type != right->type || left->logical != right->logical ||
        left->precision != right->precision || left->scale != right->scale ||
        !same_text(left->full_name, right->full_name))
        return 0;
    if (left->full_name && was_seen(walk, left))
        return 1;
    if (!same_names(left->aliases, left->alias_count, right->aliases, right->alias_count))
        return 0;
    switch (left->type) {
    case AVRO_RECORD_TYPE:
        return same_record(walk, left, right);
    case AVRO_ENUM_TYPE:
        return same_names((const char *const *)left->symbols, left->symbol_count,
                          (const char *const *)right->symbols, right->symbol_count) &&
               same_text(left->preset_symbol, right->preset_symbol);
    case AVRO_UNION_TYPE:
        return same_union(walk, left, right);
    case AVRO_FIXED_TYPE:
        return left->fixed_size == right->fixed_size;
    case AVRO_ARRAY_TYPE:
    case AVRO_MAP_TYPE:
        return same(walk, left->items, right->items);
    default:
        return 1;
    }
}

int schema_same(const struct schema *left, const struct schema *right)
{
    struct walk walk = {{0}};
    int result = same(&walk, left, right);
    buf_free(&walk.seen);
    return result;
}
