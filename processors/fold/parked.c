/* SPDX-License-Identifier: Apache-2.0
 *
 * One table over Spaces in positions. */
#include "processors/fold/parked.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/idtable.h"
#include "processors/fold/positions.h"

struct held {
    struct idtable_key space; /* in a position */
    int64_t since;
};

struct parked {
    struct idtable *held;
};

struct parked *parked_new(void)
{
    struct parked *parked = xcalloc(1, sizeof *parked);
    parked->held = idtable_new(sizeof(struct held));
    return parked;
}

void parked_free(struct parked *parked)
{
    if (!parked)
        return;
    idtable_free(parked->held);
    free(parked);
}

void parked_clear(struct parked *parked)
{
    idtable_clear(parked->held);
}

size_t parked_count(const struct parked *parked)
{
    return idtable_count(parked->held);
}

static struct idtable_key make_key(uint32_t position, const struct uuid *space_id)
{
    struct idtable_key key = {.id = *space_id};
    memcpy(&key.scope, &position, sizeof position);
    return key;
}

int64_t parked_since(const struct parked *parked, uint32_t position, const struct uuid *space_id)
{
    if (idtable_count(parked->held) == 0)
        return INT64_MAX;
    const struct idtable_key key = make_key(position, space_id);
    const struct held *held = idtable_find(parked->held, &key);
    return held ? held->since : INT64_MAX;
}

void parked_add(struct parked *parked, uint32_t position, const struct uuid *space_id,
                int64_t since)
{
    const struct idtable_key key = make_key(position, space_id);
    int is_new;
    struct held *held = idtable_put(parked->held, &key, &is_new);
    if (is_new || since < held->since)
        held->since = since;
}

void parked_remove(struct parked *parked, uint32_t position, const struct uuid *space_id)
{
    const struct idtable_key key = make_key(position, space_id);
    idtable_remove(parked->held, &key);
}

int parked_load(struct parked *parked, PGconn *conn, const struct positions *positions,
                struct error *error)
{
    const char *values[] = {positions->ids.data};
    PGresult *result = NULL;
    int code = pg_query(conn,
                        "SELECT position_id, space_id FROM weir.parked_space "
                        "WHERE position_id = ANY ($1::integer[])",
                        1, values, &result, error);
    parked_clear(parked);
    for (int i = 0; code == 0 && i < PQntuples(result); i++) {
        struct uuid space_id;
        uuid_parse(PQgetvalue(result, i, 1), UUID_TEXT_SIZE, &space_id);
        parked_add(parked, positions_index(positions, pg_int(result, i, 0)), &space_id, 0);
    }
    PQclear(result);
    return code;
}
