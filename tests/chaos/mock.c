/* SPDX-License-Identifier: Apache-2.0
 *
 * A Kafka cluster that answers with any error it is told to: librdkafka's mock cluster as a program
 * of its own.
 *
 *   chaos_mock BROKERS PARTITIONS TOPIC…
 *
 * The first line that it prints names the brokers. Then it takes orders on stdin, a line each, and
 * answers `ok` or `error`; it ends with its input:
 *
 *   error API CODE COUNT   the next COUNT requests of that API (its number in the protocol) get the
 *                          error code; -195 closes the connection instead
 *   down BROKER, up BROKER
 *   leader TOPIC PARTITION BROKER */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

enum { ERRORS_MAX = 64, LINE_MAX_SIZE = 256, TEXT_SIZE = 512 };

static int push_errors(rd_kafka_mock_cluster_t *cluster, int api, int code, int count)
{
    rd_kafka_resp_err_t errors[ERRORS_MAX];
    if (count < 1 || count > ERRORS_MAX)
        return -1;
    for (int i = 0; i < count; i++)
        errors[i] = (rd_kafka_resp_err_t)code;
    rd_kafka_mock_push_request_errors_array(cluster, (int16_t)api, (size_t)count, errors);
    return 0;
}

static int obey(rd_kafka_mock_cluster_t *cluster, const char *line)
{
    char topic[LINE_MAX_SIZE];
    int a;
    int b;
    int c;
    if (sscanf(line, "error %d %d %d", &a, &b, &c) == 3)
        return push_errors(cluster, a, b, c);
    if (sscanf(line, "down %d", &a) == 1)
        return rd_kafka_mock_broker_set_down(cluster, a) ? -1 : 0;
    if (sscanf(line, "up %d", &a) == 1)
        return rd_kafka_mock_broker_set_up(cluster, a) ? -1 : 0;
    if (sscanf(line, "leader %255s %d %d", topic, &a, &b) == 3)
        return rd_kafka_mock_partition_set_leader(cluster, topic, a, b) ? -1 : 0;
    return -1;
}

int main(int argc, char **argv)
{
    char text[TEXT_SIZE];
    char line[LINE_MAX_SIZE];
    if (argc < 4) {
        fprintf(stderr, "usage: chaos_mock BROKERS PARTITIONS TOPIC…\n");
        return 2;
    }
    rd_kafka_t *kafka = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), text, sizeof text);
    if (!kafka) {
        fprintf(stderr, "chaos_mock: %s\n", text);
        return 1;
    }
    rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(kafka, atoi(argv[1]));
    for (int i = 3; cluster && i < argc; i++)
        if (rd_kafka_mock_topic_create(cluster, argv[i], atoi(argv[2]), 1) != 0)
            fprintf(stderr, "chaos_mock: topic %s cannot be made\n", argv[i]);
    if (!cluster)
        return 1;
    printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        puts(obey(cluster, line) == 0 ? "ok" : "error");
        fflush(stdout);
    }
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(kafka);
    return 0;
}
