/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks the newest schema once and gives each value its column. Records are flattened unless they
 * hold themselves or lie too deep; an array of records becomes a child relation, but not inside of
 * one; what has no place in columns is jsonb. A set owns everything in its arena, except names and
 * docs of the schema. */
#include "lib/avro/relation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/avro/catalog_parts.h"
#include "lib/avro/shape.h"
#include "lib/base/arena.h"
#include "lib/base/buf.h"

enum { FLATTEN_DEPTH_MAX = 8 };

struct relation_set {
    struct arena arena;
    struct relation relations[RELATIONS_PER_EVENT_MAX];
    struct relation_column *columns[RELATIONS_PER_EVENT_MAX]; /* the same, while they are made */
    size_t count;
    struct shape root;
};

/* What a value inherits from where it stands. */
struct place {
    size_t relation;
    const char *name; /* of the column, or what its columns start with */
    const char *doc;
    int nullable;
    int pii;
    int depth;
    const struct schema *around[FLATTEN_DEPTH_MAX + 1]; /* records being flattened */
};

static const struct relation_column envelope[ENVELOPE_COUNT] = {
    [ENVELOPE_SEQ] = {"seq", SQL_INT4, 0, 0, 0, "Order in the batch."},
    [ENVELOPE_SPACE_ID] = {"space_id", SQL_UUID, 0, 0, 0, "The Space it happened in."},
    [ENVELOPE_EVENT_ID] = {"event_id", SQL_UUID, 0, 0, 0, "Identifies the event."},
    [ENVELOPE_OCCURRED_AT] = {"occurred_at", SQL_TIMESTAMPTZ, 0, 0, 0,
                              "When it happened, says the client."},
    [ENVELOPE_RECEIVED_AT] = {"received_at", SQL_TIMESTAMPTZ, 0, 0, 0, "When the gateway took it."},
    [ENVELOPE_ACTOR] = {"actor", SQL_TEXT, 0, 1, 1, "Who caused it."},
    [ENVELOPE_CORRELATION_ID] = {"correlation_id", SQL_UUID, 0, 1, 0,
                                 "Shared by one business process."},
    [ENVELOPE_CAUSATION_ID] = {"causation_id", SQL_UUID, 0, 1, 0,
                               "The event that caused this one."},
    [ENVELOPE_FINGERPRINT] = {"fingerprint", SQL_INT8, 0, 0, 0, "Hash of the body."},
    [ENVELOPE_KAFKA_TOPIC] = {"kafka_topic", SQL_TEXT, 0, 0, 0, "Topic of the record."},
    [ENVELOPE_KAFKA_PARTITION] = {"kafka_partition", SQL_INT4, 0, 0, 0, "Partition of the record."},
    [ENVELOPE_KAFKA_OFFSET] = {"kafka_offset", SQL_INT8, 0, 0, 0, "Offset of the record."},
    [ENVELOPE_KAFKA_TIMESTAMP] = {"kafka_timestamp", SQL_TIMESTAMPTZ, 0, 0, 0,
                                  "When the broker took it."},
};

static const struct relation_column child_head[CHILD_COUNT] = {
    [CHILD_SEQ] = {"seq", SQL_INT4, 0, 0, 0, "The event's order in the batch."},
    [CHILD_ORDINAL] = {"ordinal", SQL_INT4, 0, 0, 0, "Place in the event's list, from 1."},
};

static int shape_value(struct relation_set *set, const struct schema *schema,
                       const struct place *place, struct shape *shape, struct error *error);

