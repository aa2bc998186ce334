/* SPDX-License-Identifier: Apache-2.0
 *
 * The outbox's relay: publishes what transactions left in weir.outbox, such as the records of
 * weir.dlt.<processor> and weir.decisions.<processor>. It publishes a record only after its
 * transaction committed, and deletes the row only once the broker has the record. After a crash
 * it may publish a record twice. One relay runs in each `weir process`; together they publish
 * each row once, in order. It also measures what waits, for alarms. */
#ifndef WEIR_OUTBOX_RELAY_H
#define WEIR_OUTBOX_RELAY_H

#include <stdatomic.h>
#include <stddef.h>

#include "lib/base/config.h"
#include "lib/base/error.h"
#include "lib/observe/health.h"
#include "lib/observe/metrics.h"

/* Everything must outlive the relay. */
struct relay_options {
    const struct config *config;
    const char *const *processors; /* whose topics are made when missing, and who are measured */
    size_t processor_count;
    struct metrics *metrics;
    struct health *health;
    const atomic_int *stop; /* becomes non-zero when the relay is to end */
};

struct relay;

/* Starts the relay's thread. Postgres or Kafka being away is waited out. Errors: ERROR_FATAL. */
int relay_start(const struct relay_options *options, struct relay **ret_relay, struct error *error);

/* Waits for the thread, which ends within seconds after *stop, and frees the relay. */
void relay_free(struct relay *relay);

#endif
