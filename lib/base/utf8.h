/* SPDX-License-Identifier: Apache-2.0
 *
 * Text as Postgres holds it: valid UTF-8 (RFC 3629) without NUL. */
#ifndef WEIR_BASE_UTF8_H
#define WEIR_BASE_UTF8_H

#include <stddef.h>

/* Whether all `size` bytes are such text. No terminating NUL is needed. */
int utf8_valid(const void *data, size_t size);

#endif
