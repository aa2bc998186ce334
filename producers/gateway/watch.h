/* SPDX-License-Identifier: Apache-2.0
 *
 * Watches whether the catalog's topics exist with the pinned partition count. A Space's
 * partition follows from that count. So a topic with another count is closed until somebody
 * corrects it, and the gateway is not ready. A topic with the right count stays open while no
 * broker answers. */
#ifndef WEIR_GATEWAY_WATCH_H
#define WEIR_GATEWAY_WATCH_H

#include "lib/avro/catalog.h"
#include "lib/base/config.h"
#include "lib/observe/health.h"

struct watch;

/* Starts a thread that checks at once and then regularly, and reports to `health` as "kafka" and
 * "topics". Both arguments must outlive it. Errors: ERROR_USAGE, ERROR_FATAL. */
int watch_start(const struct config *config, const struct catalog *catalog, struct health *health,
                struct watch **ret_watch, struct error *error);
void watch_free(struct watch *watch);

/* The client that it asks with; it lives as long as the watch. */
struct kafka_admin *watch_admin(const struct watch *watch);

/* Whether events may go to the topic. Any thread. `ret_why` says what is wrong; it stays valid. */
int watch_topic_open(const struct watch *watch, const char *topic, const char **ret_why);

#endif
