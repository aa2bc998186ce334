/* SPDX-License-Identifier: Apache-2.0
 *
 * One round: take a batch of rows in order, publish it, delete the rows that the broker
 * acknowledged, commit. Whatever goes wrong, the row stays and comes again.
 *
 * What the broker cannot do now (it is away, too few replicas) makes the relay back off; rows
 * behind a failed one of the same partition are kept too, acknowledged or not, so that what is
 * published again comes in order. What it refuses must not block the rest for ever: a topic that is
 * missing or forbidden, and a record that is too large, are held back with a growing pause, and
 * everything else goes on past them. A broker refuses a whole batch for one record, so after a
 * refusal rows go one by one until the guilty one is found. Each hold is logged once, makes the
 * check `outbox` fail, and ends as soon as the broker takes the record. */
#include "processors/outbox/relay.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/failpoint.h"
#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "processors/outbox/depth.h"
#include "processors/outbox/publisher.h"

enum {
    IDLE_MS = 200,   /* between looks into an empty outbox */
    IDLE_SHARE = 20, /* or so many times as long as such a look takes */
    IDLE_MOST_MS = 5000,
    TICK_MS = 50,           /* how soon a pause notices the stop */
    PATIENCE_MS = 35000,    /* with an answer: longer than statement_timeout */
    BACKOFF_FIRST_MS = 250, /* after a failure */
    BACKOFF_MOST_MS = 5000,
    HOLD_FIRST_MS = 1000, /* of a refused record */
    HOLD_MOST_MS = 600000,
    HELD_ROWS_MAX = 256 /* more of them hold back their topic */
};

/* A row whose record the broker refused. */
struct held_row {
    int64_t id;
    int refusals;
    int64_t retry_at_us;
};

struct relay {
    struct relay_options options;
    pthread_t thread;
    PGconn *conn;
    struct publisher *publisher;
    struct depth *depth;
    struct outbox_topics topics;
    struct held_row held[HELD_ROWS_MAX];
    size_t held_count;
    size_t one_by_one; /* rounds of one row that are still to come */
    int failures;      /* turns in a row */
    int64_t idle_ms;   /* how long to rest after an empty look */
    struct metric_series *published;
    struct metric *refused;
};

static void pause_ms(const struct relay *relay, int64_t ms)
{
    const struct timespec tick = {.tv_nsec = TICK_MS * 1000000L};
    for (int64_t end_us = monotonic_now_us() + ms * 1000;
         !*relay->options.stop && monotonic_now_us() < end_us;)
        nanosleep(&tick, NULL);
}

static int open_session(struct relay *relay, struct error *error)
{
    if (relay->conn)
        return 0;
    if (pg_connect(config_text(relay->options.config, OPT_DATABASE), "weir outbox", &relay->conn,
                   error) != 0)
        return -1;
    pg_set_patience(relay->conn, PATIENCE_MS);
    /* A process that is frozen in mid-round does not keep the others from publishing for long. */
    if (pg_run(relay->conn,
               "SET ROLE weir_processor; SET jit = off; SET lock_timeout = '10s';"
               "SET statement_timeout = '30s'; SET idle_in_transaction_session_timeout = '30s'",
               error) == 0)
        return 0;
    PQfinish(relay->conn);
    relay->conn = NULL;
    return -1;
}

static struct held_row *find_held(struct relay *relay, int64_t id)
{
    for (size_t i = 0; i < relay->held_count; i++)
        if (relay->held[i].id == id)
            return &relay->held[i];
    return NULL;
}

static void release_row(struct relay *relay, int64_t id)
{
    struct held_row *held = find_held(relay, id);
    if (held)
        *held = relay->held[--relay->held_count];
}

static void hold_topic(struct relay *relay, const struct outbox_row *row, const char *code)
{
    struct outbox_topic *topic = outbox_topic_find(&relay->topics, row->topic);
    if (!topic || !topic->known)
        return; /* by another row of this round */
    outbox_topic_hold(topic);
    if (topic->refusals == 1)
        log_warn(
            "the broker takes nothing for %s: %s; its records stay in the outbox and are tried "
            "again",
            row->topic, code);
}

static void hold_row(struct relay *relay, const struct outbox_row *row, const char *code)
{
    struct held_row *held = find_held(relay, row->id);
    if (!held && relay->held_count == HELD_ROWS_MAX) {
        hold_topic(relay, row, code);
        return;
    }
    if (!held) {
        held = &relay->held[relay->held_count++];
        *held = (struct held_row){.id = row->id};
        log_warn("the broker refuses record %" PRId64 " of the outbox, for %s: %s; it stays there "
                 "and is tried again, the others go on",
                 row->id, row->topic, code);
    }
    held->refusals++;
    held->retry_at_us =
        monotonic_now_us() + outbox_backoff_ms(held->refusals, HOLD_FIRST_MS, HOLD_MOST_MS) * 1000;
}

