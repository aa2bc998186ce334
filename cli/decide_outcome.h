/* SPDX-License-Identifier: Apache-2.0
 *
 * What came of decisions: looked up until there is an outcome, and printed as it comes. */
#ifndef WEIR_CLI_DECIDE_OUTCOME_H
#define WEIR_CLI_DECIDE_OUTCOME_H

#include "cli/failed.h"
#include "lib/base/buf.h"

enum { DECISION_ID_SIZE = 40 };

struct outcome {
    char id[DECISION_ID_SIZE];
    int known;
    int retried; /* it was made due; what came of the attempt is not known yet */
};

struct outcomes {
    PGconn *conn;
    enum failed_kind kind;
    const char *verdict;
    const char *replacement_id; /* NULL unless it is a patch */
    enum output_format format;
    const PGresult *rows; /* of failed_load; the first `count` */
    int count;
    struct outcome *items; /* one for each */
    int decided;           /* the first of them */
    int first;             /* of all before it an outcome is known */
    int known;             /* of those: an outcome is known */
    int failed;            /* of those: not the one that was wanted */
    json_t *report;        /* -o json: one object for each outcome */
};

/* Says on stderr when nobody is there to carry decisions out. */
int outcomes_begin(struct outcomes *outcomes, struct error *error);

/* Looks at those that are decided and have no outcome, and prints those that are now. *ret_moved:
 * whether there was one. */
int outcomes_poll(struct outcomes *outcomes, int *ret_moved, struct error *error);

/* Prints the sum. Returns an exit code; with EXIT_FAILED `error` says what is left, and why.
 * `waited` is 0 when outcomes were not waited for. */
int outcomes_finish(struct outcomes *outcomes, int waited, struct error *error);

#endif
