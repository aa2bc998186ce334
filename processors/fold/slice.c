/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/fold/slice.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/pg/composite.h"
#include "processors/fold/headers.h"
#include "processors/fold/runs.h"

enum { TYPE_POSITIONS, TYPE_RUNS, TYPE_DUPLICATES, TYPE_DEAD_LETTERS, TYPE_PARKED, TYPE_DRAINED };

/* Records that are parked or set aside in one slice, whole with their headers; the last one may go
 * beyond. Postgres takes 1 GiB. */
enum { WHOLE_BYTES_MAX = 16 << 20 };

struct slice *slice_new(void)
{
    return xcalloc(1, sizeof(struct slice));
}

void slice_free(struct slice *slice)
{
    if (!slice)
        return;
    for (size_t i = 0; i < SLICE_PARAMETERS_MAX; i++)
        buf_free(&slice->own[i]);
    free(slice->next_offsets);
    free(slice->anchors);
    free(slice->runs);
    free(slice);
}

int slice_types_load(PGconn *conn, const struct processor *processor, struct slice_types *ret_types,
                     struct error *error)
{
    struct buf sql = {0};
    buf_put_text(&sql, "SELECT unnest(ARRAY[");
    for (size_t i = 0; i < BIND_FIXED_PARAMETERS; i++)
        buf_printf(&sql, "%s'%s'::regtype", i ? ", " : "", bind_fixed_types[i]);
    for (size_t i = 0; i < processor->relation_count; i++) {
        char name[128];
        bind_type_name(processor->relations[i], name);
        buf_printf(&sql, ", 'weir_event.%s'::regtype", name);
    }
    buf_put_text(&sql, ", 'weir.header'::regtype, 'weir.header[]'::regtype])::oid");
    PGresult *result = NULL;
    int code = pg_query(conn, buf_text(&sql), 0, NULL, &result, error);
    int count = (int)(BIND_FIXED_PARAMETERS + processor->relation_count);
    for (int i = 0; code == 0 && i < count; i++)
        ret_types->oids[i] = (uint32_t)pg_int(result, i, 0);
    if (code == 0) {
        ret_types->header = (uint32_t)pg_int(result, count, 0);
        ret_types->headers = (uint32_t)pg_int(result, count + 1, 0);
    }
    PQclear(result);
    buf_free(&sql);
    return code;
}

static void open_array(struct buf *out)
{
    buf_reset(out);
    buf_reserve(out, ARRAY_HEADER_SIZE);
    out->size = ARRAY_HEADER_SIZE;
}

static void set_parameter(struct slice *slice, size_t index, const char *data, size_t size)
{
    slice->values[index] = data;
    slice->lengths[index] = (int)size;
    slice->formats[index] = 1;
}

/* An own array is complete: writes its header, or makes it the empty array. */
static void close_array(struct slice *slice, size_t index, uint32_t oid, uint32_t count)
{
    struct buf *out = &slice->own[index];
    composite_array_header(out->data, oid, count);
    size_t size = out->size;
    if (count == 0) {
        memset(out->data, 0, 4); /* no dimensions */
        size = 12;
    }
    set_parameter(slice, index, out->data, size);
}

static void put_event(struct buf *out, const struct entry *entry, int32_t position_id)
{
    size_t row = composite_open(out, 6);
    composite_field(out, OID_UUID, &entry->event_id, 16);
    composite_field(out, OID_UUID, &entry->space_id, 16);
    composite_int8(out, entry->fingerprint);
    composite_int4(out, position_id);
    composite_int8(out, entry->record.offset);
    composite_timestamp(out, entry->record.timestamp_us);
    composite_close(out, row);
}

static void put_headers(struct buf *out, const struct batch *batch, const struct entry *entry,
                        const struct slice_types *types)
{
    buf_put_be32(out, types->headers);
    size_t at = out->size;
    buf_put_be32(out, 0);
    if (batch->put_headers) {
        batch->put_headers(entry->record.owner, types->header, out);
    } else {
        struct headers none = headers_open(out, types->header);
        headers_close(&none);
    }
    buf_set_be32(out, at, (uint32_t)(out->size - at - 4));
}

/* A record that is set aside or parked; the latter has one field more. */
/* Of the first event of a Space that is parked, when it is tried. */
static void put_first(struct buf *out, const struct entry *entry)
{
    if (entry->failed || entry->untried)
        composite_int8(out, entry->failed ? entry->retry_after_ms : 0);
    else
        composite_field(out, OID_INT8, NULL, -1);
}

