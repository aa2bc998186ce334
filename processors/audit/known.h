/* SPDX-License-Identifier: Apache-2.0
 *
 * Holds the topics weir.dlt.<processor> and weir.decisions.<processor> against the tables (I10):
 * what stands there is known to the database. A database that was lost, and folded into before
 * `weir rebuild` had read them, knows nothing of it. */
#ifndef WEIR_AUDIT_KNOWN_H
#define WEIR_AUDIT_KNOWN_H

#include "lib/base/config.h"
#include "lib/pg/pg.h"
#include "processors/audit/report.h"

/* Adds an item for each topic. In no transaction of the caller's: rows are there before their
 * records, so they are looked for after those were read. */
int audit_known(const struct config *config, PGconn *conn, const char *processor,
                struct audit_report *report, struct error *error);

#endif
