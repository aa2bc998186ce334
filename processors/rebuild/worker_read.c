/* SPDX-License-Identifier: Apache-2.0
 *
 * The Kafka side of a worker. Partitions run to goals of their own; what arrives from behind a goal
 * is kept for the next one, and when that is too much the partitions at their goals are no longer
 * delivered. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/hash.h"
#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "lib/kafka/client.h"
#include "processors/fold/message.h"
#include "processors/rebuild/worker_parts.h"

int worker_is_full(const struct worker *worker)
{
    return worker->filling->count >= worker->rows_max ||
           worker->filling->bytes >= worker->bytes_max;
}

void worker_drop(struct worker *worker)
{
    for (size_t i = 0; i < worker->ahead_count; i++)
        rd_kafka_message_destroy(worker->ahead[i]);
    for (size_t i = worker->again_at; i < worker->again_count; i++)
        rd_kafka_message_destroy(worker->again[i]);
    for (size_t i = worker->fetched_at; i < worker->fetched_count; i++)
        rd_kafka_message_destroy(worker->fetched[i]);
    worker->ahead_count = worker->again_count = worker->again_at = 0;
    worker->fetched_count = worker->fetched_at = 0;
}

/* Delivers all partitions, or those that have not reached their goal, from where they were taken
 * to. */
static int assign(struct worker *worker, int all, struct error *error)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)worker->positions.count);
    worker_drop(worker);
    for (size_t i = 0; i < worker->positions.count; i++) {
        const struct position *position = &worker->positions.list[i];
        int64_t next = position->taken_offset + 1 > position->next_offset
                           ? position->taken_offset + 1
                           : position->next_offset;
        if (all || !worker->goals[i].reached)
            rd_kafka_topic_partition_list_add(list, position->topic, position->partition)->offset =
                position->verified ? next : position->anchor_offset;
    }
    rd_kafka_resp_err_t failure = rd_kafka_assign(worker->kafka, list);
    rd_kafka_topic_partition_list_destroy(list);
    worker->assigned = all;
    return failure ? kafka_error(error, failure, "assigning partitions", NULL) : 0;
}

int worker_set_goals(struct worker *worker, const struct vector *target, struct error *error)
{
    worker->reached = 0;
    for (size_t i = 0; i < worker->positions.count; i++) {
        const struct position *position = &worker->positions.list[i];
        const struct vector_element *element =
            vector_find(target, position->topic, position->partition);
        worker->goals[i].offset = element ? element->offset : 0;
        if (position->unknown_id >= 0 && position->waits_offset < worker->goals[i].offset)
            worker->goals[i].offset = position->waits_offset;
        worker->goals[i].reached = position->next_offset >= worker->goals[i].offset;
        worker->reached += (size_t)worker->goals[i].reached;
    }
    if (!worker->assigned)
        return assign(worker, 1, error);
    /* What was kept comes first, in its order. What is left of it from the goal before goes behind.
     */
    while (worker->again_at < worker->again_count && worker->ahead_count < WORKER_AHEAD_MAX)
        worker->ahead[worker->ahead_count++] = worker->again[worker->again_at++];
    rd_kafka_message_t **spare = worker->again;
    worker->again = worker->ahead;
    worker->again_count = worker->ahead_count;
    worker->again_at = 0;
    worker->ahead = spare;
    worker->ahead_count = 0;
    return 0;
}

static struct position *find_position(struct worker *worker, const rd_kafka_message_t *message)
{
    return positions_find(&worker->positions, rd_kafka_topic_name(message->rkt),
                          message->partition);
}

