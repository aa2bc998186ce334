/* SPDX-License-Identifier: Apache-2.0
 *
 * The line stays one column short of the terminal's width: a full one would wrap, and \r go back to
 * the wrong line. What does not fit makes the bar shorter, and then goes away. Drawing is the log's
 * affair, whose lines come above it. */
#include "cli/bar.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    BAR_LONGEST = 40,
    BAR_SHORTEST = 5,
    BRACKETS = 3,
    MINUTES_FROM_S = 120,
    HOURS_FROM_S = 7200
};

/* Columns of the terminal on stderr; where it does not say, what COLUMNS says. */
static int terminal_columns(void)
{
    struct winsize size;
    const char *text = getenv("COLUMNS");
    int columns = 0;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0)
        columns = size.ws_col;
    if (columns == 0 && text)
        columns = atoi(text);
    return columns > 0 ? columns : BAR_WIDTH_DEFAULT;
}

static void format_left(int64_t eta_s, char *ret_text, size_t size)
{
    if (eta_s < 0)
        *ret_text = '\0';
    else if (eta_s < MINUTES_FROM_S)
        snprintf(ret_text, size, "  %" PRId64 " s left", eta_s);
    else if (eta_s < HOURS_FROM_S)
        snprintf(ret_text, size, "  %" PRId64 " min left", (eta_s + 59) / 60);
    else
        snprintf(ret_text, size, "  %" PRId64 " h %02" PRId64 " min left", eta_s / 3600,
                 eta_s % 3600 / 60);
}

/* Writes the line, without control characters and shorter than `columns`, into ret_text. */
static void format(const struct bar *bar, int columns, char ret_text[BAR_TEXT_MAX])
{
    char left[48];
    char head[160];
    char tail[160];
    char blocks[BAR_LONGEST + 1];
    int most = columns < BAR_TEXT_MAX ? columns - 1 : BAR_TEXT_MAX - 1;
    format_left(bar->eta_s, left, sizeof left);
    snprintf(head, sizeof head, "%s %s", bar->name, bar->phase);
    if (bar->rate > 0)
        snprintf(tail, sizeof tail, " %" PRId64 "/%" PRId64 "  %" PRId64 "/s%s", bar->done,
                 bar->total, bar->rate, left);
    else
        snprintf(tail, sizeof tail, " %" PRId64 "/%" PRId64, bar->done, bar->total);
    int room = most - (int)strlen(head) - (int)strlen(tail) - BRACKETS;
    int width = room > BAR_LONGEST ? BAR_LONGEST : room;
    if (width < BAR_SHORTEST) {
        snprintf(ret_text, (size_t)(most > 0 ? most : 0) + 1, "%s%s", head, tail);
        return;
    }
    int64_t done = bar->done < bar->total ? bar->done : bar->total;
    int filled = bar->total > 0 ? (int)(done * width / bar->total) : width;
    memset(blocks, '.', (size_t)width);
    memset(blocks, '#', (size_t)filled);
    blocks[width] = '\0';
    snprintf(ret_text, (size_t)most + 1, "%s [%s]%s", head, blocks, tail);
}

void bar_draw(const struct bar *bar)
{
    char text[BAR_TEXT_MAX];
    format(bar, terminal_columns(), text);
    log_status(text);
}

void bar_clear(void)
{
    log_status(NULL);
}
