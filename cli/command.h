/* SPDX-License-Identifier: Apache-2.0
 *
 * A subcommand is a static descriptor, listed in cli/main.c. */
#ifndef WEIR_CLI_COMMAND_H
#define WEIR_CLI_COMMAND_H

#include <stddef.h>

#include "lib/base/config.h"
#include "lib/base/error.h"

enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CHECK = 3 };

struct command {
    const char *name;      /* "topics" */
    const char *arguments; /* "create|list" or "" */
    const char *summary;   /* one line for `weir help` */
    const char *help; /* paragraphs for `weir NAME --help`: what it does, examples, exit codes */
    const enum option_id *options;
    size_t option_count;
    const char *login; /* whose connection it is when --database names no user; NULL: the owner's */
    /* Returns an exit code. On failure it may fill `error`; main prints it. */
    int (*run)(const struct config *config, struct error *error);
};

#endif
