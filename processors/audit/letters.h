/* SPDX-License-Identifier: Apache-2.0
 *
 * Holds the dead letters against the topic weir.dlt.<processor> (I10): each row is a record there,
 * or waits in the outbox. */
#ifndef WEIR_AUDIT_LETTERS_H
#define WEIR_AUDIT_LETTERS_H

#include "lib/base/config.h"
#include "lib/pg/pg.h"
#include "processors/audit/report.h"
#include "processors/definition/processor.h"

/* More dead letters than these are not looked for; the item then says so. */
enum { AUDIT_LETTERS_MAX = 1000000 };

/* Adds one item for the live generation of `processor`. The caller is in the transaction whose view
 * counts; the topic is read behind it, so that what left the outbox since is found there. */
int audit_letters(const struct config *config, PGconn *conn, const char *processor, int generation,
                  struct audit_report *report, struct error *error);

/* The other way round: what the topics of dead letters and decisions name is known. Adds an item
 * for each. In no transaction of the caller's. */
int audit_known(const struct config *config, PGconn *conn, const struct processor *processor,
                struct audit_report *report, struct error *error);

#endif
