/* SPDX-License-Identifier: Apache-2.0
 *
 * What the gateway counts. An event's name is a label, a Space's never is. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/timestamp.h"
#include "producers/gateway/gateway.h"

static const char *const end_names[CONNECTION_END_COUNT] = {
    [CONNECTION_END_HEAD] = "head",       [CONNECTION_END_IDLE] = "idle",
    [CONNECTION_END_BODY] = "body",       [CONNECTION_END_SEND] = "send",
    [CONNECTION_END_EVICTED] = "evicted", [CONNECTION_END_REFUSED] = "refused"};

static const char *const outcome_names[OUTCOME_COUNT] = {[OUTCOME_ACCEPTED] = "accepted",
                                                         [OUTCOME_REFUSED] = "refused",
                                                         [OUTCOME_NOT_WRITTEN] = "not-written",
                                                         [OUTCOME_UNKNOWN] = "unknown"};

void gateway_metrics_open(struct gateway *gateway)
{
    struct gateway_metrics *own = &gateway->metrics;
    struct metrics *metrics = gateway->observe.metrics;
    size_t count = catalog_event_count(gateway->catalog);
    own->requests = metrics_register(metrics, METRICS_COUNTER, "weir_gateway_requests_total",
                                     "Answers by status; event is the path's, batch for NDJSON, "
                                     "read for queries, none for other paths.",
                                     "code,event");
    own->events = metrics_register(
        metrics, METRICS_COUNTER, "weir_gateway_events_total",
        "Events by how they ended: accepted, refused, not-written or unknown.", "event,outcome");
    own->errors = metrics_register(metrics, METRICS_COUNTER, "weir_gateway_produce_errors_total",
                                   "Events that were not acknowledged, by error.", "error");
    own->duration =
        metrics_single(metrics, METRICS_HISTOGRAM_TIME, "weir_gateway_request_duration_seconds",
                       "From a request with events to its answer.");
    own->inflight = metrics_single(metrics, METRICS_GAUGE, "weir_gateway_inflight_events",
                                   "Events that wait for the broker.");
    own->replaced =
        metrics_single(metrics, METRICS_GAUGE, "weir_gateway_producer_replacements",
                       "How often the Kafka producer failed for good and was replaced.");
    own->connections = metrics_single(metrics, METRICS_GAUGE, "weir_gateway_connections",
                                      "Open HTTP connections.");
    struct metric *all_ended =
        metrics_register(metrics, METRICS_COUNTER, "weir_gateway_connections_ended_total",
                         "HTTP connections that the gateway ended: head, idle, body and send took "
                         "too long, evicted made room for another, refused found none.",
                         "reason");
    for (size_t i = 0; i < CONNECTION_END_COUNT; i++)
        own->ended[i] = metrics_series(all_ended, end_names[i]);
    own->accepted_requests = xcalloc(count, sizeof *own->accepted_requests);
    own->accepted_events = xcalloc(count, sizeof *own->accepted_events);
    for (size_t i = 0; i < count; i++) {
        const char *name = catalog_event_at(gateway->catalog, i)->name;
        own->accepted_requests[i] = metrics_series(own->requests, "202", name);
        own->accepted_events[i] =
            metrics_series(own->events, name, outcome_names[OUTCOME_ACCEPTED]);
    }
}

void gateway_metrics_close(struct gateway *gateway)
{
    free(gateway->metrics.accepted_requests);
    free(gateway->metrics.accepted_events);
}

void gateway_count_connections(struct gateway *gateway, struct http_server *server)
{
    uint64_t ended[CONNECTION_END_COUNT];
    metrics_gauge_set(gateway->metrics.connections, http_server_connections(server, ended));
    for (size_t i = 0; i < CONNECTION_END_COUNT; i++) {
        struct metric_series *series = gateway->metrics.ended[i];
        metrics_counter_add(series, (int64_t)ended[i] - metrics_value(series));
    }
}

void gateway_count_request(struct gateway *gateway, const struct catalog_event *event,
                           const char *other, int status, int64_t started_us)
{
    struct gateway_metrics *own = &gateway->metrics;
    char code[8];
    if (event && status == 202) {
        metrics_counter_add(own->accepted_requests[event->index], 1);
    } else {
        snprintf(code, sizeof code, "%d", status);
        metrics_counter_add(metrics_series(own->requests, code, event ? event->name : other), 1);
    }
    if (started_us)
        metrics_observe(own->duration, monotonic_now_us() - started_us);
}

void gateway_count_event(struct gateway *gateway, const struct catalog_event *event,
                         enum gateway_outcome outcome)
{
    struct gateway_metrics *own = &gateway->metrics;
    if (event && outcome == OUTCOME_ACCEPTED)
        metrics_counter_add(own->accepted_events[event->index], 1);
    else
        metrics_counter_add(
            metrics_series(own->events, event ? event->name : "unknown", outcome_names[outcome]),
            1);
}
