/* SPDX-License-Identifier: Apache-2.0
 *
 * weir processor skip: makes a dead letter of a record that a processor cannot get past. */
#ifndef WEIR_CLI_PROCESSOR_SKIP_H
#define WEIR_CLI_PROCESSOR_SKIP_H

#include "cli/failed.h"

/* The arguments behind "skip" are the processor and the place. Records the decision and waits for
 * what comes of it. Returns an exit code. */
int processor_skip(const struct config *config, PGconn *conn, enum output_format format,
                   struct error *error);

#endif
