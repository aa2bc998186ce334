/* SPDX-License-Identifier: Apache-2.0
 *
 * The previous generation of one processor, as a follower sees it. A round of folding takes the
 * lock of rebuilds and gives it back within about PREVIOUS_ROUND_MS, so that `weir rebuild`, which
 * waits for it for seconds, always gets it. One thread owns all of it. */
#ifndef WEIR_REBUILD_PREVIOUS_H
#define WEIR_REBUILD_PREVIOUS_H

#include <stdatomic.h>

#include "processors/rebuild/generation.h"
#include "processors/rebuild/worker.h"

enum { PREVIOUS_ROUND_MS = 500 };

struct previous {
    const struct config *config;
    const struct processor *processor;
    const atomic_int *stop;

    int number; /* the generation that a rollback would go to; 0: there is none */
    int live;   /* the live one */
    int fits;   /* this build's version made it */
    int has_deferred;
    int64_t behind; /* records */

    struct generation generation; /* what the worker folds into */
    struct worker *worker;        /* NULL: nothing is open */
    atomic_int over;              /* the round is */
    int64_t pruned_us;            /* when applied events were forgotten last */
    _Atomic int64_t done;
};

/* Looks which generation there is to follow, and how far it is behind. */
int previous_look(struct previous *previous, PGconn *conn, struct error *error);

/* Folds what the live generation has dealt with, for a while. Does nothing while a rebuild has the
 * lock, or when the generation has gone meanwhile. Errors: ERROR_RETRY, ERROR_FENCED: the worker is
 * closed, and another round opens one; any other: it does not go on by itself. */
int previous_round(struct previous *previous, PGconn *conn, struct error *error);

/* Gives back what is kept between rounds. */
void previous_close(struct previous *previous);

#endif
