/* SPDX-License-Identifier: Apache-2.0
 *
 * Who serves reads: a bounded queue in which Spaces take turns (turns.c) and a few workers, each
 * with a database session of its own; one thread for the reads that wait for an event (after.c),
 * and one that answers those that waited for their turn too long. While Postgres is away, reads
 * are answered 503 and events are accepted. */
#ifndef WEIR_GATEWAY_READS_H
#define WEIR_GATEWAY_READS_H

#include "lib/base/asset.h"
#include "lib/base/config.h"
#include "producers/gateway/read.h"

enum {
    READ_WORKERS_MAX = 64,
    READ_WAITING_MAX = 512,         /* for events */
    READ_WAITING_OF_SPACE_MAX = 64, /* of these */
    READ_MEMORY_READS_MIN = 4, /* so many answers of --read-bytes must fit into --read-memory */
};

struct reads;

/* Reads the query files and starts the workers; connecting is theirs. Errors: ERROR_USAGE for a bad
 * file, ERROR_FATAL. */
int reads_start(const struct config *config, const struct assets *assets, struct gateway *gateway,
                struct reads **ret_reads, struct error *error);
/* Ends what is under way, and from now on answers whatever is left or still comes with 503. NULL is
 * nothing. Call it when the server has been drained. */
void reads_stop(struct reads *reads);
/* Call it when the server is gone: no handler submits any more. */
void reads_free(struct reads *reads);

const struct queries *reads_queries(const struct reads *reads);
int64_t reads_wait_ms(const struct reads *reads);
int64_t reads_bytes(const struct reads *reads); /* of one answer's rows at most */

/* Takes a read over and answers it, sooner or later; with receipts it waits for them first. */
void reads_submit(struct reads *reads, struct read *read);

/* Notes that it has its answer, of so many bytes; called before that is sent. */
void reads_answered(struct reads *reads, struct read *read, int status, size_t bytes);

#endif
