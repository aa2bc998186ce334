/* SPDX-License-Identifier: Apache-2.0
 *
 * Deferred records: those that the live generation has not applied in their turn (weir.left_out).
 * They are left out here too. One that was applied later there is applied here by itself, behind
 * the offset that it came after, and its row says so from the same transaction on. */
#include <stdlib.h>

#include "lib/pg/statement.h"
#include "processors/rebuild/worker_parts.h"

enum {
    COLUMN_POSITION,
    COLUMN_OFFSET,
    COLUMN_TIME,
    COLUMN_AFTER,
    COLUMN_CARRIED_OUT,
    COLUMN_KEY,
    COLUMN_VALUE
};

static int compare_deferred(const void *left, const void *right)
{
    const struct deferred *a = left;
    const struct deferred *b = right;
    if (a->position != b->position)
        return a->position < b->position ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

int worker_load_skips(struct worker *worker, struct error *error)
{
    if (!worker->skips)
        worker->skips = skips_new();
    worker->filling->skips = worker->skips;
    worker->applying->skips = worker->skips;
    return skips_load_live(worker->skips, conn_of(worker), &worker->positions, error);
}

void worker_free_deferred(struct worker *worker)
{
    free(worker->deferred);
    PQclear(worker->deferred_rows);
    worker->deferred = NULL;
    worker->deferred_rows = NULL;
    worker->deferred_count = 0;
    worker->due_count = 0;
}

int worker_load_deferred(struct worker *worker, struct error *error)
{
    worker_free_deferred(worker);
    const char *values[] = {worker->positions.ids.data};
    PGconn *conn = session_conn(worker->session);
    int sent = PQsendQueryParams(conn, statement("left_out"), 1, NULL, values, NULL, NULL, 1);
    if (pg_answer(conn, sent, &worker->deferred_rows, error) != 0)
        return -1;
    int count = PQntuples(worker->deferred_rows);
    worker->deferred = xcalloc((size_t)count + 1, sizeof *worker->deferred);
    for (int i = 0; i < count; i++) {
        struct deferred *deferred = &worker->deferred[worker->deferred_count++];
        deferred->position =
            positions_index(&worker->positions, pg_int8(worker->deferred_rows, i, COLUMN_POSITION));
        deferred->offset = pg_int8(worker->deferred_rows, i, COLUMN_OFFSET);
        deferred->row = i;
        deferred->due = !PQgetisnull(worker->deferred_rows, i, COLUMN_AFTER);
        deferred->after = deferred->due ? pg_int8(worker->deferred_rows, i, COLUMN_AFTER) : -1;
        deferred->carried_out_us = PQgetisnull(worker->deferred_rows, i, COLUMN_CARRIED_OUT)
                                       ? INT64_MAX
                                       : pg_int8(worker->deferred_rows, i, COLUMN_CARRIED_OUT);
        worker->due_count += (size_t)deferred->due;
    }
    qsort(worker->deferred, worker->deferred_count, sizeof *worker->deferred, compare_deferred);
    return 0;
}

int worker_deferred_beyond(const struct worker *worker, size_t position, int64_t offset)
{
    for (size_t i = 0; i < worker->deferred_count; i++) {
        const struct deferred *deferred = &worker->deferred[i];
        if (deferred->position == position &&
            (deferred->offset > offset || (deferred->due && deferred->after >= offset)))
            return 1;
    }
    return 0;
}

int worker_is_deferred(const struct worker *worker, size_t position, int64_t offset)
{
    const struct deferred wanted = {.position = position, .offset = offset};
    return worker->deferred_count > 0 &&
           bsearch(&wanted, worker->deferred, worker->deferred_count, sizeof *worker->deferred,
                   compare_deferred) != NULL;
}

/* Whether `a` was applied before `b`. Behind one offset: those that were redriven as people
 * decided, then those that had waited and were drained. */
static int is_before(const struct deferred *a, const struct deferred *b)
{
    if (a->after != b->after)
        return a->after < b->after;
    if (a->carried_out_us != b->carried_out_us)
        return a->carried_out_us < b->carried_out_us;
    return a->offset < b->offset;
}

/* The next one whose turn it is: everything up to the offset before it has been taken. */
static struct deferred *next_due(const struct worker *worker)
{
    struct deferred *next = NULL;
    for (size_t i = 0; i < worker->deferred_count; i++) {
        struct deferred *deferred = &worker->deferred[i];
        const struct position *position = &worker->positions.list[deferred->position];
        int64_t taken = position->taken_offset + 1 > position->next_offset
                            ? position->taken_offset + 1
                            : position->next_offset;
        if (deferred->due && deferred->after < taken && (!next || is_before(deferred, next)))
            next = deferred;
    }
    return next;
}

int worker_is_due(const struct worker *worker)
{
    return worker->due_count > 0 && next_due(worker) != NULL;
}

static int add_deferred(struct worker *worker, const struct deferred *deferred, struct batch *batch,
                        struct error *error)
{
    const PGresult *rows = worker->deferred_rows;
    const struct position *position = &worker->positions.list[deferred->position];
    int row = deferred->row;
    const struct record record = {
        .topic = position->topic,
        .partition = position->partition,
        .offset = deferred->offset,
        .timestamp_us = pg_int8(rows, row, COLUMN_TIME),
        .key = PQgetisnull(rows, row, COLUMN_KEY) ? NULL : PQgetvalue(rows, row, COLUMN_KEY),
        .key_size = (size_t)PQgetlength(rows, row, COLUMN_KEY),
        .value = PQgetisnull(rows, row, COLUMN_VALUE) ? NULL : PQgetvalue(rows, row, COLUMN_VALUE),
        .value_size = (size_t)PQgetlength(rows, row, COLUMN_VALUE)};
    batch_reset(batch, worker->positions.count);
    batch->drained_position = (int64_t)deferred->position;
    return batch_add(batch, worker->decoder, &record, (uint32_t)deferred->position, error);
}

/* One record, as a batch of its own that moves no position. */
int worker_apply_due(struct worker *worker, struct error *error)
{
    struct deferred *deferred = next_due(worker);
    struct batch *applying = worker->applying;
    int code = add_deferred(worker, deferred, worker->single, error);
    worker->applying = worker->single;
    if (code == 0)
        code = worker_send(worker, error);
    if (code == 0)
        code = worker_wait(worker, error);
    worker->applying = applying;
    if (code == 0) {
        deferred->due = 0;
        worker->due_count--;
    }
    return code;
}
