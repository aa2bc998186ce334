/* SPDX-License-Identifier: Apache-2.0
 *
 * Ownership. The group says which partitions are this member's; Postgres says where each goes on
 * and under which epoch.
 *
 * During a rebalance librdkafka is told an empty assignment at once, so that the group never waits
 * for Postgres; the partitions are assigned when they have been claimed. Each starts at its anchor,
 * the last record dealt with: reading it again proves that the log is still the same. */
#include <inttypes.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "processors/engine/internal.h"
#include "processors/outbox/past.h"

static void assign_nothing(struct engine *engine)
{
    rd_kafka_topic_partition_list_t *empty = rd_kafka_topic_partition_list_new(0);
    rd_kafka_assign(engine->kafka, empty);
    rd_kafka_topic_partition_list_destroy(empty);
}

void attach_detach(struct engine *engine, int64_t pause_ms)
{
    if (is_busy(engine) && engine->session) { /* the outcome will be read from the position table */
        engine_close_session(engine);
    }
    if (engine->attached) {
        engine->hinted_us = 0;
        upkeep_hint(engine);
        assign_nothing(engine);
        engine->lag_asked_us = monotonic_now_us(); /* mostly it is attached again before */
    }
    engine->attached = 0;
    engine->waiting = 0;
    metrics_gauge_set(engine->metrics.waiting, 0);
    drain_drop(engine);
    parked_clear(engine->parked);
    skips_clear(engine->skips);
    engine->drain.due_count = 0;
    engine->drain.due_next = 0;
    batch_reset(engine->filling, 0);
    batch_reset(engine->applying, 0);
    positions_free(&engine->positions);
    engine->attach_at_us = monotonic_now_us() + pause_ms * 1000;
    metrics_gauge_set(engine->metrics.attached, 0);
}

void attach_recover(struct engine *engine, const struct error *error)
{
    engine->backoff_ms = engine->backoff_ms ? engine->backoff_ms * 2 : BACKOFF_FIRST_MS;
    if (engine->backoff_ms > BACKOFF_MAX_MS)
        engine->backoff_ms = BACKOFF_MAX_MS;
    log_warn("%s; trying again in %" PRId64 " ms", error->message, engine->backoff_ms);
    health_set(engine->health, engine->check, 0, error->message);
    /* A session whose procedure or prepared statement is gone is opened anew, which looks again. */
    int useless = strcmp(error->code, PG_RESET) == 0 || strcmp(error->code, "26000") == 0;
    if (engine->session && (useless || session_is_lost(engine->session))) {
        engine_close_session(engine);
    }
    attach_detach(engine, engine->backoff_ms);
}

/* A topic with another number of partitions than pinned would send a Space's events to two of them.
 */
static int check_partitions(struct engine *engine, struct error *error)
{
    int64_t pinned = config_int(engine->config, OPT_PARTITIONS);
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t failure =
        rd_kafka_metadata(engine->kafka, 1, NULL, &metadata, METADATA_TIMEOUT_MS);
    if (failure)
        return error_set(error, ERROR_RETRY, rd_kafka_err2name(failure), "Kafka: %s",
                         rd_kafka_err2str(failure));
    int code = 0;
    for (size_t i = 0; code == 0 && i < engine->processor->topic_count; i++) {
        const char *topic = engine->processor->topics[i];
        int count = 0;
        for (int j = 0; j < metadata->topic_cnt; j++)
            if (strcmp(metadata->topics[j].topic, topic) == 0 && !metadata->topics[j].err)
                count = metadata->topics[j].partition_cnt;
        if (count == 0)
            code = error_set(error, ERROR_RETRY, "topic-missing",
                             "there is no topic %s; `weir topics create` makes it", topic);
        else if (count != pinned)
            code = error_set(error, ERROR_HALT, "partitions-changed",
                             "%s has %d partitions, but %" PRId64
                             " are pinned (option partitions); events of one Space may "
                             "now lie in two of them, so nothing is written",
                             topic, count, pinned);
    }
    rd_kafka_metadata_destroy(metadata);
    return code;
}

/* Claims every partition of the group's assignment in one transaction. */
static int claim(struct engine *engine, struct error *error)
{
    for (int i = 0; i < engine->group->cnt; i++)
        session_want(engine->session, engine->group->elems[i].topic,
                     engine->group->elems[i].partition);
    return session_claim(engine->session, &engine->positions, error);
}

static int assign_positions(struct engine *engine, struct error *error)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)engine->positions.count);
    for (size_t i = 0; i < engine->positions.count; i++) {
        const struct position *position = &engine->positions.list[i];
        rd_kafka_topic_partition_list_add(list, position->topic, position->partition)->offset =
            position->verified ? position->next_offset : position->anchor_offset;
    }
    rd_kafka_resp_err_t failure = rd_kafka_assign(engine->kafka, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (failure)
        return error_set(error, ERROR_RETRY, rd_kafka_err2name(failure), "assigning partitions: %s",
                         rd_kafka_err2str(failure));
    return 0;
}

