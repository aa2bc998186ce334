/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine runs one processor: it takes part in the consumer group, decodes what arrives into a
 * batch while the batch before is applied, and applies each batch in one transaction with the
 * positions it moves. */
#ifndef WEIR_ENGINE_ENGINE_H
#define WEIR_ENGINE_ENGINE_H

#include <stdatomic.h>

#include "lib/base/config.h"
#include "lib/observe/health.h"
#include "lib/observe/metrics.h"
#include "processors/engine/processor.h"

struct engine;

/* Makes an engine; nothing is connected yet. What is passed must outlive it.
 *   stop   becomes non-zero when the program is to end
 * Errors: ERROR_USAGE for options. */
int engine_new(const struct config *config, const struct processor *processor,
               struct metrics *metrics, struct health *health, const atomic_int *stop,
               struct engine **ret_engine, struct error *error);
void engine_free(struct engine *engine);

/* Runs until *stop, then finishes what it has and leaves the group. Kafka or Postgres being away is
 * waited out. Returns 0, or -1 when this build and the database do not fit (ERROR_USAGE). */
int engine_run(struct engine *engine, struct error *error);

#endif
