/* SPDX-License-Identifier: Apache-2.0
 *
 * The hashes of applied events in memory, and in which runs the events are. A run holds the events
 * that one batch applied of one partition (runs.h). The index only says where an event may be: of a
 * hash that it does not have, no run has the event.
 *
 * It takes 6 bytes for a hash at three quarters of its room, so 8 to 9 for an event. Not for
 * several threads. */
#ifndef WEIR_FOLD_RUN_INDEX_H
#define WEIR_FOLD_RUN_INDEX_H

#include <stddef.h>
#include <stdint.h>

enum { RUN_HASH_SIZE = 8 }; /* as it is stored: big-endian */

/* Consecutive runs of a partition. */
struct run_range {
    int32_t position_id;
    int64_t first_run;
    int64_t last_run;
};

struct run_index;

struct run_index *run_index_new(void);
void run_index_free(struct run_index *index);

/* Adds a run: `count` hashes of RUN_HASH_SIZE bytes each. `newest_us`: the newest broker timestamp
 * of its events. */
void run_index_add(struct run_index *index, int32_t position_id, int64_t run_id, int64_t newest_us,
                   const char *hashes, size_t count);

/* Fetches the memory that the search for a hash looks at. */
void run_index_prefetch(const struct run_index *index, uint64_t hash);

/* A search; all zero at its begin. */
struct run_search {
    size_t segment;
    uint32_t step;
};

/* The next range of runs that may have the event, or NULL when there is none left. Valid until the
 * next change. */
const struct run_range *run_index_next(const struct run_index *index, uint64_t hash,
                                       struct run_search *search);

/* Forgets the oldest hashes when all of them are of runs whose newest event is older than
 * `oldest_us`. Returns how many ranges they were in, for the caller to add what is still stored of
 * these, and *ret_ranges, which the caller frees; 0 when there is nothing to forget. */
size_t run_index_forget(struct run_index *index, int64_t oldest_us, struct run_range **ret_ranges);

size_t run_index_count(const struct run_index *index);
size_t run_index_bytes(const struct run_index *index);

#endif