void attach_restart(struct engine *engine)
{
    struct error error;
    apply_wait(engine, REVOKE_WAIT_MS); /* which moves the positions */
    if (!engine->attached)
        return;
    if (is_busy(engine)) {
        attach_detach(engine, BACKOFF_MAX_MS);
        return;
    }
    batch_reset(engine->filling, engine->positions.count);
    for (size_t i = 0; i < engine->positions.count; i++)
        engine->positions.list[i].taken_offset = -1;
    if (assign_positions(engine, &error) != 0)
        attach_recover(engine, &error);
}

/* Another version is live now: its instances have the partitions, so this one is not in the group.
 * It looks from time to time whether its own is back, as after a rollback; meanwhile the follower
 * of this process keeps the previous generation near to that. */
static void stand_aside(struct engine *engine, const struct error *error)
{
    enum aside aside = engine->previous ? ASIDE_FOLLOWS : ASIDE_ALONE;
    if (engine->aside != aside) {
        struct error said = *error;
        if (!engine->previous)
            error_prefix(&said, "no generation of this build is kept, and this instance only "
                                "stands aside");
        log_warn("%s", said.message);
        health_set(engine->health, engine->check, 0, said.message);
    }
    if (engine->joined && !config_int(engine->config, OPT_FORCE_PARTITIONS)) {
        rd_kafka_unsubscribe(engine->kafka);
        engine->joined = 0;
    }
    engine->aside = aside;
    engine->fitted = 1;
    metrics_gauge_set(engine->metrics.aside, 1);
    attach_detach(engine, ASIDE_PAUSE_MS);
}

/* Only who fits joins the group: what is refused, or stands aside, takes partitions from nobody. */
static int join(struct engine *engine, struct error *error)
{
    if (!engine->joined && engine_subscribe(engine, error) != 0)
        return -1;
    engine->joined = 1;
    if (engine->aside)
        log_info("the version of this build is live again; going on");
    engine->aside = ASIDE_NOT;
    engine->fitted = 1;
    metrics_gauge_set(engine->metrics.aside, 0);
    return 0;
}

int attach_try(struct engine *engine, struct error *error)
{
    if (engine->attached || monotonic_now_us() < engine->attach_at_us || *engine->stop)
        return 0;
    struct error failure = {0};
    int code = engine->session ? 0 : engine_open_session(engine, &failure);
    if (code == 0)
        code = join(engine, &failure);
    int halted = code == 0 ? halt_check(engine, &failure) : 0;
    if (halted > 0) {
        attach_detach(engine, HALTED_PAUSE_MS);
        return 0;
    }
    if (code == 0 && halted == 0) {
        if (!engine->group || engine->group->cnt == 0) {
            engine->attach_at_us = monotonic_now_us() + IDLE_WAIT_MS * 1000;
            health_set(engine->health, engine->check, engine->group != NULL,
                       "waiting for the consumer group");
            return 0;
        }
        code = check_partitions(engine, &failure);
    }
    if (code == 0 && halted == 0 && !engine->past_known)
        code =
            past_check(conn_of(engine), engine->config, engine->processor, engine->stop, &failure);
    if (code == 0 && halted == 0) {
        engine->past_known = 1;
        code = claim(engine, &failure);
    }
    if (code == 0 && halted == 0)
        code = decisions_load(engine, &failure);
    if (code == 0 && halted == 0) {
        batch_reset(engine->filling, engine->positions.count);
        batch_reset(engine->applying, engine->positions.count);
        code = assign_positions(engine, &failure);
    }
    if (code == 0 && halted == 0) {
        engine->attached = 1;
        metrics_gauge_set(engine->metrics.attached, (int64_t)engine->positions.count);
        upkeep_show_lag(engine);
        health_set(engine->health, engine->check, 1, NULL);
        log_info("owns %zu partitions", engine->positions.count);
        return 0;
    }
    /* Once they fitted, a reset or a newer build is at work on the database: wait for its end. */
    if (failure.class == ERROR_USAGE && (engine->fitted || engine->previous) &&
        strcmp(failure.code, "version-changed") == 0) {
        stand_aside(engine, &failure);
        return 0;
    }
    if (failure.class == ERROR_USAGE && engine->fitted)
        failure.class = ERROR_RETRY;
    if (failure.class == ERROR_USAGE) {
        *error = failure;
        return -1;
    }
    if (failure.class == ERROR_HALT)
        halt(engine, &failure, NULL, NULL);
    else
        attach_recover(engine, &failure);
    return 0;
}

static void on_rebalance(rd_kafka_t *kafka, rd_kafka_resp_err_t event,
                         rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    struct engine *engine = opaque;
    metrics_counter_add(engine->metrics.rebalances, 1);
    if (event != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        apply_wait(engine, REVOKE_WAIT_MS); /* what is under way may finish under its epoch */
    attach_detach(engine, 0);
    upkeep_hide_lag(engine);
    if (engine->group)
        rd_kafka_topic_partition_list_destroy(engine->group);
    engine->group = NULL;
    if (event == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        engine->group = rd_kafka_topic_partition_list_copy(partitions);
        assign_nothing(engine);
    } else {
        rd_kafka_assign(kafka, NULL);
    }
}

void attach_register(rd_kafka_conf_t *conf)
{
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
}
