/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs the steps of a plan. The loop keeps the cursor and the place in the row in registers: it
 * lends them to nobody but functions that are inlined, and writes them back before any other step.
 * Room for a whole row is made before its first step, so that steps here do not ask for it. */
#include <endian.h>
#include <string.h>

#include "lib/avro/plan_steps.h"

/* Types of the cells that every row has (pg_type.dat). */
enum { OID_INT4 = 23, OID_UUID = 2950 };

/* Where the cells of the envelope have their values, in an event's row: row size and column count
 * come first, and all cells up to received_at have a fixed size. */
enum {
    ROW_HEAD = 8,
    EVENT_ID_AT = ROW_HEAD + CELL_HEAD + 4 + CELL_HEAD + 16 + CELL_HEAD,
    OCCURRED_AT_AT = EVENT_ID_AT + 16 + CELL_HEAD,
    ACTOR_AT = OCCURRED_AT_AT + 8 + CELL_HEAD + 8
};

CURSOR_INLINE int read_integer(struct cursor *cursor, const struct step *step, int64_t *ret_value)
{
    return step->narrow ? cursor_int(cursor, ret_value) : cursor_long(cursor, ret_value);
}

CURSOR_INLINE int run_text(struct cursor *in, const struct step *step, char **to)
{
    const unsigned char *data;
    size_t size;
    if (cursor_bytes(in, &data, &size) != 0)
        return -1;
    char *value = put_head(*to, step->head);
    put_size(*to, size);
    if (!utf8_copy(value, data, size))
        return cursor_fail(in, "a text is not valid UTF-8 or has a NUL");
    *to = value + size;
    return 0;
}

