/* SPDX-License-Identifier: Apache-2.0
 *
 * Compares generations of a processor, and runs its checks. */
#ifndef WEIR_FOLD_VERIFY_H
#define WEIR_FOLD_VERIFY_H

#include <jansson.h>

#include "lib/pg/pg.h"
#include "processors/definition/processor.h"

enum { VERIFY_ROWS_SHOWN = 5, VERIFY_SPACES_SHOWN = 20 };

/* One of two generations that are compared. */
struct verify_side {
    const char *name;
    const char *schema;
};

/* Every table of the author's in the left schema with the one of that name in the right one, both
 * ways (EXCEPT ALL), in the caller's snapshot; with `space` only that Space's rows, of tables that
 * have a space_id. Appends to `findings` for each table that differs:
 * {"table", "rows", "spaces": [...], "sample": [{"side": name, "row"}]}. *ret_tables counts them
 * all. */
int verify_equal(PGconn *conn, const struct verify_side *left, const struct verify_side *right,
                 const char *space, json_t *findings, int *ret_tables, struct error *error);

/* Runs each query of checks.sql with search_path `schema`. Appends {"check", "rows", "sample"} for
 * each that returns rows. `ret_count` counts the checks. */
int verify_checks(PGconn *conn, const struct processor *processor, const char *schema,
                  json_t *findings, int *ret_count, struct error *error);

#endif
