/* SPDX-License-Identifier: Apache-2.0
 *
 * The event that failed is known: it is parked, and what follows of its Space and topic behind it.
 * The breaker counts: when too many of the last events fail, it is not the events. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/failpoint.h"
#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "processors/engine/internal.h"

/* The window is made of two halves: the one being counted and the one before. */
static void turn(struct breaker *breaker, const struct policy *policy)
{
    if (breaker->events < policy->breaker_window / 2)
        return;
    breaker->events_before = breaker->events;
    breaker->failures_before = breaker->failures;
    breaker->events = 0;
    breaker->failures = 0;
}

void breaker_passed(struct breaker *breaker, const struct policy *policy, int64_t events)
{
    int64_t half = policy->breaker_window / 2;
    /* Many at once fill the window and more: what was before them is out of it then. */
    for (int i = 0; i < 3 && events > 0; i++) {
        int64_t part = half - breaker->events < events ? half - breaker->events : events;
        breaker->events += part;
        events -= part;
        turn(breaker, policy);
    }
}

int breaker_failed(struct breaker *breaker, const struct policy *policy)
{
    breaker->events++;
    breaker->failures++;
    int64_t failures = breaker->failures + breaker->failures_before;
    int open = failures * 100 >= policy->breaker_percent * policy->breaker_window;
    turn(breaker, policy);
    return open;
}

/* One line a second: a platform's worth of failures must not become a flood of another kind. */
static void log_parked(struct engine *engine, const struct entry *entry,
                       const struct position *position)
{
    char id[UUID_TEXT_SIZE + 1];
    int64_t now_us = monotonic_now_us();
    engine->parked_unsaid++;
    if (now_us - engine->parked_said_us < PARKED_LOG_INTERVAL_MS * 1000)
        return;
    engine->parked_said_us = now_us;
    uuid_format(&entry->event_id, id);
    log_warn("parked %s %s at %s [%d] offset %" PRId64 ", again in %" PRId64 " ms: %s%s",
             entry->event ? entry->event->name : "event", id, position->topic, position->partition,
             entry->record.offset, entry->retry_after_ms, entry->reason,
             engine->parked_unsaid > 1 ? " (and others before it)" : "");
    engine->parked_unsaid = 0;
}

/* Whether the processor must halt instead of parking one more. */
static int is_too_much(struct engine *engine, const struct entry *entry, const char *message)
{
    const struct policy *policy = &engine->processor->policy;
    struct error error;
    if (breaker_failed(&engine->breaker, policy))
        error_set(&error, ERROR_HALT, "breaker-open",
                  "at least %" PRId64 " %% of the last %" PRId64
                  " events failed, so it is not the events; the last failure: %s",
                  policy->breaker_percent, policy->breaker_window, message);
    else if ((int64_t)parked_count(engine->parked) >= policy->parked_spaces_max)
        error_set(&error, ERROR_HALT, "too-many-parked",
                  "%" PRId64 " Spaces are held back, which is parked_spaces_max; the last failure: "
                  "%s",
                  policy->parked_spaces_max, message);
    else
        return 0;
    engine->breaker = (struct breaker){0};
    halt(engine, &error, &engine->positions[entry->position], entry);
    return 1;
}

/* Marks an entry as failed, so that it is parked when it is sent again, or set aside when one
 * attempt is all it has. Returns -1 when the processor was halted instead. */
static int mark_failed(struct engine *engine, struct entry *entry, const char *code,
                       const char *message)
{
    if (is_too_much(engine, entry, message))
        return -1;
    batch_blame(entry, code, message);
    if (engine->processor->policy.attempts == 1 && !engine->processor->policy.block) {
        entry->decoded_fate = FATE_DEAD_LETTER;
        return 0;
    }
    entry->failed = 1;
    entry->retry_after_ms = policy_pause_ms(&engine->processor->policy, 1);
    parked_add(engine->parked, entry->position, &entry->space_id, entry->record.offset);
    log_parked(engine, entry, &engine->positions[entry->position]);
    return 0;
}

void park_entry(struct engine *engine, size_t index, const char *code, const char *message)
{
    FAILPOINT("park.guilty");
    if (mark_failed(engine, &engine->current->entries[index], code, message) != 0)
        return;
    engine->wary =
        engine->good_run / WARY_RUN < engine->wary ? engine->good_run / WARY_RUN + 1 : engine->wary;
    engine->limit = engine->wary;
    engine->good_run = 0;
    engine->suspect = 0;
    apply_from(engine, index);
    FAILPOINT("park.sent");
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
    return tab && *ret_index >= engine->slice->from && *ret_index < engine->slice->to &&
           engine->current->entries[*ret_index].fate == FATE_APPLIED;
}

static void halt_for_screen(struct engine *engine)
{
    struct error error;
    error_set(&error, ERROR_HALT, "bad-screen", "%s returned a seq that it was not given",
              engine->processor->screen->path);
    halt(engine, &error, NULL, NULL);
}

/* Of parked events, which are all of one Space, the first that is taken out ends the batch. */
static void screen_drain(struct engine *engine, char *list)
{
    size_t index;
    const char *reason;
    size_t from = engine->slice->from;
    if (!next_screened(engine, &list, &index, &reason)) {
        halt_for_screen(engine);
    } else if (index == from) {
        drain_fail(engine, "screened", reason);
    } else {
        engine->limit = index - from;
        apply_from(engine, from);
    }
}

/* How many of the entries [from, to) are to be applied. */
static int64_t count_applied(const struct batch *batch, size_t from, size_t to)
{
    int64_t count = 0;
    for (size_t i = from; i < to; i++)
        count += batch->entries[i].fate == FATE_APPLIED;
    return count;
}

static void screen_batch(struct engine *engine, char *list)
{
    size_t index;
    const char *reason;
    size_t counted = engine->slice->from;
    while (list) {
        if (!next_screened(engine, &list, &index, &reason)) {
            halt_for_screen(engine);
            return;
        }
        struct entry *entry = &engine->current->entries[index];
        if (index < counted) /* it breaks two rules */
            continue;
        /* The breaker is to see what stands between them. */
        breaker_passed(&engine->breaker, &engine->processor->policy,
                       count_applied(engine->current, counted, index));
        counted = index + 1;
        /* It may wait behind one before it. */
        if (parked_since(engine->parked, entry->position, &entry->space_id) >
                entry->record.offset &&
            mark_failed(engine, entry, "screened", reason) != 0)
            return;
    }
    apply_from(engine, engine->slice->from);
}

void park_screened(struct engine *engine)
{
    char *list = engine->screened;
    engine->screened = NULL; /* what is sent next has its own */
    if (engine->current == engine->applying)
        screen_batch(engine, list);
    else
        screen_drain(engine, list);
    free(list);
}
