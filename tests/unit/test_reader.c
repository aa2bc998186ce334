/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading a log to its end, on librdkafka's mock cluster: it ends when the log does, when nobody
 * answers any more, and when it is told to. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "lib/kafka/reader.h"

enum { BROKER = 1, STALL_MS = 1000, FOREVER_MS = 3600000, TEST_TIMEOUT_S = 100 };

struct fixture {
    rd_kafka_t *host;
    rd_kafka_mock_cluster_t *cluster;
    struct config *config;
    struct kafka_reader *reader;
};

static int take(void *opaque, rd_kafka_message_t *message, struct error *error)
{
    (void)opaque;
    (void)message;
    (void)error;
    fail_msg("there is no record");
    return -1;
}

static int setup(void **state)
{
    static struct fixture fixture;
    static const enum option_id options[] = {OPT_KAFKA_BROKERS};
    char text[128];
    struct error error;
    fixture.host = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), text, sizeof text);
    fixture.cluster = rd_kafka_mock_cluster_new(fixture.host, 1);
    rd_kafka_mock_topic_create(fixture.cluster, "weir.test", 2, 1);
    char *argv[] = {"--kafka-brokers", (char *)rd_kafka_mock_cluster_bootstraps(fixture.cluster)};
    assert_int_equal(config_parse(options, 1, 2, argv, &fixture.config, &error), 0);
    assert_int_equal(kafka_reader_open(fixture.config, &fixture.reader, &error), 0);
    kafka_reader_add(fixture.reader, "weir.test", 0, 0);
    kafka_reader_add(fixture.reader, "weir.test", 1, 0);
    alarm(TEST_TIMEOUT_S); /* it may hang */
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    alarm(0);
    kafka_reader_free(fixture->reader);
    config_free(fixture->config);
    rd_kafka_mock_cluster_destroy(fixture->cluster);
    rd_kafka_destroy(fixture->host);
    return 0;
}

static void ends_with_the_log(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    assert_int_equal(kafka_reader_each(fixture->reader, FOREVER_MS, NULL, take, NULL, &error), 0);
}

static void ends_when_nobody_answers(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    rd_kafka_mock_broker_set_down(fixture->cluster, BROKER);
    assert_int_equal(kafka_reader_each(fixture->reader, STALL_MS, NULL, take, NULL, &error), -1);
    assert_string_equal(error.code, "kafka-stalled");
    assert_int_equal(error.class, ERROR_RETRY);
}

static void *tell(void *opaque)
{
    usleep(100000); /* it waits by then, or sees at once what it was told */
    atomic_store((atomic_int *)opaque, 1);
    return NULL;
}

static void ends_when_told(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    pthread_t thread;
    atomic_int stop = 0;
    rd_kafka_mock_broker_set_down(fixture->cluster, BROKER);
    assert_int_equal(pthread_create(&thread, NULL, tell, &stop), 0);
    assert_int_equal(kafka_reader_each(fixture->reader, FOREVER_MS, &stop, take, NULL, &error), -1);
    pthread_join(thread, NULL);
    assert_string_equal(error.code, "stopped");
}

#define READER_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {READER_TEST(ends_with_the_log),
                                       READER_TEST(ends_when_nobody_answers),
                                       READER_TEST(ends_when_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
