/* SPDX-License-Identifier: Apache-2.0
 *
 * Compares the tables of two generations, row by row, in the caller's snapshot. */
#ifndef WEIR_REBUILD_COMPARE_H
#define WEIR_REBUILD_COMPARE_H

#include <jansson.h>

#include "lib/pg/pg.h"

enum { COMPARE_ROWS_SHOWN = 5, COMPARE_SPACES_SHOWN = 20 };

/* Every table of the author's in the schema `live` with the one of that name in `rebuilt`, both
 * ways (EXCEPT ALL); with `space` only that Space's rows, of tables that have a space_id. Appends
 * to `findings` for each table that differs:
 * {"table", "rows", "spaces": [...], "sample": [{"side": "live"|"rebuilt", "row"}]}. */
int compare_generations(PGconn *conn, const char *live, const char *rebuilt, const char *space,
                        json_t *findings, int *ret_tables, struct error *error);

#endif
