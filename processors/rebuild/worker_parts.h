/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of a worker share. One thread owns all of it. */
#ifndef WEIR_REBUILD_WORKER_PARTS_H
#define WEIR_REBUILD_WORKER_PARTS_H

#include <librdkafka/rdkafka.h>

#include "lib/base/buf.h"
#include "processors/fold/session.h"
#include "processors/fold/slicing.h"
#include "processors/rebuild/seen.h"
#include "processors/rebuild/worker.h"

enum {
    WORKER_IDLE_MS = 20,
    WORKER_METADATA_MS = 2000,
    WORKER_FETCH_MAX = 1000,    /* records that are taken from the consumer's queue at once */
    WORKER_LOOK_UP_MS = 10000,  /* how long an unknown schema id is waited for */
    WORKER_GROW_US = 250000,    /* a batch of a bulk rebuild waits so long to be full */
    WORKER_STALL_US = 60000000, /* without a record, although there must be some */
    WORKER_AHEAD_MAX = 20000    /* records behind a target that are kept for the next one */
};

/* Where a position is to stop. */
struct goal {
    int64_t offset;
    int reached; /* nothing below it is missing in the batches */
};

/* A record that the live generation has not applied in its turn. */
struct deferred {
    size_t position;
    int64_t offset;
    int64_t after;          /* due: behind this offset */
    int64_t carried_out_us; /* when it was redriven; INT64_MAX: it was not, it drained */
    int row;                /* of deferred_rows: its bytes */
    int due;                /* to be applied after all, and not yet */
};

struct worker {
    struct worker_options options;
    rd_kafka_t *kafka;
    rd_kafka_queue_t *queue;
    int wake_fd;
    struct session *session;
    struct decoder *decoder;
    struct positions positions;
    struct goal *goals;
    size_t reached;
    int assigned;               /* all partitions are delivered */
    rd_kafka_message_t **ahead; /* of partitions that have reached their goal */
    size_t ahead_count;
    rd_kafka_message_t *fetched[WORKER_FETCH_MAX]; /* of the consumer's queue, at once */
    size_t fetched_count;
    size_t fetched_at;
    rd_kafka_message_t **again; /* kept ahead of an earlier goal; read before anything else */
    size_t again_count;
    size_t again_at;
    size_t rows_max;
    size_t bytes_max;
    struct batch *filling;
    struct batch *applying;
    struct batch *single;      /* of one record that is applied out of its turn */
    struct deferred *deferred; /* by position and offset */
    size_t deferred_count;
    size_t due_count;
    PGresult *deferred_rows;
    struct parked *parked; /* Spaces that are held back; NULL: nothing is parked here */
    struct skips *skips;   /* records that people decided to skip; NULL as `parked` */
    struct seen *seen;     /* NULL outside of bulk, as what follows */
    struct slice *slice;
    int64_t staged;  /* bulk: records of the set so far */
    struct buf copy; /* bulk: rows on their way */
    struct known *known;
    size_t known_count;
    struct slicing slicing;
};

static inline PGconn *conn_of(const struct worker *worker)
{
    return session_conn(worker->session);
}

static inline const struct slice *slice_of(const struct worker *worker)
{
    return session_slice(worker->session);
}

static inline int is_busy(const struct worker *worker)
{
    return session_is_busy(worker->session);
}

/* worker_read.c */

/* Takes records into the filling batch until it is full or none is there. */
int worker_read(struct worker *worker, struct error *error);
int worker_set_goals(struct worker *worker, const struct vector *target, struct error *error);
int worker_is_full(const struct worker *worker);
/* Gives back what was read and not taken into a batch. */
void worker_drop(struct worker *worker);

/* worker_apply.c */

/* Sends the filling batch, or stages it. */
int worker_apply(struct worker *worker, struct error *error);
/* The same with the applying batch. */
int worker_send(struct worker *worker, struct error *error);
/* Takes results that have arrived. */
int worker_poll(struct worker *worker, struct error *error);
/* Waits until nothing is under way, so that the session is free. */
int worker_wait(struct worker *worker, struct error *error);

/* worker_stage.c */

/* Reads into memory which events the generation has, and where its set ends. */
int worker_open_stage(struct worker *worker, struct error *error);
/* Takes the applying batch to the stage, and waits for it. */
int worker_stage(struct worker *worker, struct error *error);

/* worker_deferred.c */

/* Reads which records are to be skipped, as far as nobody has skipped them. */
int worker_load_skips(struct worker *worker, struct error *error);
/* Whether anything at the partition behind that offset is deferred, or due only there. */
int worker_deferred_beyond(const struct worker *worker, size_t position, int64_t offset);
/* Reads which records are deferred, and which of them are due. The session must be free. */
int worker_load_deferred(struct worker *worker, struct error *error);
void worker_free_deferred(struct worker *worker);
int worker_is_deferred(const struct worker *worker, size_t position, int64_t offset);
/* Whether the turn of one has come that is applied after all. */
int worker_is_due(const struct worker *worker);
/* Applies it; everything that was taken before it has been. */
int worker_apply_due(struct worker *worker, struct error *error);

#endif
