/* SPDX-License-Identifier: Apache-2.0
 *
 * Patterns of texts: POSIX extended regular expressions on characters of UTF-8. One that could run
 * away is refused: back references, and repeats in repeats beyond PATTERN_PARTS_MAX. What is left
 * takes time in proportion to the text, whose length is checked before. */
#ifndef WEIR_AVRO_PATTERN_H
#define WEIR_AVRO_PATTERN_H

#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/error.h"

enum {
    PATTERN_SIZE_MAX = 256,   /* bytes */
    PATTERN_PARTS_MAX = 2000, /* characters, sets and the like, with repeats written out */
    PATTERN_DEPTH_MAX = 20    /* of parentheses */
};

struct pattern;

/* Errors (ERROR_USAGE, "schema-invalid"): it is too long, does not compile, has a backslash before
 * a letter or digit (other dialects' classes and back references, which POSIX does not have), or
 * grows too large. `text` must outlive the pattern. */
int pattern_compile(const char *text, struct pattern **ret_pattern, struct error *error);
void pattern_free(struct pattern *pattern);

/* Whether valid UTF-8 with a NUL matches. Any number of threads may ask at once. */
int pattern_matches(const struct pattern *pattern, const char *text);

const char *pattern_text(const struct pattern *pattern);

/* Appends a text made by the pattern, with what `next` throws. It matches, but for patterns in
 * which anchors stand inside or excluded sets leave nothing printable: ask. */
void pattern_make(const struct pattern *pattern, uint64_t (*next)(void *context), void *context,
                  struct buf *out);

/* The ] of the bracket expression that starts at `at`, or the end of the text. */
const char *pattern_bracket_end(const char *at);

#endif
