/* SPDX-License-Identifier: Apache-2.0
 *
 * Fills topics with events, as fast as it goes (which is the floor of producing), open loop at a
 * rate (each event is due at a fixed time, and its occurred_at is that time, so that a table shows
 * how late its row was), or with a bounded number of events under way (which is what so many HTTP
 * connections could at best make of the same producer).
 *
 * kind=purchases: ProductPurchased only. kind=mix: what `weir simulate` sends, without what is
 * invalid, and only of the types that the ledger consumes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "bench/purchase.h"
#include "bench/tool.h"
#include "lib/base/hash.h"
#include "lib/base/timestamp.h"
#include "producers/gateway/event.h"
#include "producers/simulate/world.h"

#define DAY_US INT64_C(86400000000)

enum { WINDOW = 1000, SLEEP_MAX_US = 500, FLUSH_MS = 60000, POLL_EVERY = 256 };

static const char *const ledger_events[] = {
    "ProductPurchased",  "PurchaseRefunded",      "MemberJoined", "MembershipUpgraded",
    "MembershipRenewed", "LivestreamInteraction", "CreditsSpent", "CreditsTransferred"};

struct filling {
    const struct options *options;
    const struct catalog *catalog;
    struct purchases purchases;
    struct sim_world *world;
    struct sim_event event;
    struct event_record record;
    struct buf value;
    rd_kafka_t *kafka;
    int64_t begun_us;
    int64_t made;
    int64_t acked;
    int64_t failed;
    int64_t bytes;
    int64_t purchase_count; /* kind=mix */
    int64_t purchase_total;
    struct samples acks;
};

static void on_report(rd_kafka_t *kafka, const rd_kafka_message_t *message, void *context)
{
    struct filling *filling = context;
    (void)kafka;
    filling->acked += message->err == 0;
    filling->failed += message->err != 0;
    if (message->_private)
        samples_add(&filling->acks, monotonic_now_us() - (int64_t)(intptr_t)message->_private);
}

static struct producer_message make_purchase(struct filling *filling, int64_t occurred_us)
{
    static char type[] = "weir.commerce.ProductPurchased";
    static char source[64] = "/spaces/";
    static char time[TIMESTAMP_TEXT_SIZE + 1];
    struct purchases *purchases = &filling->purchases;
    if (filling->options->days)
        purchases->id_ms = occurred_us / 1000;
    buf_reset(&filling->value);
    purchase_avro(purchases, occurred_us, &filling->value);
    memcpy(source + 8, purchases->space, sizeof purchases->space);
    timestamp_format(occurred_us, time);
    return (struct producer_message){.topic = "weir.commerce",
                                     .key = purchases->space,
                                     .value = filling->value.data,
                                     .value_size = filling->value.size,
                                     .headers = {{"ce_specversion", "1.0", 3},
                                                 {"ce_type", type, sizeof type - 1},
                                                 {"ce_source", source, 8 + UUID_TEXT_SIZE},
                                                 {"ce_id", purchases->event, UUID_TEXT_SIZE},
                                                 {"ce_time", time, TIMESTAMP_TEXT_SIZE},
                                                 {"content-type", "application/avro", 16}},
                                     .header_count = 6};
}

static int is_of_ledger(const struct sim_event *event)
{
    for (size_t i = 0; i < sizeof ledger_events / sizeof *ledger_events; i++)
        if (strcmp(ledger_events[i], sim_type_name(event->type)) == 0)
            return !event->invalid;
    return 0;
}

static struct producer_message make_mixed(struct filling *filling)
{
    static const struct event_rules rules = {INT64_MAX / 4, INT64_MAX / 4};
    struct sim_event *event = &filling->event;
    struct faults faults = {0};
    struct key key;
    do
        sim_world_next(filling->world, event);
    while (!is_of_ledger(event));
    filling->purchase_count += event->flow == FLOW_PURCHASE;
    filling->purchase_total += event->flow == FLOW_PURCHASE ? event->amount : 0;
    key_make(&key);
    json_t *body = json_loadb(event->body.data, event->body.size, 0, NULL);
    struct event_input input = {
        .event = catalog_find_event(filling->catalog, sim_type_name(event->type)),
        .space = event->space_id,
        .key = &key,
        .body = body,
        .now_us = timestamp_now_us()};
    if (event_encode(&input, &rules, &filling->record, &faults) != 0)
        fail("%s: %s %s", sim_type_name(event->type), faults.items[0].pointer,
             faults.items[0].message);
    json_decref(body);
    return filling->record.message;
}

/* When the next event is said to have happened; 0: now. A topic has to take its producers' times.
 */
static int64_t past_us(const struct filling *filling)
{
    const struct options *options = filling->options;
    int64_t back_us = options->days * DAY_US;
    if (!options->days)
        return 0;
    return filling->begun_us - back_us + back_us / options->events * filling->made;
}

