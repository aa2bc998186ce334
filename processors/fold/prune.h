/* SPDX-License-Identifier: Apache-2.0
 *
 * Forgets applied events and records of duplicates that have left the duplicate window, of any
 * generation. The audit asks for neither. */
#ifndef WEIR_FOLD_PRUNE_H
#define WEIR_FOLD_PRUNE_H

#include "lib/pg/pg.h"
#include "processors/definition/processor.h"

enum {
    PRUNE_INTERVAL_MS = 600000,
    PRUNE_PAUSE_MS = 1000 /* until the next go, when there are more */
};

/* Removes some thousands at most of each that `generation` has; *ret_more: there may be more.
 * `live` is the generation whose parked events and open dead letters are looked at: what one of
 * them may be a copy of stays. */
int prune_old(PGconn *conn, const struct processor *processor, int generation, int live,
              int *ret_more, struct error *error);

#endif
