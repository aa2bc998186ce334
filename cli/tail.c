/* SPDX-License-Identifier: Apache-2.0
 *
 * `weir tail`: what is in the topics, decoded. One Space's events lie in one partition of each
 * topic, so with --space only that one is read. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/record.h"
#include "cli/support.h"
#include "lib/base/hash.h"
#include "lib/base/uuid.h"
#include "lib/kafka/reader.h"
#include "lib/registry/ids.h"

enum { POLL_MS = 200 };

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    interrupted = 1;
    signal(number, SIG_DFL);
}

struct tail {
    const struct catalog *catalog;
    const struct catalog_event *event; /* NULL: any */
    char space[UUID_TEXT_SIZE + 1];    /* "": any */
    struct topic_names topics;
    int64_t start;
    int64_t limit;
    int64_t printed;
    int follow;
    int show_pii;
};

/* "commerce" and "weir.commerce" are the same. */
static int add_topic(struct tail *tail, const char *name, struct error *error)
{
    struct topic_names *topics = &tail->topics;
    if (topics->count == TOPIC_NAMES_MAX)
        return error_set(error, ERROR_USAGE, "bad-argument", "more than %d topics",
                         TOPIC_NAMES_MAX);
    snprintf(topics->names[topics->count++], TOPIC_NAME_SIZE, "%s%s",
             strchr(name, '.') ? "" : "weir.", name);
    return 0;
}

static int choose_topics(const struct config *config, struct tail *tail, struct error *error)
{
    for (size_t i = 0; i < config_argument_count(config); i++)
        if (add_topic(tail, config_argument(config, i), error) != 0)
            return -1;
    if (*config_text(config, OPT_TOPIC) &&
        add_topic(tail, config_text(config, OPT_TOPIC), error) != 0)
        return -1;
    if (tail->topics.count == 0 && tail->event)
        return add_topic(tail, tail->event->topic, error);
    for (size_t i = 0; tail->topics.count == 0 && i < catalog_topic_count(tail->catalog); i++)
        snprintf(tail->topics.names[i], TOPIC_NAME_SIZE, "%s", catalog_topic_at(tail->catalog, i));
    if (tail->topics.count == 0)
        tail->topics.count = catalog_topic_count(tail->catalog);
    return 0;
}

static int read_options(const struct config *config, struct tail *tail, struct error *error)
{
    const char *space = config_text(config, OPT_SPACE);
    const char *event = config_text(config, OPT_EVENT);
    int64_t last = config_int(config, OPT_LAST);
    struct uuid uuid;
    if (*space) {
        if (uuid_parse(space, strlen(space), &uuid) != 0)
            return error_set(error, ERROR_USAGE, "bad-option",
                             "space is \"%s\", but must be a UUID", space);
        uuid_format(&uuid, tail->space);
    }
    if (*event && !(tail->event = catalog_find_event(tail->catalog, event)))
        return error_set(error, ERROR_USAGE, "bad-option", "event: the catalog has no event \"%s\"",
                         event);
    tail->limit = config_int(config, OPT_LIMIT);
    tail->follow = (int)config_int(config, OPT_FOLLOW);
    tail->show_pii = (int)config_int(config, OPT_SHOW_PII);
    tail->start = tail->follow ? RD_KAFKA_OFFSET_END : RD_KAFKA_OFFSET_BEGINNING;
    if (last)
        tail->start = RD_KAFKA_OFFSET_TAIL(last);
    return choose_topics(config, tail, error);
}

static int add_partitions(struct tail *tail, struct kafka_reader *reader, struct error *error)
{
    for (size_t i = 0; i < tail->topics.count; i++) {
        const char *topic = tail->topics.names[i];
        int32_t count;
        if (kafka_reader_partitions(reader, topic, &count, error) != 0)
            return -1;
        if (count == 0)
            return error_set(
                error, ERROR_USAGE, "no-topic",
                "there is no topic %s; `weir topics create` makes those of the catalog", topic);
        for (int32_t partition = 0; partition < count; partition++)
            if (!*tail->space || partition == hash_partition(tail->space, UUID_TEXT_SIZE, count))
                kafka_reader_add(reader, topic, partition, tail->start);
    }
    return 0;
}

