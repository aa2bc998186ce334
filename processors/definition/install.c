/* SPDX-License-Identifier: Apache-2.0
 *
 * Each step looks before it creates, and each processor is one transaction: a broken file leaves
 * nothing behind. */
#include "processors/definition/install.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/pg/migrate.h"
#include "lib/pg/statement.h"
#include "processors/definition/bind.h"
#include "processors/definition/column_usage.h"
#include "processors/definition/place.h"
#include "processors/definition/sandbox.h"
#include "processors/definition/source.h"

/* Any number that no other program is likely to take: "weir" in ASCII. */
static const char LOCK[] = "SELECT pg_advisory_lock(2003134834)";
static const char LOCK_UNTIL_COMMIT[] = "SELECT pg_advisory_xact_lock(2003134834)";
static const char UNLOCK[] = "SELECT pg_advisory_unlock(2003134834)";

static int run_migrations(PGconn *conn, const struct assets *assets, struct error *error)
{
    int code = pg_run(conn, "BEGIN", error);
    if (code == 0)
        code = migrate_control(conn, assets, error);
    return pg_commit(conn, code, error);
}

static int record_schema(PGconn *conn, const struct catalog_version *version, struct error *error)
{
    const char *id = PG_NUMBER(version->id);
    const char *number = PG_NUMBER(version->version);
    char *definition = xstrndup(version->text, version->text_size);
    const char *values[] = {id,     version->event->name, version->event->domain,
                            number, version->fingerprint, definition};
    PGresult *result = NULL;
    int code = pg_query(conn, statement("record_schema"), 6, values, &result, error);
    if (code == 0 && PQntuples(result) > 0 && strcmp(PQgetvalue(result, 0, 3), id) != 0)
        code = error_set(error, ERROR_USAGE, "schema-changed",
                         "%s version %s has id %s in this database, but %s here: ids never change; "
                         "is it another registry than before?",
                         version->event->name, number, PQgetvalue(result, 0, 3), id);
    else if (code == 0 && PQntuples(result) > 0)
        code = error_set(
            error, ERROR_USAGE, "schema-changed",
            "schema id %s is %s version %s in this database, but %s version %s here%s; a published "
            "schema never "
            "changes: add a new version",
            id, PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1), version->event->name, number,
            strcmp(PQgetvalue(result, 0, 2), version->fingerprint) ? " with another text" : "");
    PQclear(result);
    free(definition);
    return code;
}

int install_control(PGconn *conn, const struct assets *assets, const struct catalog *catalog,
                    const char *registry_url, struct error *error)
{
    if (pg_run(conn, LOCK, error) != 0)
        return -1;
    int code = run_migrations(conn, assets, error);
    if (code == 0)
        code = source_claim(conn, registry_url, error);
    for (size_t i = 0; code == 0 && i < catalog_event_count(catalog); i++) {
        const struct catalog_event *event = catalog_event_at(catalog, i);
        for (size_t j = 0; code == 0 && j < event->version_count; j++)
            code = record_schema(conn, &event->versions[j], error);
    }
    pg_run(conn, UNLOCK, NULL);
    return code;
}

/* Creates the composite type of a relation, or sees to it that the one there has the same
 * attributes. */
static int install_type(PGconn *conn, const struct relation *relation, struct error *error)
{
    char name[128];
    struct buf expected = {0};
    struct buf sql = {0};
    bind_type_name(relation, name);
    for (size_t i = 0; i < relation->column_count; i++)
        buf_printf(&expected, "%s%s %u", i ? ", " : "", relation->columns[i].name,
                   relation_column_oid(&relation->columns[i]));
    const char *values[] = {name};
    PGresult *result = NULL;
    int code = pg_query(conn, statement("event_type_attributes"), 1, values, &result, error);
    if (code == 0 && PQntuples(result) == 0) {
        bind_type(relation, &sql);
        code = pg_run(conn, buf_text(&sql), error);
    } else if (code == 0 && strcmp(PQgetvalue(result, 0, 0), buf_text(&expected)) != 0) {
        /* Of a draft that was tried and never published; what a procedure uses cannot be dropped.
         */
        bind_type(relation, &sql);
        code = pg_runf(conn, NULL, "DROP TYPE weir_event.%s", name) == 0
                   ? pg_run(conn, buf_text(&sql), error)
                   : error_set(error, ERROR_USAGE, "schema-changed",
                               "version %d of %s has other fields than when this database met it; "
                               "a published schema never changes: add a new version",
                               relation->version, relation->event->name);
    }
    PQclear(result);
    buf_free(&expected);
    buf_free(&sql);
    return code;
}

