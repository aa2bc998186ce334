/* SPDX-License-Identifier: Apache-2.0
 *
 * The text forms of dates, times and timestamps, which Avro holds as integers. Private to lib/avro.
 */
#ifndef WEIR_AVRO_SCALAR_H
#define WEIR_AVRO_SCALAR_H

#include <stdint.h>

#include "lib/avro/schema.h"

enum { SCALAR_TEXT_SIZE = 40 };

/* Writes the text of an int or long of a logical type, and a NUL. Returns its size, or 0 when the
 * value has no text: it has no such logical type, is outside the years 1970–9999, or is finer than
 * a microsecond; it is an integer then. */
size_t scalar_to_text(const struct schema *schema, int64_t value, char ret_text[SCALAR_TEXT_SIZE]);

/* The value of a text. Returns 0, or -1 when the text does not fit the logical type or there is
 * none. */
int scalar_from_text(const struct schema *schema, const char *text, size_t size,
                     int64_t *ret_value);

/* What a text should look like, such as `a date such as "2026-11-22"`; NULL when the type takes no
 * text. */
const char *scalar_expected(const struct schema *schema);

/* Units of the type in a millionth of a second are this: 1000 for nanos, -1000 for millis, 1 for
 * micros, 0 for others. */
int scalar_unit(enum avro_logical logical);

#endif
