/* SPDX-License-Identifier: Apache-2.0
 *
 * Arithmetic alone: what fails, and why, is for others to find out. */
#include "processors/fold/slicing.h"

struct slicing slicing_new(size_t rows_max)
{
    return (struct slicing){.rows_max = rows_max, .backoff_limit = rows_max};
}

void slicing_begin(struct slicing *slicing, int is_new)
{
    slicing->is_new = is_new;
    slicing->limit = is_new ? slicing->backoff_limit : slicing->rows_max;
    slicing_forget(slicing);
}

size_t slicing_end(const struct slicing *slicing, size_t open, size_t count)
{
    size_t to = count - open > slicing->limit ? open + slicing->limit : count;
    if (slicing->bisect_to > open && to - open > (slicing->bisect_to - open + 1) / 2)
        to = open + (slicing->bisect_to - open + 1) / 2;
    return to;
}

void slicing_passed(struct slicing *slicing, size_t applied)
{
    slicing->resends = 0;
    slicing->limit = slicing->rows_max;
    if (!slicing->is_new)
        return;
    slicing->good_run += applied;
    if (slicing->backoff_limit < slicing->rows_max &&
        slicing->good_run >= SLICING_BACKOFF_RUN * slicing->backoff_limit)
        slicing->backoff_limit *= 2;
    slicing->limit = slicing->backoff_limit;
}

void slicing_ran(struct slicing *slicing, size_t events)
{
    slicing->good_run += events;
}

int slicing_resend(struct slicing *slicing, int most)
{
    return slicing->resends < most && ++slicing->resends;
}

void slicing_bisect(struct slicing *slicing, size_t to)
{
    slicing->bisect_to = to;
    slicing->resends = 0;
}

void slicing_limit(struct slicing *slicing, size_t limit)
{
    slicing->limit = limit;
}

void slicing_found(struct slicing *slicing, size_t least)
{
    size_t limit = slicing->good_run / SLICING_BACKOFF_RUN;
    if (limit < least)
        limit = least;
    if (limit < slicing->backoff_limit)
        slicing->backoff_limit = limit;
    slicing->limit = slicing->backoff_limit;
    slicing->good_run = 0;
    slicing->bisect_to = 0;
    slicing->resends = 0;
}

void slicing_forget(struct slicing *slicing)
{
    slicing->bisect_to = slicing->searched = 0;
    slicing->resends = 0;
}

int slicing_search(struct slicing *slicing, size_t open, size_t to)
{
    if (open < slicing->searched)
        return 0;
    slicing->searched = to;
    slicing->resends = 0;
    return 1;
}