static int wanted(const struct tail *tail, const rd_kafka_message_t *message)
{
    int32_t id;
    if (*tail->space && (message->key_len != UUID_TEXT_SIZE ||
                         memcmp(message->key, tail->space, UUID_TEXT_SIZE) != 0))
        return 0;
    if (!tail->event)
        return 1;
    const struct catalog_version *version = record_version(tail->catalog, message, &id);
    return version && version->event == tail->event;
}

static int print_records(struct tail *tail, struct kafka_reader *reader, struct error *error)
{
    while (!interrupted && !(tail->limit && tail->printed >= tail->limit)) {
        rd_kafka_message_t *message;
        if (kafka_reader_next(reader, POLL_MS, &message, error) != 0)
            return -1;
        if (!message) {
            fflush(stdout);
            if (!tail->follow && kafka_reader_at_end(reader))
                break;
            continue;
        }
        if (wanted(tail, message)) {
            print_json(record_json(tail->catalog, message, tail->show_pii));
            tail->printed++;
        }
        rd_kafka_message_destroy(message);
        if (ferror(stdout))
            return error_set(error, ERROR_FATAL, "output-closed",
                             "nobody reads the output any more");
    }
    return 0;
}

static int run(const struct config *config, struct error *error)
{
    static struct tail tail;
    struct assets *assets;
    struct catalog *catalog = NULL;
    struct kafka_reader *reader = NULL;
    if (assets_open(config_text(config, OPT_HOME), &assets, error) != 0)
        return EXIT_USAGE;
    int result = ids_open_catalog(config, assets, IDS_LOOK_UP, &catalog, error);
    tail.catalog = catalog;
    if (result == 0)
        result = read_options(config, &tail, error);
    if (result == 0)
        result = kafka_reader_open(config, &reader, error);
    if (result == 0)
        result = add_partitions(&tail, reader, error);
    if (result == 0)
        result = kafka_reader_start(reader, error);
    if (result == 0) {
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        result = print_records(&tail, reader, error);
    }
    kafka_reader_free(reader);
    catalog_free(catalog);
    assets_free(assets);
    return result == 0 ? EXIT_OK : EXIT_FAILED;
}

static const enum option_id options[] = {OPT_KAFKA_BROKERS,
                                         OPT_KAFKA,
                                         OPT_FOLLOW,
                                         OPT_LAST,
                                         OPT_LIMIT,
                                         OPT_SPACE,
                                         OPT_EVENT,
                                         OPT_TOPIC,
                                         OPT_SHOW_PII,
                                         OPT_SCHEMA_REGISTRY_URL,
                                         OPT_SCHEMA_REGISTRY_AUTH,
                                         OPT_SCHEMA_REGISTRY_CA};

const struct command command_tail = {
    .name = "tail",
    .arguments = "[TOPIC...]",
    .summary = "the events in the topics, decoded to JSON lines",
    .help = "Prints one line of JSON per record, with the keys of `kcat -J` (topic, partition, "
            "offset, tstype, ts, broker,\n"
            "headers, key, payload) and the event's name and version. The payload is decoded by "
            "the schema it was written\n"
            "with. Fields that identify people (x-pii) read \"***\" unless --show-pii is given.\n"
            "\n"
            "TOPIC may be short: commerce for weir.commerce. Without one: the topic of --event, or "
            "all of the catalog's.\n"
            "Reading starts at the beginning and ends at the end; with -f it starts at the end and "
            "goes on. --last N starts N\n"
            "records before the end of each partition, with or without -f. Records come in order "
            "within a partition only.\n"
            "Nothing is committed and no consumer group is joined.\n"
            "\n"
            "Examples:\n"
            "  weir tail -f\n"
            "  weir tail commerce --last 5\n"
            "  weir tail --event ProductPurchased | jq '.payload.total'\n"
            "  weir tail --space 3f0c9d9e-6f3d-4c44-9d3b-0f6d3f5f8a11 --limit 20 --show-pii\n"
            "\n"
            "Exit codes: 0 done; 1 no broker answered; 2 wrong usage, or no such topic or event.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .run = run,
};
