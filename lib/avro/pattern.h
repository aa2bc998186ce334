/* SPDX-License-Identifier: Apache-2.0
 *
 * Patterns of texts: POSIX extended regular expressions on code points, matched in bounded time:
 * each character costs at most one step for each step of the pattern, and no memory. No library
 * at hand promises that (ARCHITECTURE.md, "Limits of the contract"). */
#ifndef WEIR_AVRO_PATTERN_H
#define WEIR_AVRO_PATTERN_H

#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/error.h"

enum { PATTERN_STEPS_MAX = 500, PATTERN_DEPTH_MAX = 50 /* of parentheses */ };

struct pattern;

/* Classes such as [[:alpha:]] are of ASCII. Errors (ERROR_USAGE, "schema-invalid"): what POSIX does
 * not define, such as "\d" (other dialects' classes, and back references) or a * behind nothing;
 * more steps than PATTERN_STEPS_MAX once its repeats are written out. */
int pattern_compile(const char *text, struct pattern **ret_pattern, struct error *error);
void pattern_free(struct pattern *pattern);

/* Whether a part of valid UTF-8 with a NUL matches; all of it where ^ and $ say so. */
int pattern_matches(const struct pattern *pattern, const char *text);

/* How many steps a character costs at most. */
size_t pattern_steps(const struct pattern *pattern);

const char *pattern_text(const struct pattern *pattern);

/* Appends a text made by the pattern, from the random numbers of `next`. It matches, except for
 * some patterns with anchors inside or sets without ASCII, so check it. */
void pattern_make(const struct pattern *pattern, uint64_t (*next)(void *context), void *context,
                  struct buf *out);

#endif