static void put_whole(struct buf *out, const struct batch *batch, const struct entry *entry,
                      int32_t position_id, const struct slice_types *types)
{
    const struct record *record = &entry->record;
    int parked = entry->fate == FATE_PARKED;
    int has_reason = !parked || entry->failed;
    size_t row = composite_open(out, parked ? 12 : 11);
    composite_int4(out, position_id);
    composite_int8(out, record->offset);
    composite_timestamp(out, entry->record.timestamp_us);
    composite_field(out, OID_UUID, &entry->space_id, entry->keyless ? -1 : 16);
    composite_uuid(out, &entry->event_id);
    uint32_t schema_id = htobe32((uint32_t)entry->schema_id);
    composite_field(out, OID_INT4, &schema_id, entry->schema_id < 0 ? -1 : 4);
    composite_text(out, has_reason ? entry->code : NULL);
    composite_text(out, has_reason ? entry->reason : NULL);
    put_headers(out, batch, entry, types);
    composite_field(out, OID_BYTEA, record->key, record->key ? (int32_t)record->key_size : -1);
    composite_field(out, OID_BYTEA, record->value,
                    record->value ? (int32_t)record->value_size : -1);
    if (parked)
        put_first(out, entry);
    composite_close(out, row);
}

static void put_entries(struct slice *slice, const struct batch *batch,
                        const struct position *positions, const struct slice_types *types)
{
    uint32_t counts[BIND_FIXED_PARAMETERS] = {0};
    slice->applied = 0;
    for (size_t i = TYPE_DUPLICATES; i <= TYPE_PARKED; i++)
        open_array(&slice->own[i]);
    for (size_t i = slice->from; i < slice->to; i++) {
        const struct entry *entry = &batch->entries[i];
        int32_t id = positions[entry->position].id;
        if (slice->own[TYPE_PARKED].size + slice->own[TYPE_DEAD_LETTERS].size > WHOLE_BYTES_MAX) {
            slice->to = i; /* the rest is the next slice's */
            break;
        }
        if (entry->fate == FATE_APPLIED) {
            slice->applied++;
        } else if (entry->fate == FATE_DUPLICATE) {
            put_event(&slice->own[TYPE_DUPLICATES], entry, id);
            counts[TYPE_DUPLICATES]++;
        } else if (entry->fate == FATE_DEAD_LETTER) {
            put_whole(&slice->own[TYPE_DEAD_LETTERS], batch, entry, id, types);
            counts[TYPE_DEAD_LETTERS]++;
        } else if (entry->fate == FATE_PARKED) {
            put_whole(&slice->own[TYPE_PARKED], batch, entry, id, types);
            counts[TYPE_PARKED]++;
        }
    }
    for (size_t i = TYPE_DUPLICATES; i <= TYPE_PARKED; i++)
        close_array(slice, i, types->oids[i], counts[i]);
    slice->duplicates = counts[TYPE_DUPLICATES];
    slice->dead_letters = counts[TYPE_DEAD_LETTERS];
    slice->parked = counts[TYPE_PARKED];
}

/* Where the values of each run go, now that it is known how many events it has. */
static uint32_t open_runs(struct slice *slice, const struct position *positions,
                          size_t position_count)
{
    uint32_t rows = 0;
    struct buf *out = &slice->own[TYPE_RUNS];
    open_array(out);
    for (size_t i = 0; i < position_count; i++) {
        struct slice_run *run = &slice->runs[i];
        if (run->count == 0)
            continue;
        size_t row = composite_open(out, 5);
        composite_int4(out, positions[i].id);
        composite_int8(out, positions[i].next_run);
        composite_timestamp(out, run->newest_us);
        run->hashes_at = composite_leave_bytes(out, run->count * RUN_HASH_SIZE);
        run->entries_at = composite_leave_bytes(out, run->count * RUN_ENTRY_SIZE);
        composite_close(out, row);
        rows++;
    }
    return rows;
}

static void put_runs(struct slice *slice, const struct batch *batch,
                     const struct position *positions, size_t position_count,
                     const struct slice_types *types)
{
    memset(slice->runs, 0, position_count * sizeof *slice->runs);
    for (size_t i = slice->from; i < slice->to; i++) {
        const struct entry *entry = &batch->entries[i];
        struct slice_run *run = &slice->runs[entry->position];
        if (entry->fate != FATE_APPLIED)
            continue;
        if (run->count++ == 0 || entry->record.timestamp_us > run->newest_us)
            run->newest_us = entry->record.timestamp_us;
    }
    uint32_t rows = open_runs(slice, positions, position_count);
    char *data = slice->own[TYPE_RUNS].data;
    for (size_t i = slice->from; i < slice->to; i++) {
        const struct entry *entry = &batch->entries[i];
        struct slice_run *run = &slice->runs[entry->position];
        if (entry->fate != FATE_APPLIED)
            continue;
        uint64_t hash = htobe64(entry->hash);
        memcpy(data + run->hashes_at + run->filled * RUN_HASH_SIZE, &hash, sizeof hash);
        runs_put_entry(data + run->entries_at + run->filled * RUN_ENTRY_SIZE, entry);
        run->filled++;
    }
    close_array(slice, TYPE_RUNS, types->oids[TYPE_RUNS], rows);
}

