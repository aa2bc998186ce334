/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker's session, its claim and its loop. */
#include "processors/rebuild/worker.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/timestamp.h"
#include "lib/kafka/client.h"
#include "lib/registry/client.h"
#include "processors/fold/message.h"
#include "processors/rebuild/worker_parts.h"

static int open_consumer(struct worker *worker, struct error *error)
{
    const char *const properties[][2] = {
        {"fetch.wait.max.ms", worker->options.follows ? "500" : "50"},
        /* a burst of reading is work for the broker */
        {"queued.max.messages.kbytes", worker->options.low_priority ? "8192" : "131072"},
        {"group.id", "weir-rebuild"}, /* librdkafka wants one; it is never joined */
        {"check.crcs", "true"},
        /* a full local queue pauses fetching for a second: it has to last that long */
        {"queued.min.messages", "1000000"},
        {"fetch.error.backoff.ms", "50"},
        {"socket.timeout.ms", "10000"}};
    rd_kafka_conf_t *conf = NULL;
    if (kafka_conf_new(worker->options.config, &conf, error) != 0 ||
        kafka_consumer_new(conf, properties, sizeof properties / sizeof *properties, &worker->kafka,
                           error) != 0)
        return -1;
    worker->queue = rd_kafka_queue_get_consumer(worker->kafka);
    worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    uint64_t one = 1;
    rd_kafka_queue_io_event_enable(worker->queue, worker->wake_fd, &one, sizeof one);
    /* Partitions that are assigned before their leaders are known wait for a timer of one second.
     * All topics: asking for one by name could create it. Kafka may also be away for now. */
    const struct rd_kafka_metadata *metadata;
    if (rd_kafka_metadata(worker->kafka, 1, NULL, &metadata, WORKER_METADATA_MS) == 0)
        rd_kafka_metadata_destroy(metadata);
    return 0;
}

/* As the engine's session, with more time and memory: batches are larger. */
static int open_session(struct worker *worker, struct error *error)
{
    const struct worker_options *options = &worker->options;
    char name[128];
    const struct session_options session = {
        .config = options->config,
        .processor = options->processor,
        .application = name,
        .work_mem = "64MB",
        .lock_timeout_ms = WORKER_LOCK_TIMEOUT_MS,
        .statement_timeout_ms =
            1000 * (options->follows ? WORKER_FOLLOW_TIMEOUT_S : WORKER_STATEMENT_TIMEOUT_S),
        .copies = options->bulk};
    snprintf(name, sizeof name, "weir %s %s %d", options->follows ? "follow" : "rebuild",
             options->processor->name, options->index);
    return session_connect(&session, &worker->session, error) == 0
               ? session_prepare(worker->session, options->installed, worker->decoder, error)
               : -1;
}

static int claim(struct worker *worker, struct error *error)
{
    const struct worker_options *options = &worker->options;
    int32_t count = (int32_t)config_int(options->config, OPT_PARTITIONS);
    for (size_t i = 0; i < options->processor->topic_count; i++)
        for (int32_t j = options->index; j < count; j += options->count)
            session_want(worker->session, options->processor->topics[i], j);
    if (session_claim(worker->session, &worker->positions, error) != 0)
        return -1;
    worker->goals = xcalloc(worker->positions.count + 1, sizeof *worker->goals);
    return 0;
}

/* What is held of the partitions in memory, where events that fail are parked. */
static int load_parked(struct worker *worker, struct error *error)
{
    worker->parked = parked_new();
    worker->filling->parked = worker->parked;
    worker->applying->parked = worker->parked;
    return parked_load(worker->parked, conn_of(worker), &worker->positions, error) == 0
               ? worker_load_skips(worker, error)
               : -1;
}

int worker_open(const struct worker_options *options, struct worker **ret_worker,
                struct error *error)
{
    struct worker *worker = xcalloc(1, sizeof *worker);
    worker->options = *options;
    worker->wake_fd = -1;
    worker->rows_max = options->low_priority ? WORKER_LOW_PRIORITY_ROWS : WORKER_BULK_ROWS;
    worker->bytes_max = options->low_priority ? WORKER_LOW_PRIORITY_BYTES : WORKER_BULK_BYTES;
    worker->filling = batch_new(options->processor, worker->rows_max, message_release);
    worker->applying = batch_new(options->processor, worker->rows_max, message_release);
    worker->single = batch_new(options->processor, 1, NULL); /* a query's result has the bytes */
    worker->filling->put_headers = message_put_headers;
    worker->applying->put_headers = message_put_headers;
    worker->slicing = slicing_new(worker->rows_max);
    worker->slice = slice_new();
    worker->decoder = decoder_new(options->processor);
    worker->ahead = xcalloc(WORKER_AHEAD_MAX, sizeof(rd_kafka_message_t *));
    worker->again = xcalloc(WORKER_AHEAD_MAX, sizeof(rd_kafka_message_t *));
    int code = decoder_open_registry(worker->decoder, options->config, error);
    if (code == 0)
        code = open_session(worker, error);
    if (code == 0)
        code = claim(worker, error);
    if (code == 0 && options->park)
        code = load_parked(worker, error);
    if (code == 0 && options->bulk)
        code = worker_open_stage(worker, error);
    if (code == 0)
        code = open_consumer(worker, error);
    if (code != 0) {
        worker_free(worker);
        return -1;
    }
    batch_reset(worker->filling, worker->positions.count);
    batch_reset(worker->applying, worker->positions.count);
    *ret_worker = worker;
    return 0;
}

