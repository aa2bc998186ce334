/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs the steps of a plan. The loop keeps the cursor and the place in the row in registers: it
 * lends them to nobody but functions that are inlined, and writes them back before any other step.
 * Room for a whole row is made before its first step, so that steps here do not ask for it. */
#include <string.h>

#include "lib/avro/plan_steps.h"
#include "lib/avro/shape.h"

/* Types of the cells that every row has (pg_type.dat). */
enum { OID_INT8 = 20, OID_INT4 = 23, OID_TIMESTAMPTZ = 1184, OID_UUID = 2950 };

enum { ROW_HEAD = 8 }; /* its size and the number of its columns */

CURSOR_INLINE int read_integer(struct cursor *cursor, const struct step *step, int64_t *ret_value)
{
    return step->flags & STEP_NARROW ? cursor_int(cursor, ret_value)
                                     : cursor_long(cursor, ret_value);
}

CURSOR_INLINE int run_text(struct cursor *in, const struct step *step, char **to)
{
    const unsigned char *data;
    size_t size;
    if (cursor_bytes(in, &data, &size) != 0)
        return -1;
    char *value = put_head(*to, step->head);
    put_size(*to, size);
    if (__builtin_expect(!utf8_copy(value, data, size, (size_t)(in->end - data)), 0)) {
        const char *reason = cursor_text_reason(data, size, step->flags & STEP_TAKES_NUL);
        if (reason)
            return cursor_fail(in, reason);
    }
    *to = value + size;
    return 0;
}

CURSOR_INLINE int run_uuid(struct cursor *in, const struct step *step, char **to)
{
    const unsigned char *data;
    size_t size;
    char *value = put_head(*to, step->head);
    *to = value + sizeof(struct uuid);
    /* As nearly all are, so that what comes next need not wait for its size. */
    if (__builtin_expect(in->end - in->at > UUID_TEXT_SIZE && *in->at == 2 * UUID_TEXT_SIZE, 1)) {
        data = in->at + 1;
        size = UUID_TEXT_SIZE;
        in->at += 1 + UUID_TEXT_SIZE;
    } else if (cursor_bytes(in, &data, &size) != 0) {
        return -1;
    }
    if (uuid_parse((const char *)data, size, (struct uuid *)value) != 0)
        return cursor_fail(in, "a text is no UUID");
    return 0;
}

CURSOR_INLINE int run_enum(struct cursor *in, const struct step *step, char **to)
{
    size_t index;
    if (cursor_index(in, step->count, &index) != 0)
        return -1;
    const struct plan_symbol *symbol = &step->symbols[index];
    if (!symbol->text)
        return cursor_fail(in,
                           "the enum's symbol is not in the newest schema, which has no default");
    char *value = put_head(*to, step->head);
    put_size(*to, symbol->size);
    memcpy(value, symbol->text, symbol->size);
    *to = value + symbol->size;
    return 0;
}

CURSOR_INLINE int run_int(struct cursor *in, const struct step *step, char **to)
{
    int64_t value;
    if (cursor_int(in, &value) != 0)
        return -1;
    *to = put_half(*to, step->head, (uint32_t)value);
    return 0;
}

CURSOR_INLINE int run_long(struct cursor *in, const struct step *step, char **to)
{
    int64_t value;
    if (read_integer(in, step, &value) != 0)
        return -1;
    *to = put_word(*to, step->head, (uint64_t)value);
    return 0;
}

CURSOR_INLINE int run_micros(struct cursor *in, const struct step *step, char **to)
{
    int64_t value;
    if (read_integer(in, step, &value) != 0)
        return -1;
    if (plan_timestamp(value, &value) != 0)
        return cursor_fail(in, "a timestamp is out of range");
    *to = put_word(*to, step->head, (uint64_t)value);
    return 0;
}

CURSOR_INLINE int run_bool(struct cursor *in, const struct step *step, char **to)
{
    int boolean;
    if (cursor_boolean(in, &boolean) != 0)
        return -1;
    *to = put_head(*to, step->head);
    *(*to)++ = (char)boolean;
    return 0;
}

/* Bytes that are followed by COPY_SLACK others, in blocks. */
CURSOR_INLINE char *copy_same(char *to, const struct step *step)
{
    char *end = to + step->count;
    for (const char *from = step->bytes; to < end; to += COPY_SLACK, from += COPY_SLACK)
        memcpy(to, from, COPY_SLACK);
    return end;
}

