/* SPDX-License-Identifier: Apache-2.0
 *
 * What the program tells orchestrators about itself. Loops report named checks; readiness is
 * that all of them pass, liveness only that the process answers: a dependency that is away is no
 * reason to restart. A check counts from its first health_set on, and a role that must not be
 * ready before some check has passed reports it as failing while it starts. */
#ifndef WEIR_OBSERVE_HEALTH_H
#define WEIR_OBSERVE_HEALTH_H

#include "lib/base/buf.h"

enum { HEALTH_CHECKS_MAX = 64, HEALTH_NAME_BYTES = 64, HEALTH_TEXT_BYTES = 256 };

struct health;

struct health *health_new(void);
void health_free(struct health *health);

/* Reports a check. `name` is a short stable name such as "kafka" or "processor:ledger"; `text`
 * says what is wrong, or NULL. Both are copied. Any thread. Returns 1 when the verdict changed, so
 * that the caller logs changes only. `health` may be NULL. */
int health_set(struct health *health, const char *name, int ok, const char *text);

/* 1 when there is a check and all pass. Any thread. */
int health_ready(struct health *health);

/* Appends a line for each check, "[+]kafka ok" or "[-]kafka failed: text", as Kubernetes does, and
 * a verdict. Without `verbose` only the verdict and what fails. */
void health_write(struct health *health, int verbose, struct buf *out);

#endif
