/* SPDX-License-Identifier: Apache-2.0
 *
 * All rows have one size, so that a column is found at a fixed place. What a parked event or a dead
 * letter may be a copy of is kept however old it is, as long as the generation has it among what it
 * leaves out: by its Space, which is more than is needed and is pruned with the rest. */
#include "processors/rebuild/stage_events.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/timestamp.h"
#include "lib/pg/copy.h"
#include "processors/rebuild/worker.h"

/* Where in a row the values begin: each has its size before it. */
enum {
    AT_EVENT_ID = 2 + 4,
    AT_SPACE_ID = AT_EVENT_ID + 16 + 4,
    AT_FINGERPRINT = AT_SPACE_ID + 16 + 4,
    AT_POSITION_ID = AT_FINGERPRINT + 8 + 4,
    AT_TIMESTAMP = AT_POSITION_ID + 4 + 4 + 8 + 4,
};

struct horizon {
    int32_t position_id;
    int64_t oldest_us; /* older rows have left the window */
};

/* What decides which rows are kept. */
struct keep {
    struct horizon *horizons;
    size_t horizon_count;
    struct uuid *spaces; /* sorted: all rows of theirs */
    size_t space_count;
};

void stage_events_create(const char *table, struct buf *sql)
{
    buf_printf(sql,
               "CREATE UNLOGGED TABLE %s (batch integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
               "position_id integer, kafka_offset bigint, newest_us bigint NOT NULL, "
               "events bytea NOT NULL);"
               "ALTER TABLE %s ALTER events SET STORAGE EXTERNAL;"
               "GRANT SELECT, INSERT ON %s TO weir_processor;",
               table, table, table);
}

static struct uuid read_uuid(const char *at)
{
    struct uuid id;
    memcpy(&id, at, sizeof id);
    return id;
}

static int64_t timestamp_of(const char *row)
{
    return (int64_t)buf_get_be64(row + AT_TIMESTAMP) + POSTGRES_EPOCH_US;
}

int stage_events_add(PGconn *conn, const char *table, const struct buf *rows, int32_t position_id,
                     int64_t offset, struct error *error)
{
    uint32_t position = htobe32((uint32_t)position_id);
    uint64_t at = htobe64((uint64_t)offset);
    int64_t newest_us = INT64_MIN;
    for (size_t i = 0; i < rows->size; i += STAGE_EVENT_SIZE) {
        int64_t timestamp_us = timestamp_of(rows->data + i);
        newest_us = timestamp_us > newest_us ? timestamp_us : newest_us;
    }
    uint64_t newest = htobe64((uint64_t)newest_us);
    const char *values[] = {rows->size ? rows->data : "", offset < 0 ? NULL : (char *)&position,
                            offset < 0 ? NULL : (char *)&at, (char *)&newest};
    const int lengths[] = {(int)rows->size, sizeof position, sizeof at, sizeof newest};
    const int formats[] = {1, 1, 1, 1};
    char *sql = xasprintf("INSERT INTO %s (events, position_id, kafka_offset, newest_us) "
                          "VALUES ($1::bytea, $2::integer, $3::bigint, $4::bigint)",
                          table);
    PGresult *result = PQexecParams(conn, sql, 4, NULL, values, lengths, formats, 1);
    int code = PQresultStatus(result) == PGRES_COMMAND_OK ? 0 : pg_fail(conn, result, error);
    PQclear(result);
    free(sql);
    return code;
}

/* Hands each value of the table, a number of rows, to `take`, one after the other in memory; not
 * those in which all are older than `oldest_us`. */
static int each_batch(PGconn *conn, const char *table, int64_t oldest_us,
                      int (*take)(void *opaque, const char *rows, size_t size, struct error *error),
                      void *opaque, struct error *error)
{
    PGresult *batches = NULL;
    char *list = xasprintf("SELECT batch FROM %s WHERE length(events) > 0 AND newest_us >= %" PRId64
                           " ORDER BY batch",
                           table, oldest_us);
    char *sql = xasprintf("SELECT events FROM %s WHERE batch = $1::integer", table);
    int code = pg_query(conn, list, 0, NULL, &batches, error);
    for (int i = 0; code == 0 && i < PQntuples(batches); i++) {
        const char *values[] = {PQgetvalue(batches, i, 0)};
        PGresult *rows = PQexecParams(conn, sql, 1, NULL, values, NULL, NULL, 1);
        if (PQresultStatus(rows) != PGRES_TUPLES_OK)
            code = pg_fail(conn, rows, error);
        else
            code = take(opaque, PQgetvalue(rows, 0, 0), (size_t)PQgetlength(rows, 0, 0), error);
        PQclear(rows);
    }
    PQclear(batches);
    free(list);
    free(sql);
    return code;
}

static int remember(void *opaque, const char *rows, size_t size, struct error *error)
{
    for (const char *row = rows; row < rows + size; row += STAGE_EVENT_SIZE) {
        struct uuid event_id = read_uuid(row + AT_EVENT_ID);
        struct uuid space_id = read_uuid(row + AT_SPACE_ID);
        if (seen_put(opaque, &event_id, &space_id, (int64_t)buf_get_be64(row + AT_FINGERPRINT),
                     timestamp_of(row)) != 0)
            return error_set(error, ERROR_RETRY, WORKER_NEEDS_INDEX, "the stage is full");
    }
    return 0;
}

int stage_events_load(PGconn *conn, const char *table, struct seen *seen, struct error *error)
{
    return each_batch(conn, table, -INT64_MAX, remember, seen, error);
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

static int is_kept(const struct keep *keep, const char *row)
{
    int32_t position_id = (int32_t)buf_get_be32(row + AT_POSITION_ID);
    int64_t timestamp_us = timestamp_of(row);
    struct uuid space_id = read_uuid(row + AT_SPACE_ID);
    size_t i = 0;
    while (i < keep->horizon_count && keep->horizons[i].position_id != position_id)
        i++;
    return i == keep->horizon_count || timestamp_us >= keep->horizons[i].oldest_us ||
           bsearch(&space_id, keep->spaces, keep->space_count, sizeof *keep->spaces,
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
    const char *applied_event;
    struct keep keep;
    struct buf rows;
};

static int copy_kept_rows(void *opaque, const char *rows, size_t size, struct error *error)
{
    struct copying *copying = opaque;
    buf_reset(&copying->rows);
    for (const char *row = rows; row < rows + size; row += STAGE_EVENT_SIZE)
        if (is_kept(&copying->keep, row))
            buf_put(&copying->rows, row, STAGE_EVENT_SIZE);
    if (copying->rows.size == 0)
        return 0;
    if (pg_copy_begin(copying->conn, copying->applied_event, error) != 0)
        return -1;
    int code = pg_copy_put(copying->conn, copying->rows.data, copying->rows.size, error);
    return pg_copy_end(copying->conn, code, error);
}

int stage_events_copy_kept(PGconn *conn, const struct processor *processor,
                           const struct installed *installed, const char *table,
                           struct error *error)
{
    const char *generation = PG_NUMBER(installed->generation);
    char *applied_event = xasprintf("%s.applied_event", installed->schema);
    struct copying copying = {.conn = conn, .applied_event = applied_event};
    int code = load_horizons(conn, processor, generation, &copying.keep, error);
    if (code == 0)
        code = load_spaces(conn, processor->name, generation, &copying.keep, error);
    if (code == 0)
        code = each_batch(conn, table, oldest_kept(&copying.keep), copy_kept_rows, &copying, error);
    free(copying.keep.horizons);
    free(copying.keep.spaces);
    buf_free(&copying.rows);
    free(applied_event);
    return code;
}