static void send_event(struct filling *filling, const struct producer_message *message,
                       int64_t sent_us)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(message->header_count);
    int32_t partition =
        hash_partition(message->key, UUID_TEXT_SIZE, (int32_t)filling->options->partitions);
    for (size_t i = 0; i < message->header_count; i++)
        rd_kafka_header_add(headers, message->headers[i].name, -1, message->headers[i].value,
                            (ssize_t)message->headers[i].size);
    filling->bytes += (int64_t)message->value_size;
    for (;;) {
        rd_kafka_resp_err_t code = rd_kafka_producev(
            filling->kafka, RD_KAFKA_V_TOPIC(message->topic), RD_KAFKA_V_PARTITION(partition),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
            RD_KAFKA_V_KEY((void *)message->key, UUID_TEXT_SIZE),
            RD_KAFKA_V_VALUE((void *)message->value, message->value_size),
            RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_TIMESTAMP(past_us(filling) / 1000),
            RD_KAFKA_V_OPAQUE((void *)(intptr_t)sent_us), RD_KAFKA_V_END);
        if (!code)
            return;
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            fail("producing: %s", rd_kafka_err2str(code));
        rd_kafka_poll(filling->kafka, 5);
    }
}

/* Waits until the event may be sent; returns when that was, by the monotonic clock. */
static int64_t wait_turn(struct filling *filling, int64_t started_us)
{
    const struct options *options = filling->options;
    check_time(options, started_us);
    while (options->inflight &&
           filling->made - filling->acked - filling->failed >= options->inflight)
        rd_kafka_poll(filling->kafka, 10);
    if (!options->rate)
        return monotonic_now_us();
    int64_t due_us = started_us + filling->made * 1000000 / options->rate;
    for (int64_t left; (left = due_us - monotonic_now_us()) > 0;) {
        struct timespec pause = {.tv_nsec = 1000 * (left > SLEEP_MAX_US ? SLEEP_MAX_US : left)};
        rd_kafka_poll(filling->kafka, 0);
        nanosleep(&pause, NULL);
    }
    return due_us;
}

static void run(struct filling *filling)
{
    const struct options *options = filling->options;
    int mixed = strcmp(options->kind, "mix") == 0;
    int timed = options->rate || options->inflight;
    int64_t started_us = monotonic_now_us();
    int64_t clock_us = timestamp_now_us() - started_us;
    for (; filling->made < options->events; filling->made++) {
        int64_t sent_us = wait_turn(filling, started_us);
        int64_t occurred_us = past_us(filling) ? past_us(filling) : sent_us + clock_us;
        struct producer_message message =
            mixed ? make_mixed(filling) : make_purchase(filling, occurred_us);
        send_event(filling, &message, timed ? sent_us : 0);
        if (filling->made % POLL_EVERY == 0)
            rd_kafka_poll(filling->kafka, 0);
    }
    if (rd_kafka_flush(filling->kafka, FLUSH_MS) || filling->failed)
        fail("%" PRId64 " of %" PRId64 " events were not acknowledged", filling->failed,
             filling->made);
    double seconds = (double)(monotonic_now_us() - started_us) / 1e6;
    printf("{\"events\": %" PRId64 ", \"seconds\": %.4f, \"rate\": %.0f, \"bytes\": %" PRId64
           ", \"cpu_s\": %.3f, \"purchases\": %" PRId64 ", \"total\": %" PRId64 ", ",
           filling->acked, seconds, (double)filling->acked / seconds, filling->bytes, cpu_s(),
           mixed ? filling->purchase_count : filling->made,
           mixed ? filling->purchase_total : filling->purchases.total);
    samples_print(&filling->acks, "ack");
    printf("}\n");
}

int tool_fill(const struct options *options)
{
    struct assets *assets;
    struct catalog *catalog;
    struct error error;
    prctl(PR_SET_TIMERSLACK, 1000UL);
    if (assets_open(NULL, &assets, &error) != 0 || catalog_open(assets, &catalog, &error) != 0)
        fail("%s", error.message);
    struct filling filling = {
        .options = options,
        .catalog = catalog,
        .purchases = purchases_of(catalog, (uint64_t)options->seed, options->spaces),
        .world = sim_world_new((uint64_t)options->seed, (size_t)options->spaces, WINDOW,
                               timestamp_now_us() / DAY_US * DAY_US),
        .begun_us = timestamp_now_us()};
    filling.kafka = kafka_producer(options, on_report, &filling);
    /* the first message to a topic waits for metadata, which is not what is measured */
    const struct rd_kafka_metadata *metadata;
    if (rd_kafka_metadata(filling.kafka, 1, NULL, &metadata, 10000))
        fail("no broker at %s", options->brokers);
    rd_kafka_metadata_destroy(metadata);
    run(&filling);
    rd_kafka_destroy(filling.kafka);
    sim_world_free(filling.world);
    event_record_free(&filling.record);
    buf_free(&filling.event.body);
    buf_free(&filling.value);
    free(filling.acks.values);
    catalog_free(catalog);
    assets_free(assets);
    return 0;
}
