/* SPDX-License-Identifier: Apache-2.0
 *
 * Each record is a batch of its own behind a savepoint. Postgres counts the rows that a transaction
 * changes by table, in subtransactions too; the difference of two readings is what one record did.
 */
#include "processors/processor_test/rehearse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/timestamp.h"
#include "lib/pg/statement.h"
#include "processors/definition/source.h"
#include "processors/fold/session.h"

struct rehearsal {
    struct session *session;
    const struct processor *processor;
    struct installed installed;
    struct decoder *decoder;
    struct batch *batch;
    int32_t loaded_id; /* the position whose applied events are in memory */
    int64_t next_run;  /* ids of its own, below zero: those of the owner never meet them */
    int64_t end_us;
};

static PGconn *conn_of(const struct rehearsal *rehearsal)
{
    return session_conn(rehearsal->session);
}

static int begin(struct rehearsal *rehearsal, struct error *error)
{
    rehearsal->next_run = -((int64_t)PQbackendPID(conn_of(rehearsal)) << 32);
    rehearsal->end_us = monotonic_now_us() + REHEARSE_BUDGET_MS * 1000;
    return pg_runf(conn_of(rehearsal), error,
                   "BEGIN; SET LOCAL idle_in_transaction_session_timeout = %d",
                   2 * REHEARSE_BUDGET_MS);
}

int rehearse_open(const struct config *config, const struct processor *processor,
                  struct rehearsal **ret_rehearsal, struct error *error)
{
    struct rehearsal *rehearsal = xcalloc(1, sizeof *rehearsal);
    const struct session_options options = {.config = config,
                                            .processor = processor,
                                            .application = "weir rehearsal",
                                            .work_mem = "32MB",
                                            .lock_timeout_ms = REHEARSE_LOCK_MS,
                                            .statement_timeout_ms = REHEARSE_STATEMENT_MS};
    rehearsal->processor = processor;
    rehearsal->decoder = decoder_new(processor);
    rehearsal->batch = batch_new(processor, 1, NULL); /* the caller keeps its records */
    if (session_connect(&options, &rehearsal->session, error) == 0 &&
        install_find(conn_of(rehearsal), processor, &rehearsal->installed, error) == 0 &&
        decoder_open_registry(rehearsal->decoder, config, error) == 0 &&
        source_check(conn_of(rehearsal), config_text(config, OPT_SCHEMA_REGISTRY_URL), error) ==
            0 &&
        session_prepare(rehearsal->session, &rehearsal->installed, rehearsal->decoder, error) ==
            0 &&
        begin(rehearsal, error) == 0) {
        *ret_rehearsal = rehearsal;
        return 0;
    }
    rehearse_free(rehearsal);
    return -1;
}

void rehearse_free(struct rehearsal *rehearsal)
{
    if (!rehearsal)
        return;
    session_free(rehearsal->session); /* which takes everything back */
    decoder_free(rehearsal->decoder);
    batch_free(rehearsal->batch);
    free(rehearsal);
}

/* The rows changed so far, by table of the generation; what the engine keeps for itself is left
 * out. */
static int count_rows(struct rehearsal *rehearsal, PGresult **ret_counts, struct error *error)
{
    const char *values[] = {rehearsal->installed.schema};
    return pg_query(conn_of(rehearsal), statement("changed_rows"), 1, values, ret_counts, error);
}

/* Tables do not come and go meanwhile, so that rows of both readings correspond. */
static void put_difference(const PGresult *before, const PGresult *after, struct rehearsed *out)
{
    out->table_count = 0;
    for (int i = 0; i < PQntuples(after) && out->table_count < REHEARSE_TABLES_MAX; i++) {
        struct rehearsed_table *table = &out->tables[out->table_count];
        snprintf(table->name, sizeof table->name, "%s", PQgetvalue(after, i, 0));
        table->inserted = pg_int(after, i, 1) - pg_int(before, i, 1);
        table->updated = pg_int(after, i, 2) - pg_int(before, i, 2);
        table->deleted = pg_int(after, i, 3) - pg_int(before, i, 3);
        if (table->inserted || table->updated || table->deleted)
            out->table_count++;
    }
}

/* One call of the procedure. */
static int call(struct rehearsal *rehearsal, struct position *position, struct error *error)
{
    struct positions positions = {.list = position, .count = 1};
    session_send_classified(rehearsal->session, rehearsal->batch, 0, 1, &positions);
    if (session_finish(rehearsal->session, error) == SESSION_COMMITTED)
        return pg_run(conn_of(rehearsal), "SET CONSTRAINTS ALL IMMEDIATE", error);
    if (error->class == ERROR_SCREENED) {
        session_name_screened(rehearsal->session, error);
        error_prefix(error, "screened");
    }
    return -1;
}

