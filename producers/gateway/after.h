/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads that wait until their receipts are applied. */
#ifndef WEIR_GATEWAY_AFTER_H
#define WEIR_GATEWAY_AFTER_H

#include "producers/gateway/reads.h"

struct after;

/* `conninfo` and `queries` must outlive it; `on_applied` takes a read whose events are applied. */
int after_start(const char *conninfo, const struct queries *queries, int64_t timeout_ms,
                void (*on_applied)(struct read *read, void *context), void *context,
                struct after **ret_after, struct error *error);
/* Answers those that still wait, and from now on all that come, with 503. */
void after_stop(struct after *after);
void after_free(struct after *after);

void after_submit(struct after *after, struct read *read);

#endif
