/* SPDX-License-Identifier: Apache-2.0
 *
 * Liveness has no dependencies: it answers as long as the process has a thread that runs. */
#include "lib/observe/endpoint.h"

#include <string.h>

enum {
    OBSERVE_CONNECTIONS_MAX = 64,
    OBSERVE_ADDRESS_MAX = 48, /* so that one address leaves room for probes from others */
    OBSERVE_BODY_MAX =
        262144, /* a schema that is looked up; the largest of the catalog has 10 kB */
    OBSERVE_TIMEOUT_MS = 10000
};

#define TEXT "text/plain; charset=utf-8"

/* Returns 0 when the path is another's. */
static int answer(const struct observe *observe, struct http_request *request)
{
    const char *path = http_path(request);
    int alive = strcmp(path, "/livez") == 0;
    int ready = strcmp(path, "/readyz") == 0 || strcmp(path, "/healthz") == 0;
    int scrape = strcmp(path, "/metrics") == 0;
    if (!alive && !ready && !scrape)
        return 0;
    struct buf *out = http_reply(request);
    http_reply_header(request, "Cache-Control", "no-store");
    if (!http_is_get(request)) {
        http_reply_header(request, "Allow", "GET, HEAD");
        buf_put_text(out, "use GET\n");
        http_respond(request, 405, TEXT);
    } else if (alive) {
        buf_put_text(out, "ok\n");
        http_respond(request, 200, TEXT);
    } else if (ready) {
        int ok = health_ready(observe->health);
        health_write(observe->health, http_query(request, "verbose") != NULL, out);
        http_respond(request, ok ? 200 : 503, TEXT);
    } else {
        metrics_write(observe->metrics, out);
        http_respond(request, 200, METRICS_CONTENT_TYPE);
    }
    return 1;
}

static void handle(struct http_request *request, void *context)
{
    const struct observe *observe = context;
    if (answer(observe, request))
        return;
    if (observe->other) {
        observe->other(request, observe->context);
        return;
    }
    buf_put_text(http_reply(request), "there are /livez, /readyz and /metrics\n");
    http_respond(request, 404, TEXT);
}

int observe_serve(const struct observe *observe, const char *listen,
                  struct http_server **ret_server, struct error *error)
{
    const struct http_options options = {.listen = listen,
                                         .handler = handle,
                                         .context = (void *)observe,
                                         .threads = 1,
                                         .connections_max = OBSERVE_CONNECTIONS_MAX,
                                         .address_max = OBSERVE_ADDRESS_MAX,
                                         .body_max = OBSERVE_BODY_MAX,
                                         .head_timeout_ms = OBSERVE_TIMEOUT_MS,
                                         .idle_timeout_ms = OBSERVE_TIMEOUT_MS,
                                         .body_timeout_ms = OBSERVE_TIMEOUT_MS,
                                         .hosts = observe->hosts,
                                         .host_count = observe->host_count};
    return http_server_start(&options, ret_server, error);
}
