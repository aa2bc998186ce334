/* SPDX-License-Identifier: Apache-2.0
 *
 * Compares the log with Postgres, record by record (I3). Each record below a position that the
 * processor consumes, or that cannot be decoded, must be in exactly one of applied_run,
 * weir.duplicate, weir.parked and weir.dead_letter (unless it is redriven), and these tables
 * must have no other record. Records older than the processor's duplicate window are left out,
 * because applied events are forgotten by then. */
#ifndef WEIR_AUDIT_RECORDS_H
#define WEIR_AUDIT_RECORDS_H

#include "lib/base/config.h"
#include "processors/audit/positions.h"
#include "processors/audit/report.h"
#include "processors/definition/processor.h"

/* Reads this many records at most; the item says when there are more. */
enum { AUDIT_RECORDS_MAX = 20000000 };

/* Adds one item for the processor. `positions` are those of all processors, with extents; the live
 * generation of this one is examined, whose tables are in `schema`. The caller's transaction has
 * the view in which the positions were read. */
int audit_records(const struct config *config, PGconn *conn,
                  const struct audit_positions *positions, const struct processor *processor,
                  const char *schema, struct audit_report *report, struct error *error);

#endif
