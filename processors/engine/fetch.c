/* SPDX-License-Identifier: Apache-2.0
 *
 * From the consumer's queue into the filling batch. Records are taken one by one without waiting: a
 * batch call of librdkafka would wait for a full batch, and 2.0.2's skips offsets around a pause
 * (reference: librdkafka #4208). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/hash.h"
#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "processors/engine/internal.h"
#include "processors/fold/message.h"

int fetch_is_full(const struct engine *engine)
{
    return engine->filling->count >= engine->rows_max ||
           (int64_t)engine->filling->bytes >= engine->bytes_max;
}

static struct position *find_position(struct engine *engine, const rd_kafka_message_t *message)
{
    return positions_find(&engine->positions, rd_kafka_topic_name(message->rkt),
                          message->partition);
}

/* Compares the record at the anchor's offset with the anchor. */
static void verify_anchor(struct engine *engine, struct position *position,
                          const rd_kafka_message_t *message)
{
    struct error error;
    if (position_verify(position, message->offset, rd_kafka_message_timestamp(message, NULL) * 1000,
                        message->payload, message->len, &error) != 0)
        halt(engine, &error, position, NULL);
}

/* The anchor's offset, or the position itself, is outside the log. */
static void handle_out_of_range(struct engine *engine, struct position *position)
{
    int64_t low = -1;
    int64_t high = -1;
    rd_kafka_query_watermark_offsets(engine->kafka, position->topic, position->partition, &low,
                                     &high, METADATA_TIMEOUT_MS);
    int inside = low >= 0 && position->next_offset >= low && position->next_offset <= high;
    if (inside && position->anchor_offset < low) {
        if (!position->verified)
            log_warn("%s [%d]: the record before the position was deleted, so it cannot be checked "
                     "that the log is the same",
                     position->topic, position->partition);
        position->verified = 1;
        /* What was out of range is not fetched any more, and librdkafka seeks only in what is. */
        attach_restart(engine);
        return;
    }
    if (low < 0 || inside) { /* the broker went away, or the log's end: look again */
        apply_wait(engine, REVOKE_WAIT_MS);
        attach_detach(engine, BACKOFF_MAX_MS);
        return;
    }
    struct error error;
    error_set(&error, ERROR_HALT, "log-changed",
              "%s [%d]: position %" PRId64 " is outside the log, which holds %" PRId64
              " to %" PRId64
              "; records were deleted or the topic was created anew, so nothing more is written",
              position->topic, position->partition, position->next_offset, low, high);
    halt(engine, &error, position, NULL);
}

static void handle_end(struct engine *engine, struct position *position, int64_t offset)
{
    struct error error;
    if (!position->verified) {
        position_log_changed(position, "the log ends", offset, &error);
        halt(engine, &error, position, NULL);
    } else if (offset > position->next_offset && position->unknown_id < 0) {
        engine->filling->ends[position - engine->positions.list] = offset;
    }
}

static void handle_error(struct engine *engine, const rd_kafka_message_t *message)
{
    struct position *position = message->rkt ? find_position(engine, message) : NULL;
    switch (message->err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        if (position)
            handle_end(engine, position, message->offset);
        return;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        if (position)
            handle_out_of_range(engine, position);
        return;
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
        /* What comes back may be another log: attach anew, which reads the anchors. What cannot be
         * read must not become a gap, which the client would go on behind (check.crcs). */
        if (engine->attached) {
            log_warn("kafka: %s; claiming and checking the partitions again",
                     rd_kafka_message_errstr(message));
            apply_wait(engine, REVOKE_WAIT_MS);
            attach_detach(engine, BACKOFF_MAX_MS);
        }
        return;
    default:
        log_warn("kafka: %s", rd_kafka_message_errstr(message));
    }
}

/* The partition waits: what follows in it is not taken, and everything else flows. */
static void wait_for_schema(struct engine *engine, struct position *position, int64_t offset,
                            const struct error *error)
{
    log_warn("%s", error->message);
    position->unknown_id = decoder_unknown_id(engine->decoder);
    position->waits_offset = offset;
    position->told = strcmp(error->code, DECODER_NEWER) == 0;
    engine->waiting++;
    engine->look_up_at_us = 0;
    metrics_gauge_set(engine->metrics.waiting, engine->waiting);
    health_set(engine->health, engine->check, 0, error->message);
}

int fetch_waits_for_skipped(const struct engine *engine)
{
    for (size_t i = 0; i < engine->positions.count; i++)
        if (engine->positions.list[i].unknown_id >= 0 &&
            skips_find(engine->skips, (uint32_t)i, engine->positions.list[i].waits_offset))
            return 1;
    return 0;
}

/* Records where the partition waits, so that others can show it. */
static int note_waiting(struct engine *engine, struct position *position, const struct error *why,
                        struct error *error)
{
    PGresult *result = NULL;
    const char *values[] = {PG_NUMBER(position->id), PG_NUMBER(position->epoch),
                            PG_NUMBER(position->waits_offset), why->code, why->message};
    int code = pg_query(conn_of(engine), "SELECT weir.note_waiting($1, $2, $3, $4, $5)", 5, values,
                        &result, error);
    if (code == 0)
        position->waits_since_us = pg_int(result, 0, 0);
    PQclear(result);
    return code;
}

