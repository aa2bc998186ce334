/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics of what waits: parked events and open dead letters of each processor, and the outbox.
 * They are read from Postgres, so they are right after a restart, and the same in every process
 * that runs the processor. */
#ifndef WEIR_OUTBOX_DEPTH_H
#define WEIR_OUTBOX_DEPTH_H

#include <stddef.h>

#include "lib/observe/metrics.h"
#include "lib/pg/pg.h"

struct depth;

/* `processors` must outlive it. `metrics` may be NULL. */
struct depth *depth_new(struct metrics *metrics, const char *const *processors, size_t count);
void depth_free(struct depth *depth);

/* Reads and sets the gauges, unless it is too early: every five seconds, and less often when the
 * queries take long, so that they never cost more than a twentieth of one connection's time. */
int depth_measure(struct depth *depth, PGconn *conn, struct error *error);

#endif
