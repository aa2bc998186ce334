/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches of a bulk rebuild: rows go to the stage by COPY, with the events that count and the
 * position in one transaction. The array parameters that the procedure would get are rewritten:
 * a row of COPY is a composite value without its types. */
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/failpoint.h"
#include "lib/pg/copy.h"
#include "processors/definition/bind.h"
#include "processors/rebuild/stage.h"
#include "processors/rebuild/stage_events.h"
#include "processors/rebuild/worker_parts.h"

enum { COPY_CHUNK = 64 << 10, PREFETCH_AHEAD = 8 };

/* The fixed parameters, from 0; bind.h says what they are. */
enum { POSITIONS, RUNS, DUPLICATES, DEAD_LETTERS, PARKED, DRAINED };

static void prefetch(const struct worker *worker, size_t at)
{
    const struct batch *batch = worker->applying;
    if (at < batch->count && batch->entries[at].decoded_fate == FATE_APPLIED)
        seen_prefetch(worker->seen, &batch->entries[at].event_id, &batch->entries[at].space_id);
}

/* What memory knows of the events of a range. */
static void look_up(struct worker *worker, size_t from, size_t to)
{
    struct batch *batch = worker->applying;
    worker->known_count = 0;
    if (!worker->known)
        worker->known = xcalloc(worker->rows_max, sizeof *worker->known);
    for (size_t i = from; i < to; i++) {
        struct entry *entry = &batch->entries[i];
        prefetch(worker, i + PREFETCH_AHEAD);
        if (entry->decoded_fate != FATE_APPLIED)
            continue;
        entry->hash = runs_hash(session_runs(worker->session), &entry->event_id, &entry->space_id);
        const struct seen_event *seen = seen_find(worker->seen, &entry->event_id, &entry->space_id);
        if (seen)
            worker->known[worker->known_count++] =
                (struct known){.event_id = entry->event_id,
                               .space_id = entry->space_id,
                               .fingerprint = seen->fingerprint,
                               .timestamp_us = seen->timestamp_us};
    }
}

/* Older records than this come from no partition any more. */
static void set_horizon(struct worker *worker)
{
    int64_t oldest_us = INT64_MAX;
    for (size_t i = 0; i < worker->positions.count; i++) {
        const struct position *position = &worker->positions.list[i];
        if (position->anchor_offset >= 0 && position->anchor_timestamp_us < oldest_us)
            oldest_us = position->anchor_timestamp_us;
        else if (position->anchor_offset < 0 && worker->goals[i].offset > 0)
            oldest_us = INT64_MIN;
    }
    if (oldest_us != INT64_MAX)
        seen_set_horizon(worker->seen, oldest_us);
}

/* Fails when there is no room: nothing more may be staged by what memory knows. */
static int remember(struct worker *worker, struct error *error)
{
    set_horizon(worker);
    int full = worker->staged > STAGE_ROWS_MAX;
    for (size_t i = worker->slice->from; i < worker->slice->to && !full; i++) {
        const struct entry *entry = &worker->applying->entries[i];
        prefetch(worker, i + PREFETCH_AHEAD);
        full = entry->fate == FATE_APPLIED &&
               seen_put(worker->seen, &entry->event_id, &entry->space_id, entry->fingerprint,
                        entry->record.timestamp_us) != 0;
    }
    return full ? error_set(error, ERROR_RETRY, WORKER_NEEDS_INDEX, "the stage is full") : 0;
}

static int call(struct worker *worker, const char *sql, int count, const int *parameters,
                struct error *error)
{
    const char *values[3];
    int lengths[3];
    int formats[3] = {1, 1, 1};
    for (int i = 0; i < count; i++) {
        values[i] = worker->slice->values[parameters[i]];
        lengths[i] = worker->slice->lengths[parameters[i]];
    }
    PGresult *result = PQexecParams(conn_of(worker), sql, count, NULL, values, lengths, formats, 1);
    ExecStatusType status = PQresultStatus(result);
    int code = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK
                   ? 0
                   : pg_fail(conn_of(worker), result, error);
    PQclear(result);
    return code;
}

/* What the procedure does before the author's statements. */
static int advance(struct worker *worker, struct error *error)
{
    const struct slice *slice = worker->slice;
    static const int positions[] = {POSITIONS};
    static const int aside[] = {DUPLICATES, DEAD_LETTERS, PARKED};
    static const int drained[] = {DRAINED};
    int code = call(worker, "SELECT weir.advance($1::weir.batch_position[])", 1, positions, error);
    if (code == 0 && slice->duplicates + slice->dead_letters + slice->parked > 0)
        code = call(worker,
                    "SELECT weir.set_aside($1::weir.batch_event[], $2::weir.batch_dead_letter[], "
                    "$3::weir.batch_parked[])",
                    3, aside, error);
    if (code == 0 && worker->applying->drained_position >= 0)
        code = call(worker, "SELECT weir.drain($1::weir.batch_drained[])", 1, drained, error);
    return code;
}

/* Appends a composite value as a row of COPY; returns what follows it. `first` is added to its
 * first field, when that is a seq. */