/* Whether a failure is the record's own. */
static int is_its_own(const struct error *error)
{
    return error->class != ERROR_RETRY && error->class != ERROR_FENCED;
}

/* Reads what the position has applied, unless the last record was one of it too. */
static int load_runs(struct rehearsal *rehearsal, struct position *position, struct error *error)
{
    if (rehearsal->loaded_id != position->id &&
        runs_load(session_runs(rehearsal->session), conn_of(rehearsal), position, 1, error) != 0)
        return -1;
    rehearsal->loaded_id = position->id;
    position->next_run = rehearsal->next_run++;
    return 0;
}

static int apply(struct rehearsal *rehearsal, struct position *position, struct rehearsed *out,
                 struct error *error)
{
    size_t to;
    const struct entry *entry = &rehearsal->batch->entries[0];
    if (load_runs(rehearsal, position, error) != 0 ||
        session_classify(rehearsal->session, rehearsal->batch, 0, 1, &to, error) != 0)
        return -1;
    out->fate = entry->fate == FATE_APPLIED        ? REHEARSED_APPLIED
                : entry->fate == FATE_NOT_CONSUMED ? REHEARSED_NOT_CONSUMED
                : entry->fate == FATE_DUPLICATE    ? REHEARSED_DUPLICATE
                                                   : REHEARSED_FAILED;
    if (entry->fate == FATE_DEAD_LETTER)
        error_set(&out->error, ERROR_DEAD_LETTER, entry->code, "%s", entry->reason);
    if (out->fate != REHEARSED_APPLIED || call(rehearsal, position, &out->error) == 0)
        return 0;
    out->fate = REHEARSED_FAILED;
    if (is_its_own(&out->error))
        return pg_run(conn_of(rehearsal), "ROLLBACK TO SAVEPOINT record", error);
    *error = out->error;
    return -1;
}

static int add_record(struct rehearsal *rehearsal, const struct record *record,
                      struct rehearsed *out, struct error *error)
{
    for (int tries = 0; tries < 2; tries++) {
        batch_reset(rehearsal->batch, 1);
        out->error = (struct error){0};
        if (batch_add(rehearsal->batch, rehearsal->decoder, record, 0, &out->error) == 0)
            return 0;
        if (tries > 0 || strcmp(out->error.code, DECODER_UNKNOWN) != 0)
            break;
        struct error unknown;
        if (decoder_look_up(rehearsal->decoder, decoder_unknown_id(rehearsal->decoder),
                            conn_of(rehearsal), &unknown) != 0) {
            out->error = unknown;
            break;
        }
    }
    out->fate = REHEARSED_FAILED;
    if (PQtransactionStatus(conn_of(rehearsal)) == PQTRANS_INTRANS)
        return 1;
    if (error)
        *error = out->error;
    return -1;
}

int rehearse_record(struct rehearsal *rehearsal, int32_t position_id, const struct record *record,
                    struct rehearsed *ret_rehearsed, struct error *error)
{
    /* Beyond every record, so that no position is handed over, and none is moved. */
    struct position position = {
        .id = position_id, .partition = record->partition, .next_offset = INT64_MAX};
    PGresult *before = NULL;
    PGresult *after = NULL;
    *ret_rehearsed = (struct rehearsed){0};
    if (monotonic_now_us() > rehearsal->end_us)
        return error_set(error, ERROR_RETRY, "out-of-time",
                         "a rehearsal may hold its locks for %d ms", REHEARSE_BUDGET_MS);
    int added = add_record(rehearsal, record, ret_rehearsed, error);
    if (added != 0)
        return added < 0 ? -1 : 0;
    int code = count_rows(rehearsal, &before, error);
    if (code == 0)
        code = pg_run(conn_of(rehearsal), "SAVEPOINT record", error);
    if (code == 0)
        code = apply(rehearsal, &position, ret_rehearsed, error);
    if (code == 0 && ret_rehearsed->fate == REHEARSED_APPLIED) {
        code = count_rows(rehearsal, &after, error);
        if (code == 0)
            put_difference(before, after, ret_rehearsed);
    }
    if (code == 0)
        code = pg_run(conn_of(rehearsal), "RELEASE SAVEPOINT record", error);
    PQclear(before);
    PQclear(after);
    return code;
}
