/* SPDX-License-Identifier: Apache-2.0
 *
 * What a parked event or a dead letter may be a copy of is kept however old it is, as long as the
 * generation has it among what it leaves out: by its Space, which is more than is needed and is
 * pruned with the rest. */
#include "processors/rebuild/stage_events.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/timestamp.h"
#include "lib/pg/copy.h"
#include "processors/fold/runs.h"
#include "processors/rebuild/worker.h"

enum { RUNS_PARAMETER = 1 }; /* of the procedure (bind.h) */

struct horizon {
    int32_t position_id;
    int64_t oldest_us; /* older events have left the window */
};

/* What decides which events are kept. */
struct keep {
    struct horizon *horizons;
    size_t horizon_count;
    struct uuid *spaces; /* sorted: all events of theirs */
    size_t space_count;
};

/* A run as it was staged. */
struct staged {
    int32_t position_id;
    int64_t run_id;
    const char *hashes;
    const char *entries;
    size_t count;
};

void stage_events_create(const char *table, struct buf *sql)
{
    buf_printf(sql,
               "CREATE UNLOGGED TABLE %s (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
               "position_id integer NOT NULL, run_id bigint NOT NULL, "
               "newest_timestamp timestamptz NOT NULL, "
               "hashes bytea NOT NULL, entries bytea NOT NULL);"
               "ALTER TABLE %s ALTER hashes SET STORAGE EXTERNAL, "
               "ALTER entries SET STORAGE EXTERNAL;"
               "GRANT SELECT, INSERT ON %s TO weir_processor;",
               table, table, table);
}

int stage_events_add(PGconn *conn, const char *table, const struct slice *slice,
                     struct error *error)
{
    if (slice->applied == 0)
        return 0;
    char *sql = xasprintf("INSERT INTO %s (position_id, run_id, newest_timestamp, hashes, entries) "
                          "SELECT r.position_id, r.run_id, r.newest_timestamp, r.hashes, r.entries "
                          "FROM unnest($1::weir.batch_run[]) AS r",
                          table);
    PGresult *result =
        PQexecParams(conn, sql, 1, NULL, &slice->values[RUNS_PARAMETER],
                     &slice->lengths[RUNS_PARAMETER], &slice->formats[RUNS_PARAMETER], 1);
    int code = PQresultStatus(result) == PGRES_COMMAND_OK ? 0 : pg_fail(conn, result, error);
    PQclear(result);
    free(sql);
    return code;
}

/* Hands each run of the table to `take`, one after the other in memory; not those of which all
 * events are older than `oldest_us`. */
static int each_run(PGconn *conn, const char *table, int64_t oldest_us,
                    int (*take)(void *opaque, const struct staged *run, struct error *error),
                    void *opaque, struct error *error)
{
    PGresult *numbers = NULL;
    const char *oldest[] = {PG_NUMBER(oldest_us)};
    char *list = xasprintf("SELECT number FROM %s WHERE "
                           "extract(epoch FROM newest_timestamp) * 1000000 >= $1::bigint "
                           "ORDER BY number",
                           table);
    char *sql = xasprintf("SELECT position_id, run_id, hashes, entries FROM %s "
                          "WHERE number = $1::bigint",
                          table);
    int code = pg_query(conn, list, 1, oldest, &numbers, error);
    for (int i = 0; code == 0 && i < PQntuples(numbers); i++) {
        const char *values[] = {PQgetvalue(numbers, i, 0)};
        PGresult *row = PQexecParams(conn, sql, 1, NULL, values, NULL, NULL, 1);
        if (PQresultStatus(row) == PGRES_TUPLES_OK) {
            const struct staged run = {.position_id = (int32_t)buf_get_be32(PQgetvalue(row, 0, 0)),
                                       .run_id = pg_int8(row, 0, 1),
                                       .hashes = PQgetvalue(row, 0, 2),
                                       .entries = PQgetvalue(row, 0, 3),
                                       .count = (size_t)PQgetlength(row, 0, 3) / RUN_ENTRY_SIZE};
            code = take(opaque, &run, error);
        } else {
            code = pg_fail(conn, row, error);
        }
        PQclear(row);
    }
    PQclear(numbers);
    free(list);
    free(sql);
    return code;
}

struct loading {
    struct seen *seen;
    struct positions *positions;
};

static int remember(void *opaque, const struct staged *run, struct error *error)
{
    const struct loading *loading = opaque;
    size_t position = positions_index(loading->positions, run->position_id);
    loading->positions->list[position].next_run = run->run_id + 1;
    for (size_t i = 0; i < run->count; i++) {
        const struct run_entry entry = runs_entry(run->entries + i * RUN_ENTRY_SIZE);
        if (seen_put(loading->seen, &entry.event_id, &entry.space_id, entry.fingerprint,
                     entry.timestamp_us) != 0)
            return error_set(error, ERROR_RETRY, WORKER_NEEDS_INDEX, "the stage is full");
    }
    return 0;
}

int stage_events_load(PGconn *conn, const char *table, struct seen *seen,
                      struct positions *positions, struct error *error)
{
    struct loading loading = {seen, positions};
    return each_run(conn, table, -INT64_MAX, remember, &loading, error);
}

static int compare_uuids(const void *left, const void *right)
{
    return memcmp(left, right, sizeof(struct uuid));
}