/* One of them with its place, and how many there are. */
static void tell_health(struct engine *engine, const struct position *position,
                        const struct error *why)
{
    char since[TIMESTAMP_TEXT_SIZE + 1];
    char more[48] = "";
    timestamp_format(position->waits_since_us, since);
    if (engine->waiting > 1)
        snprintf(more, sizeof more, " (%d partitions wait)", engine->waiting);
    char *text = xasprintf("%s [%d] waits at offset %" PRId64 " since %s%s: %s", position->topic,
                           position->partition, position->waits_offset, since, more, why->message);
    health_set(engine->health, engine->check, 0, text);
    free(text);
}

/* Looks one up again. Returns 1 when the partition still waits, 0 when all are read on, or the
 * engine has detached. */
static int look_up(struct engine *engine, struct position *position)
{
    struct error error = {0};
    struct error failure;
    if (decoder_look_up(engine->decoder, position->unknown_id, conn_of(engine), &error) == 0) {
        log_info("schema id %d is known now", position->unknown_id);
        attach_detach(engine, 0); /* reads on from the positions */
        return 0;
    }
    if (error.class == ERROR_HALT) {
        halt_at(engine, &error, position, position->waits_offset);
        return 0;
    }
    int newer = strcmp(error.code, DECODER_NEWER) == 0;
    if (!newer && strcmp(error.code, DECODER_UNKNOWN) != 0) {
        attach_recover(engine, &error);
        return 0;
    }
    if (newer && !position->told)
        log_warn("%s [%d]: %s", position->topic, position->partition, error.message);
    position->told |= newer;
    if (position->waits_since_us == 0 && note_waiting(engine, position, &error, &failure) != 0) {
        apply_fail(engine, &failure);
        return 0;
    }
    tell_health(engine, position, &error);
    return 1;
}

void fetch_look_up(struct engine *engine)
{
    int64_t now_us = monotonic_now_us();
    if (!engine->waiting || is_busy(engine) || now_us < engine->look_up_at_us)
        return;
    engine->look_up_at_us = now_us + LOOK_UP_INTERVAL_MS * 1000;
    for (size_t i = 0; i < engine->positions.count; i++)
        if (engine->positions.list[i].unknown_id >= 0 &&
            !look_up(engine, &engine->positions.list[i]))
            return;
}

/* Its producer has another partitioner. The event counts nevertheless; its order among those of its
 * Space that are in the right partition is not known. */
static void note_misplaced(struct engine *engine, const struct position *position,
                           const rd_kafka_message_t *message)
{
    int32_t right = hash_partition(message->key, message->key_len,
                                   (int32_t)config_int(engine->config, OPT_PARTITIONS));
    if (right == message->partition || engine->filling->entries[engine->filling->count - 1].keyless)
        return;
    metrics_counter_add(engine->metrics.misplaced, 1);
    if (!engine->misplaced_said)
        log_warn("%s [%d] offset %" PRId64 ": its key belongs in partition %d, so the order of its "
                 "Space's events is not known. Its producer must use the partitioner murmur2; such "
                 "records are counted from here on, and not logged",
                 position->topic, position->partition, message->offset, right);
    engine->misplaced_said = 1;
}

/* Takes one record. Returns 0 when nothing more should be taken for now. */
static int take_record(struct engine *engine, rd_kafka_message_t *message)
{
    struct position *position = engine->attached ? find_position(engine, message) : NULL;
    struct error error = {0};
    /* An offset that was taken before is not taken again, however it comes. */
    if (!position || message->offset < position->next_offset || !position->verified ||
        message->offset <= position->taken_offset || position->unknown_id >= 0) {
        if (position && !position->verified)
            verify_anchor(engine, position, message);
        rd_kafka_message_destroy(message);
        return engine->attached;
    }
    uint32_t index = (uint32_t)(position - engine->positions.list);
    const struct record record = message_record(message, position->topic);
    if (batch_add(engine->filling, engine->decoder, &record, index, &error) == 0) {
        position->taken_offset = message->offset;
        note_misplaced(engine, position, message);
        return 1;
    }
    char place[512];
    snprintf(place, sizeof place, "%s [%d] offset %" PRId64, position->topic, position->partition,
             message->offset);
    rd_kafka_message_destroy(message);
    error_prefix(&error, "%s", place);
    if (error.class == ERROR_RETRY) {
        wait_for_schema(engine, position, record.offset, &error);
        return 1;
    }
    halt_at(engine, &error, position, record.offset);
    return 0;
}

/* Whether to take a record although the batch is full: one now and then is what tells the group
 * that this member is alive while Postgres takes long. The group waits for a member that died while
 * joining for as long as it may go without a poll, so that must not be long. */
static int must_poll(const struct engine *engine)
{
    return engine->filling->count < engine->rows_max + SPARE_RECORDS &&
           monotonic_now_us() - engine->polled_us >= POLL_SPARE_MS * 1000;
}

void fetch_some(struct engine *engine)
{
    int spare = must_poll(engine);
    engine->drained = 0;
    if (spare || !fetch_is_full(engine))
        engine->polled_us = monotonic_now_us();
    for (; spare || !fetch_is_full(engine); spare = 0) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(engine->kafka, 0);
        if (!message) {
            engine->drained = 1;
            return;
        }
        if (message->err) {
            handle_error(engine, message);
            rd_kafka_message_destroy(message);
        } else if (!take_record(engine, message)) {
            return;
        }
    }
}
