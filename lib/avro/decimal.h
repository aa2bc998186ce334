/* SPDX-License-Identifier: Apache-2.0
 *
 * Decimals: Avro's big-endian two's complement, the text that people type, and Postgres' binary
 * numeric. Exact, at any size up to DECIMAL_BYTES_MAX. Private to lib/avro. */
#ifndef WEIR_AVRO_DECIMAL_H
#define WEIR_AVRO_DECIMAL_H

#include "lib/base/buf.h"

enum { DECIMAL_BYTES_MAX = 416 /* 1000 digits */ };

/* Reads "-12.34" (no exponent) as an unscaled integer of at most `precision` digits, `scale` of
 * them behind the point. Writes the shortest two's complement, or exactly `fixed_size` bytes when
 * that is not 0. Returns NULL, or what is wrong. */
const char *decimal_from_text(const char *text, size_t size, int precision, int scale,
                              size_t fixed_size, struct buf *out);

/* Appends the text, with all `scale` digits behind the point. Returns 0, or -1 when there are too
 * many bytes. */
int decimal_to_text(const unsigned char *data, size_t size, int scale, struct buf *out);

/* Appends the binary form of a Postgres numeric. Returns 0, or -1 when there are too many bytes. */
int decimal_to_numeric(const unsigned char *data, size_t size, int scale, struct buf *out);

#endif
