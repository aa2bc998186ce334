/* SPDX-License-Identifier: Apache-2.0
 *
 * Keeps an eye on the cluster: do the catalog's topics exist with the pinned partition count? A
 * Space's partition follows from that count, so with another one nothing may be written: the topic
 * is closed until somebody puts it right, and the gateway is not ready. A topic that was as it must
 * be stays open while no broker answers. */
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
