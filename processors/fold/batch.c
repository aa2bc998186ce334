/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries keep their Kafka message until the batch is done: a dead letter needs the raw bytes, and
 * the message has to be freed at some time anyway. */
#include "processors/fold/batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/timestamp.h"
#include "lib/base/utf8.h"

/* The last applied copy of an event: of the batch, or one that the database knows. */
struct copy {
    struct idtable_key event; /* and Space */
    int64_t fingerprint;
    int64_t timestamp_us;
    int known; /* it is of the database */
};

struct batch *batch_new(const struct processor *processor, size_t entries_max,
                        void (*release)(void *owner))
{
    struct batch *batch = xcalloc(1, sizeof *batch);
    batch->processor = processor;
    batch->release = release;
    batch->drained_position = -1;
    batch->capacity = entries_max;
    batch->entries = xcalloc(entries_max, sizeof *batch->entries);
    batch->data = xcalloc(processor->relation_count, sizeof *batch->data);
    batch->rows = xcalloc(processor->relation_count, sizeof *batch->rows);
    batch->row_counts = xcalloc(processor->relation_count, sizeof *batch->row_counts);
    batch->copies = idtable_new(sizeof(struct copy));
    return batch;
}

static void release_entries(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct entry *entry = &batch->entries[i];
        if (batch->release)
            batch->release(entry->record.owner);
        free(entry->code);
        free(entry->reason);
    }
    batch->count = 0;
}

void batch_free(struct batch *batch)
{
    if (!batch)
        return;
    release_entries(batch);
    for (size_t i = 0; i < batch->processor->relation_count; i++) {
        buf_free(&batch->data[i]);
        free(batch->rows[i].marks);
    }
    free(batch->entries);
    free(batch->data);
    free(batch->rows);
    free(batch->row_counts);
    free(batch->ends);
    idtable_free(batch->copies);
    free(batch);
}

void batch_reset(struct batch *batch, size_t position_count)
{
    release_entries(batch);
    batch->bytes = 0;
    for (size_t i = 0; i < batch->processor->relation_count; i++) {
        buf_reset(&batch->data[i]);
        buf_reserve(&batch->data[i], ARRAY_HEADER_SIZE);
        batch->data[i].size = ARRAY_HEADER_SIZE;
        batch->rows[i].mark_count = 0;
        batch->row_counts[i] = 0;
    }
    if (position_count > batch->position_capacity) {
        batch->ends = xrealloc(batch->ends, position_count * sizeof *batch->ends);
        batch->position_capacity = position_count;
    }
    for (size_t i = 0; i < batch->position_capacity; i++)
        batch->ends[i] = -1;
}

static void add_mark(struct rows *rows, struct mark mark)
{
    if (rows->mark_count == rows->mark_capacity) {
        rows->mark_capacity = rows->mark_capacity ? rows->mark_capacity * 2 : 64;
        rows->marks = xrealloc(rows->marks, rows->mark_capacity * sizeof *rows->marks);
    }
    rows->marks[rows->mark_count++] = mark;
}

static void mark_rows(struct batch *batch, const struct consumed *consumed, int32_t seq)
{
    size_t end = consumed->first_relation + relation_count(consumed->relations);
    for (size_t i = consumed->first_relation; i < end; i++) {
        if (batch->row_counts[i] == 0)
            continue;
        struct rows *rows = &batch->rows[i];
        size_t before =
            rows->mark_count ? rows->marks[rows->mark_count - 1].end : ARRAY_HEADER_SIZE;
        batch->bytes += batch->data[i].size - before;
        add_mark(rows, (struct mark){
                           .seq = seq, .rows = batch->row_counts[i], .end = batch->data[i].size});
        batch->row_counts[i] = 0;
    }
}

