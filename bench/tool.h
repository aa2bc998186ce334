/* SPDX-License-Identifier: Apache-2.0
 *
 * What the measuring tools share: options as name=value words, Kafka handles, percentiles, and the
 * few ways to fail, which all end the program: a measurement that met an error is worth nothing.
 * Each tool prints one JSON object. */
#ifndef WEIR_BENCH_TOOL_H
#define WEIR_BENCH_TOOL_H

#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <stdlib.h>

struct options {
    const char *brokers;
    const char *topic; /* several, separated by commas, for tools that read */
    const char *database;
    const char *address; /* HOST:PORT of an HTTP server */
    const char *path;    /* a folder, or the path of a request */
    const char *kind;    /* what to make; each tool says which */
    int64_t events;
    int64_t spaces;
    int64_t seed;
    int64_t partitions;
    int64_t rate;     /* a second; 0: as fast as it goes */
    int64_t days;     /* events are spread over as many before now, by the broker's time too */
    int64_t inflight; /* most without an answer; 0: as many as fit */
    int64_t connections;
    int64_t lines; /* events per request */
    int64_t batch;
    int64_t linger_ms;
    int64_t timeout_s; /* a tool that is not done by then gives up */
};

/* Reads argv from `first` on. */
struct options options_read(int count, char **words, int first);

/* Prints the words as printf does and exits with 1. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* CPU seconds of this process. */
double cpu_s(void);
/* Fails when the tool has run longer than its limit. */
void check_time(const struct options *options, int64_t started_us);

struct samples {
    int64_t *values;
    size_t count;
    size_t capacity;
};

void samples_add(struct samples *samples, int64_t value_us);
/* Prints `"name": {"p50_ms": …, "p99_ms": …, "p999_ms": …, "max_ms": …}`; sorts. */
void samples_print(struct samples *samples, const char *name);

/* Pairs end with NULL. Sets the brokers too. */
rd_kafka_conf_t *kafka_conf(const struct options *options, const char *const *pairs);
/* An idempotent producer with acks=all, as the gateway's, with lz4. */
rd_kafka_t *kafka_producer(const struct options *options,
                           void (*on_report)(rd_kafka_t *, const rd_kafka_message_t *, void *),
                           void *context);
/* A consumer of all partitions of the topics from `offset` on, with queues that hold a second of a
 * replay. */
rd_kafka_t *kafka_consumer(const struct options *options, int64_t offset);

int tool_fill(const struct options *options);
int tool_consume(const struct options *options);
int tool_decode(const struct options *options);
int tool_trip(const struct options *options);
int tool_commit(const struct options *options);
int tool_load(const struct options *options);
int tool_bare(const struct options *options);

#endif
