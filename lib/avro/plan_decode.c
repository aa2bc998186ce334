/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs the steps of a plan. Slots live on the stack and are not initialised: the compiler
 * guarantees that each is set before its row is written. */
#include <endian.h>
#include <string.h>

#include "lib/avro/plan_steps.h"
#include "lib/base/timestamp.h"

/* What Postgres' types hold (src/include/datatype/timestamp.h), in its own epoch. */
static const int64_t PG_TIMESTAMP_MIN = INT64_C(-211813488000000000);
static const int64_t PG_TIMESTAMP_END = INT64_C(9223371331200000000);
static const int64_t PG_DATE_MIN = -2451545;
static const int64_t PG_DATE_END = 2145031949;
static const int64_t PG_EPOCH_DAYS = 10957; /* since 1970 */
static const int64_t PG_DAY_US = INT64_C(86400000000);

static inline void set_word(struct slot *slot, uint64_t value)
{
    slot->data = NULL;
    slot->size = 8;
    slot->words[0] = htobe64(value);
}

static inline void set_half(struct slot *slot, uint32_t value)
{
    slot->data = NULL;
    slot->size = 4;
    value = htobe32(value);
    memcpy(slot->inside, &value, sizeof value);
}

static inline void set_bytes(struct slot *slot, const unsigned char *data, size_t size)
{
    slot->data = data;
    slot->size = (int32_t)size;
}

static void set_float4(struct slot *slot, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    set_half(slot, bits);
}

static void set_float8(struct slot *slot, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    set_word(slot, bits);
}

static inline int read_integer(struct cursor *cursor, const struct step *step, int64_t *ret_value)
{
    return step->narrow ? cursor_int(cursor, ret_value) : cursor_long(cursor, ret_value);
}

static int read_timestamp(struct cursor *cursor, const struct step *step, struct slot *slot)
{
    int64_t value;
    if (read_integer(cursor, step, &value) != 0)
        return -1;
    if (step->unit < 0 && __builtin_mul_overflow(value, -step->unit, &value))
        return cursor_fail(cursor, "a timestamp is out of range");
    if (step->unit > 1)
        value = value / step->unit - (value % step->unit < 0);
    if (__builtin_sub_overflow(value, POSTGRES_EPOCH_US, &value) || value < PG_TIMESTAMP_MIN ||
        value >= PG_TIMESTAMP_END)
        return cursor_fail(cursor, "a timestamp is out of range");
    set_word(slot, (uint64_t)value);
    return 0;
}

static int read_date_or_time(struct cursor *cursor, const struct step *step, struct slot *slot)
{
    int64_t value;
    if (read_integer(cursor, step, &value) != 0)
        return -1;
    if (step->code == STEP_TIME) {
        if (value < 0 || value > PG_DAY_US)
            return cursor_fail(cursor, "a time of day is out of range");
        value = step->unit < 0 ? value * -step->unit : value;
        if (value > PG_DAY_US)
            return cursor_fail(cursor, "a time of day is out of range");
        set_word(slot, (uint64_t)value);
        return 0;
    }
    value -= PG_EPOCH_DAYS;
    if (value < PG_DATE_MIN || value >= PG_DATE_END)
        return cursor_fail(cursor, "a date is out of range");
    set_half(slot, (uint32_t)value);
    return 0;
}

static int read_uuid(struct cursor *cursor, const struct step *step, struct slot *slot)
{
    const unsigned char *data;
    size_t size;
    struct uuid uuid;
    slot->data = NULL;
    slot->size = sizeof uuid.bytes;
    if (step->code == STEP_UUID_BYTES) {
        if (cursor_take(cursor, sizeof uuid.bytes, &data) != 0)
            return -1;
        memcpy(slot->inside, data, sizeof uuid.bytes);
        return 0;
    }
    if (cursor_bytes(cursor, &data, &size) != 0)
        return -1;
    if (uuid_parse((const char *)data, size, &uuid) != 0)
        return cursor_fail(cursor, "a text is no UUID");
    memcpy(slot->inside, uuid.bytes, sizeof uuid.bytes);
    return 0;
}

