/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads that wait until their receipts are applied. */
#ifndef WEIR_GATEWAY_AFTER_H
#define WEIR_GATEWAY_AFTER_H

#include "producers/gateway/reads.h"

struct after;
struct ends;

/* What `options` point to must outlive it. */
struct after_options {
    const char *conninfo;
    const struct queries *queries;
    struct ends *ends;
    int64_t timeout_ms;                                   /* of asking */
    void (*on_applied)(struct read *read, void *context); /* takes one whose events are applied */
    void *context;
};

int after_start(const struct after_options *options, struct after **ret_after, struct error *error);
/* Answers those that still wait, and from now on all that come, with 503. */
void after_stop(struct after *after);
void after_free(struct after *after);

void after_submit(struct after *after, struct read *read);

#endif
