/* SPDX-License-Identifier: Apache-2.0
 *
 * After the loss of the database, reads dead letters and decisions back from
 * weir.dlt.<processor> and weir.decisions.<processor> (docs/dead-letter-record.md). So a rebuild
 * from Kafka alone folds each event where the lost run did. */
#ifndef WEIR_REBUILD_RESTORE_H
#define WEIR_REBUILD_RESTORE_H

#include <stdatomic.h>

#include "lib/base/config.h"
#include "lib/pg/pg.h"
#include "processors/definition/processor.h"

/* Writes them as dead letters and decisions of the generation, whose positions are there. Topics
 * that are not there hold nothing. `ret_count` counts the dead letters' records. Errors: of
 * Postgres; ERROR_RETRY when Kafka is away, "stopped" when *stop is set. */
int restore_failures(PGconn *conn, const struct config *config, const struct processor *processor,
                     int generation, const atomic_int *stop, int64_t *ret_count,
                     struct error *error);

#endif
