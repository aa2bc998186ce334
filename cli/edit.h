/* SPDX-License-Identifier: Apache-2.0
 *
 * Changing JSON by hand: single values by pointer, a whole file, or the user's editor. */
#ifndef WEIR_CLI_EDIT_H
#define WEIR_CLI_EDIT_H

#include <jansson.h>

#include "lib/base/config.h"
#include "lib/base/error.h"

enum { EDIT_BYTES_MAX = 16 << 20, EDIT_PATH_MAX = 256 };

struct edit {
    json_t *value;            /* what it is now */
    char path[EDIT_PATH_MAX]; /* of the file in the editor; "" while there is none */
};

/* Puts `text` at a JSON pointer (RFC 6901) of the value; `assignment` is "/a/0/b=text". The text is
 * taken as JSON if it is JSON, otherwise as a string. The member may be new; "-" appends to an
 * array. Errors: ERROR_USAGE. */
int edit_set(json_t *value, const char *assignment, struct error *error);

/* Reads one JSON value from a file, or from standard input when `path` is "-". Errors: ERROR_USAGE
 * with the line. */
int edit_read(const char *path, json_t **ret_value, struct error *error);

/* Changes the value as --file and --set say; with neither, in $VISUAL or $EDITOR (vi). May be
 * called again after a fault: the editor then opens what was written before. Errors: ERROR_USAGE;
 * *ret_by_hand says whether the editor was used, so that another try makes sense. */
int edit_apply(const struct config *config, struct edit *edit, int *ret_by_hand,
               struct error *error);

/* Frees the value and removes the editor's file. */
void edit_free(struct edit *edit);

#endif
