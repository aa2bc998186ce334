/* SPDX-License-Identifier: Apache-2.0
 *
 * What the owner of partitions does from time to time, between batches: tells Kafka how far it is,
 * sees that it is still the owner, and forgets events that have left the duplicate window. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "processors/engine/internal.h"
#include "processors/engine/prune.h"

void upkeep_hint(struct engine *engine)
{
    int64_t now_us = monotonic_now_us();
    if (!engine->attached || now_us - engine->hinted_us < HINT_INTERVAL_MS * 1000)
        return;
    engine->hinted_us = now_us;
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)engine->position_count);
    for (size_t i = 0; i < engine->position_count; i++) {
        struct position *position = &engine->positions[i];
        char partition[16];
        int64_t low;
        int64_t high = -1;
        snprintf(partition, sizeof partition, "%d", position->partition);
        rd_kafka_get_watermark_offsets(engine->kafka, position->topic, position->partition, &low,
                                       &high);
        if (high >= 0)
            metrics_gauge_set(metrics_series(engine->metrics.lag, engine->processor->name,
                                             position->topic, partition),
                              high > position->next_offset ? high - position->next_offset : 0);
        if (position->next_offset == position->hinted_offset)
            continue;
        position->hinted_offset = position->next_offset;
        rd_kafka_topic_partition_list_add(list, position->topic, position->partition)->offset =
            position->next_offset;
    }
    if (list->cnt > 0 && !config_int(engine->config, OPT_FORCE_PARTITIONS))
        rd_kafka_commit(engine->kafka, list, 1);
    rd_kafka_topic_partition_list_destroy(list);
}

/* A batch would find out by itself; without one, a reset or another owner would go unnoticed. */
void upkeep_check_owner(struct engine *engine)
{
    int64_t now_us = monotonic_now_us();
    if (!engine->attached || engine->in_flight ||
        now_us - engine->sent_us < OWNER_INTERVAL_MS * 1000 ||
        now_us - engine->owner_checked_us < OWNER_INTERVAL_MS * 1000)
        return;
    engine->owner_checked_us = now_us;
    char generation[16];
    struct error error;
    PGresult *result = NULL;
    snprintf(generation, sizeof generation, "%d", engine->installed.generation);
    const char *values[] = {engine->processor->name, generation};
    if (pg_query(engine->conn,
                 "SELECT count(*) FILTER (WHERE owner_pid = pg_backend_pid()), "
                 "EXISTS (SELECT FROM weir.processor WHERE processor = $1 AND generation <> $2) "
                 "FROM weir.position WHERE processor = $1 AND generation = $2",
                 2, values, &result, &error) != 0) {
        attach_recover(engine, &error);
    } else if (*PQgetvalue(result, 0, 1) == 't') {
        log_info("another generation of the processor is live now; going on with that");
        PQfinish(engine->conn); /* a session belongs to one generation */
        engine->conn = NULL;
        attach_detach(engine, 0);
    } else if ((size_t)pg_int(result, 0, 0) < engine->position_count) {
        log_warn("partitions of this instance were claimed by another owner or reset");
        attach_detach(engine, BACKOFF_MAX_MS);
    }
    PQclear(result);
}

void upkeep_prune(struct engine *engine)
{
    int64_t now_us = monotonic_now_us();
    if (!engine->attached || engine->in_flight ||
        now_us - engine->pruned_us < PRUNE_INTERVAL_MS * INT64_C(1000))
        return;
    engine->pruned_us = now_us;
    int generation = engine->installed.generation;
    int more = 0;
    struct error error;
    if (prune_applied(engine->conn, engine->processor, generation, generation, &more, &error) != 0)
        attach_recover(engine, &error);
    else if (more)
        engine->pruned_us = now_us - (PRUNE_INTERVAL_MS - PRUNE_PAUSE_MS) * INT64_C(1000);
}
