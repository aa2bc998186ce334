/* SPDX-License-Identifier: Apache-2.0
 *
 * The slow path of the duplicate check. A batch inserts its event ids without asking; only when the
 * key of applied_event refuses one is the database asked which of them it knows. */
#ifndef WEIR_FOLD_DUPLICATES_H
#define WEIR_FOLD_DUPLICATES_H

#include "processors/fold/slice.h"

/* Whether a failed call failed because an event was applied before. */
int duplicates_caused(const PGresult *result);

/* The applied events among entries [from, to) of a batch, for batch_classify. The caller frees
 * *ret_known. `schema` is the generation's. Errors: of Postgres. */
int duplicates_look_up(PGconn *conn, const char *schema, const struct batch *batch, size_t from,
                       size_t to, const struct slice_types *types, struct known **ret_known,
                       size_t *ret_count, struct error *error);
/* The same once duplicates were found to be there. Errors: ERROR_RETRY as well, when there is none,
 * because the transaction that held the key was taken back meanwhile. */
int duplicates_find(PGconn *conn, const char *schema, const struct batch *batch, size_t from,
                    size_t to, const struct slice_types *types, struct known **ret_known,
                    size_t *ret_count, struct error *error);

#endif
