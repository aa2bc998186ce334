/* SPDX-License-Identifier: Apache-2.0
 *
 * Deciding about dead letters and parked events. A decision is a row of weir.decision; the owner of
 * the partition carries it out under its fence, and this waits for what comes of it. Nothing is
 * ever applied from here. */
#ifndef WEIR_CLI_DECIDE_H
#define WEIR_CLI_DECIDE_H

#include "cli/failed.h"

struct decide {
    const struct config *config;
    PGconn *conn;
    enum output_format format;
    enum failed_kind kind;
    const char *verdict;        /* redrive, discard, patch, retry, skip */
    const char *replacement_id; /* patch: the event that was published instead, otherwise NULL */
};

/* The options --by and --reason, with the user of the operating system when there is no --by.
 * Errors: ERROR_USAGE when a discard, patch or skip has no reason. */
int decide_check(const struct decide *decide, struct error *error);

/* Loads what the options choose and can be decided about, and says on stderr what is left out.
 * The first *ret_count of them are to be used: --max at most, none when all of them are decided in
 * that way already. Errors: ERROR_USAGE when there is none like that. */
int decide_load(const struct decide *decide, PGresult **ret_rows, int *ret_count,
                struct error *error);

/* Asks on the terminal, unless --yes was given. Returns 0 to go on. Errors: ERROR_USAGE
 * "not-confirmed", also when there is no terminal. */
int decide_confirm(const struct decide *decide, const char *question, struct error *error);

/* Decides about the first `count` rows: one first, the others when it went well, --rate a second,
 * and none any more after a failure. Waits for the outcomes and prints them. Returns an exit code.
 */
int decide_rows(const struct decide *decide, const PGresult *rows, int count, struct error *error);

/* The whole of `weir … redrive|discard|retry`. Returns an exit code. */
int decide_run(const struct decide *decide, struct error *error);

#endif
