/* SPDX-License-Identifier: Apache-2.0
 *
 * Limits told: in words, as JSON, and how those of two versions differ. */
#include <stdio.h>
#include <string.h>

#include "lib/avro/limits.h"
#include "lib/avro/path.h"
#include "lib/avro/words.h"

static int is_integer(const struct schema *schema)
{
    return schema->type == AVRO_INT_TYPE || schema->type == AVRO_LONG_TYPE;
}

int limits_numeric(const struct schema *schema)
{
    return is_integer(schema) || schema->type == AVRO_FLOAT_TYPE ||
           schema->type == AVRO_DOUBLE_TYPE;
}

static void put_length(const struct schema *schema, int64_t count, struct buf *out)
{
    int map = schema->type == AVRO_MAP_TYPE;
    buf_printf(out, "%sat most %lld %s%s", map ? "keys of " : "", (long long)count,
               schema->type == AVRO_BYTES_TYPE ? "byte" : "character", count == 1 ? "" : "s");
}

static void put_bounds(const struct limits *limits, struct buf *out)
{
    if (limits->minimum && limits->maximum)
        buf_put_text(out, "from ");
    else if (limits->minimum || limits->maximum)
        buf_put_text(out, limits->minimum ? "at least " : "at most ");
    if (limits->minimum)
        words_preset(limits->minimum, out);
    if (limits->minimum && limits->maximum)
        buf_put_text(out, " to ");
    if (limits->maximum)
        words_preset(limits->maximum, out);
}

void limits_words(const struct schema *schema, struct buf *out)
{
    const struct limits *limits = schema->limits;
    size_t before = out->size;
    if (!limits)
        return;
    if (limits->items_max != INT64_MAX)
        buf_printf(out, "at most %lld item%s", (long long)limits->items_max,
                   limits->items_max == 1 ? "" : "s");
    if (limits->length_max != INT64_MAX) {
        buf_put_text(out, out->size > before ? ", " : "");
        put_length(schema, limits->length_max, out);
    }
    if (limits->pattern)
        buf_printf(out, ", matching %s", pattern_text(limits->pattern));
    put_bounds(limits, out);
    if (limits->unlimited)
        buf_printf(out, "%sunlimited", out->size > before ? ", else " : "");
}

/* The sign of what a bound did that is tighter the smaller it is. */
static void weigh(int tighter, int looser, int *ret_sign)
{
    if (tighter)
        *ret_sign = -1;
    else if (looser && *ret_sign == 0)
        *ret_sign = 1;
}

int limits_compare(const struct schema *old_schema, const struct schema *new_schema)
{
    const struct limits *old = old_schema->limits;
    const struct limits *new = new_schema->limits;
    const char *before = old && old->pattern ? pattern_text(old->pattern) : NULL;
    const char *after = new &&new->pattern ? pattern_text(new->pattern) : NULL;
    int sign = 0;
    if (!old || !new || old_schema->logical != new_schema->logical ||
        (old_schema->type != new_schema->type &&
         !(limits_numeric(old_schema) && limits_numeric(new_schema))))
        return 0;
    weigh(new->length_max<old->length_max, new->length_max> old->length_max, &sign);
    weigh(new->items_max<old->items_max, new->items_max> old->items_max, &sign);
    weigh(after && (!before || strcmp(before, after) != 0), before && !after, &sign);
    if (is_integer(old_schema) && is_integer(new_schema)) {
        weigh(new->least > old->least, new->least < old->least, &sign);
        weigh(new->most<old->most, new->most> old->most, &sign);
    } else {
        weigh(new->real_least > old->real_least, new->real_least < old->real_least, &sign);
        weigh(new->real_most<old->real_most, new->real_most> old->real_most, &sign);
    }
    return sign;
}

/* What the schema says of one node, as it stands there; NULL when it says nothing. */
static json_t *node_json(const struct schema *schema)
{
    const struct limits *limits = schema->limits;
    json_t *object = json_object();
    if (limits && limits->length_max != INT64_MAX)
        json_object_set_new(object, "x-length-max", json_integer(limits->length_max));
    if (limits && limits->pattern)
        json_object_set_new(object, "x-pattern", json_string(pattern_text(limits->pattern)));
    if (limits && limits->items_max != INT64_MAX)
        json_object_set_new(object, "x-items-max", json_integer(limits->items_max));
    if (limits && limits->minimum)
        json_object_set(object, "x-minimum", (json_t *)limits->minimum);
    if (limits && limits->maximum)
        json_object_set(object, "x-maximum", (json_t *)limits->maximum);
    if (limits && limits->unlimited)
        json_object_set_new(object, "x-unlimited", json_true());
    return object;
}

struct walk {
    json_t *limits;
    struct path path;
    int depth;
};

static void walk_type(struct walk *walk, const struct schema *schema);

static void walk_below(struct walk *walk, const char *separator, const char *name,
                       const struct schema *schema)
{
    size_t before = path_push(&walk->path, separator, name);
    walk_type(walk, schema);
    path_pop(&walk->path, before);
}

/* A record that holds itself is told down to the depth of the schemas that people write. */
static void walk_type(struct walk *walk, const struct schema *schema)
{
    enum { DEPTH_MAX = 8 };
    json_t *object = node_json(schema);
    json_t *there = json_object_get(walk->limits, walk->path.text);
    if (there) /* another branch of a union */
        json_object_update(there, object);
    else if (json_object_size(object) > 0)
        json_object_set(walk->limits, walk->path.text, object);
    json_decref(object);
    if (walk->depth == DEPTH_MAX)
        return;
    walk->depth++;
    for (size_t i = 0; i < schema->branch_count; i++)
        walk_type(walk, schema->branches[i]);
    for (size_t i = 0; i < schema->field_count; i++)
        walk_below(walk, ".", schema->fields[i].name, schema->fields[i].type);
    if (schema->items)
        walk_below(walk, "", schema->type == AVRO_ARRAY_TYPE ? "[]" : "{}", schema->items);
    walk->depth--;
}

json_t *limits_json(const struct schema *record)
{
    struct walk walk = {.limits = json_object()};
    walk_type(&walk, record);
    return walk.limits;
}
