/* SPDX-License-Identifier: Apache-2.0
 *
 * All of it runs on the control connection of the one rebuild that holds the processor's lock. */
#include "processors/rebuild/generation.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/failpoint.h"
#include "lib/base/hash.h"
#include "lib/pg/statement.h"

/* The session of a rebuild that was killed may need a moment to notice. */
enum { LOCK_TRIES = 30, LOCK_EVICT_TRY = 20, LOCK_PAUSE_MS = 100 };

int generation_try_lock(PGconn *conn, const char *processor, int *ret_taken, struct error *error)
{
    const char *values[] = {processor};
    PGresult *result = NULL;
    if (pg_query(conn, "SELECT pg_try_advisory_lock(2003134835, hashtext($1))", 1, values, &result,
                 error) != 0)
        return -1;
    *ret_taken = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return 0;
}

void generation_unlock(PGconn *conn, const char *processor)
{
    const char *values[] = {processor};
    struct error error; /* then the session is lost, and the lock with it */
    pg_query(conn, "SELECT pg_advisory_unlock(2003134835, hashtext($1))", 1, values, NULL, &error);
}

static int evict_follower(PGconn *conn, const char *processor, struct error *error)
{
    const char *values[] = {processor, FOLLOWER_SESSION};
    return pg_query(conn, statement("evict_follower"), 2, values, NULL, error);
}

int generation_lock(PGconn *conn, const char *processor, struct error *error)
{
    const char *values[] = {processor};
    int taken = 0;
    for (int i = 0; !taken && i < LOCK_TRIES; i++) {
        const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};
        if (i > 0)
            nanosleep(&pause, NULL);
        if (i == LOCK_EVICT_TRY && evict_follower(conn, processor, error) != 0)
            return -1;
        if (generation_try_lock(conn, processor, &taken, error) != 0)
            return -1;
    }
    if (taken)
        return 0;
    PGresult *result = NULL;
    if (pg_query(conn, statement("rebuilds_at_work"), 1, values, &result, error) != 0)
        return -1;
    error_set(error, ERROR_USAGE, "rebuild-running",
              "%s is being rebuilt already (%s); `weir rebuild %s --status` shows how far it is",
              processor, PQgetvalue(result, 0, 0), processor);
    PQclear(result);
    return -1;
}

static void set_schema(const struct processor *processor, struct generation *generation)
{
    struct installed *installed = &generation->installed;
    installed->generation = generation->number;
    snprintf(installed->schema, sizeof installed->schema, "%s_%d", processor->name,
             generation->number);
}

int generation_live(PGconn *conn, const struct processor *processor, struct generation *ret_live,
                    struct error *error)
{
    const char *values[] = {processor->name};
    PGresult *result = NULL;
    if (pg_query(conn, statement("list_live_generation"), 1, values, NULL, error) != 0 ||
        pg_query(conn, "SELECT generation, version FROM weir.processor WHERE processor = $1", 1,
                 values, &result, error) != 0)
        return -1;
    int found = PQntuples(result) > 0;
    *ret_live = (struct generation){.indexed = 1};
    if (found) {
        ret_live->number = (int)pg_int(result, 0, 0);
        ret_live->version = (int)pg_int(result, 0, 1);
        set_schema(processor, ret_live);
    }
    PQclear(result);
    return found ? 0
                 : error_set(error, ERROR_USAGE, "not-migrated",
                             "this database has no processor %s; run `weir migrate` first",
                             processor->name);
}

/* Of the SQL that decides what a generation holds. */
static void hash_source(const struct processor *processor, char ret_hex[65])
{
    const struct asset *const files[] = {processor->tables, processor->indexes, processor->apply};
    struct buf text = {0};
    buf_printf(&text, "%d\n%s\n", processor->version, processor->consumes);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (files[i])
            buf_put(&text, files[i]->data, files[i]->size);
    hash_sha256_hex(text.data, text.size, ret_hex);
    buf_free(&text);
}

/* In the caller's transaction. */
static int drop(PGconn *conn, const char *processor, int number, struct error *error)
{
    const char *values[] = {processor, PG_NUMBER(number)};
    if (pg_runf(conn, error, "DROP SCHEMA IF EXISTS %s_%d CASCADE", processor, number) != 0 ||
        pg_query(conn, "DELETE FROM weir.position WHERE processor = $1 AND generation = $2", 2,
                 values, NULL, error) != 0 ||
        pg_query(conn, "DELETE FROM weir.halt WHERE processor = $1 AND generation = $2", 2, values,
                 NULL, error) != 0)
        return -1;
    return pg_query(conn, "DELETE FROM weir.generation WHERE processor = $1 AND generation = $2", 2,
                    values, NULL, error);
}

