/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans are kept in an array indexed by schema id, which grows with the highest id seen. Ids come
 * from a lock file or a registry, so they are small numbers. */
#include "processors/engine/decoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "processors/engine/reads.h"

struct slot {
    int known;
    const struct catalog_event *event;
    const struct consumed *consumed;
    struct plan *plan;
    struct schema_document *document; /* of a schema that is not in this build's catalog */
};

struct decoder {
    const struct processor *processor;
    struct slot *slots;
    size_t slot_count;
    int32_t unknown_id;
    char *reads; /* NULL: everything */
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
    }
    free(decoder->slots);
    free(decoder->reads);
    free(decoder);
}

void decoder_set_reads(struct decoder *decoder, char *reads)
{
    free(decoder->reads);
    decoder->reads = reads;
}

static struct slot *slot_at(struct decoder *decoder, int32_t id)
{
    if ((size_t)id >= decoder->slot_count) {
        size_t count = (size_t)id + 64;
        decoder->slots = xrealloc(decoder->slots, count * sizeof *decoder->slots);
        memset(decoder->slots + decoder->slot_count, 0,
               (count - decoder->slot_count) * sizeof *decoder->slots);
        decoder->slot_count = count;
    }
    return &decoder->slots[id];
}

static int fill_slot(struct decoder *decoder, struct slot *slot, const struct catalog_event *event,
                     const struct schema *writer, struct error *error)
{
    const struct consumed *consumed = processor_consumes(decoder->processor, event);
    if (consumed && plan_compile(writer, consumed->relations, &slot->plan, error) != 0)
        return -1;
    if (consumed && decoder->reads)
        reads_trim(decoder->reads, consumed->relations, slot->plan);
    slot->event = event;
    slot->consumed = consumed;
    slot->known = 1;
    return 0;
}

/* The slot of a schema id, compiled; NULL with an error when the id is not known. */
static const struct slot *find_slot(struct decoder *decoder, int32_t id, struct error *error)
{
    if ((size_t)id < decoder->slot_count && decoder->slots[id].known)
        return &decoder->slots[id];
    const struct catalog_version *version = catalog_find_id(decoder->processor->catalog, id);
    if (!version) {
        decoder->unknown_id = id;
        error_set(error, ERROR_RETRY, "schema-unknown",
                  "schema id %d is in neither this build's catalog nor the database's: deploy and "
                  "migrate the build that "
                  "publishes it, and this processor goes on by itself",
                  id);
        return NULL;
    }
    struct slot *slot = slot_at(decoder, id);
    return fill_slot(decoder, slot, version->event, version->schema, error) == 0 ? slot : NULL;
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

int decoder_decode(struct decoder *decoder, const struct record *record, int32_t seq,
                   struct buf *rows, uint32_t *row_counts, struct decoded *ret_decoded,
                   struct error *error)
{
    const unsigned char *value = record->value;
    struct decoded *decoded = ret_decoded;
    memset(decoded, 0, sizeof *decoded);
    decoded->schema_id = -1;
    decoded->envelope.event_id = decoder_event_id(value, record->value_size);
    if (!record->key || uuid_parse(record->key, record->key_size, &decoded->space_id) != 0)
        return error_set(error, ERROR_DEAD_LETTER, "key-invalid",
                         "the key is no Space id (36 characters of a UUID)");
    if (!value || record->value_size < FRAME_SIZE || value[0] != 0)
        return error_set(error, ERROR_DEAD_LETTER, "frame-invalid",
                         "the value does not start with a zero byte and a schema id");
    uint32_t id =
        (uint32_t)value[1] << 24 | (uint32_t)value[2] << 16 | (uint32_t)value[3] << 8 | value[4];
    if (id > SCHEMA_ID_MAX)
        return error_set(error, ERROR_DEAD_LETTER, "frame-invalid", "schema id %u is beyond %d", id,
                         SCHEMA_ID_MAX);
    decoded->schema_id = (int32_t)id;
    const struct slot *slot = find_slot(decoder, (int32_t)id, error);
    if (!slot)
        return -1;
    decoded->event = slot->event;
    if (slot->event && strcmp(slot->event->topic, record->topic) != 0)
        return error_set(error, ERROR_DEAD_LETTER, "topic-wrong", "%s belongs on %s",
                         slot->event->name, slot->event->topic);
    struct plan_record plan_record = {.space_id = decoded->space_id,
                                      .topic = record->topic,
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
                    error) != 0)
        return -1;
    decoded->consumed = slot->consumed;
    return 0;
}

int32_t decoder_unknown_id(const struct decoder *decoder)
{
    return decoder->unknown_id;
}

int decoder_look_up(struct decoder *decoder, int32_t schema_id, PGconn *conn, struct error *error)
{
    char id[16];
    if (slot_at(decoder, schema_id)->known) /* two partitions waited for it */
        return 0;
    snprintf(id, sizeof id, "%d", schema_id);
    const char *values[] = {id};
    PGresult *result = NULL;
    if (pg_query(conn, "SELECT event, definition FROM weir.schema WHERE schema_id = $1", 1, values,
                 &result, error) != 0)
        return -1;
    int code = 0;
    const struct catalog_event *event =
        PQntuples(result)
            ? catalog_find_event(decoder->processor->catalog, PQgetvalue(result, 0, 0))
            : NULL;
    struct schema_document *document = NULL;
    if (PQntuples(result) == 0)
        code = error_set(error, ERROR_RETRY, "schema-unknown",
                         "schema id %s is not recorded in weir.schema", id);
    else if (event)
        code = schema_parse(PQgetvalue(result, 0, 1), (size_t)PQgetlength(result, 0, 1), &document,
                            error);
    if (code == 0) {
        struct slot *slot = slot_at(decoder, schema_id);
        /* Without an event: a type that this build does not know, and so does not consume. A build
         * whose processor consumes it has another version of the processor, and reads it anew. */
        code = fill_slot(decoder, slot, event, document ? schema_root(document) : NULL, error);
        if (code == 0)
            slot->document = document;
        else
            schema_free(document);
    }
    PQclear(result);
    return code;
}
