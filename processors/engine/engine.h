/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine runs one processor: it joins the consumer group, decodes new records into one batch
 * while Postgres applies the other, and applies each batch in one transaction with the positions
 * that it moves. */
#ifndef WEIR_ENGINE_ENGINE_H
#define WEIR_ENGINE_ENGINE_H

#include <stdatomic.h>

#include "lib/base/config.h"
#include "lib/observe/health.h"
#include "lib/observe/metrics.h"
#include "processors/definition/processor.h"

struct engine;

/* What is pointed to must outlive the engine. */
struct engine_options {
    const struct config *config;
    const struct processor *processor;
    struct metrics *metrics;
    struct health *health;
    const atomic_int *stop; /* becomes non-zero when the program is to end */
    size_t session;         /* of session_count in this program, which divide the partitions */
    size_t session_count;
};

/* Makes an engine; nothing is connected yet. Errors: ERROR_USAGE for options. */
int engine_new(const struct engine_options *options, struct engine **ret_engine,
               struct error *error);
void engine_free(struct engine *engine);

/* Runs until *stop, then finishes what it has and leaves the group. Kafka or Postgres being away is
 * waited out. Returns 0, or -1 when this build and the database do not fit (ERROR_USAGE). */
int engine_run(struct engine *engine, struct error *error);

#endif
