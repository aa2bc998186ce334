/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a processor's checks.sql: each statement must return no row. A comment "-- name: text (I9)"
 * before a statement names the rule and the invariant it stands for. */
#ifndef WEIR_AUDIT_CHECKS_H
#define WEIR_AUDIT_CHECKS_H

#include "lib/base/asset.h"
#include "lib/pg/pg.h"
#include "processors/audit/report.h"

/* Adds one item per statement of `checks`, run in `schema` ("ledger_1"). A statement that fails is
 * an item too. The caller is in a transaction, which stays usable. Errors: the connection is lost.
 */
int audit_checks(PGconn *conn, const struct asset *checks, const char *processor,
                 const char *schema, struct audit_report *report, struct error *error);

/* The rule's name and invariant from the comments before a statement, for `line` when they name
 * none. */
void audit_check_name(const char *lead, size_t lead_size, int line, char ret_name[160],
                      char ret_invariant[8]);

#endif
