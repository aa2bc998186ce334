/* SPDX-License-Identifier: Apache-2.0
 *
 * Which columns of a batch's relations a processor's SQL reads. Unused columns need not be built,
 * sent and parsed: most of an event's envelope, and the lines of purchases when only totals count.
 *
 * Postgres itself says it. At migration the author's statements are made, in a savepoint, the body
 * of an SQL procedure over empty tables of the relations' types, and Postgres notes for each
 * procedure of that kind which columns it depends on, stars and all. That is kept in
 * weir.column_usage, under the name of the processor's procedure, which is a hash of its text. When
 * a statement uses a row as a whole, or cannot be put there, everything is read. */
#ifndef WEIR_DEFINITION_COLUMN_USAGE_H
#define WEIR_DEFINITION_COLUMN_USAGE_H

#include "lib/avro/plan.h"
#include "processors/definition/install.h"

/* Finds it out and writes it down. In the caller's transaction, as a role that may create
 * temporary tables and that owns the procedure. */
int column_usage_record(PGconn *conn, const struct processor *processor,
                        const struct installed *installed, struct error *error);

/* What was written down; NULL when everything is read. The caller frees it. */
int column_usage_load(PGconn *conn, const struct installed *installed, char **ret_usage,
                      struct error *error);

/* Makes a plan leave out what is not read. Errors: those of plan_trim. */
int column_usage_trim(const char *usage, const struct relation_set *set, struct plan *plan,
                      struct error *error);

#endif
