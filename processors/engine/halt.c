/* SPDX-License-Identifier: Apache-2.0
 *
 * A halt is a row: it survives a restart, and deleting it lets the processor go on. A halted engine
 * keeps its membership of the group, detached, and looks from time to time whether the row is gone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/utf8.h"
#include "processors/engine/internal.h"

static void save_halt(struct engine *engine, const struct error *error,
                      const struct position *position, const struct entry *entry)
{
    char generation[16];
    char partition[16] = "";
    char offset[24] = "";
    char id[UUID_TEXT_SIZE + 1] = "";
    struct error failure;
    struct error reason = *error;
    /* It may quote what a client sent, cut in the middle of a character. */
    utf8_mend(reason.message, strlen(reason.message));
    snprintf(generation, sizeof generation, "%d", engine->installed.generation);
    if (position)
        snprintf(partition, sizeof partition, "%d", position->partition);
    if (entry) {
        snprintf(offset, sizeof offset, "%" PRId64, entry->record.offset);
        uuid_format(&entry->event_id, id);
    }
    const char *values[] = {engine->processor->name,
                            generation,
                            reason.code,
                            reason.message,
                            position ? position->topic : NULL,
                            position ? partition : NULL,
                            entry ? offset : NULL,
                            entry && entry->event ? entry->event->name : NULL,
                            entry ? id : NULL};
    if (!engine->conn || pg_query(engine->conn,
                                  "INSERT INTO weir.halt (processor, generation, code, message, "
                                  "topic, kafka_partition, kafka_offset, event, "
                                  "event_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON "
                                  "CONFLICT (processor, generation) DO UPDATE SET "
                                  "(code, message, topic, kafka_partition, kafka_offset, event, "
                                  "event_id, halted_at) = (excluded.code, "
                                  "excluded.message, excluded.topic, excluded.kafka_partition, "
                                  "excluded.kafka_offset, excluded.event, "
                                  "excluded.event_id, now())",
                                  9, values, NULL, &failure) != 0)
        log_warn("the halt could not be recorded; it will be met again");
}

void halt(struct engine *engine, const struct error *error, const struct position *position,
          const struct entry *entry)
{
    struct error reason = *error;
    char id[UUID_TEXT_SIZE + 1] = "";
    if (entry) {
        uuid_format(&entry->event_id, id);
        error_prefix(&reason, "%s %s at %s [%d] offset %" PRId64,
                     entry->event ? entry->event->name : "event", id, position->topic,
                     position->partition, entry->record.offset);
    }
    log_error("halted: %s. Nothing was written for it. `weir processor resume %s` goes on once the "
              "cause is gone",
              reason.message, engine->processor->name);
    /* The wait may fail and detach, which frees the positions. */
    struct position place = {0};
    if (position) {
        place = *position;
        place.topic = xstrdup(position->topic);
    }
    apply_wait(engine, REVOKE_WAIT_MS);
    save_halt(engine, &reason, position ? &place : NULL, entry);
    free(place.topic);
    engine->halted = 1;
    metrics_gauge_set(engine->metrics.halted, 1);
    health_set(engine->health, engine->check, 0, reason.message);
    attach_detach(engine, HALTED_PAUSE_MS);
}

int halt_check(struct engine *engine, struct error *error)
{
    char generation[16];
    snprintf(generation, sizeof generation, "%d", engine->installed.generation);
    const char *values[] = {engine->processor->name, generation};
    PGresult *result = NULL;
    if (pg_query(engine->conn,
                 "SELECT message FROM weir.halt WHERE processor = $1 AND generation = $2", 2,
                 values, &result, error) != 0)
        return -1;
    int halted = PQntuples(result) > 0;
    if (halted) {
        health_set(engine->health, engine->check, 0, PQgetvalue(result, 0, 0));
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
