/* SPDX-License-Identifier: Apache-2.0
 *
 * Keeps previous generations up to date beside the live ones, so that `weir rebuild NAME
 * --rollback` has little to catch up with. One follower runs in each `weir process`, on one
 * thread for all its processors; of several processes one follows a processor's previous
 * generation, and its build must have the version that made it. A failure of the follower never
 * affects the live generation. */
#ifndef WEIR_REBUILD_FOLLOW_H
#define WEIR_REBUILD_FOLLOW_H

#include <stdatomic.h>

#include "lib/observe/metrics.h"
#include "processors/definition/processor.h"

/* Everything must outlive the follower. */
struct follow_options {
    const struct config *config;
    const struct processor *const *processors;
    size_t processor_count;
    struct metrics *metrics;
    const atomic_int *stop; /* becomes non-zero when the follower is to end */
};

struct follower;

/* Starts the thread. Postgres or Kafka being away is waited out. Errors: ERROR_FATAL. */
int follow_start(const struct follow_options *options, struct follower **ret_follower,
                 struct error *error);

/* Waits for the thread, which ends with the batch under way after *stop, and frees the follower. */
void follow_free(struct follower *follower);

#endif
