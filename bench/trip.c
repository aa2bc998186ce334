/* SPDX-License-Identifier: Apache-2.0
 *
 * Floors of latency. `trip`: an event is produced (open loop at a rate, or one at a time), consumed
 * again, and, with a database, followed by the commit of one row per group of events that had
 * arrived together: what any consumer that writes to Postgres has to do at least. Times count from
 * when the event was due. `commit`: transactions of one row, and fdatasync of a page. */
#include <fcntl.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "bench/tool.h"
#include "lib/base/buf.h"
#include "lib/base/timestamp.h"

enum { MESSAGE_BYTES = 280, GROUP_MAX = 4096, WARM_UP = 200, PAGE_BYTES = 8192 };

struct trip {
    const struct options *options;
    rd_kafka_t *consumer;
    PGconn *conn;
    _Atomic int64_t acked;
    _Atomic int64_t seen;
    struct samples acks;
    struct samples arrivals;
    struct samples commits;
};

static PGconn *connect_to(const char *database)
{
    PGconn *conn = PQconnectdb(database);
    if (PQstatus(conn) != CONNECTION_OK)
        fail("%s", PQerrorMessage(conn));
    return conn;
}

static void execute(PGconn *conn, const char *sql)
{
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail("%s", PQerrorMessage(conn));
    PQclear(result);
}

static void on_report(rd_kafka_t *kafka, const rd_kafka_message_t *message, void *context)
{
    struct trip *trip = context;
    (void)kafka;
    if (message->err)
        fail("producing: %s", rd_kafka_err2str(message->err));
    samples_add(&trip->acks, monotonic_now_us() - (int64_t)(intptr_t)message->_private);
    trip->acked++;
}

/* Takes what has arrived; returns how many. */
static size_t take(struct trip *trip, int64_t *due_us)
{
    size_t count = 0;
    for (int wait_ms = 100; count < GROUP_MAX; wait_ms = 0) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(trip->consumer, wait_ms);
        if (!message)
            break;
        if (!message->err) {
            memcpy(&due_us[count], message->payload, sizeof *due_us);
            samples_add(&trip->arrivals, monotonic_now_us() - due_us[count++]);
        }
        rd_kafka_message_destroy(message);
    }
    return count;
}

static void *receive(void *context)
{
    static int64_t due_us[GROUP_MAX];
    struct trip *trip = context;
    int64_t wanted = trip->options->events + WARM_UP;
    int64_t started_us = monotonic_now_us();
    while (trip->seen < wanted) {
        size_t count = take(trip, due_us);
        if (count > 0 && trip->conn)
            execute(trip->conn, "INSERT INTO bench_trip VALUES (1)");
        int64_t now_us = monotonic_now_us();
        for (size_t i = 0; i < count; i++)
            samples_add(&trip->commits, now_us - due_us[i]);
        trip->seen += (int64_t)count;
        check_time(trip->options, started_us);
    }
    return NULL;
}

static void send_event(const struct options *options, rd_kafka_t *kafka, int64_t number,
                       int64_t due_us)
{
    char message[MESSAGE_BYTES] = {0};
    memcpy(message, &due_us, sizeof due_us);
    rd_kafka_resp_err_t code = rd_kafka_producev(
        kafka, RD_KAFKA_V_TOPIC(options->topic),
        RD_KAFKA_V_PARTITION((int32_t)(number % options->partitions)),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(message, sizeof message),
        RD_KAFKA_V_OPAQUE((void *)(intptr_t)due_us), RD_KAFKA_V_END);
    if (code)
        fail("producing: %s", rd_kafka_err2str(code));
}

