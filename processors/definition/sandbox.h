/* SPDX-License-Identifier: Apache-2.0
 *
 * The role that a processor's own SQL runs as: weir_author_<processor>. It cannot log in, is a
 * member of nothing, and owns the tables, views and functions that the processor's files make. It
 * sees no table of the control schema and none of another processor. Its SQL runs inside of
 * functions with SECURITY DEFINER, where Postgres refuses SET ROLE, RESET ROLE and SET SESSION
 * AUTHORIZATION: so it does not matter whose session it is. */
#ifndef WEIR_DEFINITION_SANDBOX_H
#define WEIR_DEFINITION_SANDBOX_H

#include "lib/base/asset.h"
#include "lib/pg/pg.h"

/* All of these run in the caller's transaction, as a login that made the role or may grant it. */

/* Makes the role of a processor, if there is none, and the caller a member of it. */
int sandbox_make(PGconn *conn, const char *processor, struct error *error);

/* Between these two calls the role makes everything, in `schema`; the search path is `schema`
 * afterwards. Never run text of an author in between, because it may end this. */
int sandbox_enter(PGconn *conn, const char *processor, const char *schema, struct error *error);
int sandbox_leave(PGconn *conn, const char *processor, const char *schema, struct error *error);

/* Runs a file of an author's as the role, which may create objects in `schema`, and in `published`
 * when that is not NULL, while it runs. Unqualified names are those of `schema`. An SQL error names
 * the file and, where Postgres tells, the line, and is ERROR_USAGE. */
int sandbox_run(PGconn *conn, const char *processor, const char *schema, const char *published,
                const struct asset *file, struct error *error);

#endif
