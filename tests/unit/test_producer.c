/* SPDX-License-Identifier: Apache-2.0
 *
 * The producer on librdkafka's mock cluster, whose broker can be slow, away, or answer with errors:
 * each message gets exactly one report, and the report is right about what is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "lib/base/timestamp.h"
#include "lib/kafka/producer.h"

enum {
    PRODUCE_API = 0,
    BROKER = 1,
    PARTITIONS = 4,
    DEADLINE_MS = 60000,
    TRIES = 5,
    FOUND_US = 700000
};

static atomic_int reports[3];

static void on_report(const struct producer_report *report, void *opaque)
{
    if (report->outcome == PRODUCER_ACKED) {
        assert_null(report->code);
        assert_true(report->offset >= 0);
    } else {
        assert_non_null(report->code);
        assert_int_equal(report->offset, -1);
    }
    atomic_fetch_add((atomic_int *)opaque, 1); /* of this message */
    atomic_fetch_add(&reports[report->outcome], 1);
}

struct fixture {
    rd_kafka_t *host;
    rd_kafka_mock_cluster_t *cluster;
    struct config *config;
    struct producer *producer;
    atomic_int seen[1000];
    int sent;
};

static struct fixture fixture;

static void parse(const char *extra, struct config **ret_config)
{
    static const enum option_id options[] = {OPT_KAFKA_BROKERS, OPT_KAFKA};
    struct error error;
    const char *brokers = rd_kafka_mock_cluster_bootstraps(fixture.cluster);
    char *argv[] = {"--kafka-brokers", (char *)brokers, "--kafka", (char *)extra};
    assert_int_equal(config_parse(options, 2, extra ? 4 : 2, argv, ret_config, &error), 0);
}

static void start(int64_t delivery_timeout_ms, int messages_max)
{
    char text[128];
    struct error error;
    for (int i = 0; i < 3; i++)
        atomic_store(&reports[i], 0);
    memset(&fixture, 0, sizeof fixture);
    fixture.host = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), text, sizeof text);
    fixture.cluster = rd_kafka_mock_cluster_new(fixture.host, 1);
    rd_kafka_mock_topic_create(fixture.cluster, "weir.test", PARTITIONS, 1);
    parse(NULL, &fixture.config);
    const struct producer_options options = {.delivery_timeout_ms = delivery_timeout_ms,
                                             .linger_ms = 1,
                                             .messages_max = messages_max,
                                             .message_bytes_max = 10000,
                                             .on_report = on_report};
    assert_int_equal(producer_open(fixture.config, &options, &fixture.producer, &error), 0);
}

static void stop(void)
{
    producer_free(fixture.producer);
    for (int i = 0; i < fixture.sent; i++)
        assert_int_equal(fixture.seen[i], 1);
    config_free(fixture.config);
    rd_kafka_mock_cluster_destroy(fixture.cluster);
    rd_kafka_destroy(fixture.host);
}

static int send_one(struct error *error)
{
    struct producer_message message = {.topic = "weir.test",
                                       .partition = fixture.sent % PARTITIONS,
                                       .key = "key",
                                       .key_size = 3,
                                       .value = "value",
                                       .value_size = 5,
                                       .headers = {{"ce_id", "1", 1}},
                                       .header_count = 1,
                                       .opaque = &fixture.seen[fixture.sent]};
    if (producer_send(fixture.producer, &message, error) != 0)
        return -1;
    fixture.sent++;
    return 0;
}

static void send_many(int count)
{
    struct error error;
    for (int i = 0; i < count; i++)
        assert_int_equal(send_one(&error), 0);
}

static void wait_settled(void)
{
    const struct timespec step = {.tv_nsec = 5000000};
    int64_t deadline = monotonic_now_us() + DEADLINE_MS * INT64_C(1000);
    while (producer_pending(fixture.producer) > 0) {
        assert_true(monotonic_now_us() < deadline);
        nanosleep(&step, NULL);
    }
}

static void acknowledged(void **state)
{
    (void)state;
    start(15000, 1000);
    send_many(500);
    wait_settled();
    assert_int_equal(reports[PRODUCER_ACKED], 500);
    stop();
}

/* How long the first message takes that is sent soon after librdkafka's clock has ticked. */
static int64_t first_message_us(void)
{
    static const char *const topics[] = {"weir.test"};
    const struct timespec pause = {.tv_sec = 1, .tv_nsec = 100000000};
    const struct producer_options options = {.delivery_timeout_ms = 5000,
                                             .linger_ms = 1,
                                             .messages_max = 10,
                                             .message_bytes_max = 10000,
                                             .on_report = on_report,
                                             .topics = topics,
                                             .topic_count = 1};
    struct error error;
    start(5000, 1000);
    producer_free(fixture.producer);
    assert_int_equal(producer_open(fixture.config, &options, &fixture.producer, &error), 0);
    nanosleep(&pause, NULL);
    int64_t begin_us = monotonic_now_us();
    send_many(1);
    wait_settled();
    int64_t took_us = monotonic_now_us() - begin_us;
    assert_int_equal(reports[PRODUCER_ACKED], 1);
    stop();
    return took_us;
}

