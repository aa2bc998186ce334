/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts come from the sums in weir.parked_space and from partial indexes, never from the parked
 * events themselves, of which there may be a million. */
#include "processors/outbox/depth.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/timestamp.h"
#include "processors/outbox/rows.h"

enum { MEASURE_EVERY_MS = 5000, MEASURE_SHARE = 20 };
#define STOPPED_MAX_TEXT "64"
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

static const char stopped_sql[] =
    "SELECT s.processor, s.how, coalesce(s.topic, ''), coalesce(s.kafka_partition::text, ''), "
    "       coalesce(s.kafka_offset, -1), (extract(epoch FROM s.since) * 1e6)::bigint "
    "FROM weir.stopped AS s JOIN weir.processor AS live USING (processor, generation) "
    "WHERE s.processor = ANY ($1::text[]) ORDER BY s.since LIMIT " STOPPED_MAX_TEXT;

static const char processors_sql[] =
    "SELECT n.number, coalesce(parked.events, 0), coalesce(parked.spaces, 0), "
    "       coalesce(extract(epoch FROM clock_timestamp() - parked.oldest) * 1e6, 0)::bigint, "
    "       coalesce(letters.open, 0), "
    "       coalesce(extract(epoch FROM clock_timestamp() - letters.oldest) * 1e6, 0)::bigint "
    "FROM unnest($1::text[]) WITH ORDINALITY AS n (processor, number) "
    "JOIN weir.processor AS live USING (processor) "
    "CROSS JOIN LATERAL ("
    "    SELECT sum(s.events)::bigint AS events, count(*) AS spaces, min(head.parked_at) AS oldest "
    "    FROM weir.position AS p JOIN weir.parked_space AS s USING (position_id) "
    "    LEFT JOIN LATERAL ("
    "        SELECT e.parked_at FROM weir.parked AS e "
    "        WHERE e.position_id = s.position_id AND e.space_id = s.space_id "
    "        ORDER BY e.kafka_offset LIMIT 1) AS head ON true "
    "    WHERE p.processor = n.processor AND p.generation = live.generation) AS parked "
    "CROSS JOIN LATERAL ("
    "    SELECT count(*) AS open, min(d.recorded_at) AS oldest "
    "    FROM weir.position AS p JOIN weir.dead_letter AS d USING (position_id) "
    "    WHERE p.processor = n.processor AND p.generation = live.generation "
    "      AND d.state = 'open') AS letters";

static const char outbox_sql[] =
    "SELECT count(*), "
    "       coalesce(extract(epoch FROM clock_timestamp() - min(created_at)) * 1e6, 0)::bigint "
    "FROM weir.outbox";

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
    const char *values[] = {depth->names};
    PGresult *processors = NULL;
    PGresult *outbox = NULL;
    PGresult *stopped = NULL;
    if (start_us < depth->due_us)
        return 0;
    int code = pg_query(conn, processors_sql, 1, values, &processors, error);
    if (code == 0)
        code = pg_query(conn, outbox_sql, 0, NULL, &outbox, error);
    if (code == 0)
        code = pg_query(conn, stopped_sql, 1, values, &stopped, error);
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
