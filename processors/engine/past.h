/* SPDX-License-Identifier: Apache-2.0
 *
 * A database that knows nothing of a processor's past, beside topics that do: it was lost, or is
 * another one. Folding from the first record on would apply what people discarded, and leave out
 * what they redrove, because that stands on topics which only `weir rebuild` reads. */
#ifndef WEIR_ENGINE_PAST_H
#define WEIR_ENGINE_PAST_H

#include "lib/base/config.h"
#include "lib/pg/pg.h"

/* Errors: ERROR_HALT "rebuild-needed" when no position of the generation has moved, it has no dead
 * letter and no decision, and weir.dlt.<processor> or weir.decisions.<processor> has records;
 * ERROR_RETRY when Kafka or Postgres is away. */
int past_check(PGconn *conn, const struct config *config, const char *processor, int generation,
               struct error *error);

#endif
