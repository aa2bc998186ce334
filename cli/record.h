/* SPDX-License-Identifier: Apache-2.0
 *
 * A Kafka record as JSON for people and jq, with the key names of `kcat -J`. */
#ifndef WEIR_CLI_RECORD_H
#define WEIR_CLI_RECORD_H

#include <jansson.h>
#include <librdkafka/rdkafka.h>

#include "lib/avro/catalog.h"

enum { RECORD_FRAME_SIZE = 5 }; /* 0 and the schema id before the Avro bytes */

/* The version that the record was written with, or NULL when it has no frame or an unknown id.
 * ret_id is the id, -1 without a frame. */
const struct catalog_version *record_version(const struct catalog *catalog,
                                             const rd_kafka_message_t *message, int32_t *ret_id);

/* topic, partition, offset, tstype, ts, broker, headers, key, payload, and beside those of kcat:
 * event, version. A payload that cannot be decoded is null, and `error` says why; its bytes are in
 * payload_base64 when show_pii is set. The caller owns the result. */
json_t *record_json(const struct catalog *catalog, const rd_kafka_message_t *message, int show_pii);

#endif
