/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON strings written straight into a buffer, for answers that are too simple for a tree. */
#ifndef WEIR_BASE_JSON_TEXT_H
#define WEIR_BASE_JSON_TEXT_H

#include "lib/base/buf.h"

/* Appends `text` in quotes, escaped (RFC 8259). In text that is not UTF-8 every byte beyond ASCII
 * becomes "?". */
void json_text_put(struct buf *out, const char *text, size_t size);

/* Appends `"name":"text"`, after a comma when `out` does not end with an opening brace or bracket.
 * `name` needs no escaping. */
void json_text_member(struct buf *out, const char *name, const char *text);
/* Appends `"name":number` in the same way. */
void json_text_number(struct buf *out, const char *name, int64_t number);

#endif
