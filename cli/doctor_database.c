/* SPDX-License-Identifier: Apache-2.0
 *
 * What `weir doctor` finds out about Postgres: version, encoding, clock, migrations, roles, halted
 * processors. */
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/doctor.h"
#include "lib/base/asset.h"
#include "lib/base/timestamp.h"

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
    if (one_value(
            conn,
            "SELECT current_setting('max_connections')::int"
            " - current_setting('superuser_reserved_connections')::int"
            " - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')",
            text, sizeof text) == 0 &&
        strtol(text, NULL, 10) < CONNECTIONS_WANTED)
        report_add(report, FINDING_WARN, "postgres connections", "raise max_connections",
                   "only %s are free", text);
    if (one_value(conn, "SELECT pg_size_pretty(pg_database_size(current_database()))", text,
                  sizeof text) == 0)
        report_add(report, FINDING_OK, "postgres size", NULL, "the database takes %s", text);
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

static void examine_halts(PGconn *conn, struct report *report)
{
    PGresult *result =
        PQexec(conn, "SELECT processor, message FROM weir.halt ORDER BY processor, generation");
    for (int i = 0; i < PQntuples(result); i++)
        report_add(report, FINDING_FAIL, "halted processor",
                   "correct the cause, then `weir processor resume NAME`", "%s: %s",
                   PQgetvalue(result, i, 0), PQgetvalue(result, i, 1));
    PQclear(result);
}

/* Returns whether the control schema is there. */
static int examine_schema(PGconn *conn, struct report *report)
{
    char text[64];
    one_value(conn, "SELECT to_regclass('weir.position')", text, sizeof text);
    if (!*text) {
        report_add(report, FINDING_FAIL, "migrations", "`weir migrate` makes it",
                   "the schema weir is not there");
        return 0;
    }
    return 1;
}

void doctor_database(const struct config *config, struct report *report)
{
    setenv("PGCONNECT_TIMEOUT", "5", 0);
    PGconn *conn = PQconnectdb(config_text(config, OPT_DATABASE));
    if (PQstatus(conn) != CONNECTION_OK) {
        char message[400];
        snprintf(message, sizeof message, "%s", PQerrorMessage(conn));
        message[strcspn(message, "\n")] = '\0';
        report_add(report, FINDING_FAIL, "postgres",
                   "start it (`./dev services up` in a checkout), or correct --database", "%s",
                   message);
    } else {
        examine_server(conn, report);
        examine_clock(conn, report);
        examine_room(conn, report);
        if (examine_schema(conn, report)) {
            examine_roles(conn, report);
            examine_halts(conn, report);
        }
    }
    PQfinish(conn);
}
