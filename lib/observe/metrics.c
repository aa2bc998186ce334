/* SPDX-License-Identifier: Apache-2.0
 *
 * The registry owns metrics, a metric owns its series in a list that only grows at its head, so
 * that readers walk it without the lock. Each value is one atomic integer; a histogram has one per
 * bucket (not cumulative until it is written) and a sum. */
#include "lib/observe/metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/observe/process.h"

enum { SECOND_US = 1000000 };

static const int64_t latency_buckets[] = {100,     250,     500,     1000,     2500,    5000,
                                          10000,   25000,   50000,   100000,   250000,  500000,
                                          1000000, 2500000, 5000000, 10000000, 30000000};

static const int64_t count_buckets[] = {1,   2,    5,    10,   20,    50,    100,  200,
                                        500, 1000, 2000, 5000, 10000, 20000, 50000};

static const struct kind {
    const char *name;
    const int64_t *bounds;
    size_t bound_count;
    int is_time;
} kinds[] = {[METRICS_COUNTER] = {.name = "counter"},
             [METRICS_GAUGE] = {.name = "gauge"},
             [METRICS_GAUGE_TIME] = {.name = "gauge", .is_time = 1},
             [METRICS_HISTOGRAM] = {"histogram", count_buckets,
                                    sizeof count_buckets / sizeof *count_buckets, 0},
             [METRICS_HISTOGRAM_TIME] = {"histogram", latency_buckets,
                                         sizeof latency_buckets / sizeof *latency_buckets, 1}};

struct metric_series {
    struct metric_series *next;
    struct metric *metric;
    char values[METRICS_LABELS_MAX][METRICS_LABEL_BYTES];
    atomic_int hidden;
    _Atomic int64_t value;     /* a histogram's sum */
    _Atomic int64_t buckets[]; /* bound_count and one for +Inf */
};

struct metric {
    const struct kind *kind;
    const char *name;
    const char *help;
    struct metric_series *dropped; /* where overflow is counted */
    char labels[METRICS_LABELS_MAX][METRICS_LABEL_BYTES];
    size_t label_count;
    pthread_mutex_t lock; /* of adding series */
    _Atomic(struct metric_series *) series;
    size_t series_count;
};

struct metrics {
    pthread_mutex_t lock; /* of adding metrics */
    struct metric *items[METRICS_MAX];
    _Atomic size_t count;
    struct metric_series *dropped;
};

struct metrics *metrics_new(void)
{
    struct metrics *metrics = xcalloc(1, sizeof *metrics);
    pthread_mutex_init(&metrics->lock, NULL);
    metrics->dropped = metrics_single(
        metrics, METRICS_COUNTER, "weir_metrics_series_dropped_total",
        "Look-ups of label values that got no series of their own: there are too many.");
    return metrics;
}

