/* SPDX-License-Identifier: Apache-2.0
 *
 * The metrics of an engine; docs/operate.md says what they mean to an operator. */
#include "processors/engine/internal.h"

static const int64_t row_buckets[] = {1,   2,    5,    10,   20,    50,    100,  200,
                                      500, 1000, 2000, 5000, 10000, 20000, 50000};

static void register_counters(struct engine *engine, struct metrics *metrics)
{
    static const struct metric_spec events = {.name = "weir_processor_events_total",
                                              .help = "Records by what became of them.",
                                              .kind = METRICS_COUNTER,
                                              .labels = "processor,outcome"};
    static const struct metric_spec batches = {.name = "weir_processor_batches_total",
                                               .help = "Transactions committed.",
                                               .kind = METRICS_COUNTER,
                                               .labels = "processor"};
    static const struct metric_spec failures = {.name = "weir_processor_failures_total",
                                                .help = "Transactions that failed.",
                                                .kind = METRICS_COUNTER,
                                                .labels = "processor"};
    static const struct metric_spec rebalances = {.name = "weir_processor_rebalances_total",
                                                  .help = "Rebalances of the consumer group.",
                                                  .kind = METRICS_COUNTER,
                                                  .labels = "processor"};
    static const struct metric_spec batch_rows = {.name = "weir_processor_batch_events",
                                                  .help = "Events applied by a transaction.",
                                                  .kind = METRICS_HISTOGRAM,
                                                  .labels = "processor",
                                                  .buckets = row_buckets,
                                                  .bucket_count =
                                                      sizeof row_buckets / sizeof *row_buckets};
    static const struct metric_spec apply_time = {.name = "weir_processor_apply_seconds",
                                                  .help = "From sending a batch to its commit.",
                                                  .kind = METRICS_HISTOGRAM,
                                                  .unit = METRICS_MICROSECONDS,
                                                  .labels = "processor"};
    static const struct metric_spec latency = {
        .name = "weir_processor_event_to_row_seconds",
        .help = "From the broker's timestamp of an event to the commit of its rows.",
        .kind = METRICS_HISTOGRAM,
        .unit = METRICS_MICROSECONDS,
        .labels = "processor"};
    static const struct metric_spec misplaced = {
        .name = "weir_processor_misplaced_total",
        .help = "Records in another partition than that of their key.",
        .kind = METRICS_COUNTER,
        .labels = "processor"};
    const char *name = engine->processor->name;
    struct metric *outcome = metrics_register(metrics, &events);
    engine->metrics.events = metrics_series(outcome, name, "applied");
    engine->metrics.duplicates = metrics_series(outcome, name, "duplicate");
    engine->metrics.dead_letters = metrics_series(outcome, name, "dead_letter");
    engine->metrics.parked = metrics_series(outcome, name, "parked");
    engine->metrics.batches = metrics_series(metrics_register(metrics, &batches), name);
    engine->metrics.failures = metrics_series(metrics_register(metrics, &failures), name);
    engine->metrics.rebalances = metrics_series(metrics_register(metrics, &rebalances), name);
    engine->metrics.batch_rows = metrics_series(metrics_register(metrics, &batch_rows), name);
    engine->metrics.apply_time = metrics_series(metrics_register(metrics, &apply_time), name);
    engine->metrics.misplaced = metrics_series(metrics_register(metrics, &misplaced), name);
    engine->metrics.latency = metrics_series(metrics_register(metrics, &latency), name);
}

static void register_gauges(struct engine *engine, struct metrics *metrics)
{
    static const struct metric_spec halted = {.name = "weir_processor_halted",
                                              .help = "1 while the processor waits for a person.",
                                              .kind = METRICS_GAUGE,
                                              .labels = "processor,session"};
    static const struct metric_spec attached = {.name = "weir_processor_partitions",
                                                .help = "Partitions owned.",
                                                .kind = METRICS_GAUGE,
                                                .labels = "processor,session"};
    static const struct metric_spec aside = {.name = "weir_processor_aside",
                                             .help = "1 while another version of it is live.",
                                             .kind = METRICS_GAUGE,
                                             .labels = "processor,session"};
    static const struct metric_spec waiting = {
        .name = "weir_processor_waiting_partitions",
        .help = "Partitions that wait for a schema id which nobody has recorded yet.",
        .kind = METRICS_GAUGE,
        .labels = "processor,session"};
    static const struct metric_spec lag = {.name = "kafka_consumergroup_lag",
                                           .help = "Records behind the end of the log.",
                                           .kind = METRICS_GAUGE,
                                           .labels = "consumergroup,topic,partition"};
    const char *name = engine->processor->name;
    const char *session = engine->session_name;
    engine->metrics.halted = metrics_series(metrics_register(metrics, &halted), name, session);
    engine->metrics.attached = metrics_series(metrics_register(metrics, &attached), name, session);
    engine->metrics.aside = metrics_series(metrics_register(metrics, &aside), name, session);
    engine->metrics.waiting = metrics_series(metrics_register(metrics, &waiting), name, session);
    engine->metrics.lag = metrics_register(metrics, &lag);
}

void metrics_of_engine(struct engine *engine, struct metrics *metrics)
{
    register_counters(engine, metrics);
    register_gauges(engine, metrics);
}
