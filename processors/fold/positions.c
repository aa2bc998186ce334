/* SPDX-License-Identifier: Apache-2.0
 *
 * A position that was just claimed: nothing is taken from its partition yet, and its anchor is to
 * be read again, unless it has none. */
#include "processors/fold/positions.h"

#include <stdlib.h>

static int compare_position(const void *left, const void *right)
{
    const struct position *a = left;
    const struct position *b = right;
    return (a->id > b->id) - (a->id < b->id);
}

struct position *positions_read(const PGresult *result)
{
    size_t count = (size_t)PQntuples(result);
    struct position *positions = xcalloc(count + 1, sizeof *positions);
    for (size_t i = 0; i < count; i++) {
        struct position *position = &positions[i];
        int row = (int)i;
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
    qsort(positions, count, sizeof *positions, compare_position);
    return positions;
}

void positions_free(struct position *positions, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(positions[i].topic);
    free(positions);
}
