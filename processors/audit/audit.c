/* SPDX-License-Identifier: Apache-2.0
 *
 * First the wait for lag 0, then one snapshot: positions, tables and checks as of one moment. The
 * ends of the log are asked for after the snapshot, so a sound position can never lie beyond them.
 */
#include "processors/audit/audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/timestamp.h"
#include "processors/audit/checks.h"
#include "processors/audit/letters.h"
#include "processors/audit/positions.h"
#include "processors/audit/records.h"

enum { LIVE_MAX = 64, WAIT_STEP_MS = 200 };

struct live {
    struct processor *processor;
    int generation;
    char schema[96];
};

struct audit {
    const struct audit_request *request;
    struct audit_report *report;
    PGconn *conn;
    struct kafka_reader *reader;
    struct live live[LIVE_MAX];
    size_t live_count;
    struct audit_positions positions;
};

/* One that this build does not have is passed over, unless it was asked for. */
static int add_live(struct audit *audit, const char *name, int generation, struct error *error)
{
    struct live *live = &audit->live[audit->live_count];
    live->generation = generation;
    snprintf(live->schema, sizeof live->schema, "%s_%d", name, generation);
    if (processor_load(audit->request->assets, audit->request->catalog, name, &live->processor,
                       error) == 0) {
        audit->live_count++;
    } else if (!audit->request->processor && strcmp(error->code, "unknown-processor") == 0) {
        audit_add(audit->report, "", name, "is a processor of this build", AUDIT_SKIPPED,
                  "it is not, so it was not looked at; --home names the folder that has it");
        *error = (struct error){0};
    } else {
        return -1;
    }
    return 0;
}

static int find_live(struct audit *audit, struct error *error)
{
    const char *values[] = {audit->request->processor};
    PGresult *result = NULL;
    if (pg_query(audit->conn,
                 "SELECT processor, generation FROM weir.processor "
                 "WHERE $1::text IS NULL OR processor = $1 ORDER BY processor",
                 1, values, &result, error) != 0)
        return strcmp(error->code, "42P01") == 0
                   ? error_set(error, ERROR_USAGE, "not-migrated",
                               "this database is not migrated: run `weir migrate`")
                   : -1;
    int code = 0;
    if (PQntuples(result) == 0)
        code =
            error_set(error, ERROR_USAGE, "no-processor", "the database has no processor%s%s",
                      values[0] ? " called " : "", values[0] ? values[0] : ": run `weir migrate`");
    for (int i = 0; code == 0 && i < PQntuples(result) && i < LIVE_MAX; i++)
        code = add_live(audit, PQgetvalue(result, i, 0), (int)pg_int(result, i, 1), error);
    PQclear(result);
    return code;
}

/* Positions of the live generations with the ends of the log, partitions that nobody claimed
 * included. */
static int load_positions(struct audit *audit, struct error *error)
{
    audit_positions_free(&audit->positions);
    if (audit_positions_load(audit->conn, audit->request->processor, &audit->positions, error) != 0)
        return -1;
    for (size_t i = 0; i < audit->live_count; i++)
        for (size_t j = 0; j < audit->live[i].processor->topic_count; j++)
            audit_positions_expect(&audit->positions, audit->live[i].processor->name,
                                   audit->live[i].generation, audit->live[i].processor->topics[j]);
    return audit_positions_extents(&audit->positions, audit->reader, error);
}

/* Of one processor's live generation. */
static int64_t lag_of(const struct audit *audit, const char *name)
{
    int64_t lag = 0;
    for (size_t i = 0; i < audit->positions.count; i++) {
        const struct audit_position *row = &audit->positions.rows[i];
        if (row->live && strcmp(row->processor, name) == 0)
            lag += audit_lag(row);
    }
    return lag;
}

static int64_t sum_lag(const struct audit *audit)
{
    int64_t lag = 0;
    for (size_t i = 0; i < audit->live_count; i++)
        lag += lag_of(audit, audit->live[i].processor->name);
    return lag;
}

static int wait_for_end(struct audit *audit, struct error *error)
{
    int64_t deadline_us = monotonic_now_us() + audit->request->wait_ms * 1000;
    while (monotonic_now_us() < deadline_us) {
        if (load_positions(audit, error) != 0)
            return -1;
        if (sum_lag(audit) == 0)
            return 0;
        struct timespec pause = {.tv_nsec = WAIT_STEP_MS * 1000000};
        nanosleep(&pause, NULL);
    }
    return 0;
}

static const struct audit_halt *find_halt(const struct audit *audit, const struct live *live)
{
    for (size_t i = 0; i < audit->positions.halt_count; i++)
        if (audit->positions.halts[i].generation == live->generation &&
            strcmp(audit->positions.halts[i].processor, live->processor->name) == 0)
            return &audit->positions.halts[i];
    return NULL;
}

