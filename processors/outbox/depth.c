/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/outbox/depth.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/timestamp.h"
#include "lib/pg/statement.h"
#include "processors/outbox/rows.h"

enum { MEASURE_EVERY_MS = 5000, MEASURE_SHARE = 20 };
enum { STOPPED_MAX = 64 }; /* places shown at a time, the oldest first */

enum {
    PARKED_EVENTS,
    PARKED_SPACES,
    PARKED_OLDEST,
    LETTERS_OPEN,
    LETTERS_OLDEST,
    GAUGES /* of each processor, in the order of the query's columns */
};

static const struct gauge {
    const char *name;
    const char *help;
    enum metrics_kind kind;
} gauges[GAUGES] = {
    [PARKED_EVENTS] = {"weir_processor_parked_events",
                       "Events that wait behind one that failed, and that one.", METRICS_GAUGE},
    [PARKED_SPACES] = {"weir_processor_parked_spaces", "Spaces held back in a topic.",
                       METRICS_GAUGE},
    [PARKED_OLDEST] = {"weir_processor_parked_oldest_seconds",
                       "How long the first event of a Space has been parked, at most.",
                       METRICS_GAUGE_TIME},
    [LETTERS_OPEN] = {"weir_processor_dead_letters_open",
                      "Dead letters that nobody has decided about.", METRICS_GAUGE},
    [LETTERS_OLDEST] = {"weir_processor_dead_letter_oldest_seconds", "Age of the oldest of them.",
                        METRICS_GAUGE_TIME},
};

/* The gauges of one place. */
struct stopped {
    struct metric_series *offset, *since;
};

struct depth {
    char *names; /* the processors, as a parameter */
    size_t count;
    struct metric_series **gauges; /* GAUGES of the first processor, then of the next */
    struct metric_series *records, *oldest;
    struct metric *stopped_offset, *stopped_since;
    struct stopped stopped[STOPPED_MAX]; /* as shown now */
    int stopped_count;
    int64_t due_us;
};

struct depth *depth_new(struct metrics *metrics, const char *const *processors, size_t count)
{
    struct depth *depth = xcalloc(1, sizeof *depth);
    struct buf names = {0};
    outbox_put_texts(&names, processors, count);
    depth->names = names.data;
    depth->count = count;
    depth->gauges = xcalloc(count * GAUGES + 1, sizeof(struct metric_series *));
    if (!metrics)
        return depth;
    for (size_t i = 0; i < count * GAUGES; i++) {
        const struct gauge *gauge = &gauges[i % GAUGES];
        depth->gauges[i] = metrics_series(
            metrics_register(metrics, gauge->kind, gauge->name, gauge->help, "processor"),
            processors[i / GAUGES]);
    }
    depth->records =
        metrics_single(metrics, METRICS_GAUGE, "weir_outbox_records",
                       "Records that are committed and not yet published, of all processors.");
    depth->oldest = metrics_single(metrics, METRICS_GAUGE_TIME, "weir_outbox_oldest_seconds",
                                   "Age of the oldest of them.");
    depth->stopped_offset = metrics_register(
        metrics, METRICS_GAUGE, "weir_processor_stopped_offset",
        "Offset of the record at which a partition waits or the processor has halted.",
        "processor,how,topic,partition");
    depth->stopped_since = metrics_register(
        metrics, METRICS_GAUGE_TIME, "weir_processor_stopped_since_timestamp_seconds",
        "Since when, in seconds since 1970.", "processor,how,topic,partition");
    return depth;
}

void depth_free(struct depth *depth)
{
    if (!depth)
        return;
    free(depth->names);
    free(depth->gauges);
    free(depth);
}

static int is_among(const struct stopped *list, int count, const struct stopped *wanted)
{
    for (int i = 0; i < count; i++)
        if (list[i].offset == wanted->offset)
            return 1;
    return 0;
}

/* Shows the places of these rows, and that those before are none any more. */
static void show_stopped(struct depth *depth, const PGresult *rows)
{
    struct stopped before[STOPPED_MAX];
    int count = depth->stopped_count;
    if (!depth->stopped_offset)
        return;
    memcpy(before, depth->stopped, sizeof before);
    depth->stopped_count = PQntuples(rows);
    for (int i = 0; i < depth->stopped_count; i++) {
        const char *const labels[] = {PQgetvalue(rows, i, 0), PQgetvalue(rows, i, 1),
                                      PQgetvalue(rows, i, 2), PQgetvalue(rows, i, 3), NULL};
        struct stopped *stopped = &depth->stopped[i];
        stopped->offset = metrics_series_of(depth->stopped_offset, labels);
        stopped->since = metrics_series_of(depth->stopped_since, labels);
        metrics_gauge_set(stopped->offset, pg_int(rows, i, 4));
        metrics_gauge_set(stopped->since, pg_int(rows, i, 5));
    }
    for (int i = 0; i < count; i++) {
        if (is_among(depth->stopped, depth->stopped_count, &before[i]))
            continue;
        metrics_gauge_hide(before[i].offset);
        metrics_gauge_hide(before[i].since);
    }
}

int depth_measure(struct depth *depth, PGconn *conn, struct error *error)
{
    int64_t start_us = monotonic_now_us();
    const char *values[] = {depth->names, PG_NUMBER(STOPPED_MAX)};
    PGresult *processors = NULL;
    PGresult *outbox = NULL;
    PGresult *stopped = NULL;
    if (start_us < depth->due_us)
        return 0;
    int code = pg_query(conn, statement("failures_depth"), 1, values, &processors, error);
    if (code == 0)
        code = pg_query(conn, statement("outbox_depth"), 0, NULL, &outbox, error);
    if (code == 0)
        code = pg_query(conn, statement("stopped_places"), 2, values, &stopped, error);
    for (int i = 0; code == 0 && i < PQntuples(processors); i++) {
        size_t first = (size_t)(pg_int(processors, i, 0) - 1) * GAUGES;
        for (int j = 0; j < GAUGES; j++)
            metrics_gauge_set(depth->gauges[first + (size_t)j], pg_int(processors, i, j + 1));
    }
    if (code == 0) {
        metrics_gauge_set(depth->records, pg_int(outbox, 0, 0));
        metrics_gauge_set(depth->oldest, pg_int(outbox, 0, 1));
        show_stopped(depth, stopped);
    }
    PQclear(processors);
    PQclear(outbox);
    PQclear(stopped);
    int64_t end_us = monotonic_now_us();
    int64_t pause_us = (end_us - start_us) * MEASURE_SHARE;
    depth->due_us =
        end_us + (pause_us > MEASURE_EVERY_MS * 1000 ? pause_us : MEASURE_EVERY_MS * 1000);
    return code;
}