static const char *put_row(struct buf *out, const char *at, int32_t first)
{
    uint32_t fields = buf_get_be32(at + 4);
    at += 8;
    buf_put_be16(out, (uint16_t)fields);
    for (uint32_t i = 0; i < fields; i++) {
        int32_t size = (int32_t)buf_get_be32(at + 4);
        size_t whole = 4 + (size_t)(size > 0 ? size : 0);
        if (i == 0 && first >= 0) {
            buf_put_be32(out, 4);
            buf_put_be32(out, buf_get_be32(at + 8) + (uint32_t)first);
        } else {
            buf_put(out, at + 4, whole);
        }
        at += 4 + whole;
    }
    return at;
}

/* The rows of an array parameter into a table of the same columns. */
static int copy_rows(struct worker *worker, const char *table, int parameter, int32_t first,
                     struct error *error)
{
    const char *at = worker->slice->values[parameter] + ARRAY_HEADER_SIZE;
    const char *end = worker->slice->values[parameter] + worker->slice->lengths[parameter];
    struct buf *out = &worker->copy;
    if (at >= end)
        return 0;
    int code = pg_copy_begin(conn_of(worker), table, error);
    if (code != 0)
        return -1;
    buf_reset(out);
    while (code == 0 && at < end) {
        at = put_row(out, at, first);
        if (out->size < COPY_CHUNK && at < end)
            continue;
        code = pg_copy_put(conn_of(worker), out->data, out->size, error);
        buf_reset(out);
    }
    return pg_copy_end(conn_of(worker), code, error);
}

static int copy_relations(struct worker *worker, struct error *error)
{
    const struct processor *processor = worker->options.processor;
    char prefix[STAGE_PREFIX_SIZE];
    stage_prefix(worker->options.installed, worker->options.index, prefix);
    int code = 0;
    for (size_t i = 0; code == 0 && i < processor->relation_count; i++) {
        char *table = xasprintf("%s%s", prefix, processor->relations[i]->name);
        code = copy_rows(worker, table, BIND_FIXED_PARAMETERS + (int)i, (int32_t)worker->staged,
                         error);
        free(table);
    }
    return code;
}

static int stage_slice(struct worker *worker, size_t from, struct error *error)
{
    struct batch *batch = worker->applying;
    char table[STAGE_PREFIX_SIZE];
    stage_table(worker->options.installed, worker->options.index, table);
    look_up(worker, from, batch->count);
    size_t to = batch_classify(batch, from, batch->count, worker->known, worker->known_count);
    slice_make(worker->slice, batch, from, to, worker->positions.list, worker->positions.count,
               session_types(worker->session));
    int code = pg_run(conn_of(worker), "BEGIN", error);
    if (code == 0)
        code = advance(worker, error);
    if (code == 0)
        code = stage_events_add(conn_of(worker), table, worker->slice, error);
    if (code == 0)
        code = copy_relations(worker, error);
    slice_uncover(worker->slice, batch);
    if (pg_commit(conn_of(worker), code, error) != 0)
        return -1;
    FAILPOINT("rebuild.staged");
    *worker->options.done += positions_advance(&worker->positions, worker->slice);
    for (size_t i = 0; i < worker->positions.count; i++)
        worker->positions.list[i].next_run += worker->slice->runs[i].count > 0;
    return remember(worker, error);
}

int worker_stage(struct worker *worker, struct error *error)
{
    struct batch *batch = worker->applying;
    /* a batch of partitions' ends alone has one empty slice */
    for (size_t from = 0, done = 0; !done; from = worker->slice->to) {
        if (stage_slice(worker, from, error) != 0)
            return -1;
        done = worker->slice->to >= batch->count;
    }
    worker->staged += (int64_t)batch->count;
    batch_reset(batch, worker->positions.count);
    return 0;
}

/* Rows are numbered through, over all batches of a set. */
static int load_staged(struct worker *worker, struct error *error)
{
    const struct processor *processor = worker->options.processor;
    char prefix[STAGE_PREFIX_SIZE];
    struct buf sql = {0};
    PGresult *result = NULL;
    stage_prefix(worker->options.installed, worker->options.index, prefix);
    buf_put_text(&sql, "SELECT coalesce(max(n) + 1, 0) FROM (");
    for (size_t i = 0; i < processor->relation_count; i++)
        buf_printf(&sql, "%sSELECT max(seq) AS n FROM %s%s", i ? " UNION ALL " : "", prefix,
                   processor->relations[i]->name);
    buf_put_text(&sql, ") AS s");
    int code = pg_query(conn_of(worker), buf_text(&sql), 0, NULL, &result, error);
    if (code == 0)
        worker->staged = pg_int(result, 0, 0);
    PQclear(result);
    buf_free(&sql);
    return code;
}

int worker_open_stage(struct worker *worker, struct error *error)
{
    char table[STAGE_PREFIX_SIZE];
    worker->seen = seen_new(worker->options.processor->duplicate_window_ms * 1000);
    stage_table(worker->options.installed, worker->options.index, table);
    return stage_events_load(conn_of(worker), table, worker->seen, &worker->positions, error) == 0
               ? load_staged(worker, error)
               : -1;
}