/* Months, days and milliseconds, little-endian → microseconds, days, months. */
static int read_interval(struct cursor *cursor, struct slot *slot)
{
    const unsigned char *data;
    uint32_t parts[3];
    if (cursor_take(cursor, sizeof parts, &data) != 0)
        return -1;
    memcpy(parts, data, sizeof parts);
    uint32_t months = le32toh(parts[0]);
    uint32_t days = le32toh(parts[1]);
    if (months > INT32_MAX || days > INT32_MAX)
        return cursor_fail(cursor, "a duration is out of range");
    slot->data = NULL;
    slot->size = 16;
    slot->words[0] = htobe64((uint64_t)le32toh(parts[2]) * 1000);
    slot->words[1] = htobe64((uint64_t)days << 32 | months);
    return 0;
}

static int read_enum(struct cursor *cursor, const struct step *step, struct slot *slot)
{
    size_t index;
    if (cursor_index(cursor, step->count, &index) != 0)
        return -1;
    const char *symbol = step->resolve->symbols[index];
    if (!symbol)
        return cursor_fail(cursor,
                           "the enum's symbol is not in the newest schema, which has no default");
    set_bytes(slot, (const unsigned char *)symbol, strlen(symbol));
    return 0;
}

/* Passes over an array or a value that becomes jsonb; it is read again when the row is written. */
static int read_later(struct cursor *cursor, const struct step *step, struct slot *slot)
{
    const unsigned char *start = cursor->at;
    if (cursor_skip(cursor, step->resolve->writer) != 0)
        return -1;
    set_bytes(slot, start, (size_t)(cursor->at - start));
    slot->later = step;
    return 0;
}

static int read_number(struct cursor *cursor, const struct step *step, struct slot *slot)
{
    int64_t value;
    float single;
    double real;
    switch (step->code) {
    case STEP_INT_FLOAT4:
        if (read_integer(cursor, step, &value) != 0)
            return -1;
        set_float4(slot, (float)value);
        return 0;
    case STEP_INT_FLOAT8:
        if (read_integer(cursor, step, &value) != 0)
            return -1;
        set_float8(slot, (double)value);
        return 0;
    case STEP_FLOAT4:
    case STEP_FLOAT_FLOAT8:
        if (cursor_float(cursor, &single) != 0)
            return -1;
        if (step->code == STEP_FLOAT4)
            set_float4(slot, single);
        else
            set_float8(slot, (double)single);
        return 0;
    default:
        if (cursor_double(cursor, &real) != 0)
            return -1;
        set_float8(slot, real);
        return 0;
    }
}

/* Reads one scalar into its slot. The commonest codes come first. */
static inline int read_scalar(struct cursor *cursor, const struct step *step, struct slot *slot)
{
    const unsigned char *data;
    size_t size;
    int64_t value;
    int boolean;
    switch (step->code) {
    case STEP_LONG:
        if (read_integer(cursor, step, &value) != 0)
            return -1;
        set_word(slot, (uint64_t)value);
        return 0;
    case STEP_INT:
        if (cursor_int(cursor, &value) != 0)
            return -1;
        set_half(slot, (uint32_t)value);
        return 0;
    case STEP_UUID_TEXT:
    case STEP_UUID_BYTES:
        return read_uuid(cursor, step, slot);
    case STEP_TEXT:
        if (cursor_text(cursor, &data, &size) != 0)
            return -1;
        set_bytes(slot, data, size);
        return 0;
    case STEP_TIMESTAMP:
        return read_timestamp(cursor, step, slot);
    case STEP_ENUM:
        return read_enum(cursor, step, slot);
    case STEP_BOOL:
        if (cursor_boolean(cursor, &boolean) != 0)
            return -1;
        slot->data = NULL;
        slot->size = 1;
        slot->inside[0] = (unsigned char)boolean;
        return 0;
    case STEP_BYTES:
        if (cursor_bytes(cursor, &data, &size) != 0)
            return -1;
        set_bytes(slot, data, size);
        return 0;
    case STEP_FIXED:
        if (cursor_take(cursor, step->count, &data) != 0)
            return -1;
        set_bytes(slot, data, step->count);
        return 0;
    case STEP_DATE:
    case STEP_TIME:
        return read_date_or_time(cursor, step, slot);
    case STEP_INTERVAL:
        return read_interval(cursor, slot);
    case STEP_LATER:
        return read_later(cursor, step, slot);
    default:
        return read_number(cursor, step, slot);
    }
}

