/* SPDX-License-Identifier: Apache-2.0
 *
 * The gateway: HTTP in, events on Kafka's topics out. Its parts share this struct. It is built
 * before the first thread starts and freed after the last one ended. In between only its atomic
 * members change. */
#ifndef WEIR_GATEWAY_GATEWAY_H
#define WEIR_GATEWAY_GATEWAY_H

#include <stdatomic.h>

#include "lib/avro/catalog.h"
#include "lib/http/server.h"
#include "lib/kafka/producer.h"
#include "lib/observe/endpoint.h"
#include "producers/gateway/event.h"
#include "producers/gateway/quota.h"
#include "producers/gateway/watch.h"

/* How one event ended, as metrics label it. */
enum gateway_outcome {
    OUTCOME_ACCEPTED,
    OUTCOME_REFUSED,     /* the client's fault */
    OUTCOME_NOT_WRITTEN, /* certainly not in the topic */
    OUTCOME_UNKNOWN,
    OUTCOME_COUNT
};

struct gateway_metrics {
    struct metric *requests; /* code, event */
    struct metric *events;   /* event, outcome */
    struct metric *errors;   /* error */
    struct metric_series *duration;
    struct metric_series *inflight;
    struct metric_series *replaced;
    struct metric_series *connections;
    struct metric_series *ended[CONNECTION_END_COUNT];
    struct metric_series **accepted_requests; /* by event index: the common case needs no search */
    struct metric_series **accepted_events;
};

struct reads;
struct throttle;

struct gateway {
    struct event_rules rules;
    int32_t partitions;
    size_t body_max;
    size_t event_max;
    size_t lines_max;
    int inflight_max;
    int64_t space_rate; /* events a second */
    struct throttle *throttle;
    int inflight_space_max;
    const struct catalog *catalog;
    const char *registry_url; /* where its ids come from; "": the catalog */
    struct producer *producer;
    struct watch *watch;
    struct reads *reads; /* NULL: this gateway answers no queries */
    struct observe observe;
    struct gateway_metrics metrics;
    struct quota *quota; /* of the same, by Space */
    atomic_int inflight; /* events between admission and their end */
};

/* Runs a gateway until SIGTERM or SIGINT, then drains it. Returns 0, or -1 with the error. Blocks
 * these signals in the calling thread; call it before other threads exist. */
int gateway_run(const struct config *config, struct error *error);

/* The handler of its HTTP server; `context` is the struct gateway. */
void gateway_handle(struct http_request *request, void *context);
/* The same for the admin listener, behind the paths of lib/observe. */
void gateway_handle_admin(struct http_request *request, void *context);
/* Answers a request that the server itself refused. */
void gateway_refuse(struct http_request *request, void *context);

/* Counts a request that was answered. `event` is NULL for anything but one event. */
void gateway_count_request(struct gateway *gateway, const struct catalog_event *event,
                           const char *other, int status, int64_t started_us);
void gateway_count_event(struct gateway *gateway, const struct catalog_event *event,
                         enum gateway_outcome outcome);
/* Takes over what the server has counted. */
void gateway_count_connections(struct gateway *gateway, struct http_server *server);
void gateway_metrics_open(struct gateway *gateway);
void gateway_metrics_close(struct gateway *gateway);

#endif
