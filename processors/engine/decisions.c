/* SPDX-License-Identifier: Apache-2.0
 *
 * What people decided about the partitions owned. The command line writes rows; the owner carries
 * them out under its fence. It looks for them when it claims partitions, before it reads a record,
 * and twice a second from then on: so a decision about a record that halted it, or that a partition
 * waits at, is known in time. A record that is to be skipped is set aside when it comes. */
#include <stdio.h>

#include "lib/base/failpoint.h"
#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "processors/engine/internal.h"

int decisions_prepare(PGconn *conn, struct error *error)
{
    return pg_prepare(conn, "decisions",
                      "SELECT DISTINCT position_id FROM weir.decision "
                      "WHERE position_id = ANY ($1::integer[]) AND taken_at IS NULL",
                      error);
}

static int64_t epoch_of(const struct engine *engine, int64_t id)
{
    return engine->positions.list[positions_index(&engine->positions, id)].epoch;
}

static int carry_out(struct engine *engine, int *ret_count, struct error *error)
{
    PGresult *result = NULL;
    const char *values[] = {buf_text(&engine->positions.ids)};
    int code = pg_query_prepared(conn_of(engine), "decisions", 1, values, &result, error);
    int count = code == 0 ? PQntuples(result) : 0;
    for (int i = 0; code == 0 && i < count; i++) {
        const char *arguments[] = {PQgetvalue(result, i, 0),
                                   PG_NUMBER(epoch_of(engine, pg_int(result, i, 0)))};
        FAILPOINT("decide.found");
        code =
            pg_query(conn_of(engine), "SELECT weir.carry_out($1, $2)", 2, arguments, NULL, error);
        FAILPOINT("decide.done");
    }
    PQclear(result);
    if (code == 0 && count > 0)
        log_info("carried out decisions about %d partitions", count);
    *ret_count = count;
    return code;
}

/* What is held of the partitions in memory. */
static int read_state(struct engine *engine, struct error *error)
{
    return drain_load(engine, error) == 0
               ? skips_load(engine->skips, conn_of(engine), &engine->positions, error)
               : -1;
}

int decisions_load(struct engine *engine, struct error *error)
{
    int count;
    return carry_out(engine, &count, error) == 0 ? read_state(engine, error) : -1;
}

void decisions_poll(struct engine *engine)
{
    int64_t now_us = monotonic_now_us();
    struct error error;
    int count;
    if (!engine->attached || is_busy(engine) || now_us < engine->decide_at_us)
        return;
    engine->decide_at_us = now_us + DECIDE_INTERVAL_MS * 1000;
    if (carry_out(engine, &count, &error) != 0 || (count > 0 && read_state(engine, &error) != 0))
        apply_fail(engine, &error);
    else if (count > 0 && fetch_waits_for_skipped(engine))
        attach_detach(engine, 0); /* reads on from the positions */
}