CURSOR_INLINE char *put_surroundings(char *to, const struct step *step,
                                     const struct plan_record *record)
{
    uint32_t kept = step->count;
    int64_t time = (int64_t)((uint64_t)record->timestamp_us - (uint64_t)POSTGRES_EPOCH_US);
    to = kept & KEEP_PARTITION ? put_half(to, plan_head(OID_INT4, 4), (uint32_t)record->partition)
                               : put_head(to, plan_head(OID_INT4, -1));
    to = kept & KEEP_OFFSET ? put_word(to, plan_head(OID_INT8, 8), (uint64_t)record->offset)
                            : put_head(to, plan_head(OID_INT8, -1));
    return kept & KEEP_BROKER_TIME ? put_word(to, plan_head(OID_TIMESTAMPTZ, 8), (uint64_t)time)
                                   : put_head(to, plan_head(OID_TIMESTAMPTZ, -1));
}

static void open_child(struct run *run, size_t relation, const struct row *row, int32_t ordinal)
{
    const struct plan_column *columns = run->plan->relations[relation].columns;
    uint64_t none = plan_head(OID_INT4, -1);
    uint64_t some = plan_head(OID_INT4, 4);
    char *to = row->out->data + row->start + ROW_HEAD;
    to = columns[CHILD_SEQ].omitted ? put_head(to, none)
                                    : put_half(to, some, (uint32_t)run->record->seq);
    to =
        columns[CHILD_ORDINAL].omitted ? put_head(to, none) : put_half(to, some, (uint32_t)ordinal);
    row->out->size = (size_t)(to - row->out->data);
}

/* Reads the items of an array of records and writes a child row for each. */
static int run_child(struct run *run, uint32_t at, size_t relation)
{
    size_t starts[RELATION_COLUMNS_MAX] __attribute__((uninitialized));
    int32_t ordinal = 0;
    int64_t count;
    for (;;) {
        if (cursor_block(&run->cursor, &count) != 0)
            return -1;
        if (count == 0)
            return 0;
        for (; count > 0; count--) {
            struct row row = plan_open_row(run, relation, starts);
            if (!run->plan->relations[relation].omitted)
                open_child(run, relation, &row, ++ordinal);
            if (plan_run(run, at, &row) != 0)
                return -1;
            plan_close_row(run, relation, &row);
        }
    }
}

/* A step that is not done in the loop. */
static int run_other(struct run *run, const struct step *step, const struct row *row)
{
    if (step->code == STEP_CHILD)
        return run_child(run, (uint32_t)(step - run->plan->steps) + 1, step->slot);
    return plan_step(run, step, row);
}

/* Where a step failed: the innermost says it first. */
static int run_failed(struct run *run, const struct step *step)
{
    if (!run->path)
        run->path = step->path;
    return -1;
}

/* A step outside of the loop, which keeps the cursor and the place in the row in registers: they
 * are lent, and taken back. */
CURSOR_INLINE int run_outside(struct run *run, const struct step **step, const struct row *row,
                              struct cursor *in, char **to)
{
    struct buf *out = row->out;
    out->size = (size_t)(*to - out->data);
    run->cursor.at = in->at;
    if (run_other(run, *step, row) != 0)
        return run_failed(run, *step);
    in->at = run->cursor.at;
    in->end = run->cursor.end;
    *to = out->data + out->size;
    if ((*step)->code == STEP_CHILD)
        *step = &run->plan->steps[(*step)->target] - 1;
    return 0;
}

/* Null at index `unit` of two. */
CURSOR_INLINE int run_optional(const struct run *run, struct cursor *in, const struct step **step,
                               char **to)
{
    size_t index;
    if (cursor_index(in, 2, &index) != 0)
        return -1;
    if (index != (size_t)(*step)->unit)
        return 0;
    if (!((*step)->flags & STEP_OMITTED))
        *to = put_head(*to, (*step)->head);
    *step = &run->plan->steps[(*step)->target] - 1;
    return 0;
}

CURSOR_INLINE int run_union(const struct run *run, struct cursor *in, const struct step **step)
{
    size_t index;
    if (cursor_index(in, (*step)->count, &index) != 0)
        return -1;
    *step = &run->plan->steps[run->plan->targets[(*step)->target + index]] - 1;
    return 0;
}