enum sql_type relation_scalar_type(const struct schema *schema)
{
    switch (schema->logical) {
    case LOGICAL_DECIMAL:
        return SQL_NUMERIC;
    case LOGICAL_UUID:
        return SQL_UUID;
    case LOGICAL_DATE:
        return SQL_DATE;
    case LOGICAL_TIME_MILLIS:
    case LOGICAL_TIME_MICROS:
        return SQL_TIME;
    case LOGICAL_TIMESTAMP_MILLIS:
    case LOGICAL_TIMESTAMP_MICROS:
    case LOGICAL_TIMESTAMP_NANOS:
        return SQL_TIMESTAMPTZ;
    case LOGICAL_LOCAL_TIMESTAMP_MILLIS:
    case LOGICAL_LOCAL_TIMESTAMP_MICROS:
    case LOGICAL_LOCAL_TIMESTAMP_NANOS:
        return SQL_TIMESTAMP;
    case LOGICAL_DURATION:
        return SQL_INTERVAL;
    case LOGICAL_NONE:
        break;
    }
    static const enum sql_type types[] = {
        [AVRO_NULL_TYPE] = SQL_TEXT,    [AVRO_BOOLEAN_TYPE] = SQL_BOOL,
        [AVRO_INT_TYPE] = SQL_INT4,     [AVRO_LONG_TYPE] = SQL_INT8,
        [AVRO_FLOAT_TYPE] = SQL_FLOAT4, [AVRO_DOUBLE_TYPE] = SQL_FLOAT8,
        [AVRO_BYTES_TYPE] = SQL_BYTEA,  [AVRO_STRING_TYPE] = SQL_TEXT,
        [AVRO_RECORD_TYPE] = SQL_JSONB, [AVRO_ENUM_TYPE] = SQL_TEXT,
        [AVRO_ARRAY_TYPE] = SQL_JSONB,  [AVRO_MAP_TYPE] = SQL_JSONB,
        [AVRO_UNION_TYPE] = SQL_JSONB,  [AVRO_FIXED_TYPE] = SQL_BYTEA};
    return types[schema->type];
}

static int add_column(struct relation_set *set, size_t relation,
                      const struct relation_column *column, struct error *error)
{
    struct relation *owner = &set->relations[relation];
    if (owner->column_count == RELATION_COLUMNS_MAX)
        return error_set(error, ERROR_USAGE, "relation-invalid",
                         "the relation %s has more than %d columns", owner->name,
                         RELATION_COLUMNS_MAX);
    for (size_t i = 0; i < owner->column_count; i++)
        if (strcmp(owner->columns[i].name, column->name) == 0)
            return error_set(error, ERROR_USAGE, "relation-invalid",
                             "the relation %s has two columns named %s; rename a field of %s",
                             owner->name, column->name, owner->event->name);
    set->columns[relation][owner->column_count++] = *column;
    return 0;
}

static int add_relation(struct relation_set *set, const char *name, int child, struct error *error)
{
    const struct relation_column *head = child ? child_head : envelope;
    const struct catalog_event *event = set->relations[0].event;
    if (set->count == RELATIONS_PER_EVENT_MAX)
        return error_set(error, ERROR_USAGE, "relation-invalid", "%s has more than %d relations",
                         event->name, RELATIONS_PER_EVENT_MAX);
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->relations[i].name, name) == 0)
            return error_set(error, ERROR_USAGE, "relation-invalid",
                             "%s has two relations named %s", event->name, name);
    size_t index = set->count++;
    set->columns[index] = arena_alloc(&set->arena, RELATION_COLUMNS_MAX * sizeof **set->columns);
    set->relations[index] = (struct relation){.name = name,
                                              .event = event,
                                              .version = catalog_newest(event)->version,
                                              .child = child,
                                              .columns = set->columns[index]};
    for (int i = 0; i < (child ? CHILD_COUNT : ENVELOPE_COUNT); i++)
        if (add_column(set, index, &head[i], error) != 0)
            return -1;
    return 0;
}

static int shape_column(struct relation_set *set, enum sql_type type, int array,
                        const struct place *place, struct shape *shape, struct error *error)
{
    struct relation_column column = {.name = place->name,
                                     .type = type,
                                     .array = array,
                                     .nullable = place->nullable,
                                     .pii = place->pii,
                                     .doc = place->doc};
    shape->kind = SHAPE_COLUMN;
    shape->relation = place->relation;
    shape->column = set->relations[place->relation].column_count;
    return add_column(set, place->relation, &column, error);
}

