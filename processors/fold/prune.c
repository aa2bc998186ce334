/* SPDX-License-Identifier: Apache-2.0
 *
 * A run goes when its newest event has left the window. What a parked event or a redriven dead
 * letter may be a copy of stays, as they count by their own time, however late they come: of a
 * partition that has such, the events of their Spaces. Those are looked at again an hour of broker
 * time later, or when there is no such any more. */
#include "processors/fold/prune.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/pg/statement.h"

#define PRUNE_RUNS_TEXT "1000"
enum { PRUNE_RUNS_MAX = 1000 }; /* that are removed in one go */
#define PRUNE_REDUCED_TEXT "4"
enum { PRUNE_REDUCED_MAX = 4 };  /* of which some events stay: each of up to 20,000 is unpacked */
#define PRUNE_KEPT_TEXT "1 hour" /* of broker time, until they are looked at again */
enum { PRUNE_PARTITION_ROWS_MAX = 1000 }; /* duplicates of a partition that are looked at */

/* Those of a partition are about as old as their offsets say. */
static int prune_duplicates(PGconn *conn, const char *const *old, int *ret_count,
                            struct error *error)
{
    const char *values[] = {old[0], old[1], old[2], PG_NUMBER(PRUNE_PARTITION_ROWS_MAX)};
    PGresult *result = NULL;
    int code = pg_query(conn, statement("prune_duplicates"), 4, values, &result, error);
    *ret_count = code == 0 ? atoi(PQcmdTuples(result)) : 0;
    PQclear(result);
    return code;
}

/* Runs of which all events are old, of the partitions that have, or have not, what may be a copy.
 * The first condition lets the block range index skip what is young. */
static char *old_runs(const struct processor *processor, int generation, const char *columns,
                      const char *exceptions, const char *limit)
{
    return xasprintf(
        "SELECT %s FROM %s_%d.applied_run AS r JOIN weir.position AS p USING (position_id) "
        "JOIN weir.position AS l ON (l.processor, l.generation, l.topic, l.kafka_partition) = "
        "($1, $4::integer, p.topic, p.kafka_partition) "
        "WHERE r.newest_timestamp < (SELECT max(anchor_timestamp) FROM weir.position "
        "WHERE processor = $1 AND generation = $2::integer) - $3::interval "
        "AND r.newest_timestamp < p.anchor_timestamp - $3::interval "
        "AND (EXISTS (SELECT FROM weir.parked_space AS s WHERE s.position_id = l.position_id) "
        "OR EXISTS (SELECT FROM weir.dead_letter AS d WHERE d.state = 'open' "
        "AND d.position_id = l.position_id)) = %s "
        "LIMIT %s FOR UPDATE OF r SKIP LOCKED",
        columns, processor->name, generation, exceptions, limit);
}

static int remove_runs(PGconn *conn, const struct processor *processor, int generation,
                       const char *const *values, int *ret_count, struct error *error)
{
    PGresult *result = NULL;
    char *old = old_runs(processor, generation, "r.ctid", "false", PRUNE_RUNS_TEXT);
    char *sql = xasprintf("DELETE FROM %s_%d.applied_run WHERE ctid = ANY (ARRAY(%s))",
                          processor->name, generation, old);
    int code = pg_query(conn, sql, 4, values, &result, error);
    *ret_count = code == 0 ? atoi(PQcmdTuples(result)) : 0;
    PQclear(result);
    free(old);
    free(sql);
    return code;
}

/* Leaves the events of the Spaces that a partition holds back, or has dead letters of. */
static int reduce_runs(PGconn *conn, const struct processor *processor, int generation,
                       const char *const *values, int *ret_count, struct error *error)
{
    PGresult *result = NULL;
    char *old = old_runs(processor, generation,
                         "r.position_id, r.run_id, r.hashes, r.entries, p.anchor_timestamp, "
                         "ARRAY(SELECT s.space_id FROM weir.parked_space AS s "
                         "WHERE s.position_id = l.position_id UNION SELECT d.space_id "
                         "FROM weir.dead_letter AS d WHERE d.state = 'open' "
                         "AND d.position_id = l.position_id) AS spaces",
                         "true AND (r.reduced_at IS NULL OR r.reduced_at < p.anchor_timestamp "
                         "- interval '" PRUNE_KEPT_TEXT "')",
                         PRUNE_REDUCED_TEXT);
    char *sql = xasprintf(
        "WITH old AS MATERIALIZED (%s), kept AS MATERIALIZED (SELECT o.position_id, o.run_id, "
        "string_agg(substring(o.hashes FROM e.at * 8 + 1 FOR 8), '' ORDER BY e.at) AS hashes, "
        "string_agg(substring(o.entries FROM e.at * 56 + 1 FOR 56), '' ORDER BY e.at) AS entries "
        "FROM old AS o CROSS JOIN LATERAL (SELECT space_id, (row_number() OVER ())::integer - 1 "
        "AS at FROM weir.run_entries(o.entries)) AS e WHERE e.space_id = ANY (o.spaces) "
        "GROUP BY 1, 2), reduced AS (UPDATE %s_%d.applied_run AS r SET hashes = k.hashes, "
        "entries = k.entries, reduced_at = o.anchor_timestamp FROM old AS o JOIN kept AS k USING "
        "(position_id, run_id) "
        "WHERE (r.position_id, r.run_id) = (o.position_id, o.run_id) RETURNING 1), "
        "removed AS (DELETE FROM %s_%d.applied_run AS r USING old AS o "
        "WHERE (r.position_id, r.run_id) = (o.position_id, o.run_id) AND NOT EXISTS (SELECT "
        "FROM kept AS k WHERE (k.position_id, k.run_id) = (o.position_id, o.run_id)) RETURNING 1) "
        "SELECT (SELECT count(*) FROM reduced) + (SELECT count(*) FROM removed)",
        old, processor->name, generation, processor->name, generation);
    int code = pg_query(conn, sql, 4, values, &result, error);
    *ret_count = code == 0 ? (int)pg_int(result, 0, 0) : 0;
    PQclear(result);
    free(old);
    free(sql);
    return code;
}

int prune_old(PGconn *conn, const struct processor *processor, int generation, int live,
              int *ret_more, struct error *error)
{
    char window[48];
    int duplicates;
    int removed;
    int reduced;
    snprintf(window, sizeof window, "%" PRId64 " milliseconds", processor->duplicate_window_ms);
    const char *values[] = {processor->name, PG_NUMBER(generation), window, PG_NUMBER(live)};
    *ret_more = 0;
    if (prune_duplicates(conn, values, &duplicates, error) != 0 ||
        remove_runs(conn, processor, generation, values, &removed, error) != 0 ||
        reduce_runs(conn, processor, generation, values, &reduced, error) != 0)
        return -1;
    *ret_more = removed == PRUNE_RUNS_MAX || reduced == PRUNE_REDUCED_MAX ||
                duplicates >= PRUNE_PARTITION_ROWS_MAX;
    return 0;
}
