/* SPDX-License-Identifier: Apache-2.0
 *
 * The control schema out of the files of sql/control/:
 *
 *   tables/NNNN_topic.sql   run once, in order. Numbered from 0001 without gaps. A file that a
 *                           database has is never changed: a change is the next file.
 *   functions/topic.sql     functions and views by CREATE OR REPLACE, in order of their names after
 *                           all tables. Run again whenever the text is another one.
 *
 * weir.migration keeps the SHA-256 of what was run. */
#ifndef WEIR_PG_MIGRATE_H
#define WEIR_PG_MIGRATE_H

#include "lib/base/asset.h"
#include "lib/pg/pg.h"

/* Brings the control schema up to the files, in the caller's transaction. Refuses (ERROR_USAGE):
 * "migration-number", two table files with one number, or a gap; "migration-changed", a table file
 * that is not the one that was applied; "migration-unknown", the database has table files that
 * these files lack: it belongs to a newer build. */
int migrate_control(PGconn *conn, const struct assets *assets, struct error *error);

/* How many files are applied as they are here, and how many are not. Errors: those of
 * migrate_control. */
int migrate_compare(PGconn *conn, const struct assets *assets, size_t *ret_done,
                    size_t *ret_missing, struct error *error);

#endif
