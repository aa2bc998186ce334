/* SPDX-License-Identifier: Apache-2.0
 *
 * Decides whether the events are at fault or the processor. An applied event shows that the
 * processor works, so only failures since the last applied event are evidence against it. A Space
 * counts once, however many of its events fail and however often: what one Space sends proves
 * nothing about others.
 *
 * The processor is in doubt when events of `breaker_failures` Spaces failed, or so many became
 * dead letters, and none was applied since. Then failing events make no dead letters; they wait,
 * parked. The breaker is open when that many Spaces have failed and `breaker_after` has passed
 * since the first failure. In that time everything else is tried: events behind a block of
 * poison are applied and end the doubt. */
#ifndef WEIR_ENGINE_BREAKER_H
#define WEIR_ENGINE_BREAKER_H

#include <stddef.h>

#include "lib/base/uuid.h"
#include "processors/definition/policy.h"

/* All zero: nothing has failed. */
struct breaker {
    struct uuid spaces[BREAKER_FAILURES_MAX]; /* that failed since an event was applied */
    size_t space_count;
    int64_t dead_letters; /* made since then */
    int64_t since_us;     /* monotonic: the first of these failures */
};

/* An event was applied. */
void breaker_passed(struct breaker *breaker);
/* An event of the Space failed by itself. Returns whether it made the breaker doubt. */
int breaker_failed(struct breaker *breaker, const struct policy *policy,
                   const struct uuid *space_id, int64_t now_us);
/* One that failed became a dead letter. Returns whether it made the breaker doubt. */
int breaker_set_aside(struct breaker *breaker, const struct policy *policy);
int breaker_doubts(const struct breaker *breaker, const struct policy *policy);
/* The processor must halt. */
int breaker_is_open(const struct breaker *breaker, const struct policy *policy, int64_t now_us);

#endif