/* How many rows to take: one while somebody guilty is looked for. */
static int round_limit(struct relay *relay)
{
    int64_t now_us = monotonic_now_us();
    for (size_t i = 0; i < relay->held_count; i++)
        if (relay->held[i].retry_at_us <= now_us)
            return 1;
    if (relay->one_by_one == 0)
        return OUTBOX_ROWS_MAX;
    relay->one_by_one--;
    return 1;
}

static int take_rows(struct relay *relay, int limit, struct outbox_rows *rows, struct error *error)
{
    int64_t ids[HELD_ROWS_MAX];
    const char *topics[OUTBOX_TOPICS_MAX];
    struct outbox_skip skip = {.ids = ids, .topics = topics};
    int64_t now_us = monotonic_now_us();
    for (size_t i = 0; i < relay->held_count; i++)
        if (relay->held[i].retry_at_us > now_us)
            ids[skip.id_count++] = relay->held[i].id;
    for (size_t i = 0; i < relay->topics.count; i++)
        if (relay->topics.topics[i].retry_at_us > now_us)
            topics[skip.topic_count++] = relay->topics.topics[i].name;
    if (outbox_rows_take(relay->conn, &skip, limit, rows, error) != 0)
        return -1;
    /* A row that was held back and is not there any more was published by another relay. */
    for (size_t i = relay->held_count; rows->locked && i-- > 0;) {
        const struct held_row *held = &relay->held[i];
        if (held->retry_at_us <= now_us && (rows->count == 0 || rows->rows[0].id > held->id))
            release_row(relay, held->id);
    }
    return 0;
}

/* Entries for the topics of the rows, looked up or made. What is wrong with one of them alone is
 * kept with it. */
static int prepare_topics(struct relay *relay, const struct outbox_rows *rows, struct error *error)
{
    for (size_t i = 0; i < rows->count; i++)
        if (!outbox_topic_find(&relay->topics, rows->rows[i].topic))
            return error_set(error, ERROR_USAGE, "too-many-topics",
                             "the outbox names more than %d topics", OUTBOX_TOPICS_MAX);
    struct error refusal = {0};
    if (outbox_topics_look_up(relay->options.config, &relay->topics, &refusal) == 0)
        return 0;
    if (refusal.class == ERROR_RETRY) {
        *error = refusal;
        return -1;
    }
    if (health_set(relay->options.health, "outbox", 0, refusal.message))
        log_warn("%s; `weir topics create` makes the topics", refusal.message);
    return 0;
}

/* Whether a row before this one, of the same partition, has failed in this round. */
static int is_behind_failed(const struct outbox_rows *rows, const struct delivery *deliveries,
                            size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (deliveries[i].verdict == VERDICT_FAILED &&
            rows->rows[i].partition == rows->rows[at].partition &&
            strcmp(rows->rows[i].topic, rows->rows[at].topic) == 0)
            return 1;
    return 0;
}

/* Notes what became of a row that was not acknowledged. Returns 1 when the broker could not. */
static int note_failure(struct relay *relay, const struct outbox_rows *rows, size_t at,
                        const struct delivery *delivery, struct error *error)
{
    const struct outbox_row *row = &rows->rows[at];
    struct outbox_topic *topic = outbox_topic_find(&relay->topics, row->topic);
    if (delivery->verdict != VERDICT_NONE)
        metrics_counter_add(metrics_series(relay->refused, delivery->code), 1);
    switch (delivery->verdict) {
    case VERDICT_REFUSED_TOPIC:
        hold_topic(relay, row, delivery->code);
        return 0;
    case VERDICT_REFUSED_RECORD:
        if (rows->count == 1)
            hold_row(relay, row, delivery->code);
        else
            relay->one_by_one++;
        return 0;
    case VERDICT_FAILED:
        topic->known = 0; /* a topic that was deleted answers like this */
        error_set(error, ERROR_RETRY, delivery->code, "the broker did not take a record for %s",
                  row->topic);
        return 1;
    default:
        return 0;
    }
}

/* Deletes what is in the log. Returns -1 with an error for what has to wait. */
static int finish_round(struct relay *relay, const struct outbox_rows *rows,
                        const struct delivery *deliveries, struct error *error)
{
    int64_t ids[OUTBOX_ROWS_MAX];
    size_t count = 0;
    int failed = 0;
    struct error failure = {0};
    for (size_t i = 0; i < rows->count; i++) {
        if (deliveries[i].verdict != VERDICT_ACKED) {
            failed += note_failure(relay, rows, i, &deliveries[i], &failure);
            continue;
        }
        outbox_topic_find(&relay->topics, rows->rows[i].topic)->refusals = 0;
        if (failed && is_behind_failed(rows, deliveries, i))
            continue;
        release_row(relay, rows->rows[i].id);
        ids[count++] = rows->rows[i].id;
    }
    if (outbox_rows_delete(relay->conn, ids, count, error) != 0)
        return -1;
    metrics_counter_add(relay->published, (int64_t)count);
    if (failed)
        *error = failure;
    return failed ? -1 : 0;
}

