/* SPDX-License-Identifier: Apache-2.0
 *
 * From a Kafka record to rows: finds the plan by the schema id of the five bytes of framing (magic
 * 0 and a big-endian id, as Confluent's clients write them) and runs it. Plans are compiled on
 * first use and kept. */
#ifndef WEIR_FOLD_DECODER_H
#define WEIR_FOLD_DECODER_H

#include "lib/avro/plan.h"
#include "lib/pg/pg.h"
#include "lib/registry/client.h"
#include "processors/definition/processor.h"

enum { FRAME_SIZE = 5, SCHEMA_ID_MAX = 1 << 20 };

/* Codes of errors for which a partition waits: nobody has recorded the schema; or it is recorded,
 * but this build is too old to read it. */
#define DECODER_UNKNOWN "schema-unknown"
#define DECODER_NEWER "schema-newer"
/* Code of a dead letter whose key names no Space. */
#define DECODER_KEYLESS "key-invalid"

struct decoder;

/* A record as it was read. */
struct record {
    const char *topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_us; /* the broker's */
    const void *key;      /* NULL when there is none */
    size_t key_size;
    const void *value; /* NULL for a tombstone */
    size_t value_size;
    /* What its headers say: ce_type, the event, ce_source, the Space, and ce_id, the event's id.
     * NULL: nothing, or it was checked before, when it was read from its topic. */
    const char *type;
    size_t type_size;
    const char *source;
    size_t source_size;
    const char *id;
    size_t id_size;
    void *owner; /* what keeps the bytes alive */
};

struct decoder *decoder_new(const struct processor *processor);
/* What column_usage_load found, before the first record: the rest is left out of the rows. Takes
 * `usage`. */
void decoder_set_column_usage(struct decoder *decoder, char *usage);
/* If the configuration names a registry, schema ids come from there, and those of the catalog are
 * ignored. Called before the first record. Errors: those of registry_open. */
int decoder_open_registry(struct decoder *decoder, const struct config *config,
                          struct error *error);
int decoder_has_registry(const struct decoder *decoder);
/* With a registry: learns the ids that are recorded in weir.schema, so that they are known while
 * the registry is away. Without one: nothing. */
int decoder_load(struct decoder *decoder, PGconn *conn, struct error *error);
void decoder_free(struct decoder *decoder);

struct decoded {
    const struct consumed *consumed;   /* NULL: the processor does not consume this event type */
    const struct catalog_event *event; /* NULL: recorded by a newer build, unknown to this one */
    struct uuid space_id;
    struct plan_envelope envelope; /* of an event that is not consumed: only the id */
    int32_t schema_id;
};

/* The event id that the bytes of a record's value show, whether or not they can be decoded and
 * without any schema: the first field of `meta`, the first field of each event, is its text. All
 * zero when they show none. An anchor is compared by it. */
struct uuid decoder_event_id(const void *value, size_t size);

/* What is wrong with a record whatever its schema id means; otherwise returns its Space and the id.
 * Ids are at most `highest_id`. Errors: ERROR_DEAD_LETTER DECODER_KEYLESS, "space-wrong",
 * "frame-invalid" (ret_space_id is set unless the key is at fault). */
int decoder_check_record(const struct record *record, uint32_t highest_id,
                         struct uuid *ret_space_id, int32_t *ret_schema_id, struct error *error);

/* Whether a record is on the topic of the event that its id means, and says itself that it is one.
 * `full_name` and `topic` may be NULL: they are not known then. Errors: ERROR_DEAD_LETTER
 * "topic-wrong", "type-wrong", "id-wrong". */
int decoder_check_event(const struct record *record, const char *full_name, const char *topic,
                        struct error *error);

/* Decodes a record; rows and row_counts have an element for each relation of the processor.
 * Errors: ERROR_DEAD_LETTER, those of the two checks above, "avro-invalid" and PLAN_NUL
 * (ret_decoded holds what could be read); ERROR_RETRY DECODER_UNKNOWN, DECODER_NEWER. */
int decoder_decode(struct decoder *decoder, const struct record *record, int32_t seq,
                   struct buf *rows, uint32_t *row_counts, struct decoded *ret_decoded,
                   struct error *error);

/* The id of the last of these two. */
int32_t decoder_unknown_id(const struct decoder *decoder);

/* Looks an id up in weir.schema, where a newer build may have recorded it, and then in the registry
 * if there is one, which is asked once and answers, or not, within REGISTRY_REQUEST_MS. An event
 * type that this build does not know is one that it does not consume. What a newer version renamed
 * is read under the names that this build has. Errors: ERROR_RETRY DECODER_UNKNOWN, DECODER_NEWER,
 * ERROR_HALT "schema-incompatible", those of Postgres. */
int decoder_look_up(struct decoder *decoder, int32_t schema_id, PGconn *conn, struct error *error);

#endif
