/* SPDX-License-Identifier: Apache-2.0
 *
 * One table; when its room is used up it is made anew from what is still in the window. */
#include "processors/rebuild/seen.h"

#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/idtable.h"

struct seen {
    int64_t window_us;
    int64_t horizon_us;
    size_t room; /* events, before what has left the window is dropped */
    struct idtable *events;
};

struct seen *seen_new(int64_t window_us)
{
    struct seen *seen = xcalloc(1, sizeof *seen);
    seen->window_us = window_us;
    seen->horizon_us = INT64_MIN;
    seen->room = SEEN_EVENTS_FIRST;
    seen->events = idtable_new(sizeof(struct seen_event));
    return seen;
}

void seen_free(struct seen *seen)
{
    if (!seen)
        return;
    idtable_free(seen->events);
    free(seen);
}

const struct seen_event *seen_find(const struct seen *seen, const struct uuid *event_id,
                                   const struct uuid *space_id)
{
    const struct idtable_key key = {*event_id, *space_id};
    return idtable_find(seen->events, &key);
}

void seen_prefetch(const struct seen *seen, const struct uuid *event_id,
                   const struct uuid *space_id)
{
    const struct idtable_key key = {*event_id, *space_id};
    idtable_prefetch(seen->events, &key);
}

/* Leaves out what has left the window; when more than half of the room would be taken, there is
 * twice as much from now on. */
static void make_room(struct seen *seen)
{
    struct idtable *old = seen->events;
    int64_t oldest_us =
        seen->horizon_us == INT64_MIN ? INT64_MIN : seen->horizon_us - seen->window_us;
    int is_new;
    seen->events = idtable_new(sizeof(struct seen_event));
    for (size_t i = 0; i < idtable_count(old); i++) {
        const struct seen_event *event = idtable_at(old, i);
        if (event->timestamp_us >= oldest_us)
            *(struct seen_event *)idtable_put(seen->events, &event->event, &is_new) = *event;
    }
    idtable_free(old);
    if (idtable_count(seen->events) * 2 > seen->room && seen->room < SEEN_EVENTS_MAX)
        seen->room *= 2;
}

int seen_put(struct seen *seen, const struct uuid *event_id, const struct uuid *space_id,
             int64_t fingerprint, int64_t timestamp_us)
{
    int is_new;
    if (idtable_count(seen->events) >= seen->room) {
        make_room(seen);
        if (idtable_count(seen->events) >= seen->room)
            return -1;
    }
    const struct seen_event event = {
        .event = {*event_id, *space_id}, .fingerprint = fingerprint, .timestamp_us = timestamp_us};
    *(struct seen_event *)idtable_put(seen->events, &event.event, &is_new) = event;
    return 0;
}

void seen_set_horizon(struct seen *seen, int64_t horizon_us)
{
    seen->horizon_us = horizon_us;
}

size_t seen_count(const struct seen *seen)
{
    return idtable_count(seen->events);
}