/* The tables. Their indexes are added by add_indexes, for a rebuild when all rows are there. */
static int create_generation(PGconn *conn, const struct processor *processor, const char *schema,
                             struct error *error)
{
    if (pg_runf(
            conn, error,
            "CREATE SCHEMA %1$s;"
            "CREATE VIEW %1$s.batch AS SELECT true AS is_first;"
            "GRANT SELECT ON %1$s.batch TO weir_author_%2$s;"
            "COMMENT ON VIEW %1$s.batch IS 'What apply.sql may ask about its batch';"
            "COMMENT ON COLUMN %1$s.batch.is_first IS 'It folds all of the past into empty tables, "
            "before indexes.sql';"
            "CREATE TABLE %1$s.applied_run (position_id integer, run_id bigint,"
            "    newest_timestamp timestamptz NOT NULL, hashes bytea NOT NULL, entries bytea NOT "
            "NULL,"
            "    reduced_at timestamptz, PRIMARY KEY (position_id, run_id));"
            "ALTER TABLE %1$s.applied_run ALTER hashes SET STORAGE EXTERNAL, "
            "    ALTER entries SET STORAGE EXTERNAL;"
            "CREATE INDEX applied_run_age ON %1$s.applied_run USING brin (newest_timestamp);"
            "CREATE VIEW %1$s.applied_event AS SELECT e.event_id, e.space_id, e.fingerprint, "
            "    r.position_id, e.kafka_offset, e.kafka_timestamp, r.run_id "
            "    FROM %1$s.applied_run AS r CROSS JOIN LATERAL weir.run_entries(r.entries) AS e;"
            "COMMENT ON SCHEMA %1$s IS 'Weir: tables of a generation of %2$s; read the views of "
            "the schema %2$s instead';"
            "COMMENT ON TABLE %1$s.applied_run IS 'Events applied in the duplicate window, packed: "
            "one row for what a batch applied of a partition';"
            "COMMENT ON COLUMN %1$s.applied_run.position_id IS 'The partition';"
            "COMMENT ON COLUMN %1$s.applied_run.run_id IS 'Ascends within the partition';"
            "COMMENT ON COLUMN %1$s.applied_run.newest_timestamp IS 'Newest broker timestamp';"
            "COMMENT ON COLUMN %1$s.applied_run.hashes IS '8 bytes of each event, which its owner "
            "keeps in memory';"
            "COMMENT ON COLUMN %1$s.applied_run.entries IS '56 bytes of each event: see "
            "weir.run_entries';"
            "COMMENT ON COLUMN %1$s.applied_run.reduced_at IS 'It has left the window, and only "
            "what may have a copy was kept; broker time of then';"
            "COMMENT ON VIEW %1$s.applied_event IS 'Events applied in the duplicate window';"
            "COMMENT ON COLUMN %1$s.applied_event.event_id IS 'The event';"
            "COMMENT ON COLUMN %1$s.applied_event.space_id IS 'Its Space';"
            "COMMENT ON COLUMN %1$s.applied_event.fingerprint IS 'Hash of what the client sent';"
            "COMMENT ON COLUMN %1$s.applied_event.position_id IS 'Its partition';"
            "COMMENT ON COLUMN %1$s.applied_event.kafka_offset IS 'Its offset';"
            "COMMENT ON COLUMN %1$s.applied_event.kafka_timestamp IS 'Its broker timestamp';"
            "COMMENT ON COLUMN %1$s.applied_event.run_id IS 'The run that has it'",
            schema, processor->name) != 0)
        return -1;
    return sandbox_run(conn, processor->name, schema, NULL, processor->tables, error);
}