void metrics_free(struct metrics *metrics)
{
    if (!metrics)
        return;
    for (size_t i = 0; i < metrics->count; i++) {
        struct metric *metric = metrics->items[i];
        for (struct metric_series *series = metric->series, *next; series; series = next) {
            next = series->next;
            free(series);
        }
        pthread_mutex_destroy(&metric->lock);
        free(metric);
    }
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

static struct metric *metric_new(enum metrics_kind kind, const char *name, const char *help,
                                 const char *labels)
{
    struct metric *metric = xcalloc(1, sizeof *metric);
    metric->kind = &kinds[kind];
    metric->name = name;
    metric->help = help;
    pthread_mutex_init(&metric->lock, NULL);
    while (*labels && metric->label_count < METRICS_LABELS_MAX) {
        size_t size = strcspn(labels, ",");
        snprintf(metric->labels[metric->label_count++], METRICS_LABEL_BYTES, "%.*s", (int)size,
                 labels);
        labels += size + (labels[size] == ',');
    }
    return metric;
}

struct metric *metrics_register(struct metrics *metrics, enum metrics_kind kind, const char *name,
                                const char *help, const char *labels)
{
    if (!metrics)
        return NULL;
    struct metric *found = NULL;
    pthread_mutex_lock(&metrics->lock);
    size_t count = metrics->count;
    for (size_t i = 0; i < count && !found; i++)
        if (strcmp(metrics->items[i]->name, name) == 0)
            found = metrics->items[i];
    if (!found) {
        if (count == METRICS_MAX)
            abort();
        found = metrics->items[count] = metric_new(kind, name, help, labels);
        found->dropped = metrics->dropped;
        atomic_store_explicit(&metrics->count, count + 1, memory_order_release);
    }
    pthread_mutex_unlock(&metrics->lock);
    if (found->label_count == 0)
        metrics_series_of(found, (const char *const[]){NULL});
    return found;
}

static struct metric_series *find_series(struct metric *metric, const char *const *values)
{
    struct metric_series *series = atomic_load_explicit(&metric->series, memory_order_acquire);
    for (; series; series = series->next) {
        size_t same = 0;
        while (same < metric->label_count &&
               strncmp(series->values[same], values[same], METRICS_LABEL_BYTES - 1) == 0)
            same++;
        if (same == metric->label_count)
            return series;
    }
    return NULL;
}

static struct metric_series *add_series(struct metric *metric, const char *const *values)
{
    struct metric_series *series =
        xcalloc(1, sizeof *series + (metric->kind->bound_count + 1) * sizeof series->buckets[0]);
    series->metric = metric;
    for (size_t i = 0; i < metric->label_count; i++)
        snprintf(series->values[i], METRICS_LABEL_BYTES, "%s", values[i]);
    series->next = metric->series;
    metric->series_count++;
    atomic_store_explicit(&metric->series, series, memory_order_release);
    return series;
}

/* What combinations share that find no room. Sums may be added up; values of a gauge may not. */
static struct metric_series *overflow_series(struct metric *metric)
{
    static const char *const other[METRICS_LABELS_MAX] = {"other", "other", "other", "other"};
    if (metric->kind == &kinds[METRICS_GAUGE] || metric->kind == &kinds[METRICS_GAUGE_TIME])
        return NULL;
    struct metric_series *series = find_series(metric, other);
    return series ? series : add_series(metric, other);
}

struct metric_series *metrics_series_of(struct metric *metric, const char *const *values)
{
    const char *padded[METRICS_LABELS_MAX] = {"", "", "", ""};
    if (!metric)
        return NULL;
    for (size_t i = 0; i < metric->label_count && values[i]; i++)
        padded[i] = values[i];
    struct metric_series *series = find_series(metric, padded);
    if (series)
        return series;
    pthread_mutex_lock(&metric->lock);
    series = find_series(metric, padded);
    int overflows = !series && metric->series_count >= METRICS_SERIES_MAX;
    if (overflows)
        series = overflow_series(metric);
    else if (!series)
        series = add_series(metric, padded);
    pthread_mutex_unlock(&metric->lock);
    if (overflows)
        metrics_counter_add(metric->dropped, 1);
    return series;
}

static void add(_Atomic int64_t *value, int64_t amount)
{
    atomic_fetch_add_explicit(value, amount, memory_order_relaxed);
}

void metrics_counter_add(struct metric_series *series, int64_t amount)
{
    if (series && amount > 0)
        add(&series->value, amount);
}

void metrics_gauge_set(struct metric_series *series, int64_t value)
{
    if (!series)
        return;
    atomic_store_explicit(&series->value, value, memory_order_relaxed);
    atomic_store_explicit(&series->hidden, 0, memory_order_release);
}

void metrics_gauge_hide(struct metric_series *series)
{
    if (series)
        atomic_store_explicit(&series->hidden, 1, memory_order_release);
}

void metrics_observe(struct metric_series *series, int64_t value)
{
    if (!series)
        return;
    const struct metric *metric = series->metric;
    size_t bucket = 0;
    while (bucket < metric->kind->bound_count && value > metric->kind->bounds[bucket])
        bucket++;
    add(&series->buckets[bucket], 1);
    add(&series->value, value);
}

int64_t metrics_value(const struct metric_series *series)
{
    return series ? atomic_load_explicit(&series->value, memory_order_relaxed) : 0;
}

static void put_escaped(struct buf *out, const char *text, int quote)
{
    for (; *text; text++) {
        if (*text == '\n')
            buf_put_text(out, "\\n");
        else if (*text == '\\' || (quote && *text == '"'))
            buf_printf(out, "\\%c", *text);
        else
            buf_put(out, text, 1);
    }
}

/* `bound` is the value of a bucket's label "le", or NULL. */
static void put_name(struct buf *out, const struct metric_series *series, const char *suffix,
                     const char *bound)
{
    const struct metric *metric = series->metric;
    buf_put_text(out, metric->name);
    buf_put_text(out, suffix);
    const char *open = "{";
    for (size_t i = 0; i < metric->label_count; i++) {
        buf_printf(out, "%s%s=\"", open, metric->labels[i]);
        put_escaped(out, series->values[i], 1);
        buf_put_text(out, "\"");
        open = ",";
    }
    if (bound)
        buf_printf(out, "%sle=\"%s\"", open, bound);
    buf_put_text(out, metric->label_count || bound ? "} " : " ");
}

static void format_value(const struct metric *metric, int64_t value, char ret_text[32])
{
    if (metric->kind->is_time)
        snprintf(ret_text, 32, "%.15g", (double)value / SECOND_US);
    else
        snprintf(ret_text, 32, "%" PRId64, value);
}

static void put_histogram(struct buf *out, const struct metric_series *series)
{
    const struct metric *metric = series->metric;
    char text[32];
    int64_t count = 0;
    for (size_t i = 0; i <= metric->kind->bound_count; i++) {
        count += atomic_load_explicit(&series->buckets[i], memory_order_relaxed);
        if (i < metric->kind->bound_count)
            format_value(metric, metric->kind->bounds[i], text);
        put_name(out, series, "_bucket", i < metric->kind->bound_count ? text : "+Inf");
        buf_printf(out, "%" PRId64 "\n", count);
    }
    format_value(metric, metrics_value(series), text);
    put_name(out, series, "_sum", NULL);
    buf_printf(out, "%s\n", text);
    put_name(out, series, "_count", NULL);
    buf_printf(out, "%" PRId64 "\n", count);
}

static void put_metric(struct buf *out, struct metric *metric)
{
    struct metric_series *series = atomic_load_explicit(&metric->series, memory_order_acquire);
    if (!series)
        return;
    buf_printf(out, "# HELP %s ", metric->name);
    put_escaped(out, metric->help, 0);
    buf_printf(out, "\n# TYPE %s %s\n", metric->name, metric->kind->name);
    for (; series; series = series->next) {
        char text[32];
        if (atomic_load_explicit(&series->hidden, memory_order_acquire))
            continue;
        if (metric->kind->bounds) {
            put_histogram(out, series);
            continue;
        }
        format_value(metric, metrics_value(series), text);
        put_name(out, series, "", NULL);
        buf_printf(out, "%s\n", text);
    }
}

void metrics_write(struct metrics *metrics, struct buf *out)
{
    size_t count = atomic_load_explicit(&metrics->count, memory_order_acquire);
    for (size_t i = 0; i < count; i++)
        put_metric(out, metrics->items[i]);
    process_write_metrics(out);
}