/* Reads the items of an array of records and writes a child row for each. */
static int run_child(struct run *run, uint32_t at, size_t relation)
{
    struct slot slots[RELATION_COLUMNS_MAX] __attribute__((uninitialized));
    int32_t ordinal = 0;
    int64_t count;
    for (;;) {
        if (cursor_block(&run->cursor, &count) != 0)
            return -1;
        if (count == 0)
            return 0;
        for (; count > 0; count--) {
            set_half(&slots[0], (uint32_t)run->record->seq);
            set_half(&slots[1], (uint32_t)++ordinal);
            if (plan_run(run, at, slots) != 0 || plan_write_row(run, relation, slots) != 0)
                return -1;
            run->row_counts[relation] += !run->plan->relations[relation].omitted;
        }
    }
}

int plan_run(struct run *run, uint32_t at, struct slot *slots)
{
    const struct plan *plan = run->plan;
    const struct step *step = &plan->steps[at];
    struct cursor *cursor = &run->cursor;
    struct cursor outer = {0}; /* while a default is read */
    size_t index;
    int result = 0;
    for (;; step++) {
        switch (step->code) {
        case STEP_END:
            return 0;
        case STEP_NULL:
            for (uint32_t i = 0; i < step->count; i++)
                slots[step->slot + i].size = -1;
            continue;
        case STEP_UNION:
            if ((result = cursor_index(cursor, step->count, &index)) == 0)
                step = &plan->steps[plan->targets[step->target + index]] - 1;
            break;
        case STEP_JUMP:
            step = &plan->steps[step->target] - 1;
            continue;
        case STEP_PRESET:
            outer = *cursor;
            cursor->at = (const unsigned char *)step->bytes;
            cursor->end = cursor->at + step->count;
            continue;
        case STEP_PRESET_END:
            cursor->at = outer.at;
            cursor->end = outer.end;
            continue;
        case STEP_SKIP:
            result = cursor_skip(cursor, step->skip);
            break;
        case STEP_CHILD:
            if ((result = run_child(run, (uint32_t)(step - plan->steps) + 1, step->slot)) == 0)
                step = &plan->steps[step->target] - 1;
            break;
        case STEP_FAIL:
            result = cursor_fail(cursor, step->text);
            break;
        default:
            result = read_scalar(cursor, step, &slots[step->slot]);
        }
        if (result != 0) {
            if (!run->path)
                run->path = step->path;
            return -1;
        }
    }
}

/* The columns that the record's surroundings bring. */
static void set_envelope(const struct plan_record *record, struct slot *slots)
{
    set_half(&slots[ENVELOPE_SEQ], (uint32_t)record->seq);
    set_bytes(&slots[ENVELOPE_SPACE_ID], record->space_id.bytes, sizeof record->space_id.bytes);
    set_bytes(&slots[ENVELOPE_KAFKA_TOPIC], (const unsigned char *)record->topic,
              strlen(record->topic));
    set_half(&slots[ENVELOPE_KAFKA_PARTITION], (uint32_t)record->partition);
    set_word(&slots[ENVELOPE_KAFKA_OFFSET], (uint64_t)record->offset);
    set_word(&slots[ENVELOPE_KAFKA_TIMESTAMP],
             (uint64_t)record->timestamp_us - (uint64_t)POSTGRES_EPOCH_US);
}

static int run_event(struct run *run, struct plan_envelope *ret_envelope)
{
    struct slot slots[RELATION_COLUMNS_MAX] __attribute__((uninitialized));
    if (run->record->avro_size > PLAN_BYTES_MAX)
        return cursor_fail(&run->cursor, "the event is larger than 64 MiB");
    set_envelope(run->record, slots);
    if (plan_run(run, 0, slots) != 0)
        return -1;
    if (run->cursor.at != run->cursor.end)
        return cursor_fail(&run->cursor, "bytes are left over");
    if (plan_write_row(run, 0, slots) != 0)
        return -1;
    run->row_counts[0] += !run->plan->relations[0].omitted;
    memcpy(ret_envelope->event_id.bytes, slots[ENVELOPE_EVENT_ID].inside,
           sizeof ret_envelope->event_id.bytes);
    ret_envelope->occurred_at_us =
        (int64_t)be64toh(slots[ENVELOPE_OCCURRED_AT].words[0]) + POSTGRES_EPOCH_US;
    ret_envelope->fingerprint = (int64_t)be64toh(slots[ENVELOPE_FINGERPRINT].words[0]);
    return 0;
}

int plan_decode(const struct plan *plan, const struct plan_record *record, struct buf *rows,
                uint32_t *row_counts, struct plan_envelope *ret_envelope, struct error *error)
{
    size_t sizes[RELATIONS_PER_EVENT_MAX] = {0};
    uint32_t counts[RELATIONS_PER_EVENT_MAX] = {0};
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
