/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds a database that does not know what a processor's topics tell about its past: it was
 * lost, was restored from an older backup, is a copy that was behind, or is another one. Folding
 * on from its positions would apply events that people discarded and leave out events that they
 * redrove, because only `weir rebuild` reads those topics. */
#ifndef WEIR_OUTBOX_PAST_H
#define WEIR_OUTBOX_PAST_H

#include <stdatomic.h>

#include "lib/base/config.h"
#include "lib/pg/pg.h"
#include "processors/definition/processor.h"

/* Looks at the newest records of weir.dlt.<processor> and weir.decisions.<processor>; at all while
 * no position of the live generation has moved. Errors: ERROR_HALT PAST_UNKNOWN when one of them
 * has no row; ERROR_RETRY when Kafka or Postgres is away, "stopped" when *stop is set. */
#define PAST_UNKNOWN "rebuild-needed"
int past_check(PGconn *conn, const struct config *config, const struct processor *processor,
               const atomic_int *stop, struct error *error);

#endif
