/* SPDX-License-Identifier: Apache-2.0
 *
 * A gateway's life. Up: catalog, producer, watch, server; down in the order that loses nothing:
 * stop accepting, let every event and read under way end, give the producer up (which ends what is
 * left as unknown) and the reads (503), send those answers too. Connections that were kept alive
 * may ask until the server is gone, so the parts are taken apart after it. */
#include "producers/gateway/gateway.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/http/listen.h"
#include "lib/registry/ids.h"
#include "producers/gateway/ingest.h"
#include "producers/gateway/reads.h"
#include "producers/gateway/throttle.h"

enum {
    THREADS_MAX = 4,
    SPARE_FILES = 256,      /* descriptors beside the connections */
    LAST_ANSWERS_MS = 2000, /* to send what the producer gave up */
    GAUGES_INTERVAL_MS = 500
};

static int check_options(const struct config *config, struct error *error)
{
    const char *address = config_text(config, OPT_GATEWAY_LISTEN);
    int loopback;
    if (config_int(config, OPT_REQUEST_TIMEOUT) <= config_int(config, OPT_DELIVERY_TIMEOUT))
        return error_set(error, ERROR_USAGE, "bad-option",
                         "request-timeout must be longer than delivery-timeout, or a client is cut "
                         "off before it hears what became of its event");
    if (config_int(config, OPT_LINGER) >= config_int(config, OPT_DELIVERY_TIMEOUT))
        return error_set(error, ERROR_USAGE, "bad-option",
                         "linger must be shorter than delivery-timeout");
    if (config_int(config, OPT_READ_MEMORY) <
        READ_MEMORY_READS_MIN * config_int(config, OPT_READ_BYTES))
        return error_set(error, ERROR_USAGE, "bad-option",
                         "read-memory must be at least %d times read-bytes", READ_MEMORY_READS_MIN);
    if (listen_is_loopback(address, &loopback, error) != 0)
        return error_prefix(error, "gateway-listen");
    if (!loopback && !config_int(config, OPT_GATEWAY_BEHIND_PROXY))
        return error_set(error, ERROR_USAGE, "public-address",
                         "gateway-listen is %s, but nothing is authenticated: bind a loopback "
                         "address such as 127.0.0.1:18080, or say --gateway-behind-proxy when "
                         "something in front decides who gets here",
                         address);
    return 0;
}

static int64_t window_us(const struct config *config, enum option_id id)
{
    int64_t us;
    return __builtin_mul_overflow(config_int(config, id), 1000, &us) ? INT64_MAX / 2 : us;
}

static int open_parts(struct gateway *gateway, const struct config *config,
                      const struct assets *assets, struct error *error)
{
    const char *topics[PRODUCER_TOPICS_MAX];
    struct producer_options options = {.topics = topics,
                                       .delivery_timeout_ms =
                                           config_int(config, OPT_DELIVERY_TIMEOUT),
                                       .linger_ms = config_int(config, OPT_LINGER),
                                       .messages_max = gateway->inflight_max,
                                       .message_bytes_max = gateway->event_max,
                                       .on_report = ingest_report};
    for (; options.topic_count < catalog_topic_count(gateway->catalog) &&
           options.topic_count < PRODUCER_TOPICS_MAX;
         options.topic_count++)
        topics[options.topic_count] = catalog_topic_at(gateway->catalog, options.topic_count);
    gateway->throttle = throttle_new(gateway->space_rate);
    gateway->observe.metrics = metrics_new();
    gateway->observe.health = health_new();
    gateway->observe.other = gateway_handle_admin;
    gateway->observe.context = gateway;
    gateway->observe.host_count = config_list(config, OPT_ALLOWED_HOST, &gateway->observe.hosts);
    gateway->quota = quota_new(gateway->inflight_space_max);
    gateway_metrics_open(gateway);
    if (producer_open(config, &options, &gateway->producer, error) != 0)
        return -1;
    if (watch_start(config, gateway->catalog, gateway->observe.health, &gateway->watch, error) != 0)
        return -1;
    return config_int(config, OPT_READ_WORKERS) > 0
               ? reads_start(config, assets, gateway, &gateway->reads, error)
               : 0;
}

static void close_parts(struct gateway *gateway)
{
    producer_free(gateway->producer);
    quota_free(gateway->quota);
    reads_free(gateway->reads);
    watch_free(gateway->watch);
    gateway_metrics_close(gateway);
    throttle_free(gateway->throttle);
    metrics_free(gateway->observe.metrics);
    health_free(gateway->observe.health);
}

/* As many threads as processors, but the broker's client needs some of them too. */
static int thread_count(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors < 1 ? 1 : processors > THREADS_MAX ? THREADS_MAX : (int)processors;
}

/* Connections are descriptors, and the usual soft limit is lower than what the hard one allows. */
static int raise_file_limit(int64_t connections, struct error *error)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)connections + SPARE_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return 0;
    if (limit.rlim_max < wanted)
        return error_set(error, ERROR_USAGE, "bad-option",
                         "connections-max is %lld, but this process may open only %llu files",
                         (long long)connections, (unsigned long long)limit.rlim_max);
    limit.rlim_cur = wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
    return 0;
}

