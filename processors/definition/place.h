/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds the place in an author's files where a failure arose, from the context of Postgres'
 * error. */
#ifndef WEIR_DEFINITION_PLACE_H
#define WEIR_DEFINITION_PLACE_H

#include "processors/definition/processor.h"

/* The file, and the line of the innermost of the author's functions in `context` (which may be
 * NULL): 0 when Postgres names none. NULL when the failure arose in none of them. The words of the
 * context, and their order, are those of the server's language; names and numbers are not. */
const struct asset *place_find(const struct processor *processor, const char *context,
                               int *ret_line);

/* Puts "FILE: statement at line N: " before the message, or "FILE: ". Returns -1, or 0 and changes
 * nothing when the failure arose elsewhere. */
int place_prefix(const struct processor *processor, const char *context, struct error *error);

#endif
