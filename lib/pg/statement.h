/* SPDX-License-Identifier: Apache-2.0
 *
 * The program's own SQL. Statements that are longer than a line or two are in sql/statements/, a
 * file per folder of C, each below "-- name: NAME" and ended by a line that ends with a semicolon.
 * They are embedded, and --home does not replace them. "-- role: ROLE" names the role that runs
 * those below it: tests/system/test_statements.py plans each as that role. */
#ifndef WEIR_PG_STATEMENT_H
#define WEIR_PG_STATEMENT_H

/* The text of a statement. An unknown name ends the process: the name is a constant, and a test
 * compares the names in C with those in the files. */
const char *statement(const char *name);

#endif
