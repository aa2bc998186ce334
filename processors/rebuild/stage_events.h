/* SPDX-License-Identifier: Apache-2.0
 *
 * The events that count, while they are staged: runs (runs.h) in the table stage_<set>. A replay of
 * years would else fill applied_run with events that have left the duplicate window long ago. Once
 * a set is folded, the events that are still in the window, by the time of their own partition as
 * in prune.h, go to applied_run. A rebuild that was killed reads into memory (seen.h) what it had
 * staged. */
#ifndef WEIR_REBUILD_STAGE_EVENTS_H
#define WEIR_REBUILD_STAGE_EVENTS_H

#include "lib/base/buf.h"
#include "lib/pg/pg.h"
#include "processors/definition/install.h"
#include "processors/fold/positions.h"
#include "processors/fold/slice.h"
#include "processors/rebuild/seen.h"

/* Appends the statements that make `table` ("ledger_2.stage_0"). */
void stage_events_create(const char *table, struct buf *sql);

/* Adds the runs of a slice, which is the parameter of the procedure. */
int stage_events_add(PGconn *conn, const char *table, const struct slice *slice,
                     struct error *error);

/* Reads all of them into memory, in the order in which they were added, and sets the positions'
 * next_run. ERROR_RETRY with code WORKER_NEEDS_INDEX: there is no room. */
int stage_events_load(PGconn *conn, const char *table, struct seen *seen,
                      struct positions *positions, struct error *error);

/* Copies those that may still meet a copy of themselves into the generation's applied_run, in the
 * caller's transaction. */
int stage_events_copy_kept(PGconn *conn, const struct processor *processor,
                           const struct installed *installed, const char *table,
                           struct error *error);

#endif
