/* SPDX-License-Identifier: Apache-2.0
 *
 * The measuring tools behind ./dev bench: what makes load, and what measures the floors that Weir
 * is held against. bench/run starts them; docs/measure.md says what they are for. */
#include <stdio.h>
#include <string.h>

#include "bench/tool.h"

static const struct {
    const char *name;
    int (*run)(const struct options *options);
} tools[] = {
    {"fill", tool_fill}, {"consume", tool_consume}, {"decode", tool_decode},
    {"trip", tool_trip}, {"commit", tool_commit},   {"load", tool_load},
    {"bare", tool_bare},
};

int main(int count, char **words)
{
    for (size_t i = 0; count > 1 && i < sizeof tools / sizeof *tools; i++) {
        if (strcmp(words[1], tools[i].name) != 0)
            continue;
        struct options options = options_read(count, words, 2);
        return tools[i].run(&options);
    }
    fputs("usage: bench fill|consume|decode|trip|commit|load|bare [NAME=VALUE...]\n", stderr);
    return 2;
}
