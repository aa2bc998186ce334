/* SPDX-License-Identifier: Apache-2.0
 *
 * Compares generations of a processor, and runs its checks. */
#ifndef WEIR_FOLD_VERIFY_H
#define WEIR_FOLD_VERIFY_H

#include <jansson.h>

#include "lib/pg/pg.h"
#include "processors/definition/processor.h"

enum { VERIFY_ROWS_SHOWN = 5 };

/* Rows of the author's tables in schema `left` and not in `right`, or the other way round, compared
 * with EXCEPT ALL. Appends {"table", "rows", "sample": [{"side", "row"}]} to `findings` for each
 * table that differs; side is "first" for rows of `left` and "this" for those of `right`. */
int verify_equal(PGconn *conn, const char *left, const char *right, json_t *findings,
                 struct error *error);

/* Runs each query of checks.sql with search_path `schema`. Appends {"check", "rows", "sample"} for
 * each that returns rows. `ret_count` counts the checks. */
int verify_checks(PGconn *conn, const struct processor *processor, const char *schema,
                  json_t *findings, int *ret_count, struct error *error);

#endif
