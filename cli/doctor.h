/* SPDX-License-Identifier: Apache-2.0
 *
 * `weir doctor`'s report: a list of findings, each with what to do about it. */
#ifndef WEIR_CLI_DOCTOR_H
#define WEIR_CLI_DOCTOR_H

#include <stddef.h>

#include "lib/base/config.h"

enum finding_state { FINDING_OK, FINDING_WARN, FINDING_FAIL };

struct finding {
    enum finding_state state;
    char subject[48];  /* "kafka", "topic weir.space" */
    char message[480]; /* what is so */
    char advice[240];  /* what to do; "" when all is well */
};

enum { FINDINGS_MAX = 256 };

struct report {
    size_t count;
    struct finding items[FINDINGS_MAX];
};

/* Adds a finding; `advice` may be NULL. Findings over the limit are dropped. */
void report_add(struct report *report, enum finding_state state, const char *subject,
                const char *advice, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The examinations. Each adds what it finds and never fails itself. */
void doctor_program(const struct config *config, struct report *report);
void doctor_kafka(const struct config *config, struct report *report);
void doctor_registry(const struct config *config, struct report *report);
void doctor_database(const struct config *config, struct report *report);
void doctor_roles(const struct config *config, struct report *report);

#endif
