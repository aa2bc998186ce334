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

/* Changes the value as --file and --set say; with neither, in $VISUAL or $EDITOR (vi). May be
 * called again after a fault: the editor then opens what was written before. Errors: ERROR_USAGE;
 * *ret_by_hand says whether the editor was used, so that another try makes sense. */
int edit_apply(const struct config *config, struct edit *edit, int *ret_by_hand,
               struct error *error);

/* Frees the value and removes the editor's file. */
void edit_free(struct edit *edit);

#endif
