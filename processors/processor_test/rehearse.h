/* SPDX-License-Identifier: Apache-2.0
 *
 * Shows what a record would do if it were applied now. The record takes the engine's way through
 * decoder, batch, slice and procedure into the live generation, as the engine's role, in a
 * transaction that is rolled back. It hands over no position, so the fence is not touched and no
 * position moves or is locked. Rows are locked meanwhile, and a live batch may wait for them, so
 * a rehearsal waits briefly for locks and ends after REHEARSE_BUDGET_MS. */
#ifndef WEIR_PROCESSOR_TEST_REHEARSE_H
#define WEIR_PROCESSOR_TEST_REHEARSE_H

#include "lib/base/config.h"
#include "processors/fold/decoder.h"

enum {
    REHEARSE_BUDGET_MS = 5000, /* of one transaction */
    REHEARSE_LOCK_MS = 1000,
    REHEARSE_STATEMENT_MS = 4000,
    REHEARSE_TABLES_MAX = 200
};

enum rehearsed_fate {
    REHEARSED_APPLIED,
    REHEARSED_DUPLICATE,    /* its event was applied before: nothing would change */
    REHEARSED_NOT_CONSUMED, /* the processor does not consume this event type */
    REHEARSED_FAILED        /* `error` says why */
};

struct rehearsed_table {
    char name[64];
    int64_t inserted, updated, deleted;
};

struct rehearsed {
    enum rehearsed_fate fate;
    struct error error;
    size_t table_count; /* those whose rows would change */
    struct rehearsed_table tables[REHEARSE_TABLES_MAX];
};

struct rehearsal;

/* Begins the transaction, in a session of its own. Errors: ERROR_USAGE when build and database do
 * not fit; those of Postgres. */
int rehearse_open(const struct config *config, const struct processor *processor,
                  struct rehearsal **ret_rehearsal, struct error *error);

/* Applies one record after the earlier ones. Later records see its effects unless it failed.
 * Errors: only those that say nothing about the record: connection, lock timeout, ERROR_RETRY
 * "out-of-time" once the budget is spent. */
int rehearse_record(struct rehearsal *rehearsal, int32_t position_id, const struct record *record,
                    struct rehearsed *ret_rehearsed, struct error *error);

/* Rolls back and frees. */
void rehearse_free(struct rehearsal *rehearsal);

#endif
