/* SPDX-License-Identifier: Apache-2.0
 *
 * /livez, /readyz, /healthz and /metrics over HTTP: as a part of another server's handler (the
 * gateway), or as a small server of its own (the processors). */
#ifndef WEIR_OBSERVE_ENDPOINT_H
#define WEIR_OBSERVE_ENDPOINT_H

#include "lib/http/server.h"
#include "lib/observe/health.h"
#include "lib/observe/metrics.h"

/* Both must outlive the server. */
struct observe {
    struct metrics *metrics;
    struct health *health;
};

/* Answers the request when it is for one of the paths. Returns 1 then; 0 leaves it to the caller.
 */
int observe_answer(const struct observe *observe, struct http_request *request);

/* A server with nothing else on it; free it with http_server_free. Errors: as http_server_start. */
int observe_serve(const struct observe *observe, const char *listen,
                  struct http_server **ret_server, struct error *error);

#endif
