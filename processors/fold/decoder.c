/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans are kept in a hash table by schema id. Ids of a lock file are small numbers one after the
 * other, those of a registry that serves others too can be any. */
#include "processors/fold/decoder.h"

#include <stdlib.h>
#include <string.h>

#include "lib/avro/datum.h"
#include "lib/avro/rename.h"
#include "lib/avro/same.h"
#include "processors/definition/column_usage.h"

enum { SLOTS_FIRST = 64 };

struct slot {
    int32_t id;
    int known;
    char *name; /* full name of the event */
    const struct catalog_event *event;
    const struct consumed *consumed;
    struct plan *plan;
    struct schema_document *document; /* of a schema that is not in this build's catalog */
    int newer;                        /* a version of the event that this build does not have */
    char *refusal; /* why this build cannot read it, or not all of it: a newer one has to */
};

struct decoder {
    const struct processor *processor;
    struct slot *slots;
    size_t slot_count; /* a power of two, or 0 */
    size_t known_count;
    int32_t unknown_id;
    char *column_usage;        /* NULL: everything */
    struct registry *registry; /* NULL: ids are the catalog's */
};

struct decoder *decoder_new(const struct processor *processor)
{
    struct decoder *decoder = xcalloc(1, sizeof *decoder);
    decoder->processor = processor;
    return decoder;
}

void decoder_free(struct decoder *decoder)
{
    if (!decoder)
        return;
    for (size_t i = 0; i < decoder->slot_count; i++) {
        plan_free(decoder->slots[i].plan);
        schema_free(decoder->slots[i].document);
        free(decoder->slots[i].name);
        free(decoder->slots[i].refusal);
    }
    free(decoder->slots);
    free(decoder->column_usage);
    registry_free(decoder->registry);
    free(decoder);
}

void decoder_set_column_usage(struct decoder *decoder, char *usage)
{
    free(decoder->column_usage);
    decoder->column_usage = usage;
}

int decoder_open_registry(struct decoder *decoder, const struct config *config, struct error *error)
{
    if (registry_open(config, &decoder->registry, error) != 0)
        return -1;
    if (decoder->registry)
        registry_set_deadline(decoder->registry, REGISTRY_ONE_TRY);
    return 0;
}

int decoder_has_registry(const struct decoder *decoder)
{
    return decoder->registry != NULL;
}

/* The slot of the id, or the free one where it belongs. */
static struct slot *probe(struct slot *slots, size_t count, int32_t id)
{
    size_t at = (size_t)id & (count - 1);
    while (slots[at].known && slots[at].id != id)
        at = (at + 1) & (count - 1);
    return &slots[at];
}

/* Makes room for one more id. At most half of the slots are taken. */
static struct slot *slot_for(struct decoder *decoder, int32_t id)
{
    if ((decoder->known_count + 1) * 2 > decoder->slot_count) {
        size_t count = decoder->slot_count ? decoder->slot_count * 2 : SLOTS_FIRST;
        struct slot *slots = xcalloc(count, sizeof *slots);
        for (size_t i = 0; i < decoder->slot_count; i++)
            if (decoder->slots[i].known)
                *probe(slots, count, decoder->slots[i].id) = decoder->slots[i];
        free(decoder->slots);
        decoder->slots = slots;
        decoder->slot_count = count;
    }
    return probe(decoder->slots, decoder->slot_count, id);
}

static int is_ours(const struct catalog_event *event, const struct schema *schema)
{
    for (size_t i = 0; i < event->version_count; i++)
        if (schema_same(event->versions[i].schema, schema))
            return 1;
    return 0;
}

/* Learns what an id means. `event` is NULL for a type that this build does not know, and so does
 * not consume: a build whose processor consumes it has another version of the processor, and reads
 * it anew. Takes `document` (may be NULL), which holds the writer's schema. */
static int learn(struct decoder *decoder, int32_t id, const char *name,
                 const struct catalog_event *event, const struct schema *writer,
                 struct schema_document *document, struct error *error)
{
    const struct consumed *consumed = processor_consumes(decoder->processor, event);
    struct plan *plan = NULL;
    char *refusal = NULL;
    int newer = event && consumed && document && !is_ours(event, writer);
    if (newer)
        rename_back(writer, catalog_newest(event)->schema);
    if (consumed && plan_compile(writer, consumed->relations, &plan, error) != 0) {
        if (!newer) {
            schema_free(document);
            return -1;
        }
        refusal = xstrdup(error->message);
    }
    if (plan && decoder->column_usage &&
        column_usage_trim(decoder->column_usage, consumed->relations, plan, error) != 0) {
        plan_free(plan);
        schema_free(document);
        return -1;
    }
    *slot_for(decoder, id) = (struct slot){.id = id,
                                           .known = 1,
                                           .name = xstrdup(name),
                                           .event = event,
                                           .consumed = consumed,
                                           .plan = plan,
                                           .document = document,
                                           .newer = newer,
                                           .refusal = refusal};
    decoder->known_count++;
    return 0;
}

