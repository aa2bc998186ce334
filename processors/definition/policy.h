/* SPDX-License-Identifier: Apache-2.0
 *
 * What a processor does about events that fail, from its processor.conf. A change needs no
 * rebuild. */
#ifndef WEIR_DEFINITION_POLICY_H
#define WEIR_DEFINITION_POLICY_H

#include <stdint.h>

#include "lib/base/error.h"

enum {
    BREAKER_FAILURES_MAX = 1000,
    HOPELESS_ATTEMPTS = 2 /* for an event whose own data fails, whatever `attempts` says */
};

struct policy {
    int64_t attempts;          /* how often an event is tried before it becomes a dead letter */
    int64_t backoff_ms;        /* pause after the first failure; doubles with each */
    int64_t backoff_max_ms;    /* longest pause */
    int64_t age_max_ms;        /* an event that has failed for so long becomes a dead letter too */
    int64_t block;             /* whether its followers then wait for a decision; else they go on */
    int64_t breaker_failures;  /* Spaces that fail while no event is applied: breaker.h */
    int64_t breaker_after_ms;  /* for so long; then the processor halts */
    int64_t parked_spaces_max; /* Spaces held back at once, per instance; more halt the processor */
};

extern const struct policy policy_default;

/* Sets one key of processor.conf. Returns 1, or 0 when there is no such key, or -1 (ERROR_USAGE).
 * `place` is the line, for the error. */
int policy_set(struct policy *policy, const char *key, const char *value, const char *place,
               struct error *error);

/* How often an event that failed with that code (SQLSTATE, or screened) is tried. Data that is
 * out of range (class 22), too big for Postgres (class 54), or refused by screen.sql does not
 * improve by waiting, and its Space waits meanwhile. */
int64_t policy_attempts(const struct policy *policy, const char *code);

/* How long an event that has failed `failures` times waits: half of the pause is fixed and half
 * is random, so that events that failed together do not come back together. */
int64_t policy_pause_ms(const struct policy *policy, int64_t failures);

#endif
