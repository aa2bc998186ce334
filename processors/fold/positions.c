/* SPDX-License-Identifier: Apache-2.0
 *
 * A position that was just claimed: nothing is taken from its partition yet, and its anchor is to
 * be read again, unless it has none. */
#include "processors/fold/positions.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "processors/fold/slice.h"

static int compare_position(const void *left, const void *right)
{
    const struct position *a = left;
    const struct position *b = right;
    return (a->id > b->id) - (a->id < b->id);
}

static void read_position(struct position *position, const PGresult *result, int row)
{
    position->id = (int32_t)pg_int(result, row, 0);
    position->topic = xstrdup(PQgetvalue(result, row, 1));
    position->partition = (int32_t)pg_int(result, row, 2);
    position->next_offset = pg_int(result, row, 3);
    position->anchor_offset = PQgetisnull(result, row, 4) ? -1 : pg_int(result, row, 4);
    uuid_parse(PQgetvalue(result, row, 5), (size_t)PQgetlength(result, row, 5),
               &position->anchor_event_id);
    position->anchor_timestamp_us = pg_int(result, row, 6);
    position->epoch = pg_int(result, row, 7);
    position->hinted_offset = -1;
    position->taken_offset = -1;
    position->unknown_id = -1;
    position->verified = position->anchor_offset < 0;
}

void positions_read(struct positions *positions, const PGresult *result)
{
    positions_free(positions);
    positions->count = (size_t)PQntuples(result);
    positions->list = xcalloc(positions->count + 1, sizeof *positions->list);
    for (size_t i = 0; i < positions->count; i++)
        read_position(&positions->list[i], result, (int)i);
    qsort(positions->list, positions->count, sizeof *positions->list, compare_position);
    for (size_t i = 0; i < positions->count; i++)
        buf_printf(&positions->ids, "%s%d", i ? "," : "{", positions->list[i].id);
    buf_put_text(&positions->ids, positions->count ? "}" : "{}");
    buf_text(&positions->ids); /* ends it, for those who may not change it */
}

void positions_free(struct positions *positions)
{
    for (size_t i = 0; i < positions->count; i++)
        free(positions->list[i].topic);
    free(positions->list);
    buf_free(&positions->ids);
    *positions = (struct positions){0};
}

struct position *positions_find(struct positions *positions, const char *topic, int32_t partition)
{
    for (size_t tried = 0; tried < positions->count; tried++) {
        size_t i = (positions->last + tried) % positions->count;
        struct position *position = &positions->list[i];
        if (position->partition == partition && strcmp(position->topic, topic) == 0) {
            positions->last = i;
            return position;
        }
    }
    return NULL;
}

uint32_t positions_index(const struct positions *positions, int64_t id)
{
    const struct position wanted = {.id = (int32_t)id};
    const struct position *found =
        bsearch(&wanted, positions->list, positions->count, sizeof wanted, compare_position);
    return (uint32_t)(found - positions->list);
}

int positions_await(const struct positions *positions, const struct batch *batch)
{
    int some = batch->count > 0;
    for (size_t i = 0; i < positions->count && !some; i++)
        some = batch->ends[i] > positions->list[i].next_offset;
    return some;
}

int64_t positions_advance(struct positions *positions, const struct slice *slice)
{
    int64_t moved = 0;
    for (size_t i = 0; i < positions->count; i++) {
        struct position *position = &positions->list[i];
        if (slice->next_offsets[i] < 0)
            continue;
        moved += slice->next_offsets[i] - position->next_offset;
        position->next_offset = slice->next_offsets[i];
        if (slice->anchors[i].offset >= 0) {
            position->anchor_offset = slice->anchors[i].offset;
            position->anchor_event_id = slice->anchors[i].event_id;
            position->anchor_timestamp_us = slice->anchors[i].timestamp_us;
        }
    }
    return moved;
}

int position_log_changed(const struct position *position, const char *what, int64_t offset,
                         struct error *error)
{
    return error_set(error, ERROR_HALT, "log-changed",
                     "%s [%d] is not the log it was: %s at offset %" PRId64
                     " (the last record dealt with has offset %" PRId64 ", the position is %" PRId64
                     "); the topic was truncated or created anew, so nothing more is written",
                     position->topic, position->partition, what, offset, position->anchor_offset,
                     position->next_offset);
}

int position_verify(struct position *position, int64_t offset, int64_t timestamp_us,
                    const void *value, size_t size, struct error *error)
{
    struct uuid id = decoder_event_id(value, size);
    if (offset != position->anchor_offset)
        return position_log_changed(position, "the next record is", offset, error);
    if (timestamp_us != position->anchor_timestamp_us)
        return position_log_changed(position, "another timestamp stands", offset, error);
    if (memcmp(&id, &position->anchor_event_id, sizeof id) != 0)
        return position_log_changed(position, "another event stands", offset, error);
    position->verified = 1;
    return 0;
}
