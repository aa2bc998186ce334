/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the simulator's events go: to the gateway over HTTP, or encoded straight to the topics,
 * which needs no gateway and is faster. Both answer alike: 202 written, 422 no valid event, 503
 * certainly not written, 504 may have been written. */
#ifndef WEIR_SIMULATE_TRANSPORT_H
#define WEIR_SIMULATE_TRANSPORT_H

#include "lib/base/config.h"
#include "lib/http/client.h"
#include "producers/simulate/world.h"

/* `answer` is valid during the call, `opaque` is the sender's. */
typedef void (*transport_on_answer)(const struct http_answer *answer, void *opaque);

struct transport {
    size_t limit; /* most events under way */
    size_t under_way;
    transport_on_answer on_answer;
    /* Hands an event over; what it needs of it is copied. Its answer comes from a later poll, never
     * from within. */
    int (*send)(struct transport *transport, const struct sim_event *event, const char *key,
                void *opaque, struct error *error);
    /* Waits up to timeout_ms for answers and delivers them. */
    int (*poll)(struct transport *transport, int timeout_ms, struct error *error);
    void (*free)(struct transport *transport);
};

/* `target` must outlive the transport. */
int transport_http_open(const char *target, transport_on_answer on_answer,
                        struct transport **ret_transport, struct error *error);

/* Takes brokers, partitions, linger and home from the options. */
int transport_kafka_open(const struct config *config, transport_on_answer on_answer,
                         struct transport **ret_transport, struct error *error);

#endif