static struct slot *known_slot(struct decoder *decoder, int32_t id)
{
    struct slot *slot = decoder->slot_count ? probe(decoder->slots, decoder->slot_count, id) : NULL;
    return slot && slot->known ? slot : NULL;
}

/* The slot of a schema id, compiled; NULL with an error when the id is not known. */
static struct slot *find_slot(struct decoder *decoder, int32_t id, struct error *error)
{
    struct slot *slot = known_slot(decoder, id);
    if (slot)
        return slot;
    const struct catalog_version *version =
        decoder->registry ? NULL : catalog_find_id(decoder->processor->catalog, id);
    if (version)
        return learn(decoder, id, version->schema->full_name, version->event, version->schema, NULL,
                     error) == 0
                   ? known_slot(decoder, id)
                   : NULL;
    decoder->unknown_id = id;
    if (decoder->registry)
        error_set(error, ERROR_RETRY, DECODER_UNKNOWN,
                  "schema id %d is not known: once the schema registry %s or the database has it, "
                  "this partition goes on by itself",
                  id, registry_url(decoder->registry));
    else
        error_set(error, ERROR_RETRY, DECODER_UNKNOWN,
                  "schema id %d is in neither this build's catalog nor the database's: deploy and "
                  "migrate the build that publishes it, and this partition goes on by itself",
                  id);
    return NULL;
}

/* Nobody's fault, and no reason to stop: its partition waits for a build that reads it. */
static int refuse(struct decoder *decoder, const struct slot *slot, struct error *error)
{
    decoder->unknown_id = slot->id;
    return error_set(
        error, ERROR_RETRY, DECODER_NEWER,
        "schema id %d is a newer version than this build's, which cannot read it (%s): deploy the "
        "build that has it, and it goes on by itself",
        slot->id, slot->refusal);
}

/* Whether the bytes are what a newer build's schema says, although this build has no place for
 * them: a symbol or a branch of a union that came later. */
static int is_newer(const struct slot *slot, const struct plan_record *record)
{
    if (!slot->newer)
        return 0;
    const struct schema *schema = schema_root(slot->document);
    struct datum_reader *reader = NULL;
    struct buf out = {0};
    size_t used = 0;
    struct error error;
    int fits = datum_open(schema, schema, &reader, &error) == 0 &&
               datum_read(reader, record->avro, record->avro_size, 0, &out, &used, &error) == 0 &&
               used == record->avro_size;
    datum_free(reader);
    buf_free(&out);
    return fits;
}

struct uuid decoder_event_id(const void *value, size_t size)
{
    const unsigned char *bytes = value;
    struct uuid id = {{0}};
    if (size > FRAME_SIZE + UUID_TEXT_SIZE && bytes[0] == 0 &&
        bytes[FRAME_SIZE] == UUID_TEXT_SIZE * 2)
        uuid_parse((const char *)bytes + FRAME_SIZE + 1, UUID_TEXT_SIZE, &id);
    return id;
}

/* The Space that ce_source names, as the gateway writes it; -1 when it names none. */
static int read_source(const struct record *record, struct uuid *ret_space_id)
{
    static const char prefix[] = "/spaces/";
    enum { PREFIX_SIZE = sizeof prefix - 1 };
    return record->source_size == PREFIX_SIZE + UUID_TEXT_SIZE &&
                   memcmp(record->source, prefix, PREFIX_SIZE) == 0
               ? uuid_parse(record->source + PREFIX_SIZE, UUID_TEXT_SIZE, ret_space_id)
               : -1;
}

