/* SPDX-License-Identifier: Apache-2.0
 *
 * The metrics of an engine; docs/metrics.md says what they mean to an operator. */
#include "processors/engine/internal.h"

static struct metric_series *of_processor(const struct engine *engine, struct metrics *metrics,
                                          enum metrics_kind kind, const char *name,
                                          const char *help)
{
    return metrics_series(metrics_register(metrics, kind, name, help, "processor"),
                          engine->processor->name);
}

static struct metric_series *of_session(const struct engine *engine, struct metrics *metrics,
                                        const char *name, const char *help)
{
    return metrics_series(metrics_register(metrics, METRICS_GAUGE, name, help, "processor,session"),
                          engine->processor->name, engine->session_name);
}

void metrics_of_engine(struct engine *engine, struct metrics *metrics)
{
    const char *name = engine->processor->name;
    struct metric *outcome =
        metrics_register(metrics, METRICS_COUNTER, "weir_processor_events_total",
                         "Records by what became of them.", "processor,outcome");
    engine->metrics.events = metrics_series(outcome, name, "applied");
    engine->metrics.duplicates = metrics_series(outcome, name, "duplicate");
    engine->metrics.dead_letters = metrics_series(outcome, name, "dead_letter");
    engine->metrics.parked = metrics_series(outcome, name, "parked");
    engine->metrics.batches =
        of_processor(engine, metrics, METRICS_COUNTER, "weir_processor_batches_total",
                     "Transactions committed.");
    engine->metrics.failures =
        of_processor(engine, metrics, METRICS_COUNTER, "weir_processor_failures_total",
                     "Transactions that failed.");
    engine->metrics.rebalances =
        of_processor(engine, metrics, METRICS_COUNTER, "weir_processor_rebalances_total",
                     "Rebalances of the consumer group.");
    engine->metrics.batch_rows =
        of_processor(engine, metrics, METRICS_HISTOGRAM, "weir_processor_batch_events",
                     "Events applied by a transaction.");
    engine->metrics.apply_time =
        of_processor(engine, metrics, METRICS_HISTOGRAM_TIME, "weir_processor_apply_seconds",
                     "From sending a batch to its commit.");
    engine->metrics.misplaced =
        of_processor(engine, metrics, METRICS_COUNTER, "weir_processor_misplaced_total",
                     "Records in another partition than that of their key.");
    engine->metrics.latency =
        of_processor(engine, metrics, METRICS_HISTOGRAM_TIME, "weir_processor_event_to_row_seconds",
                     "From the broker's timestamp of an event to the commit of its rows.");
    engine->metrics.halted = of_session(engine, metrics, "weir_processor_halted",
                                        "1 while the processor waits for a person.");
    engine->metrics.attached =
        of_session(engine, metrics, "weir_processor_partitions", "Partitions owned.");
    engine->metrics.known =
        of_session(engine, metrics, "weir_processor_known_events",
                   "Applied events whose hashes are in memory, to find duplicates.");
    engine->metrics.known_bytes =
        of_session(engine, metrics, "weir_processor_known_bytes", "Memory that these hashes take.");
    engine->metrics.aside = of_session(engine, metrics, "weir_processor_aside",
                                       "1 while another version of it is live.");
    engine->metrics.waiting =
        of_session(engine, metrics, "weir_processor_waiting_partitions",
                   "Partitions that wait for a schema id which nobody has recorded yet.");
    engine->metrics.lag =
        metrics_register(metrics, METRICS_GAUGE, "kafka_consumergroup_lag",
                         "Records behind the end of the log.", "consumergroup,topic,partition");
}