static int add_indexes(PGconn *conn, const struct processor *processor, const char *schema,
                       struct error *error)
{
    if (pg_runf(conn, error, "CREATE OR REPLACE VIEW %s.batch AS SELECT false AS is_first",
                schema) != 0)
        return -1;
    return processor->indexes
               ? sandbox_run(conn, processor->name, schema, NULL, processor->indexes, error)
               : 0;
}

/* Runs the procedure on an empty batch and takes it back: every statement is parsed and planned. */
static int dry_run(PGconn *conn, const struct processor *processor,
                   const struct installed *installed, struct error *error)
{
    struct buf call = {0};
    const char *values[BIND_FIXED_PARAMETERS + PROCESSOR_RELATIONS_MAX];
    bind_call(processor, installed->schema, installed->procedure, &call);
    for (size_t i = 0; i < BIND_FIXED_PARAMETERS + processor->relation_count; i++)
        values[i] = "{}";
    PGresult *result = PQexecParams(conn, buf_text(&call),
                                    (int)(BIND_FIXED_PARAMETERS + processor->relation_count), NULL,
                                    values, NULL, NULL, 0);
    int code = 0;
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        const char *context = PQresultErrorField(result, PG_DIAG_CONTEXT);
        pg_fail(conn, result, error);
        code = place_prefix(processor, context, error) != 0
                   ? -1
                   : error_prefix(error, "%s", processor->apply->path);
        error->class = ERROR_USAGE;
    }
    PQclear(result);
    buf_free(&call);
    return code;
}

static int exists(PGconn *conn, const struct installed *installed, int *ret_there,
                  struct error *error)
{
    const char *values[] = {installed->schema, installed->procedure};
    PGresult *result = NULL;
    int code = pg_query(conn,
                        "SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
                        "WHERE n.nspname = $1 AND p.proname = $2",
                        2, values, &result, error);
    *ret_there = code == 0 && PQntuples(result) > 0;
    PQclear(result);
    return code;
}

/* The author's functions are made by the processor's role, so that they run as it. */
static int install_author(PGconn *conn, const struct processor *processor,
                          const struct installed *installed, struct error *error)
{
    char name[BIND_NAME_MAX];
    struct buf sql = {0};
    int code = bind_author(processor, installed->schema, &sql, name, error);
    if (code == 0)
        code = sandbox_enter(conn, processor->name, installed->schema, error);
    if (code == 0 && pg_run(conn, buf_text(&sql), error) != 0) {
        code = error_prefix(error, "%s", processor->apply->path);
        error->class = ERROR_USAGE;
    }
    buf_free(&sql);
    return code == 0 ? sandbox_leave(conn, processor->name, installed->schema, error) : -1;
}

static int install_procedure(PGconn *conn, const struct processor *processor,
                             struct installed *installed, struct error *error)
{
    struct buf sql = {0};
    int there = 0;
    int code = bind_procedure(processor, installed->schema, &sql, installed->procedure, error);
    if (code == 0)
        code = exists(conn, installed, &there, error);
    if (code == 0 && !there)
        code = install_author(conn, processor, installed, error);
    if (code == 0 && !there)
        code = pg_run(conn, buf_text(&sql), error);
    buf_free(&sql);
    return code;
}

static int build(PGconn *conn, const struct processor *processor, enum install_tables tables,
                 struct installed *installed, struct error *error)
{
    for (size_t i = 0; i < processor->relation_count; i++)
        if (install_type(conn, processor->relations[i], error) != 0)
            return -1;
    if (sandbox_make(conn, processor->name, error) != 0 ||
        (tables != INSTALL_NO_TABLES &&
         create_generation(conn, processor, installed->schema, error) != 0))
        return -1;
    if (tables == INSTALL_INDEXED && add_indexes(conn, processor, installed->schema, error) != 0)
        return -1;
    return install_procedure(conn, processor, installed, error);
}

static int grant(PGconn *conn, const struct installed *installed, struct error *error)
{
    return pg_runf(conn, error,
                   "GRANT USAGE ON SCHEMA %s TO weir_processor;"
                   "GRANT SELECT, INSERT, UPDATE, DELETE ON %s.applied_run TO weir_processor;"
                   "GRANT SELECT ON %s.applied_event TO weir_processor",
                   installed->schema, installed->schema, installed->schema);
}