static int start_server(struct gateway *gateway, const struct config *config,
                        struct http_server **ret_server, struct error *error)
{
    struct http_options options = {.listen = config_text(config, OPT_GATEWAY_LISTEN),
                                   .handler = gateway_handle,
                                   .refuse = gateway_refuse,
                                   .context = gateway,
                                   .threads = thread_count(),
                                   .connections_max = (int)config_int(config, OPT_CONNECTIONS_MAX),
                                   .address_max =
                                       (int)config_int(config, OPT_ADDRESS_CONNECTIONS_MAX),
                                   .body_max = gateway->body_max,
                                   .head_timeout_ms = config_int(config, OPT_HEADER_TIMEOUT),
                                   .idle_timeout_ms = config_int(config, OPT_REQUEST_TIMEOUT),
                                   .body_timeout_ms = config_int(config, OPT_REQUEST_TIMEOUT)};
    options.host_count = config_list(config, OPT_ALLOWED_HOST, &options.hosts);
    if (raise_file_limit(options.connections_max, error) != 0)
        return -1;
    return http_server_start(&options, ret_server, error);
}

static int start_admin(struct gateway *gateway, const struct config *config,
                       struct http_server **ret_server, struct error *error)
{
    if (observe_serve(&gateway->observe, config_text(config, OPT_ADMIN_LISTEN), ret_server,
                      error) != 0)
        return error_prefix(error, "admin-listen");
    return 0;
}

/* Keeps the gauges fresh until a signal says to stop. */
static void wait_for_signal(struct gateway *gateway, struct http_server *server,
                            const sigset_t *signals)
{
    const struct timespec interval = {.tv_nsec = GAUGES_INTERVAL_MS * 1000000L};
    int number;
    do {
        metrics_gauge_set(gateway->metrics.inflight, atomic_load(&gateway->inflight));
        metrics_gauge_set(gateway->metrics.replaced, producer_replaced(gateway->producer));
        gateway_count_connections(gateway, server);
        number = sigtimedwait(signals, NULL, &interval);
    } while (number < 0);
    log_info("gateway: %s, draining", number == SIGTERM ? "SIGTERM" : "SIGINT");
}

static void shut_down(struct gateway *gateway, struct http_server *server, int64_t drain_ms)
{
    health_set(gateway->observe.health, "gateway", 0, "shutting down");
    int open = http_server_drain(server, drain_ms);
    if (open > 0)
        log_warn("gateway: %d requests are still open after the drain timeout", open);
    producer_close(gateway->producer, 0);
    reads_stop(gateway->reads);
    http_server_drain(server, LAST_ANSWERS_MS);
    http_server_free(server);
    log_info("gateway: stopped");
}

static void read_limits(struct gateway *gateway, const struct config *config)
{
    gateway->registry_url = config_text(config, OPT_SCHEMA_REGISTRY_URL);
    gateway->rules.past_us = window_us(config, OPT_OCCURRED_PAST);
    gateway->rules.future_us = window_us(config, OPT_OCCURRED_FUTURE);
    gateway->partitions = (int32_t)config_int(config, OPT_PARTITIONS);
    gateway->body_max = (size_t)config_int(config, OPT_BODY_MAX);
    gateway->event_max = (size_t)config_int(config, OPT_EVENT_MAX);
    gateway->lines_max = (size_t)config_int(config, OPT_LINES_MAX);
    gateway->inflight_max = (int)config_int(config, OPT_INFLIGHT_MAX);
    gateway->space_rate = config_int(config, OPT_SPACE_RATE);
    gateway->inflight_space_max = (int)config_int(config, OPT_INFLIGHT_SPACE_MAX);
}

static int serve(struct gateway *gateway, const struct config *config, const struct assets *assets,
                 struct error *error)
{
    struct http_server *server;
    struct http_server *admin = NULL;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    int result = open_parts(gateway, config, assets, error);
    if (result == 0)
        result = start_admin(gateway, config, &admin, error);
    if (result == 0)
        result = start_server(gateway, config, &server, error);
    if (result == 0) {
        log_info("gateway: listening on %s", config_text(config, OPT_GATEWAY_LISTEN));
        wait_for_signal(gateway, server, &signals);
        shut_down(gateway, server, config_int(config, OPT_DRAIN_TIMEOUT));
    }
    http_server_free(admin); /* last, so that /readyz tells of the draining */
    close_parts(gateway);
    return result;
}

int gateway_run(const struct config *config, struct error *error)
{
    struct gateway gateway = {0};
    struct assets *assets = NULL;
    struct catalog *catalog = NULL;
    if (check_options(config, error) != 0 ||
        assets_open(config_text(config, OPT_HOME), &assets, error) != 0)
        return -1;
    int result = ids_open_catalog(config, assets, IDS_REGISTER, &catalog, error);
    if (result == 0) {
        gateway.catalog = catalog;
        read_limits(&gateway, config);
        result = serve(&gateway, config, assets, error);
    }
    catalog_free(catalog);
    assets_free(assets);
    return result;
}