int decoder_check_record(const struct record *record, uint32_t highest_id,
                         struct uuid *ret_space_id, int32_t *ret_schema_id, struct error *error)
{
    const unsigned char *value = record->value;
    struct uuid source;
    *ret_schema_id = -1;
    if (!record->key || uuid_parse(record->key, record->key_size, ret_space_id) != 0)
        return error_set(error, ERROR_DEAD_LETTER, DECODER_KEYLESS,
                         "the key is no Space id (36 characters of a UUID)");
    if (read_source(record, &source) == 0 && memcmp(&source, ret_space_id, sizeof source) != 0)
        return error_set(error, ERROR_DEAD_LETTER, "space-wrong",
                         "the key names a Space, and the header ce_source another one: %.*s",
                         (int)record->source_size, record->source);
    if (!value || record->value_size < FRAME_SIZE || value[0] != 0)
        return error_set(error, ERROR_DEAD_LETTER, "frame-invalid",
                         "the value does not start with a zero byte and a schema id");
    uint32_t id =
        (uint32_t)value[1] << 24 | (uint32_t)value[2] << 16 | (uint32_t)value[3] << 8 | value[4];
    if (id > highest_id)
        return error_set(error, ERROR_DEAD_LETTER, "frame-invalid", "schema id %u is beyond %u", id,
                         highest_id);
    *ret_schema_id = (int32_t)id;
    return 0;
}

/* One that is no UUID says nothing: another system may have an id of its own there. */
static int check_id(const struct record *record, struct error *error)
{
    struct uuid said;
    struct uuid id;
    char text[UUID_TEXT_SIZE + 1];
    if (record->id_size != UUID_TEXT_SIZE || record->value_size <= FRAME_SIZE + UUID_TEXT_SIZE ||
        memcmp((const char *)record->value + FRAME_SIZE + 1, record->id, UUID_TEXT_SIZE) == 0)
        return 0;
    id = decoder_event_id(record->value, record->value_size);
    uuid_format(&id, text);
    if (uuid_parse(record->id, record->id_size, &said) != 0 || memcmp(&said, &id, sizeof id) == 0 ||
        strspn(text, "0-") == UUID_TEXT_SIZE)
        return 0;
    return error_set(error, ERROR_DEAD_LETTER, "id-wrong",
                     "by its meta.event_id it is the event %s, by its header ce_id %.*s", text,
                     UUID_TEXT_SIZE, record->id);
}

/* A producer with ids of another source names another event: its bytes would be read by a wrong
 * schema, and nobody would notice. */
int decoder_check_event(const struct record *record, const char *full_name, const char *topic,
                        struct error *error)
{
    if (topic && strcmp(topic, record->topic) != 0)
        return error_set(error, ERROR_DEAD_LETTER, "topic-wrong", "%s belongs on %s", full_name,
                         topic);
    size_t size = record->type_size;
    if (size == 0 || !full_name ||
        (size == strlen(full_name) && memcmp(record->type, full_name, size) == 0))
        return topic ? check_id(record, error) : 0;
    return error_set(
        error, ERROR_DEAD_LETTER, "type-wrong",
        "by its schema id it is %s, by its header ce_type %.*s: a wrong header, or its "
        "producer takes ids from another source (schemas/catalog.lock, or another "
        "registry)",
        full_name, (int)(size < 128 ? size : 128), record->type);
}

/* The bytes come from another thread's core: ask for all of them at once, not one line after the
 * other as they are read. */
static void prefetch(const unsigned char *value, size_t size)
{
    enum { LINE = 64, LINES_MAX = 8 };
    for (size_t at = 0; at < size && at < (size_t)LINE * LINES_MAX; at += LINE)
        __builtin_prefetch(value + at);
}

static int decode(struct decoder *decoder, const struct record *record, int32_t seq,
                  struct buf *rows, uint32_t *row_counts, struct decoded *ret_decoded,
                  struct error *error)
{
    const unsigned char *value = record->value;
    struct decoded *decoded = ret_decoded;
    memset(decoded, 0, sizeof *decoded);
    prefetch(value, value ? record->value_size : 0);
    if (decoder_check_record(record, decoder->registry ? INT32_MAX : SCHEMA_ID_MAX,
                             &decoded->space_id, &decoded->schema_id, error) != 0)
        return -1;
    struct slot *slot = find_slot(decoder, decoded->schema_id, error);
    if (!slot)
        return -1;
    decoded->event = slot->event;
    if (decoder_check_event(record, slot->name, slot->event ? slot->event->topic : NULL, error) !=
        0)
        return -1;
    if (slot->consumed && !slot->plan)
        return refuse(decoder, slot, error);
    struct plan_record plan_record = {.space_id = decoded->space_id,
                                      .partition = record->partition,
                                      .offset = record->offset,
                                      .timestamp_us = record->timestamp_us,
                                      .seq = seq,
                                      .avro = value + FRAME_SIZE,
                                      .avro_size = record->value_size - FRAME_SIZE};
    if (!slot->consumed)
        return 0;
    size_t first = slot->consumed->first_relation;
    if (plan_decode(slot->plan, &plan_record, rows + first, row_counts + first, &decoded->envelope,
                    error) != 0) {
        if (strcmp(error->code, PLAN_NUL) == 0 || !is_newer(slot, &plan_record))
            return -1;
        if (!slot->refusal)
            slot->refusal = xstrdup(error->message);
        return refuse(decoder, slot, error);
    }
    decoded->consumed = slot->consumed;
    return 0;
}

