/* SPDX-License-Identifier: Apache-2.0
 *
 * A halt is a row: it survives a restart, and deleting it lets the processor go on. A halted engine
 * keeps its membership of the group, detached, and looks from time to time whether the row is gone.
 */
#include <inttypes.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/utf8.h"
#include "lib/pg/statement.h"
#include "processors/engine/internal.h"

/* `offset` is -1 when no record is guilty; `entry` says more about it, or is NULL. */
static void save_halt(struct engine *engine, const struct error *error,
                      const struct position *position, int64_t at_offset, const struct entry *entry)
{
    char id[UUID_TEXT_SIZE + 1] = "";
    struct error failure;
    struct error reason = *error;
    /* It may quote what a client sent, cut in the middle of a character. */
    utf8_mend(reason.message, strlen(reason.message));
    if (entry)
        uuid_format(&entry->event_id, id);
    const char *values[] = {engine->processor->name,
                            PG_NUMBER(engine->installed.generation),
                            reason.code,
                            reason.message,
                            position ? position->topic : NULL,
                            position ? PG_NUMBER(position->partition) : NULL,
                            at_offset >= 0 ? PG_NUMBER(at_offset) : NULL,
                            entry && entry->event ? entry->event->name : NULL,
                            entry ? id : NULL};
    if (!conn_of(engine) ||
        pg_query(conn_of(engine), statement("record_halt"), 9, values, NULL, &failure) != 0)
        log_warn("the halt could not be recorded; it will be met again");
}

static void stop(struct engine *engine, const struct error *reason, const struct position *position,
                 int64_t offset, const struct entry *entry)
{
    log_error("halted: %s. Nothing was written for it. `weir processor resume %s` goes on once the "
              "cause is gone",
              reason->message, engine->processor->name);
    /* The wait may fail and detach, which frees the positions. */
    struct position place = {0};
    if (position) {
        place = *position;
        place.topic = xstrdup(position->topic);
    }
    apply_wait(engine, REVOKE_WAIT_MS);
    save_halt(engine, reason, position ? &place : NULL, offset, entry);
    free(place.topic);
    engine->halted = 1;
    metrics_gauge_set(engine->metrics.halted, 1);
    health_set(engine->health, engine->check, 0, reason->message);
    attach_detach(engine, HALTED_PAUSE_MS);
}

void halt_at(struct engine *engine, const struct error *error, const struct position *position,
             int64_t offset)
{
    stop(engine, error, position, offset, NULL);
}

void halt(struct engine *engine, const struct error *error, const struct position *position,
          const struct entry *entry)
{
    struct error reason = *error;
    char name[ENTRY_NAME_SIZE];
    if (entry) {
        entry_name(entry, name);
        error_prefix(&reason, "%s", name);
    }
    stop(engine, &reason, position, entry ? entry->record.offset : -1, entry);
}

/* A halt at one record is over once that record is to be skipped: its owner sets it aside when it
 * comes to it again. */
static int release_skipped(struct engine *engine, const char *const *values, struct error *error)
{
    PGresult *result = NULL;
    int code =
        pg_query(conn_of(engine), "SELECT weir.release_halt($1, $2)", 2, values, &result, error);
    if (code == 0 && *PQgetvalue(result, 0, 0) == 't')
        log_info("the record that it had halted at is to be skipped");
    PQclear(result);
    return code;
}

/* Another generation may have become live meanwhile, as after a rebuild: nothing halts that one.
 * The session is given up then, with an error, and the next one is that generation's. */
static int look_for_another(struct engine *engine, const char *const *values, struct error *error)
{
    PGresult *result = NULL;
    if (pg_query(
            conn_of(engine),
            "SELECT EXISTS (SELECT FROM weir.processor WHERE processor = $1 AND generation <> $2)",
            2, values, &result, error) != 0)
        return -1;
    int another = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    if (!another)
        return 0;
    engine_close_session(engine);
    engine->halted = 0;
    metrics_gauge_set(engine->metrics.halted, 0);
    return error_set(error, ERROR_RETRY, "generation-changed",
                     "another generation of the processor is live now; going on with that");
}

int halt_check(struct engine *engine, struct error *error)
{
    const char *values[] = {engine->processor->name, PG_NUMBER(engine->installed.generation)};
    PGresult *result = NULL;
    if (engine->halted && look_for_another(engine, values, error) != 0)
        return -1;
    if (pg_query(conn_of(engine),
                 "SELECT message, message || ' (since ' || weir.iso_time(halted_at) || ')' "
                 "FROM weir.halt WHERE processor = $1 AND generation = $2",
                 2, values, &result, error) != 0)
        return -1;
    int halted = PQntuples(result) > 0;
    if (halted && release_skipped(engine, values, error) != 0) {
        PQclear(result);
        return -1;
    }
    if (halted) {
        health_set(engine->health, engine->check, 0, PQgetvalue(result, 0, 1));
        if (!engine->halted)
            log_error("halted: %s. `weir processor resume %s` goes on once the cause is gone",
                      PQgetvalue(result, 0, 0), engine->processor->name);
    } else if (engine->halted) {
        log_info("resumed");
    }
    PQclear(result);
    engine->halted = halted;
    metrics_gauge_set(engine->metrics.halted, halted);
    return halted;
}
