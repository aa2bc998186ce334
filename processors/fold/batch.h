/* SPDX-License-Identifier: Apache-2.0
 *
 * A micro-batch: the records in the order of their arrival, their rows per relation in Postgres'
 * binary form, and what becomes of each record. A batch is applied whole or in slices of its
 * records; rows are never encoded twice.
 *
 * Classification decides what is a duplicate. Folding must not depend on where a batch ends, so it
 * goes record by record: a record is compared with the last applied event of the same (Space,
 * event id), in the database or earlier in the batch. Inside the duplicate window of broker time
 * the same fingerprint makes it a duplicate and another one a conflict; beyond the window it is a
 * new event. */
#ifndef WEIR_FOLD_BATCH_H
#define WEIR_FOLD_BATCH_H

#include "lib/base/idtable.h"
#include "lib/observe/metrics.h"
#include "lib/pg/composite.h"
#include "processors/definition/bind.h"
#include "processors/fold/decoder.h"
#include "processors/fold/parked.h"
#include "processors/fold/skips.h"

enum fate { FATE_APPLIED, FATE_NOT_CONSUMED, FATE_DUPLICATE, FATE_DEAD_LETTER, FATE_PARKED };

/* A partition as its owner holds it; entries refer to it by index. */
struct position {
    char *topic;
    int32_t partition;
    int32_t id; /* position_id */
    int64_t epoch;
    int64_t next_offset;         /* committed in Postgres */
    int64_t anchor_offset;       /* -1: none yet */
    struct uuid anchor_event_id; /* all zero when the record has none */
    int64_t anchor_timestamp_us;
    int64_t hinted_offset;     /* committed to Kafka */
    int64_t taken_offset;      /* highest one put into a batch since it was assigned */
    int32_t unknown_id;        /* schema id that the partition waits for, or -1 */
    int64_t waits_offset;      /* at that record */
    int64_t waits_since_us;    /* since then; 0: that is not recorded yet */
    int told;                  /* it was logged that this build is too old for that schema */
    int verified;              /* the anchor was read again */
    int64_t next_run;          /* id of the run that its next batch writes (runs.h) */
    struct metric_series *lag; /* NULL: there are too many */
};

struct entry {
    struct record record;
    const struct catalog_event *event;
    struct uuid space_id;
    struct uuid event_id;
    int64_t fingerprint;
    uint64_t hash; /* of event and Space (runs.h) */
    uint32_t position;
    int32_t schema_id;
    unsigned char decoded_fate; /* what decoding said */
    unsigned char fate;         /* what classification says */
    unsigned char keyless;      /* the key names no Space */
    unsigned char failed;   /* parked because it failed; otherwise it waits behind one that did */
    unsigned char untried;  /* the first of its Space that is parked, without having been tried */
    int64_t retry_after_ms; /* failed: when it is tried again */
    char *code;             /* failed, or a dead letter; owned */
    char *reason;
};

/* An applied event that the database knows. */
struct known {
    struct uuid event_id;
    struct uuid space_id;
    int64_t fingerprint;
    int64_t timestamp_us;
};

struct mark {
    int32_t seq;
    uint32_t rows;
    size_t end;
};

struct rows {
    struct mark *marks; /* one per record with rows here, by seq */
    size_t mark_count;
    size_t mark_capacity;
};

struct batch {
    const struct processor *processor;
    void (*release)(void *owner); /* gives a record's bytes back; may be NULL */
    /* Appends a record's headers as an array of weir.header; NULL: there are none. */
    void (*put_headers)(const void *owner, uint32_t header_oid, struct buf *out);
    const struct parked
        *parked;               /* Spaces that are held back; NULL: none, as for their own events */
    const struct skips *skips; /* records that are set aside whatever they are; NULL: none */
    int64_t drained_position;  /* the records are parked ones of this position; -1: they are new */
    struct entry *entries;
    size_t count;
    size_t capacity;
    size_t bytes;     /* of all records and their rows */
    struct buf *data; /* per relation; ARRAY_HEADER_SIZE bytes are free before the first row */
    uint32_t *row_counts;
    struct rows *rows;
    int64_t *ends; /* per position: end of the log behind the last record, or -1 */
    size_t position_capacity;
    int64_t opened_us;      /* monotonic: when the first record came */
    struct idtable *copies; /* of classification: the last applied copy of each event */
};

enum { ENTRY_NAME_SIZE = 512 };

struct batch *batch_new(const struct processor *processor, size_t entries_max,
                        void (*release)(void *owner));
void batch_free(struct batch *batch);
void batch_reset(struct batch *batch, size_t position_count);

/* Adds a record and takes its owner. After an error (ERROR_RETRY "schema-unknown", ERROR_HALT
 * "schema-incompatible") nothing is changed, unless the record is skipped. */
int batch_add(struct batch *batch, struct decoder *decoder, const struct record *record,
              uint32_t position, struct error *error);

/* "PostReacted 0198… at weir.post [3] offset 17" */
void entry_name(const struct entry *entry, char ret_name[ENTRY_NAME_SIZE]);

/* Notes why an entry is not applied. */
void batch_note_reason(struct entry *entry, const char *code, const char *reason);

/* An entry that failed is parked when it is sent again, and what follows of its Space and topic
 * behind it; or it becomes a dead letter, when one attempt is all that the policy gives it and it
 * need not wait (`must_wait`). Returns whether it is parked. */
int batch_park(const struct batch *batch, struct entry *entry, struct parked *parked, int must_wait,
               const char *code, const char *reason);

/* Decides the fates of entries [from, to). `known` are applied events of the database with ids of
 * this range. Returns the end of the slice that may be applied in one transaction: `to`, or less
 * when an event occurs twice. */
size_t batch_classify(struct batch *batch, size_t from, size_t to, const struct known *known,
                      size_t known_count);

#endif
