/* SPDX-License-Identifier: Apache-2.0
 *
 * Two queries, one for the rows and one for their headers in order, both in binary form: the bytes
 * go from Postgres' answer to the producer as they are. */
#include "processors/outbox/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/pg/statement.h"

/* Any number that nobody else locks. */
#define LOCK_KEY "7239865016712038657"

static const char begin_sql[] =
    "BEGIN; SET LOCAL synchronous_commit = off; SELECT pg_try_advisory_xact_lock(" LOCK_KEY ")";

void outbox_put_ids(struct buf *out, const int64_t *ids, size_t count)
{
    buf_put_text(out, "{");
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%s%" PRId64, i ? "," : "", ids[i]);
    buf_put(out, "}", 2);
}

void outbox_put_texts(struct buf *out, const char *const *texts, size_t count)
{
    buf_put_text(out, "{");
    for (size_t i = 0; i < count; i++) {
        buf_put_text(out, i ? ",\"" : "\"");
        for (const char *at = texts[i]; *at; at++) {
            if (*at == '"' || *at == '\\')
                buf_put_text(out, "\\");
            buf_put(out, at, 1);
        }
        buf_put_text(out, "\"");
    }
    buf_put(out, "}", 2);
}

static int query_binary(PGconn *conn, const char *sql, int count, const char *const *values,
                        PGresult **ret_result, struct error *error)
{
    return pg_answer(conn, PQsendQueryParams(conn, sql, count, NULL, values, NULL, NULL, 1),
                     ret_result, error);
}

/* NULL where the column is. */
static const void *get_bytes(const PGresult *result, int row, int column, size_t *ret_size)
{
    *ret_size = (size_t)PQgetlength(result, row, column);
    return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

static int lock(PGconn *conn, int *ret_locked, struct error *error)
{
    PGresult *result = NULL;
    int code = pg_answer(conn, PQsendQuery(conn, begin_sql), &result, error);
    *ret_locked = code == 0 && *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return code;
}

static int take_rows(PGconn *conn, const struct outbox_skip *skip, int limit,
                     struct outbox_rows *rows, struct error *error)
{
    struct buf ids = {0};
    struct buf topics = {0};
    outbox_put_ids(&ids, skip->ids, skip->id_count);
    outbox_put_texts(&topics, skip->topics, skip->topic_count);
    const char *values[] = {ids.data, topics.data, PG_NUMBER(limit), PG_NUMBER(OUTBOX_BYTES_MAX)};
    int code = query_binary(conn, statement("outbox_rows"), 4, values, &rows->results[0], error);
    buf_free(&ids);
    buf_free(&topics);
    if (code != 0)
        return -1;
    rows->count = (size_t)PQntuples(rows->results[0]);
    rows->rows = xcalloc(rows->count + 1, sizeof *rows->rows);
    for (size_t i = 0; i < rows->count; i++) {
        struct outbox_row *row = &rows->rows[i];
        row->id = pg_int8(rows->results[0], (int)i, 0);
        row->topic = PQgetvalue(rows->results[0], (int)i, 1);
        row->partition = (int32_t)buf_get_be32(PQgetvalue(rows->results[0], (int)i, 2));
        row->key = get_bytes(rows->results[0], (int)i, 3, &row->key_size);
        row->value = get_bytes(rows->results[0], (int)i, 4, &row->value_size);
    }
    return 0;
}

/* Both lists are by id. */
static int take_headers(PGconn *conn, struct outbox_rows *rows, struct error *error)
{
    struct buf ids = {0};
    int64_t *list = xcalloc(rows->count, sizeof *list);
    for (size_t i = 0; i < rows->count; i++)
        list[i] = rows->rows[i].id;
    outbox_put_ids(&ids, list, rows->count);
    free(list);
    const char *values[] = {ids.data};
    int code = query_binary(conn, statement("outbox_headers"), 1, values, &rows->results[1], error);
    buf_free(&ids);
    if (code != 0)
        return -1;
    int count = PQntuples(rows->results[1]);
    size_t at = 0;
    rows->headers = xcalloc((size_t)count + 1, sizeof *rows->headers);
    for (int i = 0; i < count; i++) {
        int64_t id = pg_int8(rows->results[1], i, 0);
        struct producer_header *header = &rows->headers[i];
        while (at < rows->count && rows->rows[at].id < id)
            at++;
        if (at == rows->count || rows->rows[at].id != id)
            continue;
        header->name = PQgetvalue(rows->results[1], i, 1);
        header->value = get_bytes(rows->results[1], i, 2, &header->size);
        if (rows->rows[at].header_count++ == 0)
            rows->rows[at].headers = header;
    }
    return 0;
}

int outbox_rows_take(PGconn *conn, const struct outbox_skip *skip, int limit,
                     struct outbox_rows *ret_rows, struct error *error)
{
    *ret_rows = (struct outbox_rows){0};
    if (lock(conn, &ret_rows->locked, error) != 0 ||
        (ret_rows->locked && take_rows(conn, skip, limit, ret_rows, error) != 0))
        return -1;
    if (ret_rows->count == 0)
        return pg_run(conn, "COMMIT", error);
    return take_headers(conn, ret_rows, error);
}

int outbox_rows_delete(PGconn *conn, const int64_t *ids, size_t count, struct error *error)
{
    struct buf list = {0};
    outbox_put_ids(&list, ids, count);
    const char *values[] = {list.data};
    int code = count
                   ? pg_query(conn, "DELETE FROM weir.outbox WHERE outbox_id = ANY ($1::bigint[])",
                              1, values, NULL, error)
                   : 0;
    buf_free(&list);
    return code == 0 ? pg_run(conn, "COMMIT", error) : -1;
}

void outbox_rows_free(struct outbox_rows *rows)
{
    free(rows->rows);
    free(rows->headers);
    PQclear(rows->results[0]);
    PQclear(rows->results[1]);
    *rows = (struct outbox_rows){0};
}