const char *slice_run_hashes(const struct slice *slice, size_t position)
{
    return slice->own[TYPE_RUNS].data + slice->runs[position].hashes_at;
}

static void reserve_positions(struct slice *slice, size_t position_count)
{
    if (position_count <= slice->position_capacity)
        return;
    slice->next_offsets =
        xrealloc(slice->next_offsets, position_count * sizeof *slice->next_offsets);
    slice->anchors = xrealloc(slice->anchors, position_count * sizeof *slice->anchors);
    slice->runs = xrealloc(slice->runs, position_count * sizeof *slice->runs);
    slice->position_capacity = position_count;
}

/* Where each position is after the slice. */
static void move_positions(struct slice *slice, const struct batch *batch, size_t position_count)
{
    for (size_t i = 0; i < position_count; i++) {
        slice->next_offsets[i] = slice->to == batch->count ? batch->ends[i] : -1;
        slice->anchors[i].offset = -1;
    }
    if (batch->drained_position >= 0) { /* its row is the fence, but it stays where it is */
        slice->next_offsets[batch->drained_position] = -1;
        return;
    }
    for (size_t i = slice->from; i < slice->to; i++) {
        const struct entry *entry = &batch->entries[i];
        int64_t offset = entry->record.offset;
        slice->anchors[entry->position].offset = offset;
        slice->anchors[entry->position].entry = i;
        if (slice->next_offsets[entry->position] < offset + 1)
            slice->next_offsets[entry->position] = offset + 1;
    }
    for (size_t i = 0; i < position_count; i++) {
        if (slice->anchors[i].offset < 0)
            continue;
        const struct record *record = &batch->entries[slice->anchors[i].entry].record;
        slice->anchors[i].event_id = decoder_event_id(record->value, record->value_size);
        slice->anchors[i].timestamp_us = record->timestamp_us;
    }
}

static void put_positions(struct slice *slice, const struct position *positions,
                          size_t position_count, int64_t drained_position,
                          const struct slice_types *types)
{
    uint32_t count = 0;
    struct buf *out = &slice->own[TYPE_POSITIONS];
    open_array(out);
    for (size_t i = 0; i < position_count; i++) {
        int held = (int64_t)i == drained_position;
        if (held)
            slice->next_offsets[i] = positions[i].next_offset;
        if (!held && slice->next_offsets[i] <= positions[i].next_offset) {
            slice->next_offsets[i] = -1;
            continue;
        }
        int anchored = slice->anchors[i].offset >= 0;
        size_t row = composite_open(out, 7);
        composite_int4(out, positions[i].id);
        composite_int8(out, positions[i].epoch);
        composite_int8(out, positions[i].next_offset);
        composite_int8(out, slice->next_offsets[i]);
        if (anchored) {
            composite_int8(out, slice->anchors[i].offset);
            composite_uuid(out, &slice->anchors[i].event_id);
            composite_timestamp(out, slice->anchors[i].timestamp_us);
        } else {
            composite_field(out, OID_INT8, NULL, -1);
            composite_field(out, OID_UUID, NULL, -1);
            composite_field(out, OID_TIMESTAMPTZ, NULL, -1);
        }
        composite_close(out, row);
        count++;
    }
    close_array(slice, TYPE_POSITIONS, types->oids[TYPE_POSITIONS], count);
}

/* Parked events of one Space, in order: up to the last one of the slice. */
static void put_drained(struct slice *slice, const struct batch *batch,
                        const struct position *positions, const struct slice_types *types)
{
    struct buf *out = &slice->own[TYPE_DRAINED];
    int drains = batch->drained_position >= 0 && slice->to > slice->from;
    open_array(out);
    if (drains) {
        const struct entry *last = &batch->entries[slice->to - 1];
        size_t row = composite_open(out, 3);
        composite_int4(out, positions[last->position].id);
        composite_field(out, OID_UUID, &last->space_id, 16);
        composite_int8(out, last->record.offset);
        composite_close(out, row);
    }
    close_array(slice, TYPE_DRAINED, types->oids[TYPE_DRAINED], drains ? 1 : 0);
}