static void produce(struct trip *trip, rd_kafka_t *kafka)
{
    const struct options *options = trip->options;
    for (int64_t i = 0; i < WARM_UP; i++) { /* one at a time: connections, code, caches */
        send_event(options, kafka, i, monotonic_now_us());
        while (trip->seen <= i)
            rd_kafka_poll(kafka, 1);
    }
    rd_kafka_flush(kafka, 5000);
    trip->acks.count = trip->arrivals.count = trip->commits.count = 0;
    int64_t started_us = monotonic_now_us();
    for (int64_t i = 0; i < options->events; i++) {
        int64_t due_us = monotonic_now_us();
        if (options->rate) {
            due_us = started_us + i * 1000000 / options->rate;
            for (int64_t left; (left = due_us - monotonic_now_us()) > 0;) {
                struct timespec pause = {.tv_nsec = 1000 * (left > 500 ? 500 : left)};
                rd_kafka_poll(kafka, 0);
                nanosleep(&pause, NULL);
            }
        }
        send_event(options, kafka, i, due_us);
        while (!options->rate && trip->seen <= WARM_UP + i)
            rd_kafka_poll(kafka, 1);
    }
    rd_kafka_flush(kafka, 30000);
}

int tool_trip(const struct options *options)
{
    struct trip trip = {.options = options};
    pthread_t thread;
    prctl(PR_SET_TIMERSLACK, 1000UL);
    if (options->database) {
        trip.conn = connect_to(options->database);
        execute(trip.conn, "SET client_min_messages = warning; SET synchronous_commit = off; "
                           "DROP TABLE IF EXISTS bench_trip; CREATE TABLE bench_trip (n int)");
    }
    trip.consumer = kafka_consumer(options, RD_KAFKA_OFFSET_END);
    for (int64_t until_us = monotonic_now_us() + 1500000; monotonic_now_us() < until_us;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(trip.consumer, 50);
        if (message)
            rd_kafka_message_destroy(message);
    }
    rd_kafka_t *kafka = kafka_producer(options, on_report, &trip);
    pthread_create(&thread, NULL, receive, &trip);
    produce(&trip, kafka);
    pthread_join(thread, NULL);
    printf("{\"events\": %" PRId64 ", ", options->events);
    samples_print(&trip.acks, "ack");
    printf(", ");
    samples_print(&trip.arrivals, "arrival");
    printf(", ");
    samples_print(&trip.commits, "commit");
    printf("}\n");
    rd_kafka_destroy(kafka);
    rd_kafka_consumer_close(trip.consumer);
    rd_kafka_destroy(trip.consumer);
    PQfinish(trip.conn);
    free(trip.acks.values);
    free(trip.arrivals.values);
    free(trip.commits.values);
    return 0;
}

static void time_commits(const struct options *options, PGconn *conn, const char *mode,
                         struct samples *samples)
{
    char sql[64];
    snprintf(sql, sizeof sql, "SET synchronous_commit = %s", mode);
    execute(conn, sql);
    for (int64_t i = 0; i < options->events; i++) {
        int64_t started_us = monotonic_now_us();
        execute(conn, "INSERT INTO bench_commit VALUES (1)");
        samples_add(samples, monotonic_now_us() - started_us);
    }
}

static void time_syncs(const struct options *options, struct samples *samples)
{
    static const char page[PAGE_BYTES];
    int file = open(options->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (int64_t i = 0; i < options->events; i++) {
        int64_t started_us = monotonic_now_us();
        if (pwrite(file, page, sizeof page, i % 256 * PAGE_BYTES) != (ssize_t)sizeof page ||
            fdatasync(file) != 0)
            fail("cannot write to %s", options->path);
        samples_add(samples, monotonic_now_us() - started_us);
    }
    close(file);
    unlink(options->path);
}

int tool_commit(const struct options *options)
{
    struct samples on = {0};
    struct samples off = {0};
    struct samples sync = {0};
    PGconn *conn = connect_to(options->database);
    execute(conn, "SET client_min_messages = warning; DROP TABLE IF EXISTS bench_commit; "
                  "CREATE TABLE bench_commit (n int)");
    time_commits(options, conn, "off", &off);
    time_commits(options, conn, "on", &on);
    time_syncs(options, &sync);
    printf("{");
    samples_print(&off, "commit_async");
    printf(", ");
    samples_print(&on, "commit");
    printf(", ");
    samples_print(&sync, "fdatasync");
    printf("}\n");
    PQfinish(conn);
    free(on.values);
    free(off.values);
    free(sync.values);
    return 0;
}
