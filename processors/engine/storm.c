/* SPDX-License-Identifier: Apache-2.0
 *
 * A storm: most of what a search tried has failed. Each of these costs a try, and honest events
 * would wait for all of them, though order holds within a Space alone. So for some seconds Spaces
 * of which no event was applied lately take no part in live batches: their events are parked
 * untried, and drained in the share of time that drains have. Whoever is new and honest waits with
 * them, for moments.
 *
 * Only live batches take part, which are small. In a backlog nobody waits for a moment, and to park
 * much of it would cost more than to search it. */
#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "processors/engine/internal.h"

static struct idtable_key make_key(const struct uuid *space_id)
{
    return (struct idtable_key){.id = *space_id};
}

void storm_trust(struct engine *engine)
{
    const struct slice *slice = slice_of(engine);
    if (slice->to - slice->from > STORM_BATCH_MAX)
        return;
    if (idtable_count(engine->trusted) > TRUSTED_MAX)
        idtable_clear(engine->trusted);
    for (size_t i = slice->from; i < slice->to; i++) {
        const struct entry *entry = &engine->current->entries[i];
        const struct idtable_key key = make_key(&entry->space_id);
        int is_new;
        if (entry->fate == FATE_APPLIED)
            idtable_put(engine->trusted, &key, &is_new);
    }
}

void storm_searched(struct engine *engine, size_t failed, size_t tried)
{
    if (failed * 2 > tried)
        engine->storm_until_us = monotonic_now_us() + STORM_MS * 1000;
}

/* Whether the entry's Space is to wait, and does not yet. */
static int waits(const struct engine *engine, const struct entry *entry)
{
    const struct idtable_key key = make_key(&entry->space_id);
    return entry->decoded_fate == FATE_APPLIED && !idtable_find(engine->trusted, &key) &&
           parked_since(engine->parked, entry->position, &entry->space_id) == INT64_MAX &&
           !skips_find(engine->skips, entry->position, entry->record.offset);
}

int storm_hold_back(struct engine *engine, size_t from)
{
    struct batch *batch = engine->current;
    size_t held = 0;
    size_t room = (size_t)engine->processor->policy.parked_spaces_max / 2;
    int64_t now_us = monotonic_now_us();
    if (now_us >= engine->storm_until_us || batch != engine->applying ||
        batch->count > STORM_BATCH_MAX || idtable_count(engine->trusted) == 0)
        return 0; /* without any that is known, nobody waits for the others */
    for (size_t i = from; i < batch->count && parked_count(engine->parked) < room; i++) {
        struct entry *entry = &batch->entries[i];
        if (!waits(engine, entry))
            continue;
        entry->untried = 1;
        parked_add(engine->parked, entry->position, &entry->space_id, entry->record.offset);
        held++;
    }
    if (held > 0 && now_us - engine->storm_said_us >= PARKED_LOG_INTERVAL_MS * 1000) {
        engine->storm_said_us = now_us;
        log_warn("most of what was tried fails: %zu Spaces of which nothing was applied lately "
                 "are parked and tried beside the others",
                 held);
    }
    return held > 0;
}
