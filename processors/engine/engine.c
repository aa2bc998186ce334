/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop: take what Kafka has, start a batch when none is under way, take results. It sleeps on
 * two descriptors, one that librdkafka writes to when its queue fills and Postgres' socket, so that
 * nothing waits for a timer: a batch is whatever arrived while the one before was applied. */
#include "processors/engine/engine.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "lib/kafka/client.h"
#include "processors/engine/internal.h"
#include "processors/fold/message.h"
#include "processors/fold/prune.h"

static int make_consumer(struct engine *engine, rd_kafka_conf_t *conf, struct error *error)
{
    char group[96];
    char session[24];
    char poll[24];
    snprintf(group, sizeof group, "weir.%s", engine->processor->name);
    snprintf(session, sizeof session, "%lld",
             (long long)config_int(engine->config, OPT_SESSION_TIMEOUT));
    /* How long the group waits for a member that died while joining; fetch.c polls meanwhile. */
    int64_t poll_ms = config_int(engine->config, OPT_STATEMENT_TIMEOUT);
    if (poll_ms < config_int(engine->config, OPT_SESSION_TIMEOUT))
        poll_ms = config_int(engine->config, OPT_SESSION_TIMEOUT);
    poll_ms += POLL_GRACE_MS;
    snprintf(poll, sizeof poll, "%lld", (long long)poll_ms);
    const char *const properties[][2] = {
        {"max.poll.interval.ms", poll},
        {"check.crcs", "true"},
        {"group.id", group},
        {"session.timeout.ms", session},
        {"heartbeat.interval.ms", "1000"},
        {"partition.assignment.strategy",
         "range"}, /* a Space's partitions of all domains on one member */
        {"fetch.wait.max.ms", "100"},
        {"queued.min.messages", "200000"}, /* a full local queue pauses fetching for a second */
        {"queued.max.messages.kbytes", "65536"},
        {"fetch.error.backoff.ms", "50"},
        {"socket.timeout.ms", "10000"}, /* answers that died with a broker; else a minute */
    };
    return kafka_consumer_new(conf, properties, sizeof properties / sizeof *properties,
                              &engine->kafka, error);
}

static int open_consumer(struct engine *engine, struct error *error)
{
    rd_kafka_conf_t *conf = NULL;
    if (kafka_conf_new(engine->config, &conf, error) != 0)
        return -1;
    rd_kafka_conf_set_opaque(conf, engine);
    attach_register(conf);
    if (make_consumer(engine, conf, error) != 0)
        return -1;
    engine->queue = rd_kafka_queue_get_consumer(engine->kafka);
    engine->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    uint64_t one = 1;
    rd_kafka_queue_io_event_enable(engine->queue, engine->wake_fd, &one, sizeof one);
    return 0;
}

int engine_new(const struct engine_options *options, struct engine **ret_engine,
               struct error *error)
{
    const struct config *config = options->config;
    const struct processor *processor = options->processor;
    struct engine *engine = xcalloc(1, sizeof *engine);
    engine->config = config;
    engine->processor = processor;
    engine->stop = options->stop;
    engine->health = options->health;
    engine->index = options->session;
    engine->session_count = options->session_count;
    snprintf(engine->session_name, sizeof engine->session_name, "%zu", options->session + 1);
    engine->wake_fd = -1;
    engine->pruned_us = -PRUNE_INTERVAL_MS * INT64_C(1000); /* it begins with that */
    engine->check = options->session == 0
                        ? xasprintf("processor:%s", processor->name)
                        : xasprintf("processor:%s:%s", processor->name, engine->session_name);
    engine->rows_max = (size_t)config_int(config, OPT_BATCH_MAX_ROWS);
    engine->slicing = slicing_new(engine->rows_max);
    engine->bytes_max = config_int(config, OPT_BATCH_MAX_BYTES);
    engine->age_max_us = config_int(config, OPT_BATCH_MAX_AGE) * 1000;
    engine->filling = batch_new(processor, engine->rows_max + SPARE_RECORDS, message_release);
    engine->applying = batch_new(processor, engine->rows_max + SPARE_RECORDS, message_release);
    engine->filling->put_headers = message_put_headers;
    engine->applying->put_headers = message_put_headers;
    engine->current = engine->applying;
    drain_init(engine);
    engine->skips = skips_new();
    engine->trusted = idtable_new(sizeof(struct idtable_key));
    engine->filling->skips = engine->skips;
    engine->applying->skips = engine->skips;
    engine->decoder = decoder_new(processor);
    metrics_of_engine(engine, options->metrics);
    health_set(options->health, engine->check, 0, "starting");
    if (decoder_open_registry(engine->decoder, config, error) != 0 ||
        open_consumer(engine, error) != 0) {
        engine_free(engine);
        return -1;
    }
    *ret_engine = engine;
    return 0;
}