/* librdkafka looks at each tick of a second for the leader of a topic that a message waits for: one
 * sent behind a tick takes 0.9 s, each time. A busy machine may be as slow, but not each time. */
static void known_topics_are_found_in_advance(void **state)
{
    (void)state;
    int64_t least_us = INT64_MAX;
    for (int i = 0; i < TRIES && least_us >= FOUND_US; i++) {
        int64_t took_us = first_message_us();
        least_us = took_us < least_us ? took_us : least_us;
    }
    assert_in_range(least_us, 0, FOUND_US - 1);
}

static void broker_away(void **state)
{
    (void)state;
    start(700, 1000);
    rd_kafka_mock_broker_set_down(fixture.cluster, BROKER);
    send_many(10);
    wait_settled();
    assert_int_equal(reports[PRODUCER_NOT_PERSISTED], 10);
    rd_kafka_mock_broker_set_up(fixture.cluster, BROKER);
    int tries = 0;
    while (reports[PRODUCER_ACKED] == 0 && tries++ < 20) {
        send_many(1);
        wait_settled();
    }
    assert_int_equal(reports[PRODUCER_ACKED], 1);
    stop();
}

static void answer_too_late(void **state)
{
    (void)state;
    start(5000, 1000); /* a topic's leader may take a second to be found */
    send_many(1);
    wait_settled();
    rd_kafka_mock_broker_set_rtt(fixture.cluster, BROKER, 12000);
    send_many(10);
    wait_settled();
    assert_int_equal(reports[PRODUCER_ACKED], 1);
    assert_int_equal(reports[PRODUCER_UNKNOWN], 10);
    rd_kafka_mock_broker_set_rtt(fixture.cluster, BROKER, 0);
    stop();
}

static void check_replacement(void)
{
    int64_t deadline = monotonic_now_us() + DEADLINE_MS * INT64_C(1000);
    const struct timespec step = {.tv_nsec = 5000000};
    while (producer_replaced(fixture.producer) == 0) {
        assert_true(monotonic_now_us() < deadline);
        nanosleep(&step, NULL);
    }
    wait_settled();
    assert_int_equal(reports[PRODUCER_NOT_PERSISTED], 0);
    rd_kafka_mock_broker_set_rtt(fixture.cluster, BROKER, 0);
    int before = reports[PRODUCER_ACKED];
    send_many(20);
    wait_settled();
    assert_int_equal(reports[PRODUCER_ACKED], before + 20);
}

static void failed_for_good(void **state)
{
    (void)state;
    start(10000, 1000);
    send_many(1);
    wait_settled();
    rd_kafka_mock_broker_set_rtt(fixture.cluster, BROKER, 3000);
    send_many(50);
    producer_break(fixture.producer);
    check_replacement();
    assert_int_equal(reports[PRODUCER_UNKNOWN], 50);
    stop();
}

static void out_of_sequence(void **state)
{
    (void)state;
    start(10000, 1000);
    send_many(1);
    wait_settled();
    rd_kafka_mock_push_request_errors(fixture.cluster, PRODUCE_API, 1,
                                      RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    send_many(1);
    wait_settled();
    /* Whether it is fatal depends on the version; nobody may be told that it was not written. */
    assert_int_equal(reports[PRODUCER_NOT_PERSISTED], 0);
    if (reports[PRODUCER_UNKNOWN])
        check_replacement();
    stop();
}

static void bounded(void **state)
{
    (void)state;
    struct error error;
    start(10000, 10);
    rd_kafka_mock_broker_set_rtt(fixture.cluster, BROKER, 3000);
    send_many(10);
    assert_int_equal(send_one(&error), -1);
    assert_string_equal(error.code, "queue-full");
    assert_int_equal(error.class, ERROR_RETRY);
    int64_t before = monotonic_now_us();
    producer_close(fixture.producer, 200);
    assert_true(monotonic_now_us() - before < 3000000);
    assert_int_equal(producer_pending(fixture.producer), 0);
    assert_int_equal(send_one(&error), -1);
    assert_string_equal(error.code, "closed");
    stop();
}

static void bad_property(void **state)
{
    (void)state;
    struct error error;
    struct config *config;
    struct producer *producer;
    start(1000, 10);
    const struct producer_options options = {.delivery_timeout_ms = 1000,
                                             .messages_max = 10,
                                             .message_bytes_max = 1000,
                                             .on_report = on_report};
    parse("no.such.property=1", &config);
    assert_int_equal(producer_open(config, &options, &producer, &error), -1);
    assert_int_equal(error.class, ERROR_USAGE);
    assert_non_null(strstr(error.message, "no.such.property"));
    config_free(config);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acknowledged),    cmocka_unit_test(known_topics_are_found_in_advance),
        cmocka_unit_test(broker_away),     cmocka_unit_test(answer_too_late),
        cmocka_unit_test(failed_for_good), cmocka_unit_test(out_of_sequence),
        cmocka_unit_test(bounded),         cmocka_unit_test(bad_property),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