int batch_add(struct batch *batch, struct decoder *decoder, const struct record *record,
              uint32_t position, struct error *error)
{
    struct decoded decoded;
    struct error reason = {0};
    int32_t seq = (int32_t)batch->count;
    int code =
        decoder_decode(decoder, record, seq, batch->data, batch->row_counts, &decoded, &reason);
    if (code != 0 && reason.class != ERROR_DEAD_LETTER &&
        !(batch->skips && skips_find(batch->skips, position, record->offset))) {
        *error = reason;
        return -1;
    }
    if (batch->count == 0)
        batch->opened_us = monotonic_now_us();
    batch->bytes += record->key_size + record->value_size;
    struct entry *entry = &batch->entries[batch->count++];
    *entry = (struct entry){.record = *record,
                            .event = decoded.event,
                            .space_id = decoded.space_id,
                            .event_id = decoded.envelope.event_id,
                            .fingerprint = decoded.envelope.fingerprint,
                            .position = position,
                            .schema_id = decoded.schema_id};
    if (code != 0) {
        entry->decoded_fate = FATE_DEAD_LETTER;
        entry->keyless = strcmp(reason.code, DECODER_KEYLESS) == 0;
        batch_note_reason(entry, reason.code, reason.message);
    } else if (decoded.consumed) {
        mark_rows(batch, decoded.consumed, seq);
    } else {
        entry->decoded_fate = FATE_NOT_CONSUMED;
    }
    return 0;
}

void entry_name(const struct entry *entry, char ret_name[ENTRY_NAME_SIZE])
{
    char id[UUID_TEXT_SIZE + 1];
    uuid_format(&entry->event_id, id);
    snprintf(ret_name, ENTRY_NAME_SIZE, "%s %s at %s [%d] offset %" PRId64,
             entry->event ? entry->event->name : "event", id, entry->record.topic,
             entry->record.partition, entry->record.offset);
}

void batch_note_reason(struct entry *entry, const char *code, const char *reason)
{
    free(entry->code);
    free(entry->reason);
    entry->code = xstrdup(code);
    entry->reason = xstrdup(reason);
    utf8_mend(entry->reason, strlen(entry->reason));
}

int batch_park(const struct batch *batch, struct entry *entry, struct parked *parked, int must_wait,
               const char *code, const char *reason)
{
    const struct policy *policy = &batch->processor->policy;
    batch_note_reason(entry, code, reason);
    entry->failed = 1;
    if (policy->attempts == 1 && !policy->block && !must_wait) {
        entry->decoded_fate = FATE_DEAD_LETTER;
        return 0;
    }
    entry->retry_after_ms = policy_pause_ms(policy, 1);
    parked_add(parked, entry->position, &entry->space_id, entry->record.offset);
    return 1;
}

static void make_conflict(struct entry *entry)
{
    entry->fate = FATE_DEAD_LETTER;
    batch_note_reason(entry, "fingerprint-conflict",
                      "an event with this id was applied before, with another body");
}

size_t batch_classify(struct batch *batch, size_t from, size_t to, const struct known *known,
                      size_t known_count)
{
    int64_t window_us = batch->processor->duplicate_window_ms * 1000;
    int is_new;
    idtable_clear(batch->copies);
    for (size_t i = 0; i < known_count; i++) {
        const struct idtable_key key = {known[i].event_id, known[i].space_id};
        struct copy *copy = idtable_put(batch->copies, &key, &is_new);
        copy->fingerprint = known[i].fingerprint;
        copy->timestamp_us = known[i].timestamp_us;
        copy->known = 1;
    }
    for (size_t i = from; i < to; i++) {
        struct entry *entry = &batch->entries[i];
        entry->fate = entry->decoded_fate;
        const char *skipped =
            batch->skips ? skips_find(batch->skips, entry->position, entry->record.offset) : NULL;
        if (skipped) {
            entry->fate = FATE_DEAD_LETTER;
            batch_note_reason(entry, SKIPS_CODE, skipped);
        }
        if (entry->fate != FATE_APPLIED)
            continue;
        int64_t since = batch->parked
                            ? parked_since(batch->parked, entry->position, &entry->space_id)
                            : INT64_MAX;
        if (entry->record.offset >= since) {
            entry->fate = FATE_PARKED;
            entry->failed &= entry->record.offset == since; /* else one before it has failed too */
            entry->untried &= entry->record.offset == since;
            continue;
        }
        const struct idtable_key key = {entry->event_id, entry->space_id};
        struct copy *last = idtable_put(batch->copies, &key, &is_new);
        if (!is_new) {
            int in_window = entry->record.timestamp_us - last->timestamp_us <= window_us;
            if (in_window && entry->fingerprint == last->fingerprint)
                entry->fate = FATE_DUPLICATE;
            else if (in_window)
                make_conflict(entry);
            else if (!last->known)
                return i; /* two copies to apply: the second one in a transaction of its own */
            if (in_window)
                continue;
        }
        last->fingerprint = entry->fingerprint;
        last->timestamp_us = entry->record.timestamp_us;
        last->known = 0;
    }
    return to;
}
