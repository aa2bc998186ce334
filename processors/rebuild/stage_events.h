/* SPDX-License-Identifier: Apache-2.0
 *
 * The events that count, while they are staged: one value per batch, as rows of COPY, in the table
 * stage_<set>. A replay of years would else fill applied_event with rows that have left the
 * duplicate window long ago, and make a key of them. Once a set is folded, the rows that are still
 * in the window, by the time of their own partition as in prune.h, go to applied_event. A rebuild
 * that was killed reads into memory (seen.h) what it had staged. */
#ifndef WEIR_REBUILD_STAGE_EVENTS_H
#define WEIR_REBUILD_STAGE_EVENTS_H

#include "lib/base/buf.h"
#include "lib/pg/pg.h"
#include "processors/definition/install.h"
#include "processors/rebuild/seen.h"

/* Columns of COPY into applied_event: two UUIDs, four numbers. */
enum { STAGE_EVENT_SIZE = 2 + 6 * 4 + 16 + 16 + 8 + 4 + 8 + 8 };

/* Appends the statements that make `table` ("ledger_2.stage_0"). */
void stage_events_create(const char *table, struct buf *sql);

/* Adds the events of a batch: `rows` holds any number of STAGE_EVENT_SIZE bytes. A record that is
 * dealt with out of its turn is noted by its position and offset, others have offset -1. */
int stage_events_add(PGconn *conn, const char *table, const struct buf *rows, int32_t position_id,
                     int64_t offset, struct error *error);

/* Reads all of them into memory, in the order in which they were added. ERROR_RETRY with code
 * WORKER_NEEDS_INDEX: there is no room. */
int stage_events_load(PGconn *conn, const char *table, struct seen *seen, struct error *error);

/* Copies those that may still meet a copy of themselves into the generation's applied_event, in the
 * caller's transaction. */
int stage_events_copy_kept(PGconn *conn, const struct processor *processor,
                           const struct installed *installed, const char *table,
                           struct error *error);

#endif
