/* SPDX-License-Identifier: Apache-2.0
 *
 * The source of a database's schema ids, weir.schema_source: the catalog's lock or a registry. One
 * number must never mean two schemas, so a program that is set up for the other source is refused.
 */
#ifndef WEIR_DEFINITION_SOURCE_H
#define WEIR_DEFINITION_SOURCE_H

#include "lib/pg/pg.h"

/* In all of them `url` is the registry's, or "" for the catalog's lock.
 * Errors: ERROR_USAGE "schema-source" says what to do. */

/* Sets the source of a database that has none yet, and checks it. */
int source_claim(PGconn *conn, const char *url, struct error *error);
/* Checks it. ERROR_USAGE "not-migrated" when the database has none. */
int source_check(PGconn *conn, const char *url, struct error *error);
/* From the catalog's lock to a registry that gave the same ids. */
int source_move(PGconn *conn, const char *url, struct error *error);

#endif