CURSOR_INLINE int run_uuid(struct cursor *in, const struct step *step, char **to)
{
    const unsigned char *data;
    size_t size;
    char *value = put_head(*to, step->head);
    if (cursor_bytes(in, &data, &size) != 0)
        return -1;
    if (uuid_parse((const char *)data, size, (struct uuid *)value) != 0)
        return cursor_fail(in, "a text is no UUID");
    *to = value + sizeof(struct uuid);
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

/* Null at index `unit` of two. */
CURSOR_INLINE int run_optional(struct cursor *in, const struct step **step,
                               const struct step *steps, char **to)
{
    size_t index;
    if (cursor_index(in, 2, &index) != 0)
        return -1;
    if (index == (size_t)(*step)->unit) {
        *to = put_head(*to, (*step)->head);
        *step = &steps[(*step)->target] - 1;
    }
    return 0;
}

/* Reads the items of an array of records and writes a child row for each. */
static int run_child(struct run *run, uint32_t at, size_t relation)
{
    size_t starts[RELATION_COLUMNS_MAX] __attribute__((uninitialized));
    uint64_t head = plan_head(OID_INT4, 4);
    int32_t ordinal = 0;
    int64_t count;
    for (;;) {
        if (cursor_block(&run->cursor, &count) != 0)
            return -1;
        if (count == 0)
            return 0;
        for (; count > 0; count--) {
            struct row row = plan_open_row(run, relation, starts);
            char *to = row.out->data + row.out->size;
            to = put_half(to, head, (uint32_t)run->record->seq);
            to = put_half(to, head, (uint32_t)++ordinal);
            row.out->size = (size_t)(to - row.out->data);
            if (plan_run(run, at, &row) != 0)
                return -1;
            plan_order_row(run, relation, &row);
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

int plan_run(struct run *run, uint32_t at, const struct row *row)
{
    const struct step *steps = run->plan->steps;
    const struct step *step = &steps[at];
    struct cursor in = run->cursor;
    char *to = row->out->data + row->out->size;
    size_t index;
    for (;; step++) {
        int result = 0;
        switch (step->code) {
        case STEP_END:
            row->out->size = (size_t)(to - row->out->data);
            run->cursor = in;
            return 0;
        case STEP_NULL:
            to = put_head(to, step->head);
            continue;
        case STEP_OPTIONAL:
            result = run_optional(&in, &step, steps, &to);
            break;
        case STEP_UNION:
            if ((result = cursor_index(&in, step->count, &index)) == 0)
                step = &steps[run->plan->targets[step->target + index]] - 1;
            break;
        case STEP_JUMP:
            step = &steps[step->target] - 1;
            continue;
        case STEP_BOOL:
            result = run_bool(&in, step, &to);
            break;
        case STEP_INT:
            result = run_int(&in, step, &to);
            break;
        case STEP_LONG:
            result = run_long(&in, step, &to);
            break;
        case STEP_MICROS:
            result = run_micros(&in, step, &to);
            break;
        case STEP_TEXT:
            result = run_text(&in, step, &to);
            break;
        case STEP_UUID_TEXT:
            result = run_uuid(&in, step, &to);
            break;
        case STEP_ENUM:
            result = run_enum(&in, step, &to);
            break;
        default:
            row->out->size = (size_t)(to - row->out->data);
            run->cursor = in;
            result = run_other(run, step, row);
            in = run->cursor;
            to = row->out->data + row->out->size;
            if (result == 0 && step->code == STEP_CHILD)
                step = &steps[step->target] - 1;
        }
        if (result != 0) {
            run->cursor = in;
            if (!run->path)
                run->path = step->path;
            return -1;
        }
    }
}

/* What the engine needs, from the row, whose columns are in order now. */
static void read_envelope(const char *row, struct plan_envelope *ret_envelope)
{
    uint64_t word;
    memcpy(ret_envelope->event_id.bytes, row + EVENT_ID_AT, sizeof ret_envelope->event_id.bytes);
    memcpy(&word, row + OCCURRED_AT_AT, sizeof word);
    ret_envelope->occurred_at_us = (int64_t)be64toh(word) + POSTGRES_EPOCH_US;
    const char *cell = row + ACTOR_AT;
    for (int column = ENVELOPE_ACTOR; column < ENVELOPE_FINGERPRINT; column++) {
        uint32_t size;
        memcpy(&size, cell + 4, sizeof size);
        cell += CELL_HEAD + (size == UINT32_MAX ? 0 : be32toh(size));
    }
    memcpy(&word, cell + CELL_HEAD, sizeof word);
    ret_envelope->fingerprint = (int64_t)be64toh(word);
}

static int run_event(struct run *run, struct plan_envelope *ret_envelope)
{
    size_t starts[RELATION_COLUMNS_MAX] __attribute__((uninitialized));
    const struct plan_record *record = run->record;
    if (record->avro_size > PLAN_BYTES_MAX)
        return cursor_fail(&run->cursor, "the event is larger than 64 MiB");
    struct row row = plan_open_row(run, 0, starts);
    char *to = row.out->data + row.out->size;
    to = put_half(to, plan_head(OID_INT4, 4), (uint32_t)record->seq);
    to = put_head(to, plan_head(OID_UUID, sizeof record->space_id.bytes));
    memcpy(to, record->space_id.bytes, sizeof record->space_id.bytes);
    to += sizeof record->space_id.bytes;
    row.out->size = (size_t)(to - row.out->data);
    if (plan_run(run, 0, &row) != 0)
        return -1;
    if (run->cursor.at != run->cursor.end)
        return cursor_fail(&run->cursor, "bytes are left over");
    plan_order_row(run, 0, &row);
    read_envelope(row.out->data + row.start, ret_envelope);
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
                      .cursor = {.at = record->avro,
                                 .end = record->avro + record->avro_size,
                                 .items_left = DECODE_ITEMS_MAX}};
    for (size_t i = 0; i < plan->relation_count; i++) {
        sizes[i] = rows[i].size;
        counts[i] = row_counts[i];
    }
    if (run_event(&run, ret_envelope) == 0)
        return 0;
    for (size_t i = 0; i < plan->relation_count; i++) {
        rows[i].size = sizes[i];
        row_counts[i] = counts[i];
    }
    const unsigned char *at = run.cursor.at;
    int inside = at >= record->avro && at <= record->avro + record->avro_size;
    return error_set(error, ERROR_DEAD_LETTER, "avro-invalid", "%s%sbyte %zu: %s",
                     run.path ? run.path : "", run.path && *run.path ? ", " : "",
                     inside ? (size_t)(at - record->avro) : 0, run.cursor.reason);
}