/* ret_more says whether there may be more rows to take at once. */
static int round_of_rows(struct relay *relay, int *ret_more, struct error *error)
{
    struct outbox_rows rows;
    const struct delivery *deliveries;
    int code = take_rows(relay, round_limit(relay), &rows, error);
    *ret_more = code == 0 && rows.count > 0;
    if (*ret_more) {
        FAILPOINT("outbox.taken");
        code = prepare_topics(relay, &rows, error);
        if (code == 0)
            code = publisher_send(relay->publisher, &rows, &relay->topics, &deliveries, error);
        FAILPOINT("outbox.published");
        if (code == 0)
            code = finish_round(relay, &rows, deliveries, error);
        else
            pg_run(relay->conn, "ROLLBACK", NULL);
    }
    outbox_rows_free(&rows);
    return code;
}

static int is_well(const struct relay *relay)
{
    for (size_t i = 0; i < relay->topics.count; i++)
        if (relay->topics.topics[i].refusals > 0)
            return 0;
    return relay->held_count == 0 && relay->one_by_one == 0;
}

static void report_health(struct relay *relay, int code, const struct error *error)
{
    if (code != 0) {
        relay->failures++;
        if (health_set(relay->options.health, "outbox", 0, error->message))
            log_warn("the outbox cannot be published: %s (%s); it is tried again", error->message,
                     error->code);
        return;
    }
    relay->failures = 0;
    if (!is_well(relay))
        health_set(relay->options.health, "outbox", 0,
                   "the broker refuses records; the log and weir_outbox_failures_total say why");
    else if (health_set(relay->options.health, "outbox", 1, NULL))
        log_debug("the outbox is published");
}

static void add_topics(struct relay *relay)
{
    for (size_t i = 0; i < relay->options.processor_count; i++)
        for (int kind = 0; kind < OUTBOX_KINDS; kind++) {
            char name[OUTBOX_TOPIC_SIZE];
            outbox_topic_name(kind, relay->options.processors[i], name);
            outbox_topic_find(&relay->topics, name);
        }
}

/* Measuring that fails is no reason not to publish. */
static int turn(struct relay *relay, int *ret_more, struct error *error)
{
    static const struct outbox_rows no_rows;
    if (open_session(relay, error) != 0)
        return -1;
    if (depth_measure(relay->depth, relay->conn, error) != 0 &&
        PQstatus(relay->conn) != CONNECTION_OK)
        return -1;
    if (prepare_topics(relay, &no_rows, error) != 0)
        return -1;
    int64_t start_us = monotonic_now_us();
    int code = round_of_rows(relay, ret_more, error);
    relay->idle_ms = (monotonic_now_us() - start_us) * IDLE_SHARE / 1000;
    return code;
}

/* How long to wait after a turn. */
static int64_t rest_ms(const struct relay *relay, int code, int more)
{
    if (code != 0)
        return outbox_backoff_ms(relay->failures, BACKOFF_FIRST_MS, BACKOFF_MOST_MS);
    if (more)
        return 0;
    int64_t idle_ms = relay->idle_ms < IDLE_MOST_MS ? relay->idle_ms : IDLE_MOST_MS;
    return idle_ms > IDLE_MS ? idle_ms : IDLE_MS;
}

static void *run(void *argument)
{
    struct relay *relay = argument;
    log_context("part", "outbox");
    add_topics(relay);
    while (!*relay->options.stop) {
        struct error error = {0};
        int more = 0;
        int code = turn(relay, &more, &error);
        report_health(relay, code, &error);
        if (code != 0 && relay->conn &&
            (PQstatus(relay->conn) != CONNECTION_OK ||
             PQtransactionStatus(relay->conn) != PQTRANS_IDLE)) {
            PQfinish(relay->conn);
            relay->conn = NULL;
        }
        pause_ms(relay, rest_ms(relay, code, more));
    }
    return NULL;
}

int relay_start(const struct relay_options *options, struct relay **ret_relay, struct error *error)
{
    struct relay *relay = xcalloc(1, sizeof *relay);
    relay->options = *options;
    relay->publisher = publisher_new(options->config, options->stop);
    relay->depth = depth_new(options->metrics, options->processors, options->processor_count);
    relay->published =
        metrics_single(options->metrics, METRICS_COUNTER, "weir_outbox_published_total",
                       "Records of the outbox published.");
    relay->refused =
        metrics_register(options->metrics, METRICS_COUNTER, "weir_outbox_failures_total",
                         "Attempts to publish a record of the outbox that failed.", "error");
    /* Shown from the start: an alarm sees a series rise, not appear. */
    metrics_series(relay->refused, "_MSG_TIMED_OUT");
    metrics_series(relay->refused, "MSG_SIZE_TOO_LARGE");
    if (pthread_create(&relay->thread, NULL, run, relay) == 0) {
        *ret_relay = relay;
        return 0;
    }
    publisher_free(relay->publisher);
    depth_free(relay->depth);
    free(relay);
    return error_set(error, ERROR_FATAL, "thread", "cannot start a thread");
}

void relay_free(struct relay *relay)
{
    if (!relay)
        return;
    pthread_join(relay->thread, NULL);
    publisher_free(relay->publisher);
    depth_free(relay->depth);
    PQfinish(relay->conn);
    free(relay);
}