int plan_run(struct run *run, uint32_t at, const struct row *row)
{
    const struct step *step = &run->plan->steps[at];
    struct cursor in = {.at = run->cursor.at, .end = run->cursor.end};
    char *to = row->out->data + row->out->size;
    for (;; step++) {
        char *next = to; /* where the next cell goes, if this one is kept */
        int result;
        switch (step->code) {
        case STEP_END:
            row->out->size = (size_t)(to - row->out->data);
            run->cursor.at = in.at;
            return 0;
        case STEP_COPY:
            to = copy_same(to, step);
            continue;
        case STEP_JUMP:
            step = &run->plan->steps[step->target] - 1;
            continue;
        case STEP_EVENT_ID:
            memcpy(run->envelope->event_id.bytes, to + step->unit, sizeof(struct uuid));
            continue;
        case STEP_FINGERPRINT:
            run->envelope->fingerprint = (int64_t)buf_get_be64(to + step->unit);
            continue;
        case STEP_SURROUNDINGS:
            to = put_surroundings(to, step, run->record);
            continue;
        case STEP_OPTIONAL:
            if ((result = run_optional(run, &in, &step, &to)) == 0)
                continue;
            break;
        case STEP_UNION:
            if ((result = run_union(run, &in, &step)) == 0)
                continue;
            break;
        case STEP_BOOL:
            result = run_bool(&in, step, &next);
            break;
        case STEP_INT:
            result = run_int(&in, step, &next);
            break;
        case STEP_LONG:
            result = run_long(&in, step, &next);
            break;
        case STEP_MICROS:
            result = run_micros(&in, step, &next);
            break;
        case STEP_TEXT:
            result = run_text(&in, step, &next);
            break;
        case STEP_UUID_TEXT:
            result = run_uuid(&in, step, &next);
            break;
        case STEP_ENUM:
            result = run_enum(&in, step, &next);
            break;
        default:
            if (run_outside(run, &step, row, &in, &to) != 0)
                return -1;
            continue;
        }
        if (__builtin_expect(result != 0, 0)) {
            run->cursor.at = in.at;
            run->cursor.reason = in.reason;
            return run_failed(run, step);
        }
        if (!(step->flags & STEP_OMITTED))
            to = next;
    }
}

/* The columns that every row starts with. */
static void open_event(struct run *run, const struct row *row)
{
    const struct plan_column *columns = run->plan->relations[0].columns;
    const struct plan_record *record = run->record;
    char *to = row->out->data + row->start + ROW_HEAD;
    to = columns[ENVELOPE_SEQ].omitted
             ? put_head(to, plan_head(OID_INT4, -1))
             : put_half(to, plan_head(OID_INT4, 4), (uint32_t)record->seq);
    if (columns[ENVELOPE_SPACE_ID].omitted) {
        to = put_head(to, plan_head(OID_UUID, -1));
    } else {
        to = put_head(to, plan_head(OID_UUID, sizeof record->space_id.bytes));
        memcpy(to, record->space_id.bytes, sizeof record->space_id.bytes);
        to += sizeof record->space_id.bytes;
    }
    row->out->size = (size_t)(to - row->out->data);
}

static int run_event(struct run *run)
{
    size_t starts[RELATION_COLUMNS_MAX] __attribute__((uninitialized));
    if (run->record->avro_size > PLAN_BYTES_MAX)
        return cursor_fail(&run->cursor, "the event is larger than 64 MiB");
    struct row row = plan_open_row(run, 0, starts);
    if (!run->plan->relations[0].omitted)
        open_event(run, &row);
    if (plan_run(run, 0, &row) != 0)
        return -1;
    if (run->cursor.at != run->cursor.end)
        return cursor_fail(&run->cursor, "bytes are left over");
    plan_close_row(run, 0, &row);
    return 0;
}

int plan_decode(const struct plan *plan, const struct plan_record *record, struct buf *rows,
                uint32_t *row_counts, struct plan_envelope *ret_envelope, struct error *error)
{
    size_t sizes[RELATIONS_PER_EVENT_MAX] __attribute__((uninitialized));
    uint32_t counts[RELATIONS_PER_EVENT_MAX] __attribute__((uninitialized));
    struct run run = {.plan = plan,
                      .record = record,
                      .rows = rows,
                      .row_counts = row_counts,
                      .envelope = ret_envelope,
                      .cursor = {.at = record->avro,
                                 .end = record->avro + record->avro_size,
                                 .items_left = DECODE_ITEMS_MAX}};
    const size_t relations = plan->relation_count;
    for (size_t i = 0; i < relations; i++) {
        sizes[i] = rows[i].size;
        counts[i] = row_counts[i];
    }
    if (run_event(&run) == 0)
        return 0;
    for (size_t i = 0; i < relations; i++) {
        rows[i].size = sizes[i];
        row_counts[i] = counts[i];
    }
    const unsigned char *at = run.cursor.at;
    int inside = at >= record->avro && at <= record->avro + record->avro_size;
    return error_set(
        error, ERROR_DEAD_LETTER, run.cursor.reason == cursor_nul ? PLAN_NUL : "avro-invalid",
        "%s%sbyte %zu: %s", run.path ? run.path : "", run.path && *run.path ? ", " : "",
        inside ? (size_t)(at - record->avro) : 0, run.cursor.reason);
}