int install_scratch(PGconn *conn, const struct processor *processor, const char *schema, int bare,
                    struct installed *ret_installed, struct error *error)
{
    struct installed installed = {.generation = 0};
    snprintf(installed.schema, sizeof installed.schema, "%s", schema);
    if (build(conn, processor, bare ? INSTALL_BARE : INSTALL_INDEXED, &installed, error) != 0 ||
        grant(conn, &installed, error) != 0 || dry_run(conn, processor, &installed, error) != 0)
        return -1;
    *ret_installed = installed;
    return 0;
}

static int find_generation(PGconn *conn, const struct processor *processor,
                           struct installed *installed, int *ret_found, struct error *error)
{
    const char *values[] = {processor->name};
    PGresult *result = NULL;
    if (pg_query(conn,
                 "SELECT generation, version, consumes FROM weir.processor WHERE processor = $1", 1,
                 values, &result, error) != 0)
        return -1;
    int code = 0;
    *ret_found = PQntuples(result) > 0;
    if (*ret_found && pg_int(result, 0, 1) != processor->version)
        code = error_set(error, ERROR_USAGE, "version-changed",
                         "processor %s is version %d here, but its tables were built by version "
                         "%s; `weir rebuild %s` builds them anew beside those and swaps",
                         processor->name, processor->version, PQgetvalue(result, 0, 1),
                         processor->name);
    else if (*ret_found && strcmp(PQgetvalue(result, 0, 2), processor->consumes) != 0)
        code = error_set(error, ERROR_USAGE, "version-changed",
                         "processor %s consumes other events here than its tables were built from, "
                         "and their past would be missing. Raise its version, then "
                         "`weir rebuild %s` builds them anew. Here: %s. There: %s",
                         processor->name, processor->name, processor->consumes,
                         PQgetvalue(result, 0, 2));
    installed->generation = *ret_found ? (int)pg_int(result, 0, 0) : 1;
    snprintf(installed->schema, sizeof installed->schema, "%s_%d", processor->name,
             installed->generation);
    PQclear(result);
    return code;
}

/* Runs the procedure as the engine will, and notes what it reads. */
static int try_procedure(PGconn *conn, const struct processor *processor,
                         const struct installed *installed, struct error *error)
{
    return pg_run(conn, "SET LOCAL ROLE weir_processor", error) == 0 &&
                   dry_run(conn, processor, installed, error) == 0 &&
                   pg_run(conn, "RESET ROLE", error) == 0 &&
                   column_usage_record(conn, processor, installed, error) == 0
               ? 0
               : -1;
}

int install_generation(PGconn *conn, const struct processor *processor, int generation,
                       enum install_tables tables, struct installed *ret_installed,
                       struct error *error)
{
    struct installed installed = {.generation = generation};
    snprintf(installed.schema, sizeof installed.schema, "%s_%d", processor->name, generation);
    if (pg_run(conn, LOCK_UNTIL_COMMIT, error) != 0 ||
        build(conn, processor, tables, &installed, error) != 0 ||
        grant(conn, &installed, error) != 0 ||
        try_procedure(conn, processor, &installed, error) != 0)
        return -1;
    *ret_installed = installed;
    return 0;
}

int install_indexes(PGconn *conn, const struct processor *processor,
                    const struct installed *installed, struct error *error)
{
    return add_indexes(conn, processor, installed->schema, error);
}

int install_views(PGconn *conn, const struct processor *processor,
                  const struct installed *installed, struct error *error)
{
    if (pg_runf(conn, error, "CREATE SCHEMA IF NOT EXISTS %s", processor->name) != 0)
        return -1;
    if (processor->views && sandbox_run(conn, processor->name, installed->schema, processor->name,
                                        processor->views, error) != 0)
        return -1;
    return pg_runf(conn, error,
                   "GRANT USAGE ON SCHEMA %s TO weir_reader; GRANT SELECT ON ALL TABLES IN SCHEMA "
                   "%s TO weir_reader",
                   processor->name, processor->name);
}