/* Index of the first mark with seq >= `seq`. */
static size_t lower_mark(const struct rows *rows, size_t seq)
{
    size_t low = 0;
    size_t high = rows->mark_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if ((size_t)rows->marks[middle].seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The first applied entry from `from` on that waits for the same as entry `i`. */
static size_t first_of_group(const struct batch *batch, size_t from, size_t i)
{
    const struct entry *entries = batch->entries;
    while (entries[from].fate != FATE_APPLIED || entries[from].position != entries[i].position ||
           memcmp(&entries[from].space_id, &entries[i].space_id, sizeof entries[i].space_id) != 0)
        from++;
    return from;
}

size_t slice_bounds(const struct batch *batch, size_t from, size_t to, struct buf *ends,
                    struct buf *groups)
{
    size_t count = 0;
    size_t relations = batch->processor->relation_count;
    uint32_t totals[PROCESSOR_RELATIONS_MAX] = {0};
    size_t marks[PROCESSOR_RELATIONS_MAX];
    buf_put_text(ends, "{0");
    buf_put_text(groups, "{");
    for (size_t r = 0; r < relations; r++) {
        marks[r] = lower_mark(&batch->rows[r], from);
        buf_put_text(ends, r ? ",0" : "");
    }
    for (size_t i = from; i < to; i++) {
        int applied = batch->entries[i].fate == FATE_APPLIED;
        for (size_t r = 0; r < relations; r++) {
            const struct rows *rows = &batch->rows[r];
            int has_rows = marks[r] < rows->mark_count && (size_t)rows->marks[marks[r]].seq == i;
            if (has_rows && applied)
                totals[r] += rows->marks[marks[r]].rows;
            marks[r] += has_rows;
            if (applied)
                buf_printf(ends, ",%" PRIu32, totals[r]);
        }
        if (applied)
            buf_printf(groups, "%s%zu", count++ ? "," : "", first_of_group(batch, from, i));
    }
    buf_put_text(ends, "}");
    buf_put_text(groups, "}");
    return count;
}

static void put_rows(struct slice *slice, struct batch *batch, size_t relation, uint32_t oid)
{
    size_t index = BIND_FIXED_PARAMETERS + relation;
    const struct rows *rows = &batch->rows[relation];
    struct buf *own = &slice->own[index];
    char *data = batch->data[relation].data;
    size_t first = lower_mark(rows, slice->from);
    size_t last = lower_mark(rows, slice->to);
    size_t start = first ? rows->marks[first - 1].end : ARRAY_HEADER_SIZE;
    uint32_t count = 0;
    size_t omitted = 0;
    slice->covered[relation].at = NULL;
    for (size_t i = first; i < last; i++) {
        if (batch->entries[rows->marks[i].seq].fate == FATE_APPLIED)
            count += rows->marks[i].rows;
        else
            omitted++;
    }
    if (count > 0 && omitted == 0) {
        char *at = data + start - ARRAY_HEADER_SIZE;
        slice->covered[relation].at = at;
        memcpy(slice->covered[relation].bytes, at, ARRAY_HEADER_SIZE);
        composite_array_header(at, oid, count);
        set_parameter(slice, index, at, rows->marks[last - 1].end - start + ARRAY_HEADER_SIZE);
        return;
    }
    open_array(own);
    for (size_t i = first; i < last && count > 0; i++) {
        size_t row_start = i ? rows->marks[i - 1].end : ARRAY_HEADER_SIZE;
        if (batch->entries[rows->marks[i].seq].fate == FATE_APPLIED)
            buf_put(own, data + row_start, rows->marks[i].end - row_start);
    }
    close_array(slice, index, oid, count);
}

void slice_make(struct slice *slice, struct batch *batch, size_t from, size_t to,
                const struct position *positions, size_t position_count,
                const struct slice_types *types)
{
    slice->from = from;
    slice->to = to;
    slice->parameter_count = (int)(BIND_FIXED_PARAMETERS + batch->processor->relation_count);
    reserve_positions(slice, position_count);
    put_entries(slice, batch, positions, types);
    put_runs(slice, batch, positions, position_count, types);
    move_positions(slice, batch, position_count);
    put_positions(slice, positions, position_count, batch->drained_position, types);
    put_drained(slice, batch, positions, types);
    for (size_t i = 0; i < batch->processor->relation_count; i++)
        put_rows(slice, batch, i, types->oids[BIND_FIXED_PARAMETERS + i]);
}

void slice_uncover(struct slice *slice, const struct batch *batch)
{
    for (size_t i = 0; i < batch->processor->relation_count; i++) {
        if (slice->covered[i].at)
            memcpy(slice->covered[i].at, slice->covered[i].bytes, ARRAY_HEADER_SIZE);
        slice->covered[i].at = NULL;
    }
}
