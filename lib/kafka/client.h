/* SPDX-License-Identifier: Apache-2.0
 *
 * What every Kafka client of the program has in common: where the brokers are, the user's own
 * properties, fast reconnection, and librdkafka's log lines in ours. Roles add their properties to
 * what this returns. */
#ifndef WEIR_KAFKA_CLIENT_H
#define WEIR_KAFKA_CLIENT_H

#include <librdkafka/rdkafka.h>

#include "lib/base/config.h"
#include "lib/base/error.h"

/* A new configuration from the options kafka-brokers and kafka (KEY=VALUE). The caller owns it
 * until a successful rd_kafka_new takes it. Errors (ERROR_USAGE) name the property that librdkafka
 * rejects. */
int kafka_conf_new(const struct config *config, rd_kafka_conf_t **ret_conf, struct error *error);

/* Sets one property. Errors (ERROR_USAGE) name it. */
int kafka_conf_set(rd_kafka_conf_t *conf, const char *key, const char *value, struct error *error);

/* Makes a consumer of `conf` with pairs of properties of its own; it takes `conf` over, also
 * when it fails. The consumer reads committed records, reports the ends of partitions, never
 * jumps to another offset, and neither commits nor stores offsets by itself. Errors
 * (ERROR_USAGE) name the property. */
int kafka_consumer_new(rd_kafka_conf_t *conf, const char *const properties[][2], size_t count,
                       rd_kafka_t **ret_kafka, struct error *error);

/* Fills `error` from a librdkafka code: its name as the code, "what: description" as the message.
 * Broker trouble that may pass is ERROR_RETRY, a refusal of the configuration ERROR_USAGE,
 * everything else ERROR_FATAL. Returns -1. */
int kafka_error(struct error *error, rd_kafka_resp_err_t code, const char *what,
                const char *detail);

#endif
