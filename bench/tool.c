/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/tool.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/base/buf.h"
#include "lib/base/timestamp.h"

#define TEXT_OPTION(name)                                                                          \
    {                                                                                              \
#name, offsetof(struct options, name), 1                                                   \
    }
#define NUMBER_OPTION(name)                                                                        \
    {                                                                                              \
#name, offsetof(struct options, name), 0                                                   \
    }

static const struct {
    const char *name;
    size_t offset;
    int text;
} known[] = {
    TEXT_OPTION(brokers),       TEXT_OPTION(topic),       TEXT_OPTION(database),
    TEXT_OPTION(address),       TEXT_OPTION(path),        TEXT_OPTION(kind),
    NUMBER_OPTION(events),      NUMBER_OPTION(spaces),    NUMBER_OPTION(seed),
    NUMBER_OPTION(partitions),  NUMBER_OPTION(rate),      NUMBER_OPTION(inflight),
    NUMBER_OPTION(connections), NUMBER_OPTION(lines),     NUMBER_OPTION(batch),
    NUMBER_OPTION(linger_ms),   NUMBER_OPTION(timeout_s), NUMBER_OPTION(days),
};

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void set_option(struct options *options, const char *word)
{
    size_t size = strcspn(word, "=");
    for (size_t i = 0; word[size] && i < sizeof known / sizeof *known; i++) {
        if (strlen(known[i].name) != size || strncmp(known[i].name, word, size) != 0)
            continue;
        char *at = (char *)options + known[i].offset;
        const char *text = word + size + 1;
        int64_t number = strtoll(text, NULL, 10);
        if (known[i].text)
            memcpy(at, &text, sizeof text);
        else
            memcpy(at, &number, sizeof number);
        return;
    }
    fail("there is no option %s", word);
}

struct options options_read(int count, char **words, int first)
{
    struct options options = {.brokers = "127.0.0.1:19092",
                              .topic = "weir.commerce",
                              .kind = "purchases",
                              .events = 100000,
                              .spaces = 10000,
                              .seed = 1,
                              .partitions = 6,
                              .connections = 128,
                              .lines = 1,
                              .batch = 10000,
                              .linger_ms = 5,
                              .timeout_s = 120};
    for (int i = first; i < count; i++)
        set_option(&options, words[i]);
    return options;
}

double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void check_time(const struct options *options, int64_t started_us)
{
    if (monotonic_now_us() - started_us > options->timeout_s * 1000000)
        fail("gave up after %lld s", (long long)options->timeout_s);
}

void samples_add(struct samples *samples, int64_t value_us)
{
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity ? samples->capacity * 2 : 65536;
        samples->values = xrealloc(samples->values, samples->capacity * sizeof *samples->values);
    }
    samples->values[samples->count++] = value_us;
}

static int compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

void samples_print(struct samples *samples, const char *name)
{
    static const struct {
        const char *name;
        double share;
    } ranks[] = {{"p50_ms", 0.5}, {"p99_ms", 0.99}, {"p999_ms", 0.999}, {"max_ms", 1}};
    if (samples->count)
        qsort(samples->values, samples->count, sizeof *samples->values, compare);
    printf("\"%s\": {\"count\": %zu", name, samples->count);
    for (size_t i = 0; samples->count && i < sizeof ranks / sizeof *ranks; i++)
        printf(", \"%s\": %.3f", ranks[i].name,
               (double)samples->values[(size_t)((double)(samples->count - 1) * ranks[i].share)] /
                   1000);
    printf("}");
}

rd_kafka_conf_t *kafka_conf(const struct options *options, const char *const *pairs)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char reason[256];
    if (rd_kafka_conf_set(conf, "bootstrap.servers", options->brokers, reason, sizeof reason))
        fail("%s", reason);
    for (; pairs[0]; pairs += 2)
        if (rd_kafka_conf_set(conf, pairs[0], pairs[1], reason, sizeof reason))
            fail("%s: %s", pairs[0], reason);
    return conf;
}

rd_kafka_t *kafka_producer(const struct options *options,
                           void (*on_report)(rd_kafka_t *, const rd_kafka_message_t *, void *),
                           void *context)
{
    char linger[24];
    char reason[256];
    snprintf(linger, sizeof linger, "%lld", (long long)options->linger_ms);
    const char *const pairs[] = {"enable.idempotence",
                                 "true",
                                 "acks",
                                 "all",
                                 "linger.ms",
                                 linger,
                                 "compression.codec",
                                 "lz4",
                                 "socket.nagle.disable",
                                 "true",
                                 "queue.buffering.max.messages",
                                 "500000",
                                 "queue.buffering.max.kbytes",
                                 "262144",
                                 NULL};
    rd_kafka_conf_t *conf = kafka_conf(options, pairs);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rd_kafka_conf_set_opaque(conf, context);
    rd_kafka_t *kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    if (!kafka)
        fail("%s", reason);
    return kafka;
}

rd_kafka_t *kafka_consumer(const struct options *options, int64_t offset)
{
    static const char *const pairs[] = {"group.id",
                                        "weir-bench",
                                        "enable.auto.commit",
                                        "false",
                                        "enable.auto.offset.store",
                                        "false",
                                        "queued.min.messages",
                                        "1000000",
                                        "queued.max.messages.kbytes",
                                        "524288",
                                        "fetch.wait.max.ms",
                                        "100",
                                        NULL};
    char reason[256];
    rd_kafka_t *kafka =
        rd_kafka_new(RD_KAFKA_CONSUMER, kafka_conf(options, pairs), reason, sizeof reason);
    if (!kafka)
        fail("%s", reason);
    rd_kafka_poll_set_consumer(kafka);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    char *topics = xstrdup(options->topic);
    char *rest = NULL;
    for (char *topic = strtok_r(topics, ",", &rest); topic; topic = strtok_r(NULL, ",", &rest))
        for (int32_t i = 0; i < options->partitions; i++)
            rd_kafka_topic_partition_list_add(list, topic, i)->offset = offset;
    rd_kafka_assign(kafka, list);
    rd_kafka_topic_partition_list_destroy(list);
    free(topics);
    return kafka;
}
