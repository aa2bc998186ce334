/* SPDX-License-Identifier: Apache-2.0
 *
 * The metrics' text format as Prometheus reads it, updates from several threads, and health. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/observe/health.h"
#include "lib/observe/metrics.h"

static void assert_has(const struct buf *out, const char *text)
{
    if (!memmem(out->data, out->size, text, strlen(text)))
        fail_msg("missing \"%s\" in:\n%.*s", text, (int)out->size, out->data);
}

static void exposition(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new();
    struct metric *requests =
        metrics_register(metrics, METRICS_COUNTER, "weir_requests_total", "Answers.", "code,event");
    struct metric *lag =
        metrics_register(metrics, METRICS_GAUGE_TIME, "weir_lag_seconds", "Behind.", "");
    struct metric *time =
        metrics_register(metrics, METRICS_HISTOGRAM_TIME, "weir_time_seconds", "Spent.", "");
    assert_ptr_equal(
        metrics_register(metrics, METRICS_COUNTER, "weir_requests_total", "Answers.", "code,event"),
        requests);
    metrics_counter_add(metrics_series(requests, "202", "Tip\"ped"), 3);
    metrics_counter_add(metrics_series(requests, "202", "Tip\"ped"), 1);
    metrics_gauge_set(metrics_series(lag), 1500000);
    metrics_observe(metrics_series(time), 99);
    metrics_observe(metrics_series(time), 100);
    metrics_observe(metrics_series(time), 101);
    metrics_observe(metrics_series(time), 60000000);
    struct buf out = {0};
    metrics_write(metrics, &out);
    assert_has(&out, "# HELP weir_requests_total Answers.\n# TYPE weir_requests_total counter\n");
    assert_has(&out, "weir_requests_total{code=\"202\",event=\"Tip\\\"ped\"} 4\n");
    assert_has(&out, "weir_lag_seconds 1.5\n");
    assert_has(&out, "weir_time_seconds_bucket{le=\"0.0001\"} 2\n");
    assert_has(&out, "weir_time_seconds_bucket{le=\"0.00025\"} 3\n");
    assert_has(&out, "weir_time_seconds_bucket{le=\"30\"} 3\n");
    assert_has(&out, "weir_time_seconds_bucket{le=\"+Inf\"} 4\n");
    assert_has(&out, "weir_time_seconds_sum 60.0003\nweir_time_seconds_count 4\n");
    assert_has(&out, "process_cpu_seconds_total ");
    assert_has(&out, "weir_build_info{version=");
    buf_free(&out);
    metrics_free(metrics);
}

static void too_many_series_are_counted(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new();
    struct metric *metric =
        metrics_register(metrics, METRICS_COUNTER, "weir_many_total", "Many.", "name");
    struct metric *level = metrics_register(metrics, METRICS_GAUGE, "weir_many", "Many.", "name");
    struct metric_series *last = NULL;
    struct buf out = {0};
    for (int i = 0; i < METRICS_SERIES_MAX + 10; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        last = metrics_series(metric, name);
        metrics_counter_add(last, 1);
        metrics_gauge_set(metrics_series(level, name), i);
    }
    assert_ptr_equal(last, metrics_series(metric, "other"));
    assert_int_equal(metrics_value(last), 10);
    metrics_write(metrics, &out);
    assert_has(&out, "weir_metrics_series_dropped_total 20\n");
    assert_has(&out, "weir_many{name=\"8191\"} 8191\n");
    assert_null(strstr(buf_text(&out), "weir_many{name=\"other\"}")); /* of which? */
    buf_free(&out);
    metrics_free(metrics);
}

static void what_is_gone_is_not_shown(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new();
    struct metric *metric =
        metrics_register(metrics, METRICS_GAUGE, "weir_level", "Level.", "place");
    struct buf out = {0};
    metrics_gauge_set(metrics_series(metric, "here"), 1);
    metrics_gauge_set(metrics_series(metric, "there"), 2);
    metrics_gauge_hide(metrics_series(metric, "there"));
    metrics_write(metrics, &out);
    assert_has(&out, "weir_level{place=\"here\"} 1\n");
    assert_null(strstr(buf_text(&out), "place=\"there\""));
    buf_reset(&out);
    metrics_gauge_set(metrics_series(metric, "there"), 0);
    metrics_write(metrics, &out);
    assert_has(&out, "weir_level{place=\"there\"} 0\n");
    buf_free(&out);
    metrics_free(metrics);
}

enum { THREADS = 4, ROUNDS = 20000 };

static void *count(void *metric)
{
    for (int i = 0; i < ROUNDS; i++)
        metrics_counter_add(metrics_series(metric, i % 2 ? "odd" : "even"), 1);
    return NULL;
}

static void threads_count_together(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new();
    struct metric *metric =
        metrics_register(metrics, METRICS_COUNTER, "weir_both_total", "Both.", "parity");
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, count, metric);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(metrics_value(metrics_series(metric, "odd")), THREADS * ROUNDS / 2);
    assert_int_equal(metrics_value(metrics_series(metric, "even")), THREADS * ROUNDS / 2);
    metrics_free(metrics);
}

static void health(void **state)
{
    (void)state;
    struct health *health = health_new();
    struct buf out = {0};
    assert_false(health_ready(health));
    assert_true(health_set(health, "kafka", 1, NULL));
    assert_false(health_set(health, "kafka", 1, NULL));
    assert_true(health_ready(health));
    assert_true(health_set(health, "postgres", 0, "no connection"));
    assert_false(health_ready(health));
    health_write(health, 0, &out);
    buf_put_u8(&out, 0);
    assert_string_equal(out.data, "[-]postgres failed: no connection\nnot ready\n");
    health_set(health, "postgres", 1, NULL);
    buf_reset(&out);
    health_write(health, 1, &out);
    buf_put_u8(&out, 0);
    assert_string_equal(out.data, "[+]kafka ok\n[+]postgres ok\nready\n");
    buf_free(&out);
    health_free(health);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exposition),
        cmocka_unit_test(too_many_series_are_counted),
        cmocka_unit_test(what_is_gone_is_not_shown),
        cmocka_unit_test(threads_count_together),
        cmocka_unit_test(health),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
