/* SPDX-License-Identifier: Apache-2.0
 *
 * Who uses the events: the processors, which of their statements mention a field, and whether their
 * SQL still compiles. */
#ifndef WEIR_CLI_SCHEMA_USERS_H
#define WEIR_CLI_SCHEMA_USERS_H

#include <jansson.h>

#include "lib/pg/pg.h"
#include "processors/definition/processor.h"

struct schema_users; /* the processors of the assets */

/* Loads them all. One that cannot be loaded is added to `faults`: {processor, reason}. */
struct schema_users *schema_users_open(const struct assets *assets, const struct catalog *catalog,
                                       json_t *faults);
void schema_users_free(struct schema_users *users);
size_t schema_users_count(const struct schema_users *users);

/* The statements that read the event and mention the column: an array of {processor, file, line}.
 * With an empty column: the processors that consume the event, without file and line. */
json_t *schema_users_mention(const struct schema_users *users, const struct catalog_event *event,
                             const char *column);

/* Compiles the SQL of each processor, with its views and checks, against the newest fields of what
 * it consumes, inside of a transaction that is rolled back. What does not compile is added to
 * `faults`: {processor, reason} with file and line in the reason. A database that has never seen
 * Weir will do. Errors: the database, not the SQL. */
int schema_users_compile(const struct schema_users *users, PGconn *conn, json_t *faults,
                         struct error *error);

#endif
