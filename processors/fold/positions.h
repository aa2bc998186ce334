/* SPDX-License-Identifier: Apache-2.0
 *
 * What weir.claim and weir.claim_generation return, read into memory. */
#ifndef WEIR_FOLD_POSITIONS_H
#define WEIR_FOLD_POSITIONS_H

#include "lib/pg/pg.h"
#include "processors/fold/batch.h"

/* The columns that positions_read expects, of a row of weir.position. */
#define POSITION_COLUMNS                                                                           \
    "position_id, topic, kafka_partition, next_offset, anchor_offset, anchor_event_id, "           \
    "(extract(epoch FROM anchor_timestamp) * 1000000)::bigint, epoch"

/* An array of PQntuples(result) positions, sorted by id; positions_free frees it. */
struct position *positions_read(const PGresult *result);
void positions_free(struct position *positions, size_t count);

#endif
