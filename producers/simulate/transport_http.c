/* SPDX-License-Identifier: Apache-2.0
 *
 * One POST per event, as a back end would send it. */
#include <stdio.h>
#include <stdlib.h>

#include "producers/simulate/transport.h"

enum { CONNECTIONS = 64, REQUEST_TIMEOUT_MS = 30000 };

struct http_transport {
    struct transport transport; /* first */
    struct http_client *client;
    const char *target;
};

static int http_send(struct transport *transport, const struct sim_event *event, const char *key,
                     void *opaque, struct error *error)
{
    struct http_transport *http = (struct http_transport *)transport;
    char url[512];
    char header[128];
    snprintf(url, sizeof url, "%s/v1/spaces/%s/events/%s", http->target, event->space_id,
             sim_type_name(event->type));
    snprintf(header, sizeof header, "Idempotency-Key: %s", key);
    struct http_call call = {.method = "POST",
                             .url = url,
                             .headers = {"Content-Type: application/json", header},
                             .body = event->body.data,
                             .body_size = event->body.size,
                             .timeout_ms = REQUEST_TIMEOUT_MS,
                             .on_answer = transport->on_answer,
                             .opaque = opaque};
    int result = http_client_submit(http->client, &call, error);
    transport->under_way = http_client_under_way(http->client);
    return result;
}

static int http_poll(struct transport *transport, int timeout_ms, struct error *error)
{
    struct http_transport *http = (struct http_transport *)transport;
    int result = http_client_poll(http->client, timeout_ms, error);
    transport->under_way = http_client_under_way(http->client);
    return result;
}

static void http_free(struct transport *transport)
{
    struct http_transport *http = (struct http_transport *)transport;
    http_client_free(http->client);
    free(http);
}

int transport_http_open(const char *target, transport_on_answer on_answer,
                        struct transport **ret_transport, struct error *error)
{
    struct http_client *client;
    if (http_client_open(CONNECTIONS, &client, error) != 0)
        return -1;
    struct http_transport *http = xcalloc(1, sizeof *http);
    http->transport = (struct transport){.limit = CONNECTIONS,
                                         .on_answer = on_answer,
                                         .send = http_send,
                                         .poll = http_poll,
                                         .free = http_free};
    http->client = client;
    http->target = target;
    *ret_transport = &http->transport;
    return 0;
}