static int handle_error(struct worker *worker, const rd_kafka_message_t *message,
                        struct error *error)
{
    struct position *position = message->rkt ? find_position(worker, message) : NULL;
    size_t index = position ? (size_t)(position - worker->positions.list) : 0;
    switch (message->err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        if (position && !position->verified)
            return position_log_changed(position, "the log ends", message->offset, error);
        if (position && !worker->goals[index].reached &&
            message->offset >= worker->goals[index].offset) {
            worker->goals[index].reached = 1;
            worker->reached++;
            worker->filling->ends[index] = worker->goals[index].offset;
        }
        return 0;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        return error_set(error, ERROR_HALT, "log-truncated",
                         "%s [%d]: offset %" PRId64
                         " is not in the log any more; a rebuild needs all records from the "
                         "first one on (retention.ms=-1)",
                         position ? position->topic : "?", message->partition, message->offset);
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__RESOLVE:
        return 0; /* it comes back, or the worker stalls */
    default:
        kafka_error(error, message->err, "reading", rd_kafka_message_errstr(message));
        error->class = ERROR_RETRY;
        return -1;
    }
}

/* Whether a partition may end at a record of a schema that is not known. Where the live generation
 * is says how far to go, or nobody does, as after a loss of the database; then the processor is to
 * wait there as it would have. A registry may only be away. What stands behind it and was decided
 * about, only a rebuild can fold as it was decided. */
static int may_end_early(const struct worker *worker, size_t index, int64_t offset)
{
    return worker->options.park && !decoder_has_registry(worker->decoder) &&
           !worker_deferred_beyond(worker, index, offset);
}

/* How a person gets past it, told behind what it is. */
static int tell_way(const struct worker *worker, size_t index, int64_t offset, struct error *error)
{
    const struct position *position = &worker->positions.list[index];
    struct error reason = *error;
    error->class = ERROR_HALT; /* other than a broker, it need not come back by itself */
    if (!worker->options.park)
        return -1;
    return error_set(error, ERROR_HALT, reason.code,
                     "%s. Then run the rebuild again; or make a dead letter of the record before: "
                     "`weir processor skip %s %s/%" PRId32 "/%" PRId64 " --reason TEXT`",
                     reason.message, worker->options.processor->name, position->topic,
                     position->partition, offset);
}

/* A newer build may have recorded it, the registry knows it, or somebody decides to skip it. */
static int wait_for_schema(struct worker *worker, size_t index, int64_t offset, struct error *error)
{
    int32_t id = decoder_unknown_id(worker->decoder);
    int64_t deadline_us = monotonic_now_us() + WORKER_LOOK_UP_MS * INT64_C(1000);
    if (worker_wait(worker, error) != 0)
        return -1;
    while (decoder_look_up(worker->decoder, id, conn_of(worker), error) != 0) {
        const struct timespec pause = {.tv_nsec = 200000000};
        int newer = strcmp(error->code, DECODER_NEWER) == 0;
        if ((strcmp(error->code, DECODER_UNKNOWN) != 0 && !(newer && worker->options.park)) ||
            *worker->options.stop || may_end_early(worker, index, offset))
            return -1;
        struct error failure;
        if (worker->skips && worker_load_skips(worker, &failure) == 0 &&
            skips_find(worker->skips, (uint32_t)index, offset))
            break;
        if (monotonic_now_us() > deadline_us)
            return tell_way(worker, index, offset, error);
        nanosleep(&pause, NULL);
    }
    *error = (struct error){0};
    return 0;
}

/* What was applied is known for the worker's own partitions alone. */
static int check_place(const struct worker *worker, const rd_kafka_message_t *message,
                       struct error *error)
{
    struct uuid space_id;
    int32_t partitions = (int32_t)config_int(worker->options.config, OPT_PARTITIONS);
    if (worker->options.count == 1 || !message->key ||
        uuid_parse(message->key, message->key_len, &space_id) != 0 ||
        hash_partition(message->key, message->key_len, partitions) == message->partition)
        return 0;
    return error_set(error, ERROR_FATAL, WORKER_MISPLACED,
                     "the record is in another partition than that of its key, so only one worker "
                     "may fold");
}

static int add(struct worker *worker, size_t index, rd_kafka_message_t *message,
               struct error *error)
{
    const struct record record = message_record(message, worker->positions.list[index].topic);
    if (batch_add(worker->filling, worker->decoder, &record, (uint32_t)index, error) == 0)
        return 0;
    if (error->class != ERROR_RETRY || wait_for_schema(worker, index, record.offset, error) != 0)
        return -1;
    return batch_add(worker->filling, worker->decoder, &record, (uint32_t)index, error);
}

