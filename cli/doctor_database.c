/* SPDX-License-Identifier: Apache-2.0
 *
 * What `weir doctor` finds out about Postgres: version, encoding, clock, migrations, roles, halted
 * processors. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/doctor.h"
#include "cli/stopped.h"
#include "lib/base/asset.h"
#include "lib/base/timestamp.h"
#include "lib/pg/migrate.h"
#include "lib/pg/statement.h"
#include "processors/definition/install.h"
#include "processors/definition/processor.h"
#include "processors/definition/source.h"

enum { VERSION_LOWEST = 150000, CONNECTIONS_WANTED = 20 };
static const int64_t CLOCK_WARN_US = 2 * INT64_C(1000000);

/* One value as text, "" for NULL and for no row; -1 when the query fails. */
static int one_value(PGconn *conn, const char *sql, char *ret_text, size_t size)
{
    PGresult *result = PQexec(conn, sql);
    int good = PQresultStatus(result) == PGRES_TUPLES_OK;
    snprintf(ret_text, size, "%s", good && PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return good ? 0 : -1;
}

static void examine_server(PGconn *conn, struct report *report)
{
    char encoding[64];
    char version[64];
    int number = PQserverVersion(conn);
    one_value(conn, "SHOW server_version", version, sizeof version);
    if (number < VERSION_LOWEST)
        report_add(report, FINDING_FAIL, "postgres", "use PostgreSQL 15 or newer",
                   "version %s is too old", version);
    else
        report_add(report, FINDING_OK, "postgres", NULL, "version %s, database %s at %s:%s as %s",
                   version, PQdb(conn), PQhost(conn), PQport(conn), PQuser(conn));
    one_value(conn, "SHOW server_encoding", encoding, sizeof encoding);
    if (strcmp(encoding, "UTF8") != 0)
        report_add(report, FINDING_FAIL, "postgres encoding",
                   "create the database with ENCODING 'UTF8' TEMPLATE template0",
                   "is %s: events hold characters that it cannot store", encoding);
    if (one_value(conn, "SELECT 1 WHERE pg_is_in_recovery()", encoding, sizeof encoding) == 0 &&
        *encoding)
        report_add(report, FINDING_FAIL, "postgres", "point --database at the primary",
                   "this server is a read-only standby");
    if (one_value(conn, "SHOW fsync", encoding, sizeof encoding) == 0 &&
        strcmp(encoding, "on") != 0)
        report_add(report, FINDING_FAIL, "postgres fsync",
                   "turn it on: a crash can destroy the database", "fsync is %s", encoding);
}

static void examine_clock(PGconn *conn, struct report *report)
{
    char text[32];
    int64_t before = timestamp_now_us();
    if (one_value(conn, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint", text,
                  sizeof text) != 0)
        return;
    int64_t after = timestamp_now_us();
    int64_t theirs = strtoll(text, NULL, 10);
    int64_t apart = theirs < before ? before - theirs : theirs > after ? theirs - after : 0;
    if (apart > CLOCK_WARN_US)
        report_add(report, FINDING_WARN, "postgres clock", "run an NTP client on both machines",
                   "is %.1f s from this machine's", (double)apart / 1e6);
}

static void examine_room(PGconn *conn, struct report *report)
{
    char text[64];
    if (one_value(conn, statement("free_connections"), text, sizeof text) == 0 &&
        strtol(text, NULL, 10) < CONNECTIONS_WANTED)
        report_add(report, FINDING_WARN, "postgres connections", "raise max_connections",
                   "only %s are free", text);
    if (one_value(conn, "SELECT pg_size_pretty(pg_database_size(current_database()))", text,
                  sizeof text) == 0)
        report_add(report, FINDING_OK, "postgres size", NULL, "the database takes %s", text);
}

/* A batch is one statement whose parameters are thousands of rows. Postgres makes text of all of
 * them before it shortens it, which costs several times what applying them does. */
static void examine_logging(PGconn *conn, struct report *report)
{
    char text[256];
    if (one_value(conn, statement("parameter_logging"), text, sizeof text) == 0 && *text)
        report_add(report, FINDING_WARN, "postgres log",
                   "for Weir's login set log_parameter_max_length and "
                   "log_parameter_max_length_on_error to 0 (ALTER ROLE ... SET)",
                   "the server logs parameters, which are whole batches of events: %s", text);
}

static void examine_roles(PGconn *conn, struct report *report)
{
    static const char *const roles[] = {"weir_processor", "weir_reader"};
    for (size_t i = 0; i < 2; i++) {
        const char *values[] = {roles[i]};
        PGresult *result = PQexecParams(conn, "SELECT 1 FROM pg_roles WHERE rolname = $1", 1, NULL,
                                        values, NULL, NULL, 0);
        if (PQntuples(result) == 0)
            report_add(report, FINDING_FAIL, "postgres roles", "`weir migrate` makes it",
                       "the role %s is missing", roles[i]);
        PQclear(result);
    }
}

/* Logins of analysts: one without timeouts can hold up a rebuild, one that writes is no reader. */
static void examine_readers(PGconn *conn, struct report *report)
{
    PGresult *result = PQexec(conn, "SELECT login, writes, array_to_string(unlimited, ', ') "
                                    "FROM weir.reader ORDER BY login");
    int bad = 0;
    for (int i = 0; i < PQntuples(result); i++) {
        const char *login = PQgetvalue(result, i, 0);
        int writes = *PQgetvalue(result, i, 1) == 't';
        const char *unlimited = PQgetvalue(result, i, 2);
        if (writes)
            report_add(report, FINDING_WARN, "postgres readers", "make a role of its own for it",
                       "%s reads for analysis, but may write", login);
        else if (*unlimited)
            report_add(report, FINDING_WARN, "postgres readers",
                       "SELECT weir.limit_reader('LOGIN') sets its timeouts", "%s has no %s", login,
                       unlimited);
        bad += writes || *unlimited;
    }
    if (PQntuples(result) > 0 && bad == 0)
        report_add(report, FINDING_OK, "postgres readers", NULL, "%d, each with timeouts",
                   PQntuples(result));
    PQclear(result);
    char text[8];
    if (one_value(conn,
                  "SELECT 1 FROM pg_namespace WHERE nspname = 'public' AND "
                  "has_schema_privilege('weir_reader', oid, 'CREATE')",
                  text, sizeof text) == 0 &&
        *text)
        report_add(report, FINDING_WARN, "postgres readers",
                   "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
                   "every role may create tables in the schema public");
}

static void examine_stopped(PGconn *conn, struct report *report)
{
    PGresult *rows = NULL;
    if (stopped_load(conn, &rows, NULL) != 0)
        return;
    for (int i = 0; i < PQntuples(rows); i++) {
        struct buf text = {0};
        int halted = strcmp(PQgetvalue(rows, i, STOPPED_HOW), "halted") == 0;
        stopped_describe(rows, i, &text);
        report_add(report, FINDING_FAIL, halted ? "halted processor" : "waiting partition",
                   halted
                       ? "correct the cause, then `weir processor resume NAME`; a record that is "
                         "the cause: `weir processor skip NAME PLACE`"
                       : "deploy and migrate the build that has the schema, or `weir processor "
                         "skip NAME PLACE`",
                   "%s %s", PQgetvalue(rows, i, STOPPED_PROCESSOR), buf_text(&text));
        buf_free(&text);
    }
    PQclear(rows);
}

/* Returns whether the control schema is there. */
static int examine_migrations(PGconn *conn, const struct assets *assets, struct report *report)
{
    static const char subject[] = "migrations";
    static const char remedy[] = "`weir migrate` runs them";
    struct error error = {0};
    char text[64];
    size_t done = 0;
    size_t missing = 0;
    one_value(conn, "SELECT to_regclass('weir.migration')", text, sizeof text);
    if (!*text)
        report_add(report, FINDING_FAIL, subject, remedy, "all are missing");
    else if (migrate_compare(conn, assets, &done, &missing, &error) != 0)
        report_add(report, FINDING_FAIL, subject, NULL, "%s", error.message);
    else if (missing)
        report_add(report, FINDING_FAIL, subject, remedy, "%zu of %zu are missing", missing,
                   done + missing);
    else
        report_add(report, FINDING_OK, subject, NULL, "all %zu are there", done);
    return *text && done > 0 && missing == 0;
}

struct search {
    PGconn *conn;
    const struct assets *assets;
    const struct catalog *catalog;
    struct report *report;
};

/* Whether the database has the tables and the procedure of this build's version of the processor.
 */
static int examine_processor(const char *name, void *context)
{
    struct search *search = context;
    struct error error = {0};
    struct processor *processor = NULL;
    struct installed installed;
    char subject[sizeof search->report->items->subject];
    snprintf(subject, sizeof subject, "processor %s", name);
    if (processor_load(search->assets, search->catalog, name, &processor, &error) != 0)
        report_add(search->report, FINDING_FAIL, subject, "correct the file", "%s", error.message);
    else if (install_find(search->conn, processor, &installed, &error) != 0)
        report_add(search->report, FINDING_FAIL, subject,
                   "`weir migrate` brings the database up to this build", "%s", error.message);
    else
        report_add(search->report, FINDING_OK, subject, NULL, "version %d, generation %d",
                   processor->version, installed.generation);
    processor_free(processor);
    return 0;
}

/* Whether this program takes schema ids from where the database's come from. */
static void examine_source(PGconn *conn, const char *url, struct report *report)
{
    struct error error = {0};
    if (source_check(conn, url, &error) != 0)
        report_add(report, FINDING_FAIL, "schema ids", "set --schema-registry-url as it says", "%s",
                   error.message);
    else
        report_add(report, FINDING_OK, "schema ids", NULL, "come from %s",
                   *url ? url : "schemas/catalog.lock");
}

void doctor_database(const struct config *config, struct report *report)
{
    struct error error = {0};
    struct assets *assets = NULL;
    struct catalog *catalog = NULL;
    struct search search = {.report = report};
    if (pg_connect(config_text(config, OPT_DATABASE), "weir doctor", &search.conn, &error) != 0) {
        report_add(report, FINDING_FAIL, "postgres",
                   "start it (`./dev services up` in a checkout), or correct --database", "%s",
                   error.message);
        return;
    }
    examine_server(search.conn, report);
    examine_clock(search.conn, report);
    examine_room(search.conn, report);
    examine_logging(search.conn, report);
    if (assets_open(config_text(config, OPT_HOME), &assets, NULL) == 0 &&
        catalog_open(assets, &catalog, NULL) == 0 &&
        examine_migrations(search.conn, assets, report)) {
        examine_source(search.conn, config_text(config, OPT_SCHEMA_REGISTRY_URL), report);
        search.assets = assets;
        search.catalog = catalog;
        examine_roles(search.conn, report);
        examine_readers(search.conn, report);
        processor_each(assets, examine_processor, &search);
        examine_stopped(search.conn, report);
    }
    catalog_free(catalog);
    assets_free(assets);
    PQfinish(search.conn);
}
