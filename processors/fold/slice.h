/* SPDX-License-Identifier: Apache-2.0
 *
 * The parameters of one call of a processor's procedure, made from a range of a batch. Rows of a
 * relation lie one behind the other in the form Postgres takes them, so a range only needs an array
 * header in front: it is written over the end of the row before it and taken back afterwards. Only
 * where records in the range are left out are rows copied. */
#ifndef WEIR_FOLD_SLICE_H
#define WEIR_FOLD_SLICE_H

#include "processors/fold/batch.h"

enum { SLICE_PARAMETERS_MAX = BIND_FIXED_PARAMETERS + PROCESSOR_RELATIONS_MAX };

/* Type oids of one database, by parameter. */
struct slice_types {
    uint32_t oids[SLICE_PARAMETERS_MAX];
    uint32_t header; /* weir.header */
    uint32_t headers;
};

/* What a slice applies of one position. */
struct slice_run {
    size_t count;
    int64_t newest_us;
    size_t hashes_at; /* in the parameter */
    size_t entries_at;
    size_t filled;
};

struct slice {
    size_t from, to; /* entries of the batch */
    size_t applied;  /* how many are applied, left out twice, set aside */
    size_t duplicates;
    size_t dead_letters;
    size_t parked;
    int parameter_count;
    const char *values[SLICE_PARAMETERS_MAX];
    int lengths[SLICE_PARAMETERS_MAX];
    int formats[SLICE_PARAMETERS_MAX];
    struct buf own[SLICE_PARAMETERS_MAX]; /* what is not in the batch's own buffers */
    struct {
        char *at;
        char bytes[ARRAY_HEADER_SIZE];
    } covered[PROCESSOR_RELATIONS_MAX]; /* row ends that headers were written over */
    int64_t *next_offsets;              /* per position: where it is after the slice, or -1 */
    struct {
        int64_t offset;
        size_t entry; /* of the batch: the last one of its partition in the slice */
        struct uuid event_id;
        int64_t timestamp_us;
    } * anchors;            /* per position, valid when offset >= 0 */
    struct slice_run *runs; /* per position */
    size_t position_capacity;
};

struct slice *slice_new(void);
void slice_free(struct slice *slice);

/* Looks the types up. Errors: "not-migrated" and those of Postgres. */
int slice_types_load(PGconn *conn, const struct processor *processor, struct slice_types *ret_types,
                     struct error *error);

/* Makes the parameters for the classified entries [from, to). `positions` are sorted by id. */
void slice_make(struct slice *slice, struct batch *batch, size_t from, size_t to,
                const struct position *positions, size_t position_count,
                const struct slice_types *types);

/* Gives the batch its bytes back; to be called once the parameters were handed to libpq. */
void slice_uncover(struct slice *slice, const struct batch *batch);

/* Of the applied entries [from, to): how many rows of each relation there are up to an entry,
 * behind as many zeros; and the number of the first entry of the same Space and partition. Two
 * literals of integer[]. Returns how many entries. */
size_t slice_bounds(const struct batch *batch, size_t from, size_t to, struct buf *ends,
                    struct buf *groups);

/* The hashes of a position's run. */
const char *slice_run_hashes(const struct slice *slice, size_t position);

#endif
