/* SPDX-License-Identifier: Apache-2.0
 *
 * Holds the log against Postgres, record by record (I3): each record below a position that the
 * processor consumes, or that cannot be decoded, is in exactly one of applied_event,
 * weir.duplicate, weir.parked and weir.dead_letter (unless it is redriven), and nothing else is.
 * Records older than the processor's duplicate window are not held to it, because what was applied
 * is forgotten then. */
#ifndef WEIR_AUDIT_RECORDS_H
#define WEIR_AUDIT_RECORDS_H

#include "lib/base/config.h"
#include "processors/audit/positions.h"
#include "processors/audit/report.h"
#include "processors/definition/processor.h"

/* More records than these are not read; the item then says so. */
enum { AUDIT_RECORDS_MAX = 20000000 };

/* Adds one item for the processor. `positions` are those of all processors, with extents; the live
 * generation of this one is examined, whose tables are in `schema`. The caller's transaction has
 * the view in which the positions were read. */
int audit_records(const struct config *config, PGconn *conn,
                  const struct audit_positions *positions, const struct processor *processor,
                  const char *schema, struct audit_report *report, struct error *error);

#endif
