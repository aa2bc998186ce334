/* SPDX-License-Identifier: Apache-2.0
 *
 * Folds some partitions of all topics of a processor into a generation that is not live: same
 * decoder, batches, classification and procedure as the engine, under the same fence, but without a
 * consumer group: which partitions, and up to where, it is told. A Space's partitions of all topics
 * have the same number, so that workers never meet on a Space.
 *
 * While the generation has no indexes (`bulk`), records are not applied but staged (stage.h), and
 * duplicates are found in memory (seen.h). */
#ifndef WEIR_REBUILD_WORKER_H
#define WEIR_REBUILD_WORKER_H

#include <stdatomic.h>

#include "processors/definition/install.h"
#include "processors/rebuild/vector.h"

/* Code of an error: there is no room on the stage, so that it has to be folded. */
#define WORKER_NEEDS_INDEX "needs-index"

/* There are several workers, and a record is in another partition than that of its key: a copy of
 * its event may be another worker's. */
#define WORKER_MISPLACED "misplaced"

enum {
    WORKER_BULK_ROWS = 50000,        /* records of a batch while nobody reads */
    WORKER_BULK_BYTES = 64 << 20,    /* and bytes of its rows */
    WORKER_LOW_PRIORITY_ROWS = 2000, /* the same beside live processing */
    WORKER_LOW_PRIORITY_BYTES = 4 << 20,
    WORKER_LOCK_TIMEOUT_MS = 30000,
    WORKER_FOLLOW_TIMEOUT_S = 5,
    WORKER_STATEMENT_TIMEOUT_S = 600, /* a batch may wait for a checkpoint, never for ever */
    WORKER_RETRIES = 20               /* of one batch: deadlocks with another worker */
};

struct worker;

struct worker_options {
    const struct config *config;
    const struct processor *processor;
    const struct installed *installed;
    int32_t index;    /* takes the partitions whose number leaves this remainder … */
    int32_t count;    /* … divided by this */
    int bulk;         /* index and count are those of the sets of the stage */
    int low_priority; /* small batches: whoever waits for the lock, or the core, waits for one */
    int follows;      /* statements have a short deadline as well */
    int park;         /* events that fail, as the engine does, instead of failing with them */
    const atomic_int *stop;
    _Atomic int64_t *done; /* records dealt with are added here */
};

/* Connects, claims its partitions, and begins to read behind its positions. What `options` points
 * to must outlive it. Errors: ERROR_USAGE, ERROR_RETRY; ERROR_HALT when the log is not the one that
 * an earlier run read. */
int worker_open(const struct worker_options *options, struct worker **ret_worker,
                struct error *error);
void worker_free(struct worker *worker);

/* Folds its partitions up to exactly the offsets of `target`; stops early, without an error, when
 * *stop is set. A later call may raise the target. Errors: ERROR_RETRY: open a worker anew, it goes
 * on from its positions, with code WORKER_NEEDS_INDEX not in bulk; ERROR_FENCED: another rebuild
 * has the generation; ERROR_DEAD_LETTER: an event does not go through the SQL, and is named;
 * ERROR_HALT. */
int worker_fold(struct worker *worker, const struct vector *target, struct error *error);

/* Gives up in memory what was pruned (runs.h). An error as of worker_fold. */
int worker_forget(struct worker *worker, struct error *error);

/* Writes where its partitions are. */
void worker_positions(const struct worker *worker, struct vector *vector);

#endif
