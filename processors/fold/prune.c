/* SPDX-License-Identifier: Apache-2.0
 *
 * The first condition lets the block range index skip what is young; the second one is the rule,
 * and the others keep what a parked event or a redriven dead letter may be a copy of: they count by
 * their own time, however late they come. */
#include "processors/fold/prune.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/buf.h"

#define PRUNE_ROWS_TEXT "20000"
enum { PRUNE_ROWS_MAX = 20000 }; /* of a table that are removed in one go */
#define PRUNE_PARTITION_ROWS_TEXT "1000"
enum { PRUNE_PARTITION_ROWS_MAX = 1000 }; /* duplicates of a partition that are looked at */

/* Those of a partition are about as old as their offsets say. */
static int prune_duplicates(PGconn *conn, const char *const *values, int *ret_count,
                            struct error *error)
{
    PGresult *result = NULL;
    int code = pg_query(conn,
                        "DELETE FROM weir.duplicate WHERE ctid = ANY (ARRAY("
                        "SELECT d.ctid FROM weir.position AS p CROSS JOIN LATERAL ("
                        "SELECT o.ctid, o.kafka_timestamp FROM weir.duplicate AS o "
                        "WHERE o.position_id = p.position_id ORDER BY o.kafka_offset "
                        "LIMIT " PRUNE_PARTITION_ROWS_TEXT ") AS d "
                        "WHERE p.processor = $1 AND p.generation = $2 "
                        "AND d.kafka_timestamp < p.anchor_timestamp - $3::interval))",
                        3, values, &result, error);
    *ret_count = code == 0 ? atoi(PQcmdTuples(result)) : 0;
    PQclear(result);
    return code;
}

int prune_old(PGconn *conn, const struct processor *processor, int generation, int live,
              int *ret_more, struct error *error)
{
    PGresult *result = NULL;
    char window[48];
    char numbers[2][16];
    int duplicates;
    snprintf(window, sizeof window, "%" PRId64 " milliseconds", processor->duplicate_window_ms);
    snprintf(numbers[0], sizeof numbers[0], "%d", generation);
    snprintf(numbers[1], sizeof numbers[1], "%d", live);
    const char *values[] = {processor->name, numbers[0], window, numbers[1]};
    *ret_more = 0;
    if (prune_duplicates(conn, values, &duplicates, error) != 0)
        return -1;
    char *sql = xasprintf(
        "DELETE FROM %s_%d.applied_event WHERE ctid = ANY (ARRAY("
        "SELECT a.ctid FROM %s_%d.applied_event AS a JOIN weir.position AS p USING (position_id) "
        "JOIN weir.position AS l ON (l.processor, l.generation, l.topic, l.kafka_partition) = "
        "($1, $4, p.topic, p.kafka_partition) "
        "WHERE a.kafka_timestamp < (SELECT max(anchor_timestamp) FROM weir.position "
        "WHERE processor = $1 AND generation = $2) - $3::interval "
        "AND a.kafka_timestamp < p.anchor_timestamp - $3::interval "
        "AND NOT EXISTS (SELECT FROM weir.parked_space AS s "
        "WHERE s.position_id = l.position_id AND s.space_id = a.space_id) "
        "AND NOT EXISTS (SELECT FROM weir.dead_letter AS d WHERE d.state = 'open' "
        "AND d.position_id = l.position_id AND d.space_id = a.space_id "
        "AND d.event_id = a.event_id) "
        "LIMIT " PRUNE_ROWS_TEXT "))",
        processor->name, generation, processor->name, generation);
    int code = pg_query(conn, sql, 4, values, &result, error);
    *ret_more = code == 0 && (atoi(PQcmdTuples(result)) == PRUNE_ROWS_MAX ||
                              duplicates >= PRUNE_PARTITION_ROWS_MAX);
    PQclear(result);
    free(sql);
    return code;
}