/* The name of a field's column, behind `prefix` where it is flattened. */
static const char *column_name(struct relation_set *set, const char *prefix, const char *name,
                               struct error *error)
{
    char snake[NAME_SIZE_MAX + 1];
    if (catalog_snake_case(name, snake) == 0) {
        const char *full = *prefix ? arena_printf(&set->arena, "%s_%s", prefix, snake)
                                   : arena_strdup(&set->arena, snake);
        if (strlen(full) <= NAME_SIZE_MAX)
            return full;
    }
    error_set(error, ERROR_USAGE, "relation-invalid",
              "the column of %s (in %s) would have a name of more than %d characters", name,
              *prefix ? prefix : "the event", NAME_SIZE_MAX);
    return NULL;
}

/* Gives each field of a record its shape. `place->name` is "" for a record whose fields keep their
 * names. */
static int shape_fields(struct relation_set *set, const struct schema *record,
                        const struct place *place, struct shape *shape, struct error *error)
{
    struct place inside = *place;
    inside.around[inside.depth++] = record;
    shape->field_count = record->field_count;
    shape->fields = arena_alloc(&set->arena, record->field_count * sizeof *shape->fields);
    for (size_t i = 0; i < record->field_count; i++) {
        const struct schema_field *field = &record->fields[i];
        inside.name = column_name(set, place->name, field->name, error);
        inside.doc = field->doc ? field->doc : "";
        inside.pii = place->pii || field->pii;
        if (!inside.name || shape_value(set, field->type, &inside, &shape->fields[i], error) != 0)
            return -1;
    }
    return 0;
}

static int can_flatten(const struct schema *record, const struct place *place)
{
    for (int i = 0; i < place->depth; i++)
        if (place->around[i] == record)
            return 0;
    return place->depth < FLATTEN_DEPTH_MAX;
}

static int shape_array(struct relation_set *set, const struct schema *schema,
                       const struct place *place, struct shape *shape, struct error *error)
{
    const struct schema *items = schema->items;
    const struct schema *bare = schema_optional(items) ? schema_optional(items) : items;
    if (items->type == AVRO_RECORD_TYPE && place->relation == 0 && can_flatten(items, place)) {
        struct place inside = *place;
        const char *name = arena_printf(&set->arena, "%s_%s", set->relations[0].name, place->name);
        if (strlen(name) > NAME_SIZE_MAX)
            return error_set(error, ERROR_USAGE, "relation-invalid",
                             "the relation %s has a name of more than %d characters", name,
                             NAME_SIZE_MAX);
        shape->kind = SHAPE_CHILD;
        shape->relation = set->count;
        inside.relation = set->count;
        inside.name = "";
        inside.nullable = 0;
        return add_relation(set, name, 1, error) == 0
                   ? shape_fields(set, items, &inside, shape, error)
                   : -1;
    }
    enum sql_type type = relation_scalar_type(bare);
    int flat = type != SQL_JSONB && bare->type != AVRO_NULL_TYPE;
    return shape_column(set, flat ? type : SQL_JSONB, flat, place, shape, error);
}

static int shape_value(struct relation_set *set, const struct schema *schema,
                       const struct place *place, struct shape *shape, struct error *error)
{
    struct place here = *place;
    const struct schema *optional = schema_optional(schema);
    if (optional) {
        schema = optional;
        here.nullable = 1;
    }
    for (size_t i = 0; i < schema->branch_count; i++)
        here.nullable |= schema->branches[i]->type == AVRO_NULL_TYPE;
    here.nullable |= schema->type == AVRO_NULL_TYPE;
    shape->schema = schema;
    if (schema->type == AVRO_RECORD_TYPE && can_flatten(schema, &here)) {
        shape->kind = SHAPE_RECORD;
        return shape_fields(set, schema, &here, shape, error);
    }
    if (schema->type == AVRO_ARRAY_TYPE)
        return shape_array(set, schema, &here, shape, error);
    return shape_column(set, relation_scalar_type(schema), 0, &here, shape, error);
}

/* `meta` fills columns of the envelope, which are there already; the catalog has checked its
 * fields. */
