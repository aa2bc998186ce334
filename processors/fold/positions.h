/* SPDX-License-Identifier: Apache-2.0
 *
 * The positions of an owner, as weir.claim returned them: where each goes on, and how far it is. */
#ifndef WEIR_FOLD_POSITIONS_H
#define WEIR_FOLD_POSITIONS_H

#include "lib/base/buf.h"
#include "lib/pg/pg.h"
#include "processors/fold/batch.h"

struct slice;

struct positions {
    struct position *list; /* sorted by id */
    size_t count;
    size_t last;    /* found last: records come in runs */
    struct buf ids; /* "{1,2,3}" */
};

/* The columns that positions_read expects, of a row of weir.position. */
#define POSITION_COLUMNS                                                                           \
    "position_id, topic, kafka_partition, next_offset, anchor_offset, anchor_event_id, "           \
    "(extract(epoch FROM anchor_timestamp) * 1000000)::bigint, epoch"

/* In place of those that were there. */
void positions_read(struct positions *positions, const PGresult *result);
/* Leaves none. */
void positions_free(struct positions *positions);

/* NULL when there is none. */
struct position *positions_find(struct positions *positions, const char *topic, int32_t partition);
/* The index of the one with this id, which has to be there. */
uint32_t positions_index(const struct positions *positions, int64_t id);

/* Whether a batch holds anything: records, or ends of partitions beyond their positions. */
int positions_await(const struct positions *positions, const struct batch *batch);

/* The slice is committed: positions are behind it. Returns by how many offsets they moved. */
int64_t positions_advance(struct positions *positions, const struct slice *slice);

/* Compares the record where the anchor should be with the anchor: the log is the same if they are
 * equal. `value` is the record's. Errors: ERROR_HALT "log-changed". */
int position_verify(struct position *position, int64_t offset, int64_t timestamp_us,
                    const void *value, size_t size, struct error *error);
/* Fills the error for a log that is not the one it was; `what` was found at `offset`. Returns -1.
 */
int position_log_changed(const struct position *position, const char *what, int64_t offset,
                         struct error *error);

#endif
