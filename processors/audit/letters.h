/* SPDX-License-Identifier: Apache-2.0
 *
 * Compares the dead letters with the topic weir.dlt.<processor> (I10): each row has its record
 * there, or waits in the outbox. */
#ifndef WEIR_AUDIT_LETTERS_H
#define WEIR_AUDIT_LETTERS_H

#include "lib/base/config.h"
#include "lib/pg/pg.h"
#include "processors/audit/report.h"
#include "processors/definition/processor.h"

/* Looks for this many dead letters at most; the item says when there are more. */
enum { AUDIT_LETTERS_MAX = 1000000 };

/* Adds one item for the live generation of `processor`. The caller is in the transaction whose
 * snapshot counts. The topic is read afterwards, so it has the records that left the outbox
 * since. */
int audit_letters(const struct config *config, PGconn *conn, const char *processor, int generation,
                  struct audit_report *report, struct error *error);

/* The other way round: the database knows what the topics of dead letters and decisions name.
 * Adds an item for each topic. The caller has no transaction open. */
int audit_known(const struct config *config, PGconn *conn, const struct processor *processor,
                struct audit_report *report, struct error *error);

#endif
