/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of a rebuild share: one coordinator, on one control connection, with workers on
 * threads of their own while they fold. */
#ifndef WEIR_REBUILD_REBUILD_PARTS_H
#define WEIR_REBUILD_REBUILD_PARTS_H

#include <pthread.h>

#include "processors/rebuild/generation.h"
#include "processors/rebuild/rebuild.h"
#include "processors/rebuild/worker.h"

enum {
    REBUILD_WORKERS_MAX = 64,
    REBUILD_TICK_MS = 50,       /* how often workers are looked at */
    REBUILD_NOTE_US = 500000,   /* how often progress is told */
    REBUILD_ATTEMPTS = 60,      /* without a record in between, while Kafka or Postgres is away */
    REBUILD_PAUSE_MS = 1000,    /* between them */
    REBUILD_LITTLE = 2000,      /* records: so few may be folded while the live one stands still */
    REBUILD_ROUNDS = 50,        /* of following, to come so near */
    REBUILD_HOLD_MS = 1500,     /* how long to wait for the lock on the live positions */
    REBUILD_VIEW_LOCK_MS = 200, /* and the one on a view: readers queue behind it */
    REBUILD_SWAP_TRIES = 300,
    REBUILD_BEGINS = 2, /* anew */
    REBUILD_SWAP_PAUSE_MS = 200,
    REBUILD_BEHIND_MS = 10000 /* how long to wait for a live generation that is behind */
};

struct rebuild {
    const struct processor *processor;
    const struct rebuild_options *options;
    PGconn *conn; /* control */
    PGconn *side; /* for commits while that one holds its locks */
    int64_t deferred;
    struct generation live;
    struct generation next;
    int unfoldable;   /* apply.sql does not go through on the stage as a whole */
    int to_end;       /* the live positions do not count: fold to the ends of the logs */
    int holding;      /* the live positions are locked by this transaction */
    int low_priority; /* somebody works on the live generation: leave it its share of the machine */
    int worker_count;
    int alone; /* one worker: records are in other partitions than those of their keys */
    struct fold_thread {
        pthread_t thread;
        struct worker *worker;
        const struct vector *target;
        int set; /* of the stage, that is folded instead */
        PGconn *conn;
        struct rebuild *rebuild;
        struct error error;
        int code;
        atomic_int running;
    } threads[REBUILD_WORKERS_MAX];
    atomic_int stop; /* of the workers */
    _Atomic int64_t done;
    const char *phase;
    int64_t total;
    int64_t base; /* done when the phase began */
    int64_t phase_us;
    int64_t told_us;
    struct vector own;
    struct vector at_live;
    json_t *report;
    int different;
};

/* fold_rounds.c */

/* Opens workers if there are none, and folds up to `target`; waits out Kafka and Postgres. A bulk
 * rebuild is indexed then. */
int rebuild_fold(struct rebuild *rebuild, const struct vector *target, struct error *error);
void rebuild_close_workers(struct rebuild *rebuild);
/* Tells how far it is, to the caller and in weir.generation, at most every REBUILD_NOTE_US. */
void rebuild_tell(struct rebuild *rebuild, int now);
/* Begins a phase; the report gets the seconds of each. */
void rebuild_phase(struct rebuild *rebuild, const char *phase, int64_t total);
/* Adds those of the present one. */
void rebuild_note_phase(struct rebuild *rebuild);
void rebuild_sleep(int ms);
/* A session that notices when this program is gone, and whose commits do not wait for the disk: a
 * crash of Postgres takes back what follows from them as well. The swap's waits. */
int rebuild_connect(const struct rebuild *rebuild, const char *name, PGconn **ret_conn,
                    struct error *error);

/* Notes what the live generation has not applied; `rebuild->deferred` counts it. */
int rebuild_note_deferred(struct rebuild *rebuild, struct error *error);

/* rebuild_verify.c */

/* Locks the live generation where it is and folds the rest: in the open transaction both hold the
 * same events. */
int rebuild_hold(struct rebuild *rebuild, struct error *error);
/* Checks, and equality if it was asked for. Findings go into the report. */
int rebuild_verify(struct rebuild *rebuild, struct error *error);

#endif
