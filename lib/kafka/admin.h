/* SPDX-License-Identifier: Apache-2.0
 *
 * The topics that the program needs, and those that the cluster has. A topic is pinned: its
 * partition count decides the partition of a Space, and its settings keep every record for ever
 * under the broker's own clock. */
#ifndef WEIR_KAFKA_ADMIN_H
#define WEIR_KAFKA_ADMIN_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/config.h"
#include "lib/base/error.h"

enum { ADMIN_TOPICS_MAX = 256, ADMIN_TIMEOUT_MS = 10000 };

enum topic_state { TOPIC_MISSING, TOPIC_CREATED, TOPIC_OK, TOPIC_DIFFERS };

struct topic_status {
    const char *name; /* the caller's */
    enum topic_state state;
    int32_t partitions;   /* as the cluster has it; 0 when missing */
    int32_t replication;  /* of partition 0 */
    char difference[400]; /* TOPIC_DIFFERS: the differences from what is pinned, for people */
};

struct kafka_admin;

/* Opens a client. Nothing is sent yet. Errors: ERROR_USAGE. */
int kafka_admin_open(const struct config *config, struct kafka_admin **ret_admin,
                     struct error *error);
void kafka_admin_free(struct kafka_admin *admin);

struct cluster_status {
    char id[64];        /* "" when the cluster does not say */
    int32_t controller; /* broker id, -1 when unknown */
    int brokers;
    char first_broker[128]; /* "host:port" */
};

/* Asks the cluster who it is. Errors: ERROR_RETRY when no broker answers within timeout_ms. */
int kafka_admin_cluster(struct kafka_admin *admin, int timeout_ms,
                        struct cluster_status *ret_status, struct error *error);

/* How many partitions each of the topics has; 0 for one that does not exist. One metadata request.
 * Errors: ERROR_RETRY when no broker answers within timeout_ms. */
int kafka_admin_partitions(struct kafka_admin *admin, int timeout_ms, const char *const *topics,
                           size_t count, int32_t *ret_partitions, struct error *error);

/* Where the log of a partition ends: the offset of its next record. Any thread. Errors: ERROR_RETRY
 * when its leader does not say so within timeout_ms. */
int kafka_admin_end(struct kafka_admin *admin, int timeout_ms, const char *topic, int32_t partition,
                    int64_t *ret_offset, struct error *error);

/* Compares topics with what is pinned: `partitions` of them, and the settings of
 * domain topics. Each topics[i].name is set by the caller, the rest is filled. Creates
 * nothing. */
int kafka_admin_check(struct kafka_admin *admin, int32_t partitions, struct topic_status *topics,
                      size_t count, struct error *error);

/* Creates those that are TOPIC_MISSING in `topics` (after kafka_admin_check) and marks them
 * TOPIC_CREATED. A topic that someone else creates at the same time is checked afterwards. */
int kafka_admin_create(struct kafka_admin *admin, int32_t partitions, int32_t replication,
                       struct topic_status *topics, size_t count, struct error *error);

#endif
