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

/* Sends the relations of engine->slice, which is made already. */
static int send_search(struct engine *engine, struct buf *ends, struct buf *groups)
{
    const struct slice *slice = engine->slice;
    const char *values[PROCESSOR_RELATIONS_MAX + 2];
    int lengths[PROCESSOR_RELATIONS_MAX + 2] = {0};
    int formats[PROCESSOR_RELATIONS_MAX + 2] = {0};
    size_t count = engine->processor->relation_count;
    memcpy(values, slice->values + BIND_FIXED_PARAMETERS, count * sizeof *values);
    memcpy(lengths, slice->lengths + BIND_FIXED_PARAMETERS, count * sizeof *lengths);
    memcpy(formats, slice->formats + BIND_FIXED_PARAMETERS, count * sizeof *formats);
    values[count] = buf_text(ends);
    values[count + 1] = buf_text(groups);
    return PQsendQueryPrepared(session_conn(engine->session), "search", (int)count + 2, values,
                               lengths, formats, 0);
}

int search_helps(const struct error *error)
{
    return error->class == ERROR_DEAD_LETTER || strncmp(error->code, "54", 2) == 0;
}

void search_forget(struct engine *engine)
{
    free(engine->found);
    engine->found = NULL;
    engine->searching = 0;
}

/* Sends the entries from `open` on to `to` to be tried. Returns whether it was sent. */
static int start(struct engine *engine, size_t open, size_t to)
{
    struct slice *slice = engine->slice;
    struct batch *batch = engine->current;
    struct buf ends = {0};
    struct buf groups = {0};
    slice_make(slice, batch, open, to, engine->positions.list, engine->positions.count,
               session_types(engine->session));
    size_t count = slice_bounds(batch, open, to, &ends, &groups);
    search_forget(engine);
    engine->failure.class = ERROR_NONE;
    engine->search_open = open;
    engine->sent_us = monotonic_now_us();
    int sent = count > 0 && send_search(engine, &ends, &groups);
    slice_uncover(slice, batch);
    buf_free(&ends);
    buf_free(&groups);
    if (!sent)
        return 0; /* if the connection is lost, the next call says so */
    engine->searching = 1;
    engine->in_flight = 1;
    PQflush(session_conn(engine->session));
    FAILPOINT("search.sent");
    return 1;
}

int search_start(struct engine *engine, size_t open)
{
    struct slice *slice = engine->slice;
    size_t from = slice->from;
    size_t to = slice->to;
    if (!search_helps(&engine->failure) || engine->current != engine->applying ||
        to - open > SEARCH_MAX || open < engine->searched)
        return 0;
    engine->searched = to;
    engine->search_untried = 1;
    int sent = start(engine, open, to);
    slice->from = from; /* if the search fails, the failure is handled as one of this slice */
    slice->to = to;
    return sent;
}

int search_drain(struct engine *engine, int untried)
{
    struct batch *batch = engine->drain.batch;
    struct known *known = NULL;
    size_t count = 0;
    struct error error;
    engine->current = batch;
    engine->search_untried = untried;
    /* A copy of what was applied would fail for that; those that were tried before are none. */
    if (untried && duplicates_look_up(session_conn(engine->session), engine->installed.schema,
                                      batch, 0, batch->count, session_types(engine->session),
                                      &known, &count, &error) != 0)
        return 0;
    size_t to = batch_classify(batch, 0, batch->count, known, count);
    free(known);
    return start(engine, 0, to);
}

/* The index of the applied entry with that number, or the end of the slice. */
static size_t numbered(const struct engine *engine, size_t number)
{
    size_t i = engine->search_open;
    for (; i < engine->slice->to; i++)
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
        if (index == engine->slice->to)
            return marked;
        if (engine->current == engine->applying)
            engine->good_run += index - next;
        next = index + 1;
        if (mark(engine, index, &error) != 0)
            return -1;
    }
    return marked;
}

void search_finish(struct engine *engine)
{
    char *found = engine->found;
    engine->found = NULL;
    FAILPOINT("search.found");
    int marked = mark_found(engine, found);
    free(found);
    if (marked < 0)
        return;
    if (engine->search_untried)
        storm_searched(engine, (size_t)marked, engine->slice->to - engine->search_open);
    if (engine->current != engine->applying) {
        drain_record(engine);
        return;
    }
    engine->bisect_to = marked > 0 ? 0 : engine->slice->to;
    if (marked > 0)
        park_back_off(engine, SEARCH_MAX);
    apply_from(engine, engine->slice->from);
}