static int load_spaces(PGconn *conn, const char *processor, const char *generation,
                       struct keep *keep, struct error *error)
{
    const char *values[] = {processor, generation};
    PGresult *result = NULL;
    if (pg_query(conn,
                 "SELECT DISTINCT encode(key, 'escape') FROM weir.left_out "
                 "JOIN weir.position USING (position_id) "
                 "WHERE processor = $1 AND generation = $2 AND length(key) = 36",
                 2, values, &result, error) != 0)
        return -1;
    keep->spaces = xcalloc((size_t)PQntuples(result) + 1, sizeof *keep->spaces);
    for (int i = 0; i < PQntuples(result); i++)
        keep->space_count += uuid_parse(PQgetvalue(result, i, 0), (size_t)PQgetlength(result, i, 0),
                                        &keep->spaces[keep->space_count]) == 0;
    qsort(keep->spaces, keep->space_count, sizeof *keep->spaces, compare_uuids);
    PQclear(result);
    return 0;
}

static int load_horizons(PGconn *conn, const struct processor *processor, const char *generation,
                         struct keep *keep, struct error *error)
{
    const char *values[] = {processor->name, generation};
    PGresult *result = NULL;
    if (pg_query(conn,
                 "SELECT position_id, (extract(epoch FROM anchor_timestamp) * 1000000)::bigint "
                 "FROM weir.position WHERE processor = $1 AND generation = $2 "
                 "AND anchor_timestamp IS NOT NULL",
                 2, values, &result, error) != 0)
        return -1;
    keep->horizon_count = (size_t)PQntuples(result);
    keep->horizons = xcalloc(keep->horizon_count + 1, sizeof *keep->horizons);
    for (size_t i = 0; i < keep->horizon_count; i++)
        keep->horizons[i] = (struct horizon){.position_id = (int32_t)pg_int(result, (int)i, 0),
                                             .oldest_us = pg_int(result, (int)i, 1) -
                                                          processor->duplicate_window_ms * 1000};
    PQclear(result);
    return 0;
}

static int is_kept(const struct keep *keep, int32_t position_id, const struct run_entry *entry)
{
    size_t i = 0;
    while (i < keep->horizon_count && keep->horizons[i].position_id != position_id)
        i++;
    return i == keep->horizon_count || entry->timestamp_us >= keep->horizons[i].oldest_us ||
           bsearch(&entry->space_id, keep->spaces, keep->space_count, sizeof *keep->spaces,
                   compare_uuids) != NULL;
}

/* Nothing that is older is kept, of any partition. */
static int64_t oldest_kept(const struct keep *keep)
{
    int64_t oldest_us = keep->horizon_count > 0 && keep->space_count == 0 ? INT64_MAX : -INT64_MAX;
    for (size_t i = 0; i < keep->horizon_count; i++)
        if (keep->horizons[i].oldest_us < oldest_us)
            oldest_us = keep->horizons[i].oldest_us;
    return oldest_us;
}

struct copying {
    PGconn *conn;
    const char *applied_run;
    struct keep keep;
    struct buf hashes;
    struct buf entries;
    struct buf row;
};

static void put_field(struct buf *out, const void *data, size_t size)
{
    buf_put_be32(out, (uint32_t)size);
    buf_put(out, data, size);
}

/* One row of COPY. */
static int copy_run(struct copying *copying, const struct staged *run, int64_t newest_us,
                    struct error *error)
{
    const uint32_t position_id = htobe32((uint32_t)run->position_id);
    const uint64_t run_id = htobe64((uint64_t)run->run_id);
    const uint64_t newest = htobe64((uint64_t)(newest_us - POSTGRES_EPOCH_US));
    struct buf *row = &copying->row;
    buf_reset(row);
    buf_put_be16(row, 6);
    put_field(row, &position_id, sizeof position_id);
    put_field(row, &run_id, sizeof run_id);
    put_field(row, &newest, sizeof newest);
    put_field(row, copying->hashes.data, copying->hashes.size);
    put_field(row, copying->entries.data, copying->entries.size);
    buf_put_be32(row, UINT32_MAX); /* reduced_at: NULL */
    if (pg_copy_begin(copying->conn, copying->applied_run, error) != 0)
        return -1;
    int code = pg_copy_put(copying->conn, row->data, row->size, error);
    return pg_copy_end(copying->conn, code, error);
}

static int copy_kept(void *opaque, const struct staged *run, struct error *error)
{
    struct copying *copying = opaque;
    int64_t newest_us = INT64_MIN;
    buf_reset(&copying->hashes);
    buf_reset(&copying->entries);
    for (size_t i = 0; i < run->count; i++) {
        const struct run_entry entry = runs_entry(run->entries + i * RUN_ENTRY_SIZE);
        if (!is_kept(&copying->keep, run->position_id, &entry))
            continue;
        buf_put(&copying->hashes, run->hashes + i * RUN_HASH_SIZE, RUN_HASH_SIZE);
        buf_put(&copying->entries, run->entries + i * RUN_ENTRY_SIZE, RUN_ENTRY_SIZE);
        newest_us = entry.timestamp_us > newest_us ? entry.timestamp_us : newest_us;
    }
    return copying->entries.size ? copy_run(copying, run, newest_us, error) : 0;
}

int stage_events_copy_kept(PGconn *conn, const struct processor *processor,
                           const struct installed *installed, const char *table,
                           struct error *error)
{
    const char *generation = PG_NUMBER(installed->generation);
    char *applied_run = xasprintf("%s.applied_run", installed->schema);
    struct copying copying = {.conn = conn, .applied_run = applied_run};
    int code = load_horizons(conn, processor, generation, &copying.keep, error);
    if (code == 0)
        code = load_spaces(conn, processor->name, generation, &copying.keep, error);
    if (code == 0)
        code = each_run(conn, table, oldest_kept(&copying.keep), copy_kept, &copying, error);
    free(copying.keep.horizons);
    free(copying.keep.spaces);
    buf_free(&copying.hashes);
    buf_free(&copying.entries);
    buf_free(&copying.row);
    free(applied_run);
    return code;
}
