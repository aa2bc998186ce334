/* SPDX-License-Identifier: Apache-2.0
 *
 * A Kafka message as the engine and a rebuild take it, so that both see the same record. */
#ifndef WEIR_FOLD_MESSAGE_H
#define WEIR_FOLD_MESSAGE_H

#include <librdkafka/rdkafka.h>

#include "lib/base/buf.h"
#include "processors/fold/decoder.h"

/* The record points into the message, which is its owner. `topic` outlives it. */
struct record message_record(rd_kafka_message_t *message, const char *topic);

/* Appends its headers as an array of weir.header, for batch.put_headers. */
void message_put_headers(const void *owner, uint32_t header_oid, struct buf *out);

/* Gives its bytes back, for batch_new. */
void message_release(void *owner);

#endif
