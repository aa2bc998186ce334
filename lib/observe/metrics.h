/* SPDX-License-Identifier: Apache-2.0
 *
 * A small registry of metrics in Prometheus' text format: counters, gauges and histograms with
 * fixed buckets. Values are integers that threads update with one atomic operation. A metric has
 * one series for each combination of its labels' values; a loop keeps the series it updates,
 * because finding one takes a lock. Never use a Space or a person as a label: series live as long
 * as the registry.
 *
 *     struct metric *rows =
 *         metrics_register(metrics, METRICS_COUNTER, "weir_rows_total", "Rows.", "processor");
 *     struct metric_series *series = metrics_series(rows, "ledger");
 *     metrics_counter_add(series, 42); */
#ifndef WEIR_OBSERVE_METRICS_H
#define WEIR_OBSERVE_METRICS_H

#include <stdint.h>

#include "lib/base/buf.h"

enum metrics_kind {
    METRICS_COUNTER,
    METRICS_GAUGE,
    METRICS_GAUGE_TIME,    /* set in microseconds, shown in seconds */
    METRICS_HISTOGRAM,     /* of counts: 1 to 50,000 */
    METRICS_HISTOGRAM_TIME /* in microseconds, shown in seconds: 100 µs to 30 s */
};

enum {
    METRICS_MAX = 128,         /* metrics in one registry */
    METRICS_SERIES_MAX = 8192, /* series of one metric: lag has one for each partition */
    METRICS_LABELS_MAX = 4,
    METRICS_LABEL_BYTES = 128 /* longer values are cut */
};

struct metrics;
struct metric;
struct metric_series;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *metrics);

/* Adds a metric; call while starting. The texts must outlive the registry, as metrics do. `name`
 * has the prefix weir_; counters end in _total, times in _seconds. `labels` are names with a comma
 * between: "code,event", or "". Registering the same name again returns the first one. More than
 * METRICS_MAX is a programming error and aborts. */
struct metric *metrics_register(struct metrics *metrics, enum metrics_kind kind, const char *name,
                                const char *help, const char *labels);

/* The series with these label values, one `const char *` for each label in order; made on first
 * use and shown from then on, with 0 until it is updated. Any thread. Once there are
 * METRICS_SERIES_MAX, every further combination of a counter or a histogram shares one series whose
 * values are "other", and a gauge has none: NULL. weir_metrics_series_dropped_total counts both. */
#define metrics_series(metric, ...)                                                                \
    metrics_series_of(metric, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
/* Registers a metric without labels, which is one series. */
#define metrics_single(metrics, kind, name, help)                                                  \
    metrics_series(metrics_register(metrics, kind, name, help, ""))
/* `values` ends with NULL. */
struct metric_series *metrics_series_of(struct metric *metric, const char *const *values);

/* Any thread. NULL is allowed and does nothing, so that code runs without a registry in tests. */
void metrics_counter_add(struct metric_series *series, int64_t amount);
void metrics_gauge_set(struct metric_series *series, int64_t value);
/* Not shown until it is set again, because its subject is gone. */
void metrics_gauge_hide(struct metric_series *series);
/* One observation of a histogram. */
void metrics_observe(struct metric_series *series, int64_t value);

/* The current value of a counter or gauge, for tests and lines of progress. */
int64_t metrics_value(const struct metric_series *series);

/* Appends the exposition of all metrics, and of the process itself: CPU seconds, memory, open
 * files, start time, weir_build_info. Any thread. */
void metrics_write(struct metrics *metrics, struct buf *out);

/* The media type of what metrics_write writes. */
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#endif