static void shape_meta(struct relation_set *set, const struct schema *meta, struct shape *shape)
{
    static const enum envelope_column columns[] = {
        ENVELOPE_EVENT_ID,       ENVELOPE_OCCURRED_AT,  ENVELOPE_RECEIVED_AT, ENVELOPE_ACTOR,
        ENVELOPE_CORRELATION_ID, ENVELOPE_CAUSATION_ID, ENVELOPE_FINGERPRINT};
    *shape = (struct shape){.kind = SHAPE_RECORD, .schema = meta, .field_count = meta->field_count};
    shape->fields = arena_alloc(&set->arena, meta->field_count * sizeof *shape->fields);
    for (size_t i = 0; i < meta->field_count; i++) {
        const struct schema *type = meta->fields[i].type;
        const struct schema *optional = schema_optional(type);
        shape->fields[i] = (struct shape){
            .kind = SHAPE_COLUMN, .schema = optional ? optional : type, .column = columns[i]};
    }
}

static int build(struct relation_set *set, const struct catalog_event *event, struct error *error)
{
    const struct schema *record = catalog_newest(event)->schema;
    struct place place = {.name = "", .depth = 1, .around = {record}};
    set->relations[0].event = event;
    if (add_relation(set, event->relation, 0, error) != 0)
        return -1;
    set->root =
        (struct shape){.kind = SHAPE_RECORD, .schema = record, .field_count = record->field_count};
    set->root.fields = arena_alloc(&set->arena, record->field_count * sizeof *set->root.fields);
    shape_meta(set, record->fields[0].type, &set->root.fields[0]);
    for (size_t i = 1; i < record->field_count; i++) {
        const struct schema_field *field = &record->fields[i];
        place.name = column_name(set, "", field->name, error);
        place.doc = field->doc ? field->doc : "";
        place.pii = field->pii;
        if (!place.name || shape_value(set, field->type, &place, &set->root.fields[i], error) != 0)
            return -1;
    }
    return 0;
}

int relation_build(const struct catalog_event *event, struct relation_set **ret_set,
                   struct error *error)
{
    struct relation_set *set = xcalloc(1, sizeof *set);
    if (build(set, event, error) != 0) {
        relation_free(set);
        return -1;
    }
    *ret_set = set;
    return 0;
}

void relation_free(struct relation_set *set)
{
    if (!set)
        return;
    arena_free(&set->arena);
    free(set);
}

size_t relation_count(const struct relation_set *set)
{
    return set->count;
}

const struct relation *relation_at(const struct relation_set *set, size_t index)
{
    return &set->relations[index];
}

const struct shape *relation_shape(const struct relation_set *set)
{
    return &set->root;
}

/* Names and fixed oids of Postgres' types (pg_type.dat), which never change. */
static const struct {
    const char *name;
    uint32_t oid;
    uint32_t array_oid;
} sql_types[] = {
    [SQL_BOOL] = {"bool", 16, 1000},
    [SQL_INT4] = {"int4", 23, 1007},
    [SQL_INT8] = {"int8", 20, 1016},
    [SQL_FLOAT4] = {"float4", 700, 1021},
    [SQL_FLOAT8] = {"float8", 701, 1022},
    [SQL_TEXT] = {"text", 25, 1009},
    [SQL_BYTEA] = {"bytea", 17, 1001},
    [SQL_UUID] = {"uuid", 2950, 2951},
    [SQL_TIMESTAMPTZ] = {"timestamptz", 1184, 1185},
    [SQL_TIMESTAMP] = {"timestamp", 1114, 1115},
    [SQL_DATE] = {"date", 1082, 1182},
    [SQL_TIME] = {"time", 1083, 1183},
    [SQL_NUMERIC] = {"numeric", 1700, 1231},
    [SQL_INTERVAL] = {"interval", 1186, 1187},
    [SQL_JSONB] = {"jsonb", 3802, 3807},
};

void relation_column_sql(const struct relation_column *column, char ret_sql[32])
{
    snprintf(ret_sql, 32, "%s%s", sql_types[column->type].name, column->array ? "[]" : "");
}

uint32_t relation_column_oid(const struct relation_column *column)
{
    return column->array ? sql_types[column->type].array_oid : sql_types[column->type].oid;
}
