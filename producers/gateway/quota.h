/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts the events of each Space that are under way, so that one Space cannot take all the
 * room. */
#ifndef WEIR_GATEWAY_QUOTA_H
#define WEIR_GATEWAY_QUOTA_H

#include "lib/base/uuid.h"

struct quota;

/* `max` for each Space. */
struct quota *quota_new(int max);
/* NULL-safe. */
void quota_free(struct quota *quota);

/* Counts one in if there is room for the Space. Returns 1, or 0. Any thread. */
int quota_take(struct quota *quota, const struct uuid *space);
/* Counts one out that was counted in. Any thread. */
void quota_give(struct quota *quota, const struct uuid *space);

#endif
