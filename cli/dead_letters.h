/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of `weir dead-letters` share. */
#ifndef WEIR_CLI_DEAD_LETTERS_H
#define WEIR_CLI_DEAD_LETTERS_H

#include "cli/failed.h"

struct letters_context {
    const struct config *config;
    enum output_format format;
    PGconn *conn;
};

#endif
