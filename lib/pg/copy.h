/* SPDX-License-Identifier: Apache-2.0
 *
 * COPY … FROM STDIN in its binary format (PostgreSQL documentation, COPY, "Binary Format"): rows
 * are made by the caller, head and end are made here. */
#ifndef WEIR_PG_COPY_H
#define WEIR_PG_COPY_H

#include <stddef.h>

#include "lib/pg/pg.h"

/* Begins to copy into a table, all of its columns. */
int pg_copy_begin(PGconn *conn, const char *table, struct error *error);

/* Sends whole or partial rows; nothing is kept. */
int pg_copy_put(PGconn *conn, const void *rows, size_t size, struct error *error);

/* Ends it, as a failure when `failed` is not 0. Returns 0 when all rows are there; the first error
 * stays. */
int pg_copy_end(PGconn *conn, int failed, struct error *error);

#endif