/* The partition ends at this record, if it may. Returns whether it does. */
static int end_early(struct worker *worker, size_t index, int64_t offset, struct error *error)
{
    struct position *position = &worker->positions.list[index];
    if (!may_end_early(worker, index, offset) ||
        (strcmp(error->code, DECODER_UNKNOWN) != 0 && strcmp(error->code, DECODER_NEWER) != 0))
        return 0;
    log_warn("%s [%d] offset %" PRId64 ": %s. The rebuild goes no further in this partition, and "
             "the processor will wait there",
             position->topic, position->partition, offset, error->message);
    position->unknown_id = decoder_unknown_id(worker->decoder);
    position->waits_offset = offset;
    worker->goals[index].offset = offset;
    *error = (struct error){0};
    return 1;
}

/* Takes one record, or keeps it, or gives it back. */
static int take(struct worker *worker, rd_kafka_message_t *message, struct error *error)
{
    struct position *position = find_position(worker, message);
    size_t index = position ? (size_t)(position - worker->positions.list) : 0;
    struct goal *goal = &worker->goals[index];
    int code = 0;
    if (position && !position->verified) {
        code = position_verify(position, message->offset,
                               rd_kafka_message_timestamp(message, NULL) * 1000, message->payload,
                               message->len, error);
    } else if (position && message->offset >= goal->offset) {
        if (!goal->reached) { /* nothing but control records was left below it */
            goal->reached = 1;
            worker->reached++;
            worker->filling->ends[index] = goal->offset;
        }
        if (worker->ahead_count == WORKER_AHEAD_MAX) {
            rd_kafka_message_destroy(message);
            return assign(worker, 0, error);
        }
        worker->ahead[worker->ahead_count++] = message;
        return 0;
    } else if (position && message->offset >= position->next_offset &&
               message->offset > position->taken_offset) {
        int deferred = worker_is_deferred(worker, index, message->offset);
        code = check_place(worker, message, error);
        if (code == 0 && !deferred)
            code = add(worker, index, message, error);
        if (code == 0) {
            position->taken_offset = message->offset;
            if (message->offset + 1 >= goal->offset) {
                goal->reached = 1;
                worker->reached++;
            }
            if (!deferred)
                return 0;
            worker->filling->ends[index] = message->offset + 1;
            rd_kafka_message_destroy(message);
            return 0;
        }
        if (end_early(worker, index, message->offset, error))
            return take(worker, message, error);
        error_prefix(error, "%s [%d] offset %" PRId64, position->topic, position->partition,
                     message->offset);
    }
    rd_kafka_message_destroy(message);
    return code;
}

/* What was kept comes first. NULL: there is nothing for now. */
static rd_kafka_message_t *next_message(struct worker *worker)
{
    if (worker->again_at < worker->again_count)
        return worker->again[worker->again_at++];
    if (worker->fetched_at == worker->fetched_count) {
        ssize_t count =
            rd_kafka_consume_batch_queue(worker->queue, 0, worker->fetched, WORKER_FETCH_MAX);
        worker->fetched_at = 0;
        worker->fetched_count = count > 0 ? (size_t)count : 0;
    }
    return worker->fetched_at < worker->fetched_count ? worker->fetched[worker->fetched_at++]
                                                      : NULL;
}

int worker_read(struct worker *worker, struct error *error)
{
    while (!worker_is_full(worker) && worker->reached < worker->positions.count &&
           !worker_is_due(worker)) {
        rd_kafka_message_t *message = next_message(worker);
        if (!message)
            return 0;
        if (!message->err) {
            if (take(worker, message, error) != 0)
                return -1;
            continue;
        }
        int code = handle_error(worker, message, error);
        rd_kafka_message_destroy(message);
        if (code != 0)
            return -1;
    }
    return 0;
}
