/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes another generation the live one. All of it is part of the caller's transaction, in which
 * the positions of the live generation are locked and both generations hold the same events. */
#ifndef WEIR_REBUILD_SWAP_H
#define WEIR_REBUILD_SWAP_H

#include <jansson.h>

#include "processors/rebuild/generation.h"

/* Points the published views at `next`. A view or a column that changes type or goes away is
 * refused (ERROR_USAGE "views-break", with what others built on the views) unless `break_views`;
 * then those are dropped, and their names appended to `dropped`. Errors: ERROR_RETRY while a reader
 * holds a view for longer than lock_timeout. */
int swap_views(PGconn *conn, const struct processor *processor, const struct generation *next,
               int break_views, json_t *dropped, struct error *error);

/* Says in weir.processor and weir.generation that `next` is live, and fences the owner of
 * `live`, who then goes on with `next`. `restored`: `next` has the dead letters and decisions
 * from the topics, and those of `live` are ignored. */
int swap_generation(PGconn *conn, const struct processor *processor, const struct generation *live,
                    const struct generation *next, int restored, struct error *error);

#endif
