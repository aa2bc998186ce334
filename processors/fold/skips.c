/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of the query are the set: sorted, and nearly always none. */
#include "processors/fold/skips.h"

#include <stdlib.h>
#include <string.h>

#include "lib/pg/statement.h"
#include "processors/fold/positions.h"

enum { COLUMN_POSITION, COLUMN_OFFSET, COLUMN_WHY };

struct skip {
    uint32_t position;
    int64_t offset;
    const char *why; /* in the rows */
};

struct skips {
    PGresult *rows;
    struct skip *list;
    size_t count;
};

struct skips *skips_new(void)
{
    return xcalloc(1, sizeof(struct skips));
}

void skips_clear(struct skips *skips)
{
    PQclear(skips->rows);
    free(skips->list);
    *skips = (struct skips){0};
}

void skips_free(struct skips *skips)
{
    if (!skips)
        return;
    skips_clear(skips);
    free(skips);
}

static int compare(const void *left, const void *right)
{
    const struct skip *a = left;
    const struct skip *b = right;
    if (a->position != b->position)
        return a->position < b->position ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

static int load(struct skips *skips, PGconn *conn, const char *sql,
                const struct positions *positions, struct error *error)
{
    const char *values[] = {positions->ids.data};
    PGresult *rows = NULL;
    if (pg_query(conn, sql, 1, values, &rows, error) != 0)
        return -1;
    skips_clear(skips);
    skips->rows = rows;
    skips->count = (size_t)PQntuples(rows);
    skips->list = xcalloc(skips->count + 1, sizeof *skips->list);
    for (int i = 0; i < PQntuples(rows); i++)
        skips->list[i] =
            (struct skip){.position = positions_index(positions, pg_int(rows, i, COLUMN_POSITION)),
                          .offset = pg_int(rows, i, COLUMN_OFFSET),
                          .why = PQgetvalue(rows, i, COLUMN_WHY)};
    return 0;
}

int skips_load(struct skips *skips, PGconn *conn, const struct positions *positions,
               struct error *error)
{
    return load(skips, conn, statement("skips"), positions, error);
}

int skips_load_live(struct skips *skips, PGconn *conn, const struct positions *positions,
                    struct error *error)
{
    return load(skips, conn, statement("skips_of_live"), positions, error);
}

const char *skips_find(const struct skips *skips, uint32_t position, int64_t offset)
{
    const struct skip wanted = {.position = position, .offset = offset};
    if (skips->count == 0)
        return NULL;
    const struct skip *found =
        bsearch(&wanted, skips->list, skips->count, sizeof *skips->list, compare);
    return found ? found->why : NULL;
}