void worker_free(struct worker *worker)
{
    if (!worker)
        return;
    session_free(worker->session);
    batch_free(worker->filling);
    batch_free(worker->applying);
    batch_free(worker->single);
    worker_free_deferred(worker);
    parked_free(worker->parked);
    skips_free(worker->skips);
    worker_drop(worker);
    free(worker->ahead);
    free(worker->again);
    slice_free(worker->slice);
    decoder_free(worker->decoder);
    seen_free(worker->seen);
    free(worker->known);
    buf_free(&worker->copy);
    positions_free(&worker->positions);
    free(worker->goals);
    if (worker->queue)
        rd_kafka_queue_destroy(worker->queue);
    if (worker->kafka) {
        rd_kafka_consumer_close(worker->kafka);
        rd_kafka_destroy(worker->kafka);
    }
    if (worker->wake_fd >= 0)
        close(worker->wake_fd);
    free(worker);
}

int worker_forget(struct worker *worker, struct error *error)
{
    return runs_forget(session_runs(worker->session), conn_of(worker), &worker->positions,
                       worker->options.processor->duplicate_window_ms * 1000, error);
}

void worker_positions(const struct worker *worker, struct vector *vector)
{
    for (size_t i = 0; i < worker->positions.count; i++) {
        const struct position *position = &worker->positions.list[i];
        struct vector_element *element = vector_find(vector, position->topic, position->partition);
        if (element)
            element->offset = position->next_offset;
    }
}

static void wait_for_work(struct worker *worker)
{
    struct pollfd fds[2];
    nfds_t count = 0;
    uint64_t wakes;
    if (!worker_is_full(worker) && worker->reached < worker->positions.count)
        fds[count++] = (struct pollfd){.fd = worker->wake_fd, .events = POLLIN};
    if (is_busy(worker))
        fds[count++] = session_pollfd(worker->session);
    poll(fds, count, WORKER_IDLE_MS);
    if (read(worker->wake_fd, &wakes, sizeof wakes) < 0)
        return; /* nothing was written to it */
}

/* Larger batches cost less per event, so that in bulk one waits for its records. */
static int may_grow(const struct worker *worker)
{
    return worker->seen && !worker_is_full(worker) && worker->reached < worker->positions.count &&
           !*worker->options.stop && !worker_is_due(worker) &&
           monotonic_now_us() - worker->filling->opened_us < WORKER_GROW_US;
}

static int has_work(const struct worker *worker)
{
    return positions_await(&worker->positions, worker->filling);
}

static int is_done(const struct worker *worker)
{
    int over = *worker->options.stop || worker->reached == worker->positions.count;
    return over && !is_busy(worker) && !has_work(worker) &&
           (*worker->options.stop || !worker_is_due(worker));
}

int worker_fold(struct worker *worker, const struct vector *target, struct error *error)
{
    int64_t moved_us = monotonic_now_us();
    if (worker_load_deferred(worker, error) != 0 || worker_set_goals(worker, target, error) != 0)
        return -1;
    while (!is_done(worker)) {
        size_t before = worker->filling->count;
        if (!*worker->options.stop && worker_read(worker, error) != 0)
            return -1;
        if (worker->filling->count != before || is_busy(worker))
            moved_us = monotonic_now_us();
        if (!is_busy(worker) && has_work(worker) && !may_grow(worker) &&
            worker_apply(worker, error) != 0)
            return -1;
        if (worker_poll(worker, error) != 0)
            return -1;
        if (!is_busy(worker) &&
            runs_merge(session_runs(worker->session), conn_of(worker), error) < 0)
            return -1;
        if (!is_busy(worker) && !has_work(worker) && worker_is_due(worker) &&
            worker_apply_due(worker, error) != 0)
            return -1;
        if (monotonic_now_us() - moved_us > WORKER_STALL_US)
            return error_set(error, ERROR_RETRY, "stalled",
                             "Kafka has delivered nothing for %d s, although records are missing",
                             (int)(WORKER_STALL_US / 1000000));
        if (!is_done(worker))
            wait_for_work(worker);
    }
    return 0;
}
