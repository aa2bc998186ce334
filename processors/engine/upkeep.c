/* SPDX-License-Identifier: Apache-2.0
 *
 * What the owner of partitions does from time to time, between batches: tells Kafka how far it is,
 * sees that it is still the owner, merges small runs of applied events, and forgets events that
 * have left the duplicate window. */
#include <stdio.h>

#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "lib/pg/statement.h"
#include "processors/engine/internal.h"
#include "processors/fold/prune.h"

static struct metric_series *lag_of(const struct engine *engine, const char *topic,
                                    int32_t partition)
{
    char number[16];
    snprintf(number, sizeof number, "%d", partition);
    return metrics_series(engine->metrics.lag, engine->processor->name, topic, number);
}

void upkeep_show_lag(struct engine *engine)
{
    size_t dropped = 0;
    for (size_t i = 0; i < engine->positions.count; i++) {
        struct position *position = &engine->positions.list[i];
        position->lag = lag_of(engine, position->topic, position->partition);
        dropped += !position->lag;
    }
    if (dropped > 0)
        log_error("the lag of %zu partitions is not shown: a metric has at most %d series", dropped,
                  METRICS_SERIES_MAX);
}

void upkeep_hide_lag(struct engine *engine)
{
    for (int i = 0; engine->group && i < engine->group->cnt; i++)
        metrics_gauge_hide(
            lag_of(engine, engine->group->elems[i].topic, engine->group->elems[i].partition));
}

/* While Postgres is away nobody moves a position, so that the hints stand for them. */
static void ask_for_lag(struct engine *engine, int64_t now_us)
{
    if (!engine->group || engine->group->cnt == 0 ||
        now_us - engine->lag_asked_us < LAG_INTERVAL_MS * 1000)
        return;
    engine->lag_asked_us = now_us;
    if (config_int(engine->config, OPT_FORCE_PARTITIONS)) { /* it leaves no hints */
        upkeep_hide_lag(engine);
        return;
    }
    rd_kafka_topic_partition_list_t *hints = rd_kafka_topic_partition_list_copy(engine->group);
    rd_kafka_topic_partition_list_t *ends = rd_kafka_topic_partition_list_copy(engine->group);
    for (int i = 0; i < ends->cnt; i++)
        ends->elems[i].offset = RD_KAFKA_OFFSET_END; /* as a timestamp: the end of the log */
    if (rd_kafka_committed(engine->kafka, hints, LAG_TIMEOUT_MS) == 0 &&
        rd_kafka_offsets_for_times(engine->kafka, ends, LAG_TIMEOUT_MS) == 0)
        for (int i = 0; i < ends->cnt; i++) {
            const rd_kafka_topic_partition_t *hint = &hints->elems[i];
            int64_t from = hint->offset > 0 ? hint->offset : 0; /* negative: there is none yet */
            int64_t lag = ends->elems[i].offset - from;
            if (!hint->err && !ends->elems[i].err && ends->elems[i].offset >= 0)
                metrics_gauge_set(lag_of(engine, hint->topic, hint->partition), lag > 0 ? lag : 0);
        }
    rd_kafka_topic_partition_list_destroy(hints);
    rd_kafka_topic_partition_list_destroy(ends);
    engine->lag_asked_us = monotonic_now_us();
}

static void show_known(const struct engine *engine)
{
    if (!engine->session)
        return;
    const struct runs *runs = session_runs(engine->session);
    metrics_gauge_set(engine->metrics.known, (int64_t)runs_count(runs));
    metrics_gauge_set(engine->metrics.known_bytes, (int64_t)runs_bytes(runs));
}

void upkeep_hint(struct engine *engine)
{
    int64_t now_us = monotonic_now_us();
    if (!engine->attached) {
        ask_for_lag(engine, now_us);
        return;
    }
    if (now_us - engine->hinted_us < HINT_INTERVAL_MS * 1000)
        return;
    engine->hinted_us = now_us;
    show_known(engine);
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)engine->positions.count);
    for (size_t i = 0; i < engine->positions.count; i++) {
        struct position *position = &engine->positions.list[i];
        int64_t low;
        int64_t high = -1;
        rd_kafka_get_watermark_offsets(engine->kafka, position->topic, position->partition, &low,
                                       &high);
        if (high >= 0)
            metrics_gauge_set(position->lag,
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
    if (!engine->attached || is_busy(engine) ||
        now_us - session_sent_us(engine->session) < OWNER_INTERVAL_MS * 1000 ||
        now_us - engine->owner_checked_us < OWNER_INTERVAL_MS * 1000)
        return;
    engine->owner_checked_us = now_us;
    struct error error;
    PGresult *result = NULL;
    const char *values[] = {engine->processor->name, PG_NUMBER(engine->installed.generation)};
    if (pg_query(conn_of(engine), statement("what_is_owned"), 2, values, &result, &error) != 0) {
        attach_recover(engine, &error);
    } else if (*PQgetvalue(result, 0, 1) == 't') {
        log_info("another generation of the processor is live now; going on with that");
        engine_close_session(engine); /* a session belongs to one generation */
        attach_detach(engine, 0);
    } else if ((size_t)pg_int(result, 0, 0) < engine->positions.count) {
        log_warn("partitions of this instance were claimed by another owner or reset");
        attach_detach(engine, BACKOFF_MAX_MS);
    }
    PQclear(result);
}

static int prune(struct engine *engine, struct error *error)
{
    int64_t now_us = monotonic_now_us();
    int generation = engine->installed.generation;
    int more = 0;
    if (now_us - engine->pruned_us < PRUNE_INTERVAL_MS * INT64_C(1000))
        return 0;
    engine->pruned_us = now_us; /* also when it fails: it would else fail before the next batch */
    if (prune_old(conn_of(engine), engine->processor, generation, generation, &more, error) != 0)
        return -1;
    if (more)
        engine->pruned_us -= (PRUNE_INTERVAL_MS - PRUNE_PAUSE_MS) * INT64_C(1000);
    return more ? 0
                : runs_forget(session_runs(engine->session), conn_of(engine), &engine->positions,
                              engine->processor->duplicate_window_ms * 1000, error);
}

void upkeep_prune(struct engine *engine)
{
    struct error error;
    if (!engine->attached || is_busy(engine))
        return;
    if (runs_merge(session_runs(engine->session), conn_of(engine), &error) < 0 ||
        prune(engine, &error) != 0)
        attach_recover(engine, &error);
}
