/* SPDX-License-Identifier: Apache-2.0
 *
 * Limits the events of a Space: a rate, of which some seconds may come at once. So one Space
 * cannot take the time of the gateway, the broker and the processors from the others. */
#ifndef WEIR_GATEWAY_THROTTLE_H
#define WEIR_GATEWAY_THROTTLE_H

#include <stdint.h>

struct throttle;

enum { THROTTLE_BURST_S = 2 }; /* so many seconds of the rate may come at once */

/* `rate` is events a second of each Space. */
struct throttle *throttle_new(int64_t rate);
void throttle_free(struct throttle *throttle);

/* Counts `events` of a Space at a monotonic time. Returns 0, or -1, and counts nothing, when the
 * Space has sent more than its rate allows. A request counts as a whole: one that is larger than
 * the burst passes when nothing came before it, and the next one waits longer. From any thread. */
int throttle_take(struct throttle *throttle, const char *space, int64_t events, int64_t now_us);

#endif