int generation_drop(PGconn *conn, const char *processor, int number, struct error *error)
{
    int code = pg_run(conn, "BEGIN", error);
    if (code == 0)
        code = drop(conn, processor, number, error);
    FAILPOINT("rebuild.dropped");
    return pg_commit(conn, code, error);
}

static int create(PGconn *conn, const struct processor *processor, const char *source, int sets,
                  struct generation *next, struct error *error)
{
    const char *values[] = {processor->name, PG_NUMBER(processor->version), processor->consumes,
                            source, sets ? "false" : "true"};
    PGresult *result = NULL;
    if (pg_query(conn, statement("add_generation"), 5, values, &result, error) != 0)
        return -1;
    *next = (struct generation){.number = (int)pg_int(result, 0, 0),
                                .version = processor->version,
                                .indexed = sets == 0,
                                .stage = sets ? STAGE_OPEN : STAGE_NONE,
                                .sets = sets};
    PQclear(result);
    if (install_generation(conn, processor, next->number, sets ? INSTALL_BARE : INSTALL_INDEXED,
                           &next->installed, error) != 0)
        return -1;
    return sets ? stage_create(conn, processor, &next->installed, sets, error) : 0;
}

/* The one that an earlier run began. */
static int resume(PGconn *conn, const struct processor *processor, struct generation *next,
                  struct error *error)
{
    if (install_generation(conn, processor, next->number, INSTALL_NO_TABLES, &next->installed,
                           error) != 0)
        return -1;
    return stage_look(conn, &next->installed, &next->stage, &next->sets, error);
}

static int begin(PGconn *conn, const struct processor *processor, int sets, struct generation *next,
                 struct error *error)
{
    char source[65];
    const char *values[] = {processor->name};
    PGresult *result = NULL;
    hash_source(processor, source);
    if (pg_query(conn,
                 "SELECT generation, version, indexed, source FROM weir.generation "
                 "WHERE processor = $1 AND state IN ('building', 'caught-up')",
                 1, values, &result, error) != 0)
        return -1;
    int found = PQntuples(result) > 0;
    int same = found && strcmp(PQgetvalue(result, 0, 3), source) == 0;
    if (found)
        *next = (struct generation){.number = (int)pg_int(result, 0, 0),
                                    .version = (int)pg_int(result, 0, 1),
                                    .indexed = *PQgetvalue(result, 0, 2) == 't',
                                    .resumed = 1};
    PQclear(result);
    if (same && resume(conn, processor, next, error) != 0)
        return -1;
    if (same && next->stage != STAGE_LOST)
        return 0;
    if (found && drop(conn, processor->name, next->number, error) != 0)
        return -1;
    return create(conn, processor, source, sets, next, error);
}

int generation_begin(PGconn *conn, const struct processor *processor, int sets,
                     struct generation *ret_next, struct error *error)
{
    char host[128] = "";
    char owner[160];
    if (pg_run(conn, "BEGIN", error) != 0)
        return -1;
    int code = begin(conn, processor, sets, ret_next, error);
    gethostname(host, sizeof host - 1);
    snprintf(owner, sizeof owner, "%s:%d", host, (int)getpid());
    const char *values[] = {processor->name, owner};
    if (code == 0)
        code = pg_query(conn,
                        "UPDATE weir.generation SET owner = $2, updated_at = now() "
                        "WHERE processor = $1 AND state IN ('building', 'caught-up')",
                        2, values, NULL, error);
    return pg_commit(conn, code, error);
}

int generation_previous(PGconn *conn, const struct processor *processor,
                        struct generation *ret_previous, struct error *error)
{
    const char *values[] = {processor->name};
    PGresult *result = NULL;
    if (pg_query(conn,
                 "SELECT generation, version, consumes FROM weir.generation WHERE processor = $1 "
                 "AND state = 'previous' ORDER BY live_at DESC NULLS LAST, generation DESC LIMIT 1",
                 1, values, &result, error) != 0)
        return -1;
    int code = 0;
    if (PQntuples(result) == 0)
        code = error_set(error, ERROR_USAGE, "no-previous",
                         "there is no previous generation of %s to go back to", processor->name);
    else if (pg_int(result, 0, 1) != processor->version ||
             strcmp(PQgetvalue(result, 0, 2), processor->consumes) != 0)
        code = error_set(error, ERROR_USAGE, "version-changed",
                         "generation %s of %s was built by version %s, this build has version %d: "
                         "roll back with the build (or --home) that made it",
                         PQgetvalue(result, 0, 0), processor->name, PQgetvalue(result, 0, 1),
                         processor->version);
    else
        *ret_previous = (struct generation){.number = (int)pg_int(result, 0, 0),
                                            .version = processor->version,
                                            .indexed = 1,
                                            .resumed = 1};
    PQclear(result);
    if (code != 0 || pg_run(conn, "BEGIN", error) != 0)
        return -1;
    code = install_generation(conn, processor, ret_previous->number, INSTALL_NO_TABLES,
                              &ret_previous->installed, error);
    return pg_commit(conn, code, error);
}