void engine_free(struct engine *engine)
{
    if (!engine)
        return;
    if (engine->group)
        rd_kafka_topic_partition_list_destroy(engine->group);
    drain_free(engine);
    skips_free(engine->skips);
    idtable_free(engine->trusted);
    batch_free(engine->filling);
    batch_free(engine->applying);
    decoder_free(engine->decoder);
    positions_free(&engine->positions);
    if (engine->queue)
        rd_kafka_queue_destroy(engine->queue);
    if (engine->kafka)
        rd_kafka_destroy(engine->kafka);
    if (engine->wake_fd >= 0)
        close(engine->wake_fd);
    session_free(engine->session);
    free(engine->check);
    free(engine);
}

void engine_close_session(struct engine *engine)
{
    session_free(engine->session);
    engine->session = NULL;
}

int engine_subscribe(struct engine *engine, struct error *error)
{
    const struct processor *processor = engine->processor;
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)processor->topic_count);
    int forced = (int)config_int(engine->config, OPT_FORCE_PARTITIONS);
    int64_t partitions = forced ? config_int(engine->config, OPT_PARTITIONS) : 1;
    for (size_t i = 0; i < processor->topic_count; i++)
        for (int32_t j = 0; j < partitions; j++)
            if (!forced || (size_t)j % engine->session_count == engine->index)
                rd_kafka_topic_partition_list_add(list, processor->topics[i],
                                                  forced ? j : RD_KAFKA_PARTITION_UA);
    if (forced) {
        engine->group = list;
        return 0;
    }
    rd_kafka_resp_err_t failure = rd_kafka_subscribe(engine->kafka, list);
    rd_kafka_topic_partition_list_destroy(list);
    return failure ? error_set(error, ERROR_USAGE, rd_kafka_err2name(failure), "subscribing: %s",
                               rd_kafka_err2str(failure))
                   : 0;
}

/* Sleeps until a record, a result or `timeout_ms` comes. */
static void wait_for_work(struct engine *engine, int timeout_ms)
{
    struct pollfd fds[2];
    nfds_t count = 0;
    /* With both batches full there is no room for records: only the result matters. */
    if (!fetch_is_full(engine))
        fds[count++] = (struct pollfd){.fd = engine->wake_fd, .events = POLLIN};
    if (engine->session)
        fds[count++] = session_pollfd(engine->session);
    poll(fds, count, timeout_ms);
    if (engine->session && fds[count - 1].revents && !is_busy(engine))
        apply_watch(engine);
    uint64_t wakes;
    if (read(engine->wake_fd, &wakes, sizeof wakes) < 0)
        return; /* nothing was written to it */
}

static int sleep_ms(const struct engine *engine)
{
    if (!engine->drained && !fetch_is_full(engine))
        return 0;
    if (drain_is_due(engine))
        return 0;
    /* A batch that may still grow has no other reason to wake up. */
    return engine->filling->count > 0 && !is_busy(engine) ? GROW_WAIT_MS : IDLE_WAIT_MS;
}

static void finish(struct engine *engine)
{
    int64_t deadline_us = monotonic_now_us() + REVOKE_WAIT_MS * 1000;
    while (engine->attached && (is_busy(engine) || engine->filling->count > 0) &&
           monotonic_now_us() < deadline_us) {
        apply_start(engine);
        apply_wait(engine, IDLE_WAIT_MS);
    }
    attach_detach(engine, 0);
    rd_kafka_consumer_close(engine->kafka);
    log_info("stopped");
}

static void start_work(struct engine *engine)
{
    decisions_poll(engine);
    drain_start(engine);
    apply_start(engine);
}

int engine_run(struct engine *engine, struct error *error)
{
    log_context("processor", engine->processor->name);
    log_context("session", engine->session_count > 1 ? engine->session_name : NULL);
    int code = 0;
    while (!*engine->stop && code == 0) {
        code = attach_try(engine, error);
        fetch_some(engine);
        start_work(engine);
        apply_poll(engine);
        upkeep_prune(engine); /* before the next batch: with a backlog one is always under way */
        fetch_look_up(engine);
        start_work(engine);
        upkeep_hint(engine);
        upkeep_check_owner(engine);
        if (!*engine->stop && code == 0)
            wait_for_work(engine, sleep_ms(engine));
    }
    finish(engine);
    return code;
}
