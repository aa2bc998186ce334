/* SPDX-License-Identifier: Apache-2.0
 *
 * Which events were applied, by which one event has one effect. A batch writes the events that it
 * applies as one row of the generation's table applied_run for each partition: a run. Its column
 * `hashes` has RUN_HASH_SIZE bytes of each event, its column `entries` RUN_ENTRY_SIZE bytes. The
 * owner of the partitions has the hashes in memory (run_index.h), so that a batch of new events
 * asks the database nothing; where a hash is known, the entries are read, and they decide.
 *
 * Run ids of a partition ascend, and only its owner adds runs. Whoever merges consecutive runs
 * gives the result the last one's id: an event that was in run n is in the first run from n on. So
 * what memory says stays right. The view applied_event shows the entries as rows.
 *
 * A copy is looked for among all partitions that the caller claimed. A Space has the same partition
 * number on all topics, and the group's range assignment gives a number of all topics to one
 * member. */
#ifndef WEIR_FOLD_RUNS_H
#define WEIR_FOLD_RUNS_H

#include "lib/pg/pg.h"
#include "processors/fold/positions.h"
#include "processors/fold/run_index.h"
#include "processors/fold/slice.h"

/* Event id, Space, fingerprint, offset, broker timestamp in µs since 1970; big-endian. */
enum { RUN_ENTRY_SIZE = 16 + 16 + 8 + 8 + 8 };

struct runs;

/* `schema` is the generation's. Errors: of Postgres, "not-migrated". */
int runs_open(PGconn *conn, const char *schema, struct runs **ret_runs, struct error *error);
void runs_free(struct runs *runs);

/* Reads the hashes of positions that were just claimed by the same session, and sets their
 * next_run. What nobody else has claimed meanwhile is not read again. */
int runs_load(struct runs *runs, PGconn *conn, struct position *positions, size_t count,
              struct error *error);

/* The hash by which an event is found. */
uint64_t runs_hash(const struct runs *runs, const struct uuid *event_id,
                   const struct uuid *space_id);

/* The applied events among entries [from, to) of a batch, for batch_classify; notes the hash of
 * each. The caller frees *ret_known. The session must be free. Errors: of Postgres. */
int runs_look_up(struct runs *runs, PGconn *conn, struct batch *batch, size_t from, size_t to,
                 struct known **ret_known, size_t *ret_count, struct error *error);

/* Takes in what a slice has committed, and counts the positions' next_run on. */
void runs_committed(struct runs *runs, const struct slice *slice, struct position *positions,
                    size_t count);

/* Merges small runs of one position, when there are enough. Returns 1 when it did. */
int runs_merge(struct runs *runs, PGconn *conn, struct error *error);

/* Gives up hashes of events that have left the window, except those whose runs are not pruned yet.
 * `positions` are all that were loaded. After an error they have to be claimed again. */
int runs_forget(struct runs *runs, PGconn *conn, const struct positions *positions,
                int64_t window_us, struct error *error);

/* How many hashes are in memory, and how many bytes they take. */
size_t runs_count(const struct runs *runs);
size_t runs_bytes(const struct runs *runs);

/* Writes an entry. */
void runs_put_entry(char *out, const struct entry *entry);

/* Hands over the entries of a run, one after the other. */
struct run_entry {
    struct uuid event_id;
    struct uuid space_id;
    int64_t fingerprint;
    int64_t offset;
    int64_t timestamp_us;
};
struct run_entry runs_entry(const char *at);

#endif
