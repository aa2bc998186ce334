/* SPDX-License-Identifier: Apache-2.0
 *
 * Processors share topics, so the end of each partition is asked for once and copied. */
#include "processors/audit/positions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/pg/statement.h"

#define COPY_TEXT(field, result, row, column)                                                      \
    snprintf(field, sizeof(field), "%s", PQgetvalue(result, row, column))

static void read_position(const PGresult *result, int row, struct audit_position *ret_position)
{
    struct audit_position position = {.low = -1, .high = -1};
    COPY_TEXT(position.processor, result, row, 0);
    position.generation = (int)pg_int(result, row, 1);
    position.live = (int)pg_int(result, row, 2);
    COPY_TEXT(position.topic, result, row, 3);
    position.partition = (int32_t)pg_int(result, row, 4);
    position.position_id = pg_int(result, row, 5);
    position.next_offset = pg_int(result, row, 6);
    position.epoch = pg_int(result, row, 7);
    position.anchor_offset = pg_int(result, row, 8);
    COPY_TEXT(position.owner, result, row, 9);
    position.owner_alive = (int)pg_int(result, row, 10);
    COPY_TEXT(position.updated_at, result, row, 11);
    *ret_position = position;
}

static void read_halt(const PGresult *result, int row, struct audit_halt *ret_halt)
{
    *ret_halt = (struct audit_halt){.generation = (int)pg_int(result, row, 1)};
    COPY_TEXT(ret_halt->processor, result, row, 0);
    COPY_TEXT(ret_halt->code, result, row, 2);
    COPY_TEXT(ret_halt->message, result, row, 3);
    COPY_TEXT(ret_halt->halted_at, result, row, 4);
}

int audit_positions_load(PGconn *conn, const char *processor, struct audit_positions *ret_positions,
                         struct error *error)
{
    const char *values[] = {processor};
    PGresult *rows = NULL;
    PGresult *halts = NULL;
    *ret_positions = (struct audit_positions){0};
    int code = pg_query(conn, statement("audited_positions"), 1, values, &rows, error);
    if (code == 0)
        code = pg_query(conn, statement("audited_halts"), 1, values, &halts, error);
    if (code == 0 && (PQntuples(rows) > AUDIT_POSITIONS_MAX || PQntuples(halts) > AUDIT_HALTS_MAX))
        code =
            error_set(error, ERROR_FATAL, "too-many-positions",
                      "more than %d positions or %d halts", AUDIT_POSITIONS_MAX, AUDIT_HALTS_MAX);
    if (code == 0) {
        ret_positions->count = (size_t)PQntuples(rows);
        ret_positions->rows = xcalloc(ret_positions->count + 1, sizeof *ret_positions->rows);
        for (size_t i = 0; i < ret_positions->count; i++)
            read_position(rows, (int)i, &ret_positions->rows[i]);
        ret_positions->halt_count = (size_t)PQntuples(halts);
        ret_positions->halts = xcalloc(ret_positions->halt_count + 1, sizeof *ret_positions->halts);
        for (size_t i = 0; i < ret_positions->halt_count; i++)
            read_halt(halts, (int)i, &ret_positions->halts[i]);
    }
    PQclear(rows);
    PQclear(halts);
    return code;
}

static int compare(const void *left, const void *right)
{
    const struct audit_position *a = left;
    const struct audit_position *b = right;
    int order = strcmp(a->processor, b->processor);
    if (order == 0)
        order = (a->generation > b->generation) - (a->generation < b->generation);
    if (order == 0)
        order = strcmp(a->topic, b->topic);
    return order ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

static int same_topic(const struct audit_position *a, const struct audit_position *b)
{
    return a->generation == b->generation && strcmp(a->processor, b->processor) == 0 &&
           strcmp(a->topic, b->topic) == 0;
}

/* Adds the partitions of rows[first]'s topic that have no row up to `last` (exclusive). */
static void add_unclaimed(struct audit_positions *positions, size_t first, size_t last,
                          int32_t partitions)
{
    for (int32_t partition = 0; partition < partitions; partition++) {
        int found = 0;
        for (size_t i = first; i < last; i++)
            found |= positions->rows[i].partition == partition;
        if (found || positions->count >= AUDIT_POSITIONS_MAX)
            continue;
        positions->rows =
            xrealloc(positions->rows, (positions->count + 1) * sizeof *positions->rows);
        struct audit_position row = positions->rows[first];
        row.partition = partition;
        row.position_id = 0;
        row.next_offset = 0;
        row.epoch = 0;
        row.anchor_offset = -1;
        row.owner[0] = '\0';
        row.owner_alive = 0;
        row.updated_at[0] = '\0';
        positions->rows[positions->count++] = row;
    }
}

void audit_positions_expect(struct audit_positions *positions, const char *processor,
                            int generation, const char *topic)
{
    for (size_t i = 0; i < positions->count; i++)
        if (positions->rows[i].generation == generation &&
            strcmp(positions->rows[i].processor, processor) == 0 &&
            strcmp(positions->rows[i].topic, topic) == 0)
            return;
    if (positions->count >= AUDIT_POSITIONS_MAX)
        return;
    struct audit_position row = {
        .generation = generation, .live = 1, .anchor_offset = -1, .low = -1, .high = -1};
    snprintf(row.processor, sizeof row.processor, "%s", processor);
    snprintf(row.topic, sizeof row.topic, "%s", topic);
    positions->rows = xrealloc(positions->rows, (positions->count + 1) * sizeof *positions->rows);
    positions->rows[positions->count++] = row;
}

static int complete_topics(struct audit_positions *positions, struct kafka_reader *reader,
                           struct error *error)
{
    size_t known = positions->count;
    for (size_t first = 0; first < known;) {
        size_t last = first + 1;
        int32_t partitions;
        while (last < known && same_topic(&positions->rows[first], &positions->rows[last]))
            last++;
        if (kafka_reader_partitions(reader, positions->rows[first].topic, &partitions, error) != 0)
            return -1;
        add_unclaimed(positions, first, last, partitions);
        for (size_t i = first; i < last; i++)
            positions->rows[i].high = positions->rows[i].partition < partitions ? 0 : -1;
        first = last;
    }
    for (size_t i = known; i < positions->count; i++)
        positions->rows[i].high = 0;
    qsort(positions->rows, positions->count, sizeof *positions->rows, compare);
    return 0;
}

int audit_positions_extents(struct audit_positions *positions, struct kafka_reader *reader,
                            struct error *error)
{
    if (complete_topics(positions, reader, error) != 0)
        return -1;
    for (size_t i = 0; i < positions->count; i++) {
        struct audit_position *row = &positions->rows[i];
        const struct audit_position *known = NULL;
        if (row->high < 0)
            continue;
        for (size_t j = 0; j < i && !known; j++)
            if (positions->rows[j].partition == row->partition &&
                strcmp(positions->rows[j].topic, row->topic) == 0)
                known = &positions->rows[j];
        struct kafka_extent extent = {.topic = row->topic, .partition = row->partition};
        if (!known && kafka_reader_extent(reader, &extent, error) != 0)
            return -1;
        row->low = known ? known->low : extent.low;
        row->high = known ? known->high : extent.high;
    }
    return 0;
}

void audit_positions_free(struct audit_positions *positions)
{
    free(positions->rows);
    free(positions->halts);
    *positions = (struct audit_positions){0};
}

int64_t audit_lag(const struct audit_position *position)
{
    int64_t from = position->next_offset > position->low ? position->next_offset : position->low;
    return position->high > from ? position->high - from : 0;
}
