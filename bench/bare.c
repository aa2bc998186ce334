/* SPDX-License-Identifier: Apache-2.0
 *
 * The floor of an HTTP server: Weir's own libmicrohttpd server with a handler that takes the body
 * and answers 202 at once. It ends at SIGTERM. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/tool.h"
#include "lib/http/server.h"

enum { THREADS = 2, IDLE_MS = 30000, BODY_MAX = 1 << 20, DRAIN_MS = 1000 };

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    stop = number;
}

static void answer(struct http_request *request, void *context)
{
    size_t size;
    (void)context;
    http_body(request, &size);
    buf_put_text(http_reply(request), "{\"status\":\"accepted\"}");
    http_respond(request, 202, "application/json");
}

int tool_bare(const struct options *options)
{
    struct http_server *server;
    struct error error;
    struct http_options http = {.listen = options->address,
                                .handler = answer,
                                .threads = THREADS,
                                .connections_max = 2048,
                                .address_max = 2048,
                                .body_max = BODY_MAX,
                                .head_timeout_ms = IDLE_MS,
                                .idle_timeout_ms = IDLE_MS,
                                .body_timeout_ms = IDLE_MS};
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    if (http_server_start(&http, &server, &error) != 0)
        fail("%s", error.message);
    while (!stop)
        usleep(20000);
    http_server_drain(server, DRAIN_MS);
    http_server_free(server);
    return 0;
}