/* Whatever stands in schemas of these names is somebody else's. */
static int check_schemas(PGconn *conn, const struct processor *processor, const char *schema,
                         struct error *error)
{
    const char *values[] = {processor->name, schema};
    PGresult *result = NULL;
    if (pg_query(conn, "SELECT nspname FROM pg_namespace WHERE nspname IN ($1, $2)", 2, values,
                 &result, error) != 0)
        return -1;
    int code = PQntuples(result) == 0
                   ? 0
                   : error_set(error, ERROR_USAGE, "schema-foreign",
                               "processor %s needs the schemas %s and %s, but this database has a "
                               "schema %s that Weir did not make; name the processor otherwise",
                               processor->name, processor->name, schema, PQgetvalue(result, 0, 0));
    PQclear(result);
    return code;
}

static int install_in_transaction(PGconn *conn, const struct processor *processor,
                                  struct installed *installed, struct error *error)
{
    int found = 0;
    if (find_generation(conn, processor, installed, &found, error) != 0 ||
        (!found && check_schemas(conn, processor, installed->schema, error) != 0) ||
        build(conn, processor, found ? INSTALL_NO_TABLES : INSTALL_INDEXED, installed, error) !=
            0 ||
        grant(conn, installed, error) != 0 ||
        install_views(conn, processor, installed, error) != 0 ||
        try_procedure(conn, processor, installed, error) != 0)
        return -1;
    if (found)
        return 0;
    const char *values[] = {processor->name, PG_NUMBER(installed->generation),
                            PG_NUMBER(processor->version), processor->consumes};
    return pg_query(conn,
                    "INSERT INTO weir.processor (processor, generation, version, consumes) "
                    "VALUES ($1, $2, $3, $4)",
                    4, values, NULL, error);
}

/* `weir process` keeps previous generations up to date, with a procedure that it may not make. */
static int install_previous(PGconn *conn, const struct processor *processor, struct error *error)
{
    const char *values[] = {processor->name, PG_NUMBER(processor->version), processor->consumes};
    PGresult *result = NULL;
    int code = pg_query(conn,
                        "SELECT generation FROM weir.generation WHERE processor = $1 "
                        "AND state = 'previous' AND (version, consumes) = ($2::integer, $3)",
                        3, values, &result, error);
    for (int i = 0; code == 0 && i < PQntuples(result); i++) {
        struct installed previous;
        code = install_generation(conn, processor, (int)pg_int(result, i, 0), INSTALL_NO_TABLES,
                                  &previous, error);
    }
    PQclear(result);
    return code;
}

int install_processor(PGconn *conn, const struct processor *processor,
                      struct installed *ret_installed, struct error *error)
{
    struct installed installed = {0};
    if (pg_run(conn, LOCK, error) != 0)
        return -1;
    int code = pg_run(conn, "BEGIN", error);
    if (code == 0)
        code = pg_commit(conn, install_in_transaction(conn, processor, &installed, error), error);
    if (code == 0 || strcmp(error->code, "version-changed") == 0) {
        struct error *failure = code == 0 ? error : &(struct error){0};
        int previous = pg_run(conn, "BEGIN", failure);
        if (previous == 0)
            previous = pg_commit(conn, install_previous(conn, processor, failure), failure);
        code = code == 0 ? previous : code;
    }
    pg_run(conn, UNLOCK, NULL);
    if (code == 0)
        *ret_installed = installed;
    return code;
}

int install_find(PGconn *conn, const struct processor *processor, struct installed *ret_installed,
                 struct error *error)
{
    struct installed installed = {0};
    struct buf sql = {0};
    int found = 0;
    PGresult *result = NULL;
    int code =
        pg_query(conn, "SELECT to_regclass('weir.processor') IS NOT NULL", 0, NULL, &result, error);
    if (code == 0 && *PQgetvalue(result, 0, 0) == 't')
        code = find_generation(conn, processor, &installed, &found, error);
    PQclear(result);
    result = NULL;
    if (code == 0 && found)
        code = bind_procedure(processor, installed.schema, &sql, installed.procedure, error);
    if (code == 0 && found)
        code = exists(conn, &installed, &found, error);
    if (code == 0 && !found)
        code = error_set(
            error, ERROR_USAGE, "not-migrated",
            "this database does not know this build's processor %s; run `weir migrate` first",
            processor->name);
    buf_free(&sql);
    if (code == 0)
        *ret_installed = installed;
    return code;
}
