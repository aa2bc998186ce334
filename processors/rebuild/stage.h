/* SPDX-License-Identifier: Apache-2.0
 *
 * The stage of a bulk rebuild. While nobody reads a generation, the past is not applied batch by
 * batch: rows wait in tables as they come out of the decoder, and apply.sql runs once, on all of
 * them, into tables without the indexes of indexes.sql. That is allowed because a batch of any size
 * gives what one event at a time gives.
 *
 * A set of stage tables, stage_<set>_<relation>, belongs to one worker, whose Spaces are no
 * other's, so that sets are folded side by side. They are unlogged: a crash of Postgres empties
 * them, the table `stage` with them, and the rebuild begins anew. A rebuild that is killed goes on.
 */
#ifndef WEIR_REBUILD_STAGE_H
#define WEIR_REBUILD_STAGE_H

#include <stdatomic.h>

#include "lib/pg/pg.h"
#include "processors/definition/install.h"

/* Code of an error: what was staged is gone, so that a rebuild has to begin anew. */
#define STAGE_LOST_CODE "stage-lost"

enum { STAGE_ROWS_MAX = 200000000, STAGE_PREFIX_SIZE = 96 };

enum stage_state {
    STAGE_NONE,
    STAGE_OPEN,   /* rows may be added */
    STAGE_CLOSED, /* a set has been folded: the others come before anything else */
    STAGE_LOST    /* Postgres crashed meanwhile */
};

/* Makes `sets` sets, in the caller's transaction. */
int stage_create(PGconn *conn, const struct processor *processor, const struct installed *installed,
                 int sets, struct error *error);

/* Tells the state and the number of sets. */
int stage_look(PGconn *conn, const struct installed *installed, enum stage_state *ret_state,
               int *ret_sets, struct error *error);

/* The name of the table of a set's events: "ledger_2.stage_0" (stage_events.h). */
void stage_table(const struct installed *installed, int set, char ret_table[STAGE_PREFIX_SIZE]);

/* What the names of its tables of relations begin with: "ledger_2.stage_0_". */
void stage_prefix(const struct installed *installed, int set, char ret_prefix[STAGE_PREFIX_SIZE]);

/* Runs apply.sql on a set and drops it, in one transaction; nothing when it has been folded. Ends
 * early (ERROR_RETRY, "stopped") when *stop is set. Errors are those of the SQL. */
int stage_fold(PGconn *conn, const struct processor *processor, const struct installed *installed,
               int set, const atomic_int *stop, struct error *error);

/* Drops what is left of the stage, in the caller's transaction. */
int stage_drop(PGconn *conn, const struct installed *installed, struct error *error);

#endif