int generation_analyze(PGconn *conn, const struct generation *generation, struct error *error)
{
    const char *values[] = {generation->installed.schema};
    PGresult *result = NULL;
    int code = pg_query(conn,
                        "SELECT 'ANALYZE ' || string_agg(oid::regclass::text, ', ') FROM pg_class "
                        "WHERE relnamespace = $1::regnamespace AND relkind = 'r'",
                        1, values, &result, error);
    if (code == 0)
        code = pg_run(conn, PQgetvalue(result, 0, 0), error);
    PQclear(result);
    return code;
}

static const char QUICKLY[] = "SET maintenance_work_mem = '256MB'; "
                              "SET max_parallel_maintenance_workers = 2";
static const char QUIETLY[] = "SET maintenance_work_mem = '256MB'; "
                              "SET max_parallel_maintenance_workers = 0";

int generation_index(PGconn *conn, const struct processor *processor, struct generation *generation,
                     int quietly, struct error *error)
{
    int code = pg_run(conn, quietly ? QUIETLY : QUICKLY, error);
    if (code == 0)
        code = pg_run(conn, "BEGIN", error);
    if (code == 0)
        code = install_indexes(conn, processor, &generation->installed, error);
    if (code == 0)
        code = stage_drop(conn, &generation->installed, error);
    if (code == 0) /* with its COMMIT in one message, so that the chaos suite can cut that one */
        code = pg_runf(conn, error,
                       "UPDATE weir.generation SET indexed = true "
                       "WHERE processor = '%s' AND generation = %d; COMMIT",
                       processor->name, generation->number);
    if (code != 0)
        pg_run(conn, "ROLLBACK", NULL);
    generation->indexed = code == 0;
    return code;
}

int generation_note(PGconn *conn, const char *processor, int number, const char *state,
                    const char *phase, int64_t done, int64_t total, int64_t rate,
                    struct error *error)
{
    char texts[4][24];
    const int64_t numbers[] = {number, done, total, rate};
    for (size_t i = 0; i < 4; i++)
        snprintf(texts[i], sizeof texts[i], "%" PRId64, numbers[i]);
    const char *values[] = {processor,
                            texts[0],
                            state,
                            phase,
                            done < 0 ? NULL : texts[1],
                            total < 0 ? NULL : texts[2],
                            rate < 0 ? NULL : texts[3]};
    return pg_query(conn, statement("note_generation"), 7, values, NULL, error);
}

/* Views outside of the schema that read its tables. */
static int check_dependents(PGconn *conn, const char *processor, const char *schema,
                            struct error *error)
{
    const char *values[] = {schema};
    PGresult *result = NULL;
    if (pg_query(conn, statement("views_on_tables"), 1, values, &result, error) != 0)
        return -1;
    int code = 0;
    if (!PQgetisnull(result, 0, 0))
        code = error_set(error, ERROR_USAGE, "views-depend",
                         "these views read tables of %s: %s; let them read the views of the schema "
                         "%s, or drop them",
                         schema, PQgetvalue(result, 0, 0), processor);
    PQclear(result);
    return code;
}

int generation_abandon(PGconn *conn, const char *processor, struct generation *ret_dropped,
                       int64_t *ret_records, struct error *error)
{
    const char *values[] = {processor};
    PGresult *result = NULL;
    if (pg_query(conn, statement("unfinished_generation"), 1, values, &result, error) != 0)
        return -1;
    int found = PQntuples(result) > 0;
    if (found) {
        *ret_dropped = (struct generation){.number = (int)pg_int(result, 0, 0),
                                           .version = (int)pg_int(result, 0, 1)};
        *ret_records = pg_int(result, 0, 2);
    }
    PQclear(result);
    if (!found)
        return error_set(error, ERROR_USAGE, "no-rebuild",
                         "no rebuild of %s has been begun that could be abandoned", processor);
    return generation_drop(conn, processor, ret_dropped->number, error);
}

int generation_drop_previous(PGconn *conn, const char *processor, int *ret_count,
                             struct error *error)
{
    const char *values[] = {processor};
    PGresult *result = NULL;
    if (pg_query(conn,
                 "SELECT generation, processor || '_' || generation FROM weir.generation "
                 "WHERE processor = $1 AND state = 'previous' ORDER BY generation",
                 1, values, &result, error) != 0)
        return -1;
    int code = 0;
    for (*ret_count = 0; code == 0 && *ret_count < PQntuples(result); ++*ret_count) {
        code = check_dependents(conn, processor, PQgetvalue(result, *ret_count, 1), error);
        if (code == 0)
            code = generation_drop(conn, processor, (int)pg_int(result, *ret_count, 0), error);
    }
    PQclear(result);
    return code;
}
