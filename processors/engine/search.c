/* SPDX-License-Identifier: Apache-2.0
 *
 * Which events of a few fail. Halving costs a failed call for each of them; where many fail, as
 * when many Spaces send what no processor can take, honest events wait behind all these calls. Here
 * one call tries the events one after the other, each in a subtransaction, and everything is taken
 * back. What an event leaves behind is there for the next one, as if each had been a batch of its
 * own; of a Space only the first that fails is found, because the others wait behind it.
 *
 * A search that fails itself, or finds nothing, changes nothing: halving goes on. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/failpoint.h"
#include "lib/base/timestamp.h"
#include "lib/pg/pg.h"
#include "processors/definition/place.h"
#include "processors/engine/internal.h"

int search_helps(const struct error *error)
{
    return error->class == ERROR_DEAD_LETTER || strncmp(error->code, "54", 2) == 0;
}

/* Returns whether it was sent. */
static int start(struct engine *engine, size_t from, size_t open, size_t to)
{
    engine->search_open = open;
    engine->searching =
        session_search(engine->session, engine->current, from, open, to, &engine->positions);
    return engine->searching;
}

int search_start(struct engine *engine, size_t open)
{
    size_t from = slice_of(engine)->from;
    size_t to = slice_of(engine)->to;
    if (!search_helps(&engine->failure) || engine->current != engine->applying ||
        to - open > SEARCH_MAX || !slicing_search(&engine->slicing, open, to))
        return 0;
    engine->search_untried = 1;
    return start(engine, from, open, to);
}

int search_drain(struct engine *engine, int untried)
{
    struct batch *batch = engine->drain.batch;
    size_t to;
    struct error error;
    engine->current = batch;
    engine->search_untried = untried;
    /* A copy of what was applied would fail for that; those that were tried before are none. */
    return session_classify(engine->session, batch, 0, batch->count, &to, &error) == 0 &&
           start(engine, 0, 0, to);
}

/* The index of the applied entry with that number, or the end of the slice. */
static size_t numbered(const struct engine *engine, size_t number)
{
    size_t i = engine->search_open;
    for (; i < slice_of(engine)->to; i++)
        if (engine->current->entries[i].fate == FATE_APPLIED && number-- == 0)
            break;
    return i;
}

/* Takes a line of what was found. */
static void read_line(const struct engine *engine, char *line, size_t *ret_number,
                      struct error *ret_error)
{
    const char *number = strsep(&line, "\t");
    const char *code = line ? strsep(&line, "\t") : "";
    const char *message = line ? strsep(&line, "\t") : "";
    const char *detail = line ? strsep(&line, "\t") : "";
    for (char *at = line; at && *at; at++)
        if (*at == '\v')
            *at = '\n';
    *ret_number = (size_t)strtoull(number, NULL, 10);
    pg_describe(code, message, *detail ? detail : NULL, ret_error);
    place_prefix(engine->processor, line, ret_error);
}

/* Marks an entry that fails. Returns -1 when the processor was halted. */
static int mark(struct engine *engine, size_t index, const struct error *error)
{
    struct batch *batch = engine->current;
    return batch == engine->applying
               ? park_mark(engine, &batch->entries[index], error->code, error->message)
               : drain_mark(engine, index, error->code, error->message);
}

/* Returns how many were marked, or -1 when the processor was halted instead. */
static int mark_found(struct engine *engine, char *list)
{
    int marked = 0;
    size_t next = engine->search_open;
    for (char *line; (line = strsep(&list, "\n")) && *line; marked++) {
        size_t number;
        struct error error;
        read_line(engine, line, &number, &error);
        size_t index = numbered(engine, number);
        if (index == slice_of(engine)->to)
            return marked;
        if (engine->current == engine->applying)
            slicing_ran(&engine->slicing, index - next);
        next = index + 1;
        if (mark(engine, index, &error) != 0)
            return -1;
    }
    return marked;
}

enum next search_finish(struct engine *engine)
{
    char *found = xstrdup(session_detail(engine->session));
    FAILPOINT("search.found");
    int marked = mark_found(engine, found);
    free(found);
    if (marked < 0)
        return NEXT_OTHER;
    if (engine->search_untried)
        storm_searched(engine, (size_t)marked, slice_of(engine)->to - engine->search_open);
    if (engine->current != engine->applying) {
        drain_record(engine);
        return NEXT_OTHER;
    }
    if (marked > 0)
        slicing_found(&engine->slicing, SEARCH_MAX);
    else
        slicing_bisect(&engine->slicing, slice_of(engine)->to);
    return NEXT_RESEND;
}
