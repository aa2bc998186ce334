/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to lib/avro: a compiled pattern. pattern_compile.c makes it, pattern.c runs it. */
#ifndef WEIR_AVRO_PATTERN_PARTS_H
#define WEIR_AVRO_PATTERN_PARTS_H

#include "lib/avro/pattern.h"

enum step_kind {
    PATTERN_SET,   /* takes a character of the set */
    PATTERN_SPLIT, /* goes on at both places */
    PATTERN_JUMP,
    PATTERN_BEGIN, /* goes on at the beginning of the text only */
    PATTERN_END,
    PATTERN_MATCH
};

/* Jumps are relative, so that a piece of the program can be moved and copied. */
struct pattern_step {
    uint8_t kind;
    uint16_t set;
    int16_t to, or_to;
};

enum { PATTERN_RANGES_MAX = 32 }; /* of one set */

struct pattern_range {
    uint32_t first, last;
};

struct pattern_set {
    uint64_t ascii[2]; /* a bit for each, with the negation applied */
    int negated;
    size_t range_count;
    struct pattern_range ranges[PATTERN_RANGES_MAX];
};

struct pattern {
    const char *text;
    struct pattern_step steps[PATTERN_STEPS_MAX];
    size_t step_count;
    struct pattern_set *sets;
    size_t set_count;
};

/* Reads one code point of valid UTF-8 and goes behind it. */
uint32_t pattern_next(const char **at);

#endif
