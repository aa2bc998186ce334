/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the logs end, for receipts that name an event which may not exist. It asks only when
 * nothing else gives the answer: one request at a time, however many reads wait for it. */
#ifndef WEIR_GATEWAY_ENDS_H
#define WEIR_GATEWAY_ENDS_H

#include <stdint.h>

#include "lib/avro/catalog.h"
#include "lib/base/config.h"
#include "lib/kafka/admin.h"

struct ends;

/* Starts the thread that asks. `catalog` and `admin` must outlive it. Errors: ERROR_FATAL. */
int ends_start(const struct config *config, const struct catalog *catalog,
               struct kafka_admin *admin, struct ends **ret_ends, struct error *error);
void ends_free(struct ends *ends);

/* Whether an offset lay beyond the end of its log at some time after `since_us` of the monotonic
 * clock; 0 too while that is not known. Then it is asked. */
int ends_is_beyond(struct ends *ends, const char *topic, int32_t partition, int64_t offset,
                   int64_t since_us);

#endif
