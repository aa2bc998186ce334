/* SPDX-License-Identifier: Apache-2.0
 *
 * The common part of each client's configuration. The user's properties come last, so that they win
 * over the defaults set here; a role's own properties, which its guarantees rest on, come after
 * them. */
#include "lib/kafka/client.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"

/* librdkafka numbers its log levels as syslog does. */
enum { SYSLOG_ERROR = 3 };

/* A restarted broker is found again within a second; librdkafka's own defaults take ten. */
#define RECONNECT_BACKOFF_MS "50"
#define RECONNECT_BACKOFF_MAX_MS "500"

static void on_log(const rd_kafka_t *kafka, int level, const char *facility, const char *text)
{
    (void)kafka;
    if (level <= SYSLOG_ERROR)
        log_write(LOG_WARN, "kafka: %s: %s", facility, text);
    else
        log_write(LOG_DEBUG, "kafka: %s: %s", facility, text);
}

int kafka_conf_set(rd_kafka_conf_t *conf, const char *key, const char *value, struct error *error)
{
    char reason[512];
    if (rd_kafka_conf_set(conf, key, value, reason, sizeof reason) != RD_KAFKA_CONF_OK)
        return error_set(error, ERROR_USAGE, "bad-kafka-property", "Kafka property %s: %s", key,
                         reason);
    return 0;
}

/* "KEY=VALUE" as the user gave it. */
static int set_pair(rd_kafka_conf_t *conf, const char *pair, struct error *error)
{
    const char *equals = strchr(pair, '=');
    if (!equals || equals == pair)
        return error_set(error, ERROR_USAGE, "bad-kafka-property",
                         "--kafka is \"%s\", but must be KEY=VALUE", pair);
    char *key = xstrndup(pair, (size_t)(equals - pair));
    int result = kafka_conf_set(conf, key, equals + 1, error);
    free(key);
    return result;
}

int kafka_conf_new(const struct config *config, rd_kafka_conf_t **ret_conf, struct error *error)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, on_log);
    int result =
        kafka_conf_set(conf, "bootstrap.servers", config_text(config, OPT_KAFKA_BROKERS), error);
    if (result == 0)
        result = kafka_conf_set(conf, "client.id", "weir", error);
    if (result == 0)
        result = kafka_conf_set(conf, "reconnect.backoff.ms", RECONNECT_BACKOFF_MS, error);
    if (result == 0)
        result = kafka_conf_set(conf, "reconnect.backoff.max.ms", RECONNECT_BACKOFF_MAX_MS, error);
    const char *const *pairs;
    size_t count = config_list(config, OPT_KAFKA, &pairs);
    for (size_t i = 0; result == 0 && i < count; i++)
        result = set_pair(conf, pairs[i], error);
    if (result != 0) {
        rd_kafka_conf_destroy(conf);
        return -1;
    }
    *ret_conf = conf;
    return 0;
}

static int set_all(rd_kafka_conf_t *conf, const char *const properties[][2], size_t count,
                   struct error *error)
{
    for (size_t i = 0; i < count; i++)
        if (kafka_conf_set(conf, properties[i][0], properties[i][1], error) != 0)
            return -1;
    return 0;
}

int kafka_consumer_new(rd_kafka_conf_t *conf, const char *const properties[][2], size_t count,
                       rd_kafka_t **ret_kafka, struct error *error)
{
    static const char *const common[][2] = {
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"enable.partition.eof",
         "true"}, /* positions reach the end over records that are not delivered */
        {"auto.offset.reset", "error"}, /* never skip what is not there */
        {"isolation.level", "read_committed"}};
    char reason[512];
    if (set_all(conf, common, sizeof common / sizeof *common, error) == 0 &&
        set_all(conf, properties, count, error) == 0) {
        *ret_kafka = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof reason);
        if (*ret_kafka) {
            rd_kafka_poll_set_consumer(*ret_kafka);
            return 0;
        }
        error_set(error, ERROR_USAGE, "bad-kafka-property", "Kafka consumer: %s", reason);
    }
    rd_kafka_conf_destroy(conf);
    return -1;
}

static enum error_class classify(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR__WAIT_COORD:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_NOT_CONTROLLER:
    case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
        return ERROR_RETRY;
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
        return ERROR_USAGE;
    default:
        return ERROR_FATAL;
    }
}

int kafka_error(struct error *error, rd_kafka_resp_err_t code, const char *what, const char *detail)
{
    return error_set(error, classify(code), rd_kafka_err2name(code), "%s: %s", what,
                     detail && *detail ? detail : rd_kafka_err2str(code));
}
