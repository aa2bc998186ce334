/* SPDX-License-Identifier: Apache-2.0
 *
 * The event that failed is known: it is parked, and what follows of its Space and topic behind it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/failpoint.h"
#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "processors/engine/internal.h"

/* One line a second: a platform's worth of failures must not become a flood of another kind. */
static void log_parked(struct engine *engine, const struct entry *entry)
{
    char name[ENTRY_NAME_SIZE];
    int64_t now_us = monotonic_now_us();
    engine->parked_unsaid++;
    if (now_us - engine->parked_said_us < PARKED_LOG_INTERVAL_MS * 1000)
        return;
    engine->parked_said_us = now_us;
    entry_name(entry, name);
    log_warn("parked %s, again in %" PRId64 " ms: %s%s", name, entry->retry_after_ms, entry->reason,
             engine->parked_unsaid > 1 ? " (and others before it)" : "");
    engine->parked_unsaid = 0;
}

static void say_doubt(const struct engine *engine, const char *message)
{
    log_info("events of %zu Spaces failed and %" PRId64 " became dead letters since an event was "
             "applied: what fails now waits until one is; the last failure: %s",
             engine->breaker.space_count, engine->breaker.dead_letters, message);
}

int park_halts(struct engine *engine, const struct entry *entry, const char *message)
{
    const struct policy *policy = &engine->processor->policy;
    struct error error;
    int64_t now_us = monotonic_now_us();
    if (breaker_failed(&engine->breaker, policy, &entry->space_id, now_us))
        say_doubt(engine, message);
    if (breaker_is_open(&engine->breaker, policy, now_us))
        error_set(&error, ERROR_HALT, "breaker-open",
                  "events of %" PRId64 " Spaces have failed for %" PRId64
                  " s and none was applied, so it is not the events; the last failure: %s",
                  policy->breaker_failures, (now_us - engine->breaker.since_us) / 1000000, message);
    else if (parked_since(engine->parked, entry->position, &entry->space_id) == INT64_MAX &&
             (int64_t)parked_count(engine->parked) >= policy->parked_spaces_max)
        error_set(&error, ERROR_HALT, "too-many-parked",
                  "%" PRId64 " Spaces are held back, which is parked_spaces_max; the last failure: "
                  "%s",
                  policy->parked_spaces_max, message);
    else
        return 0;
    breaker_passed(&engine->breaker);
    halt(engine, &error, &engine->positions.list[entry->position], entry);
    return 1;
}

void park_set_aside(struct engine *engine, const char *message)
{
    if (breaker_set_aside(&engine->breaker, &engine->processor->policy))
        say_doubt(engine, message);
}

int park_mark(struct engine *engine, struct entry *entry, const char *code, const char *message)
{
    const struct policy *policy = &engine->processor->policy;
    if (park_halts(engine, entry, message))
        return -1;
    if (batch_park(engine->current, entry, engine->parked, breaker_doubts(&engine->breaker, policy),
                   code, message))
        log_parked(engine, entry);
    else
        park_set_aside(engine, message);
    return 0;
}

enum next park_entry(struct engine *engine, size_t index, const char *code, const char *message)
{
    FAILPOINT("park.guilty");
    if (park_mark(engine, &engine->current->entries[index], code, message) != 0)
        return NEXT_OTHER;
    slicing_found(&engine->slicing, search_helps(&engine->failure) ? SEARCH_MAX : 1);
    return NEXT_RESEND;
}

/* Takes the first line off `*list`: the index of an entry that the slice applies, and the reason.
 * Returns 0 when there is no such entry. */
static int next_screened(const struct engine *engine, char **list, size_t *ret_index,
                         const char **ret_reason)
{
    char *line = strsep(list, "\n");
    char *tab = strchr(line, '\t');
    *ret_index = (size_t)strtoull(line, NULL, 10);
    *ret_reason = tab ? tab + 1 : "";
    return tab && *ret_index >= slice_of(engine)->from && *ret_index < slice_of(engine)->to &&
           engine->current->entries[*ret_index].fate == FATE_APPLIED;
}

static enum next halt_for_screen(struct engine *engine)
{
    struct error error;
    error_set(&error, ERROR_HALT, "bad-screen", "%s returned a seq that it was not given",
              engine->processor->screen->path);
    halt(engine, &error, NULL, NULL);
    return NEXT_OTHER;
}

/* Of parked events, which are all of one Space, the first that is taken out ends the batch. */
static enum next screen_drain(struct engine *engine, char *list)
{
    size_t index;
    const char *reason;
    size_t from = slice_of(engine)->from;
    if (!next_screened(engine, &list, &index, &reason))
        return halt_for_screen(engine);
    if (index == from) {
        drain_fail(engine, from, "screened", reason);
        return NEXT_OTHER;
    }
    slicing_limit(&engine->slicing, index - from);
    return NEXT_RESEND;
}

static enum next screen_batch(struct engine *engine, char *list)
{
    size_t index;
    const char *reason;
    size_t next = slice_of(engine)->from;
    while (list) {
        if (!next_screened(engine, &list, &index, &reason))
            return halt_for_screen(engine);
        struct entry *entry = &engine->current->entries[index];
        if (index < next) /* it breaks two rules */
            continue;
        next = index + 1;
        /* It may wait behind one before it. */
        if (parked_since(engine->parked, entry->position, &entry->space_id) >
                entry->record.offset &&
            park_mark(engine, entry, "screened", reason) != 0)
            return NEXT_OTHER;
    }
    return NEXT_RESEND;
}

enum next park_screened(struct engine *engine)
{
    char *list = xstrdup(session_detail(engine->session));
    enum next next = engine->current == engine->applying ? screen_batch(engine, list)
                                                         : screen_drain(engine, list);
    free(list);
    return next;
}
