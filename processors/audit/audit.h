/* SPDX-License-Identifier: Apache-2.0
 *
 * Examines a live system: what SQL and the ends of the log can show of the invariants I1, I3, I4,
 * I7, I9, I10, I11 and I12. It reads in one snapshot of the database, in which positions and
 * effects belong together, so nothing has to stand still. */
#ifndef WEIR_AUDIT_AUDIT_H
#define WEIR_AUDIT_AUDIT_H

#include "lib/avro/catalog.h"
#include "lib/base/config.h"
#include "lib/pg/pg.h"
#include "processors/audit/report.h"

struct audit_request {
    const struct config *config;
    const struct assets *assets;
    const struct catalog *catalog;
    const char *processor; /* NULL: every live one */
    int64_t wait_ms;       /* wait this long for lag 0 first; any lag left is a finding */
};

/* Fills `report`. ret_lag is the lag of all processors together. Errors: Postgres or Kafka does not
 * answer, the database is not migrated, there is no such processor. */
int audit_run(const struct audit_request *request, struct audit_report *report, int64_t *ret_lag,
              struct error *error);

#endif