int decoder_decode(struct decoder *decoder, const struct record *record, int32_t seq,
                   struct buf *rows, uint32_t *row_counts, struct decoded *ret_decoded,
                   struct error *error)
{
    int code = decode(decoder, record, seq, rows, row_counts, ret_decoded, error);
    if (!ret_decoded->consumed) /* the plan has it otherwise */
        ret_decoded->envelope.event_id = decoder_event_id(record->value, record->value_size);
    return code;
}

#define LEARN_COLUMNS "schema_id, event, definition, 'weir.' || domain || '.' || event"

/* A row of weir.schema. */
static int learn_row(struct decoder *decoder, const PGresult *result, int row, struct error *error)
{
    int32_t id = (int32_t)pg_int(result, row, 0);
    const struct catalog_event *event =
        catalog_find_event(decoder->processor->catalog, PQgetvalue(result, row, 1));
    struct schema_document *document = NULL;
    if (event && schema_parse(PQgetvalue(result, row, 2), (size_t)PQgetlength(result, row, 2),
                              &document, error) != 0)
        return -1;
    return learn(decoder, id, PQgetvalue(result, row, 3), event,
                 document ? schema_root(document) : NULL, document, error);
}

int decoder_load(struct decoder *decoder, PGconn *conn, struct error *error)
{
    PGresult *result = NULL;
    if (!decoder->registry)
        return 0;
    int code = pg_query(conn, "SELECT " LEARN_COLUMNS " FROM weir.schema", 0, NULL, &result, error);
    for (int row = 0; code == 0 && row < PQntuples(result); row++)
        if (!known_slot(decoder, (int32_t)pg_int(result, row, 0)))
            code = learn_row(decoder, result, row, error);
    PQclear(result);
    return code;
}

/* Whatever is wrong with the registry or with what it says, the partition waits. */
static int ask_registry(struct decoder *decoder, int32_t id, struct error *error)
{
    struct buf text = {0};
    struct schema_document *document = NULL;
    struct error reason = {0};
    int code = registry_fetch(decoder->registry, id, &text, &reason);
    if (code == 1)
        error_set(&reason, ERROR_RETRY, DECODER_UNKNOWN, "the schema registry %s has no such id",
                  registry_url(decoder->registry));
    if (code == 0)
        code = schema_parse(text.data, text.size, &document, &reason);
    buf_free(&text);
    if (code != 0)
        return error_set(error, ERROR_RETRY, DECODER_UNKNOWN, "schema id %d: %s", id,
                         reason.message);
    const struct schema *writer = schema_root(document);
    const struct catalog_event *event =
        writer->name ? catalog_find_event(decoder->processor->catalog, writer->name) : NULL;
    if (event && strcmp(catalog_newest(event)->schema->full_name, writer->full_name) != 0)
        event = NULL;
    return learn(decoder, id, writer->full_name, event, writer, document, error);
}

int32_t decoder_unknown_id(const struct decoder *decoder)
{
    return decoder->unknown_id;
}

int decoder_look_up(struct decoder *decoder, int32_t schema_id, PGconn *conn, struct error *error)
{
    const char *text = PG_NUMBER(schema_id);
    const char *values[] = {text};
    PGresult *result = NULL;
    const struct slot *slot = known_slot(decoder, schema_id);
    if (slot) /* two partitions waited for it, or this build is too old for it */
        return slot->refusal ? refuse(decoder, slot, error) : 0;
    int code = pg_query(conn, "SELECT " LEARN_COLUMNS " FROM weir.schema WHERE schema_id = $1", 1,
                        values, &result, error);
    if (code == 0 && PQntuples(result) > 0)
        code = learn_row(decoder, result, 0, error);
    else if (code == 0 && decoder->registry)
        code = ask_registry(decoder, schema_id, error);
    else if (code == 0)
        code = error_set(error, ERROR_RETRY, DECODER_UNKNOWN,
                         "schema id %s is not recorded in weir.schema", text);
    PQclear(result);
    slot = code == 0 ? known_slot(decoder, schema_id) : NULL;
    return slot && slot->refusal ? refuse(decoder, slot, error) : code;
}
