/* SPDX-License-Identifier: Apache-2.0
 *
 * How much of a batch goes into one call: all of it, less while events fail, and half of what holds
 * an event that fails while it is looked for. A half that passes is committed for good, so that
 * finding one event among n costs at most log2 n failed calls. */
#ifndef WEIR_FOLD_SLICING_H
#define WEIR_FOLD_SLICING_H

#include <stddef.h>

enum { SLICING_BACKOFF_RUN = 4 }; /* slices between two events that fail */

struct slicing {
    size_t rows_max;
    size_t backoff_limit; /* entries per slice of new records: fewer while some fail */
    size_t good_run;      /* events applied since the last one that failed */
    /* Of the batch under way: */
    int is_new;       /* records that were not tried before */
    size_t limit;     /* entries per slice */
    size_t bisect_to; /* one of the entries before this one fails; 0: it is not looked for */
    size_t searched;  /* entries before this one were searched */
    int resends;      /* of one slice */
};

struct slicing slicing_new(size_t rows_max);
/* Another batch is sent. */
void slicing_begin(struct slicing *slicing, int is_new);

/* The end of the slice whose first entry that is not known to fail is `open`, in a batch of `count`
 * entries. */
size_t slicing_end(const struct slicing *slicing, size_t open, size_t count);

/* A slice is committed, with so many events. */
void slicing_passed(struct slicing *slicing, size_t applied);
/* So many events of the slice were tried with success, though none is committed. */
void slicing_ran(struct slicing *slicing, size_t events);
/* Something passing is in the way of a slice. Returns whether it may be sent once more, which is
 * `most` times. */
int slicing_resend(struct slicing *slicing, int most);
/* One of the entries before `to` fails, and is to be found. */
void slicing_bisect(struct slicing *slicing, size_t to);
/* The next slice has at most so many entries. */
void slicing_limit(struct slicing *slicing, size_t limit);
/* It was found. Slices of new records are from now on a fourth of what was applied since the last
 * one, though not below `least`: little is tried in vain, and the number of calls hardly grows. */
void slicing_found(struct slicing *slicing, size_t least);
/* Entries of the slice are no longer part of it: what was known of the others may be wrong. */
void slicing_forget(struct slicing *slicing);
/* Whether entries [open, to) were not searched yet; they are from now on. */
int slicing_search(struct slicing *slicing, size_t open, size_t to);

#endif
