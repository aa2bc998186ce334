/* SPDX-License-Identifier: Apache-2.0
 *
 * A line on a terminal that says how far something is: a bar, counts, the rate and the time left.
 * It is drawn over itself and taken away at the end. */
#ifndef WEIR_CLI_BAR_H
#define WEIR_CLI_BAR_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/log.h"

enum { BAR_TEXT_MAX = LOG_STATUS_MAX, BAR_WIDTH_DEFAULT = 80 };

struct bar {
    const char *name;
    const char *phase;
    int64_t done;
    int64_t total;
    int64_t rate;  /* per second */
    int64_t eta_s; /* -1: unknown */
};

/* Draws it on stderr, over the one before and below the lines of the log; clears it. */
void bar_draw(const struct bar *bar);
void bar_clear(void);

#endif
