/* SPDX-License-Identifier: Apache-2.0
 *
 * Base64 (RFC 4648 §4) with padding, which is how bytes stand in JSON. */
#ifndef WEIR_BASE_BASE64_H
#define WEIR_BASE_BASE64_H

#include "lib/base/buf.h"

/* Appends the text of `size` bytes. */
void base64_encode(const void *data, size_t size, struct buf *out);
/* Appends the bytes of a text. Returns 0, or -1 (with `out` as it was) for anything but canonical
 * base64. */
int base64_decode(const char *text, size_t size, struct buf *out);

#endif
