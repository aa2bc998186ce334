/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads that wait for a worker. Each Space has a queue of its own, and the Spaces take turns, so
 * a Space with many reads does not delay another one. Bounded for all and for one Space: how
 * many wait, how many run, and the bytes of their answers until these are sent. Not for several
 * threads: the owner has a lock. */
#ifndef WEIR_GATEWAY_TURNS_H
#define WEIR_GATEWAY_TURNS_H

#include "producers/gateway/read.h"

struct turns;

struct turns_limits {
    int queued_max; /* a fourth of them, at least one, of one Space */
    int running_of_space_max;
    int64_t wait_us;    /* from turns_put to turns_take */
    int64_t read_bytes; /* what a read may turn out to have; counted while it runs */
    int64_t bytes_max;  /* a fourth of them of one Space; at least four times read_bytes */
};

struct turns *turns_new(const struct turns_limits *limits);
void turns_free(struct turns *turns);

/* Queues a read. Returns 0, or -1 when there is no room for it. When the whole queue is full, a
 * Space with more waiting reads than this one gives up its latest: it is in *ret_out, else NULL. */
int turns_put(struct turns *turns, struct read *read, struct read **ret_out);
/* The next one to run, or NULL when there is none that may. */
struct read *turns_take(struct turns *turns);
/* It was run, and its answer of so many bytes is on its way. Nothing for one that was not taken. */
void turns_answered(struct turns *turns, struct read *read, size_t bytes);
/* Its answer is sent. The same. */
void turns_sent(struct turns *turns, struct read *read);
/* Takes one out that has waited too long, or NULL. INT64_MAX takes any. */
struct read *turns_expired(struct turns *turns, int64_t now_us);

int turns_queued(const struct turns *turns);
int64_t turns_bytes(const struct turns *turns);

#endif
