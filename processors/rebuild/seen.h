/* SPDX-License-Identifier: Apache-2.0
 *
 * The events that a rebuild has applied, in memory: while nobody reads a generation its table of
 * applied events has no key, and duplicates are found here instead. It is exact: an entry holds
 * the whole event id and its Space. It is bounded: when it needs room, it drops events that have
 * left the duplicate window. When that is not enough, past SEEN_EVENTS_MAX, the caller goes on
 * with the table's key. Not for several threads. */
#ifndef WEIR_REBUILD_SEEN_H
#define WEIR_REBUILD_SEEN_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/idtable.h"

enum { SEEN_EVENTS_FIRST = 3 << 14, SEEN_EVENTS_MAX = SEEN_EVENTS_FIRST << 7 };

/* The last applied copy of an event. */
struct seen_event {
    struct idtable_key event; /* and Space */
    int64_t fingerprint;
    int64_t timestamp_us; /* the broker's */
};

struct seen;

/* `window_us`: how far two copies may lie apart to be one event. */
struct seen *seen_new(int64_t window_us);
void seen_free(struct seen *seen);

/* The last copy of an event, or NULL. Valid until the next seen_put. */
const struct seen_event *seen_find(const struct seen *seen, const struct uuid *event_id,
                                   const struct uuid *space_id);

/* Fetches the memory that seen_find and seen_put of this event will look at. */
void seen_prefetch(const struct seen *seen, const struct uuid *event_id,
                   const struct uuid *space_id);

/* Notes an applied copy, in place of an older one. Returns 0, or -1 when there is no room. */
int seen_put(struct seen *seen, const struct uuid *event_id, const struct uuid *space_id,
             int64_t fingerprint, int64_t timestamp_us);

/* No record that is older than this will come, on any partition: what lies more than the window
 * before it may be dropped when room is needed. */
void seen_set_horizon(struct seen *seen, int64_t horizon_us);

size_t seen_count(const struct seen *seen);

#endif
