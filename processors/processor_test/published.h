/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks that a processor's views.sql and checks.sql still compile. */
#ifndef WEIR_PROCESSOR_TEST_PUBLISHED_H
#define WEIR_PROCESSOR_TEST_PUBLISHED_H

#include "lib/pg/pg.h"
#include "processors/definition/processor.h"

/* Makes the processor's views over the tables in `schema`, in a schema of their own instead of the
 * published one, which may be in use, and runs its checks there once. In the caller's transaction,
 * which is to be rolled back. Errors (ERROR_USAGE) name file and line. */
int published_compile(PGconn *conn, const struct processor *processor, const char *schema,
                      struct error *error);

#endif
