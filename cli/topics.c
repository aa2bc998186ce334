/* SPDX-License-Identifier: Apache-2.0
 *
 * `weir topics`: the topics of domains and processors in Kafka. What is there is never changed,
 * because a partition count or a retention that differs means that somebody must decide: the
 * command names the difference and leaves it. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/support.h"
#include "lib/kafka/admin.h"

static const char *const state_names[] = {[TOPIC_MISSING] = "missing",
                                          [TOPIC_CREATED] = "created",
                                          [TOPIC_OK] = "ok",
                                          [TOPIC_DIFFERS] = "differs"};

static json_t *status_json(const struct topic_status *topic)
{
    json_t *object = json_pack("{s:s, s:s, s:i, s:i}", "topic", topic->name, "state",
                               state_names[topic->state], "partitions", (int)topic->partitions,
                               "replication_factor", (int)topic->replication);
    if (topic->state == TOPIC_DIFFERS)
        json_object_set_new(object, "difference", json_string(topic->difference));
    return object;
}

static void print_topics(enum output_format format, const struct topic_status *topics, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct topic_status *topic = &topics[i];
        if (format == OUTPUT_JSON)
            json_array_append_new(array, status_json(topic));
        else if (format == OUTPUT_JSONL)
            print_json(status_json(topic));
        else
            printf("%-32s %-8s %3d partitions%s%s\n", topic->name, state_names[topic->state],
                   topic->partitions, topic->state == TOPIC_DIFFERS ? "  " : "",
                   topic->state == TOPIC_DIFFERS ? topic->difference : "");
    }
    if (format == OUTPUT_JSON)
        print_json(array);
    else
        json_decref(array);
}

/* `list` only shows; `check` and `create` also fail when a topic is missing or differs. */
static int verdict(const char *verb, const struct topic_status *topics, size_t count)
{
    size_t differs = 0;
    size_t missing = 0;
    for (size_t i = 0; i < count; i++) {
        differs += topics[i].state == TOPIC_DIFFERS;
        missing += topics[i].state == TOPIC_MISSING;
    }
    if (strcmp(verb, "list") == 0 || differs + missing == 0)
        return EXIT_OK;
    if (missing)
        fprintf(stderr, "weir topics: %zu missing; `weir topics create` makes them\n", missing);
    if (differs)
        fprintf(stderr,
                "weir topics: %zu otherwise than pinned; nothing was changed: decide, and alter "
                "the topic or "
                "--partitions\n",
                differs);
    return EXIT_CHECK;
}

static int run(const struct config *config, struct error *error)
{
    static struct topic_names names;
    static struct topic_status topics[TOPIC_NAMES_MAX];
    const char *verb = config_argument(config, 0);
    int32_t partitions = (int32_t)config_int(config, OPT_PARTITIONS);
    int32_t replication = (int32_t)config_int(config, OPT_REPLICATION_FACTOR);
    enum output_format format;
    struct kafka_admin *admin = NULL;
    if (!verb || config_argument_count(config) != 1 ||
        (strcmp(verb, "create") != 0 && strcmp(verb, "list") != 0 && strcmp(verb, "check") != 0)) {
        error_set(error, ERROR_USAGE, "bad-argument", "say create, list or check; see --help");
        return EXIT_USAGE;
    }
    if (output_format(config, &format, error) != 0 ||
        topic_names_open(config, &names, error) != 0 ||
        kafka_admin_open(config, &admin, error) != 0)
        return EXIT_USAGE;
    for (size_t i = 0; i < names.count; i++)
        topics[i].name = names.names[i];
    int result = kafka_admin_check(admin, partitions, topics, names.count, error);
    if (result == 0 && strcmp(verb, "create") == 0)
        result = kafka_admin_create(admin, partitions, replication, topics, names.count, error);
    kafka_admin_free(admin);
    if (result != 0)
        return EXIT_FAILED;
    print_topics(format, topics, names.count);
    return verdict(verb, topics, names.count);
}

static const enum option_id options[] = {OPT_KAFKA_BROKERS, OPT_KAFKA, OPT_PARTITIONS,
                                         OPT_REPLICATION_FACTOR};

const struct command command_topics = {
    .name = "topics",
    .arguments = "create|list|check",
    .summary = "the topics in Kafka: create, list, check",
    .help =
        "Each domain of the catalog (a folder below schemas/) has one topic, weir.<domain>. Each\n"
        "processor has two: weir.dlt.<processor> for records that it could not apply, and\n"
        "weir.decisions.<processor> for what people decided about them. All topics have the same\n"
        "pinned number of partitions, because it decides where a Space's events lie. Their "
        "records\n"
        "have the broker's timestamp. Retention is unlimited, because tables are rebuilt from "
        "them.\n"
        "\n"
        "  create   makes missing topics and checks the others. May be run again.\n"
        "  list     shows them\n"
        "  check    compares them with what is pinned: partition count, "
        "message.timestamp.type=LogAppendTime,\n"
        "           retention.ms=-1, retention.bytes=-1, cleanup.policy=delete\n"
        "\n"
        "Examples:\n"
        "  weir topics create --kafka-brokers kafka-1:9092,kafka-2:9092 --partitions 24 "
        "--replication-factor 3\n"
        "  weir topics check -o json\n"
        "\n"
        "Exit codes: 0 all is as pinned; 1 no broker answered or it refused; 2 wrong usage; 3 a "
        "topic is missing\n"
        "(check) or differs (check, create): the message names the setting.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .run = run,
};
