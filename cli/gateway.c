/* SPDX-License-Identifier: Apache-2.0
 *
 * `weir gateway`: the role that takes events over HTTP. */
#include "producers/gateway/gateway.h"
#include "cli/command.h"

static const enum option_id options[] = {OPT_GATEWAY_LISTEN,
                                         OPT_GATEWAY_BEHIND_PROXY,
                                         OPT_ADMIN_LISTEN,
                                         OPT_KAFKA_BROKERS,
                                         OPT_KAFKA,
                                         OPT_PARTITIONS,
                                         OPT_BODY_MAX,
                                         OPT_LINES_MAX,
                                         OPT_EVENT_MAX,
                                         OPT_INFLIGHT_MAX,
                                         OPT_SPACE_RATE,
                                         OPT_INFLIGHT_SPACE_MAX,
                                         OPT_CONNECTIONS_MAX,
                                         OPT_ADDRESS_CONNECTIONS_MAX,
                                         OPT_ALLOWED_HOST,
                                         OPT_HEADER_TIMEOUT,
                                         OPT_LINGER,
                                         OPT_DELIVERY_TIMEOUT,
                                         OPT_REQUEST_TIMEOUT,
                                         OPT_DRAIN_TIMEOUT,
                                         OPT_OCCURRED_PAST,
                                         OPT_OCCURRED_FUTURE,
                                         OPT_DATABASE,
                                         OPT_READ_WORKERS,
                                         OPT_READ_QUEUE,
                                         OPT_READ_TIMEOUT,
                                         OPT_READ_BYTES,
                                         OPT_READ_MEMORY,
                                         OPT_READ_WAIT,
                                         OPT_SCHEMA_REGISTRY_URL,
                                         OPT_SCHEMA_REGISTRY_AUTH,
                                         OPT_SCHEMA_REGISTRY_CA};

static int run(const struct config *config, struct error *error)
{
    if (config_argument_count(config) > 0) {
        error_set(error, ERROR_USAGE, "bad-argument", "there is no argument \"%s\"; see --help",
                  config_argument(config, 0));
        return EXIT_USAGE;
    }
    return gateway_run(config, error) == 0 ? EXIT_OK : EXIT_FAILED;
}

const struct command command_gateway = {
    .name = "gateway",
    .arguments = "",
    .summary = "take events over HTTP and write them to Kafka",
    .help =
        "Takes events as JSON, checks them against their schema, and answers 202 with a receipt\n"
        "once Kafka has acknowledged them:\n"
        "\n"
        "  POST /v1/spaces/{space_id}/events/{Event}   one event, or NDJSON of one type\n"
        "  POST /v1/spaces/{space_id}/events           NDJSON: {\"event\", \"key\"?, \"data\"}\n"
        "  GET  /v1/spaces/{space_id}/{query}          the answer of a query of sql/queries/\n"
        "  GET  /v1/queries                            the queries\n"
        "  GET  /v1/events, /v1/events/{Event}         the event types and their schemas\n"
        "\n"
        "On --admin-listen, so that they answer even while the other address is full:\n"
        "\n"
        "  GET  /livez, /readyz, /metrics              health and metrics\n"
        "  GET  /subjects, /schemas                    the read side of the schema registry's API\n"
        "\n"
        "Queries need Postgres. While it is away, they are answered 503, and events are accepted.\n"
        "An Idempotency-Key makes a retry safe. When the request has none, the answer has one.\n"
        "Failures are RFC 9457 problems. After SIGTERM the gateway answers what it has accepted.\n"
        "\n"
        "Nothing is authenticated, so only a loopback address is bound unless\n"
        "--gateway-behind-proxy is given.\n"
        "\n"
        "Exit codes: 0 stopped by a signal, 1 failed, 2 wrong usage or configuration.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .login = "weir_gateway",
    .run = run,
};
