/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of `weir dead-letters` and `weir parked` share. */
#ifndef WEIR_CLI_DEAD_LETTERS_H
#define WEIR_CLI_DEAD_LETTERS_H

#include "cli/failed.h"
#include "lib/base/buf.h"

struct letters_context {
    const struct config *config;
    enum output_format format;
    PGconn *conn;
    enum failed_kind kind;
};

/* Shows what a redrive of the first `count` rows of failed_load would do, and takes it back. With
 * `value` it stands for the bytes of the record. Returns an exit code: EXIT_CHECK when one would
 * fail. */
int letters_rehearse(struct letters_context *context, const PGresult *rows, int count,
                     const struct buf *value, struct error *error);

/* `weir … patch`: publishes another event instead of a dead letter or a parked event. Returns an
 * exit code. */
int letters_patch(struct letters_context *context, struct error *error);

#endif
