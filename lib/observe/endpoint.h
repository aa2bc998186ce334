/* SPDX-License-Identifier: Apache-2.0
 *
 * /livez, /readyz, /healthz and /metrics over HTTP, on a small server of their own: so it
 * answers however busy other servers are. */
#ifndef WEIR_OBSERVE_ENDPOINT_H
#define WEIR_OBSERVE_ENDPOINT_H

#include "lib/http/server.h"
#include "lib/observe/health.h"
#include "lib/observe/metrics.h"

/* It and what it names must outlive the server. */
struct observe {
    struct metrics *metrics;
    struct health *health;
    http_handler other;       /* answers the other paths; NULL: there are none */
    void *context;            /* of `other` */
    const char *const *hosts; /* as in struct http_options */
    size_t host_count;
};

/* Free the server with http_server_free. Errors: as http_server_start. */
int observe_serve(const struct observe *observe, const char *listen,
                  struct http_server **ret_server, struct error *error);

#endif