/* I7: between the ends of the log. */
static void check_positions(struct audit *audit, const struct live *live)
{
    static const char rule[] = "each position lies inside the log";
    size_t claimed = 0;
    for (size_t i = 0; i < audit->positions.count; i++) {
        const struct audit_position *row = &audit->positions.rows[i];
        if (!row->live || !row->position_id || strcmp(row->processor, live->processor->name) != 0)
            continue;
        claimed++;
        if (row->high < 0 || row->next_offset > row->high ||
            (row->next_offset < row->low && row->next_offset > 0)) {
            audit_add(audit->report, "I7", row->processor, rule, AUDIT_BROKEN,
                      "%s partition %d: position %" PRId64 ", but the log holds %" PRId64
                      " to %" PRId64,
                      row->topic, row->partition, row->next_offset, row->low, row->high)
                ->rows = 1;
            return;
        }
    }
    audit_add(audit->report, "I7", live->processor->name, rule, AUDIT_HOLDS, "%zu partitions",
              claimed);
}

static void check_progress(struct audit *audit, const struct live *live)
{
    const struct audit_halt *halt = find_halt(audit, live);
    int64_t lag = lag_of(audit, live->processor->name);
    const char *name = live->processor->name;
    if (halt)
        audit_add(audit->report, "", name, "is not halted", AUDIT_BROKEN, "%s: %s", halt->code,
                  halt->message);
    if (lag && audit->request->wait_ms)
        audit_add(audit->report, "I3", name, "reaches the end of the log", AUDIT_BROKEN,
                  "lag is %" PRId64 " after %.1f s", lag, (double)audit->request->wait_ms / 1000.0)
            ->rows = lag;
    else if (lag)
        audit_add(audit->report, "I3", name, "reaches the end of the log", AUDIT_SKIPPED,
                  "lag is %" PRId64 " now; --wait says how long it may take", lag);
    else
        audit_add(audit->report, "I3", name, "reaches the end of the log", AUDIT_HOLDS, "lag is 0");
}

/* The program's own rules, which --home does not replace. */
static int check_failures(struct audit *audit, const struct live *live, struct error *error)
{
    for (size_t i = 0; i < embedded_asset_count; i++)
        if (strcmp(embedded_assets[i].path, "sql/audit/failures.sql") == 0)
            return audit_checks(audit->conn, &embedded_assets[i], live->processor->name,
                                live->schema, audit->report, error);
    return error_set(error, ERROR_FATAL, "asset", "this build has no sql/audit/failures.sql");
}

static int examine(struct audit *audit, struct error *error)
{
    if (pg_run(audit->conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", error) != 0 ||
        load_positions(audit, error) != 0)
        return -1;
    for (size_t i = 0; i < audit->live_count; i++) {
        const struct live *live = &audit->live[i];
        check_progress(audit, live);
        check_positions(audit, live);
        if (audit_records(audit->request->config, audit->conn, &audit->positions, live->processor,
                          live->schema, audit->report, error) != 0 ||
            check_failures(audit, live, error) != 0 ||
            audit_letters(audit->request->config, audit->conn, live->processor->name,
                          live->generation, audit->report, error) != 0)
            return -1;
        if (live->processor->checks &&
            audit_checks(audit->conn, live->processor->checks, live->processor->name, live->schema,
                         audit->report, error) != 0)
            return -1;
    }
    if (pg_run(audit->conn, "COMMIT", error) != 0)
        return -1;
    for (size_t i = 0; i < audit->live_count; i++)
        if (audit_known(audit->request->config, audit->conn, audit->live[i].processor,
                        audit->report, error) != 0)
            return -1;
    return 0;
}

int audit_run(const struct audit_request *request, struct audit_report *report, int64_t *ret_lag,
              struct error *error)
{
    struct audit audit = {.request = request, .report = report};
    int result =
        pg_connect(config_text(request->config, OPT_DATABASE), "weir audit", &audit.conn, error);
    if (result == 0)
        result = find_live(&audit, error);
    if (result == 0)
        result = kafka_reader_open(request->config, &audit.reader, error);
    if (result == 0)
        result = wait_for_end(&audit, error);
    if (result == 0)
        result = examine(&audit, error);
    *ret_lag = sum_lag(&audit);
    audit_positions_free(&audit.positions);
    for (size_t i = 0; i < audit.live_count; i++)
        processor_free(audit.live[i].processor);
    kafka_reader_free(audit.reader);
    PQfinish(audit.conn);
    return result;
}
