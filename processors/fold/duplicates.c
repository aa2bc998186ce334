/* SPDX-License-Identifier: Apache-2.0
 *
 * One look-up for the whole range, by the primary key of applied_event. */
#include "processors/fold/duplicates.h"

#include <stdlib.h>
#include <string.h>

int duplicates_caused(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
    return state && constraint && strcmp(state, "23505") == 0 &&
           strcmp(constraint, "applied_event_pkey") == 0;
}

int duplicates_look_up(PGconn *conn, const char *schema, const struct batch *batch, size_t from,
                       size_t to, const struct slice_types *types, struct known **ret_known,
                       size_t *ret_count, struct error *error)
{
    char *sql = xasprintf("SELECT DISTINCT a.event_id, a.space_id, a.fingerprint, "
                          "(extract(epoch FROM a.kafka_timestamp) * 1000000)::bigint "
                          "FROM unnest($1::weir.batch_event[]) AS e JOIN %s.applied_event AS a "
                          "ON a.event_id = e.event_id AND a.space_id = e.space_id",
                          schema);
    struct buf events = {0};
    slice_events(batch, from, to, types, &events);
    const char *values[] = {events.data};
    const int lengths[] = {(int)events.size};
    const int formats[] = {1};
    PGresult *result = NULL;
    int code = pg_answer(conn, PQsendQueryParams(conn, sql, 1, NULL, values, lengths, formats, 0),
                         &result, error);
    buf_free(&events);
    free(sql);
    size_t count = (size_t)PQntuples(result);
    if (code == 0) {
        struct known *known = xcalloc(count, sizeof *known);
        for (size_t i = 0; i < count; i++) {
            uuid_parse(PQgetvalue(result, (int)i, 0), UUID_TEXT_SIZE, &known[i].event_id);
            uuid_parse(PQgetvalue(result, (int)i, 1), UUID_TEXT_SIZE, &known[i].space_id);
            known[i].fingerprint = pg_int(result, (int)i, 2);
            known[i].timestamp_us = pg_int(result, (int)i, 3);
        }
        *ret_known = known;
        *ret_count = count;
    }
    PQclear(result);
    return code;
}

int duplicates_find(PGconn *conn, const char *schema, const struct batch *batch, size_t from,
                    size_t to, const struct slice_types *types, struct known **ret_known,
                    size_t *ret_count, struct error *error)
{
    if (duplicates_look_up(conn, schema, batch, from, to, types, ret_known, ret_count, error) != 0)
        return -1;
    if (*ret_count == 0) {
        free(*ret_known);
        *ret_known = NULL;
        return error_set(error, ERROR_RETRY, "23505",
                         "duplicate events vanished while they were looked up");
    }
    return 0;
}
