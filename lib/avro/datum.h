/* SPDX-License-Identifier: Apache-2.0
 *
 * Resolves one value after the other, of any pair of schemas; `weir schema decode` uses it. It
 * runs the resolution that decode plans are compiled from, but writes the reader's own Avro
 * encoding instead of rows, so it takes any schema. It tracks its place, so a fault has a path.
 * For tools and oracles; the engine only asks it about values that it cannot place. */
#ifndef WEIR_AVRO_DATUM_H
#define WEIR_AVRO_DATUM_H

#include "lib/avro/schema.h"
#include "lib/base/buf.h"

enum { DATUM_BYTES_MAX = 64 << 20 /* that one value may become */ };

struct datum_reader;

/* Both schemas must outlive it. Errors (ERROR_HALT, "schema-incompatible"): path and reason. */
int datum_open(const struct schema *writer, const struct schema *reader,
               struct datum_reader **ret_reader, struct error *error);
void datum_free(struct datum_reader *reader);

/* Reads the value at the start of `data` and appends it to `out` in the reader's encoding.
 * `ret_used` are the bytes it took. Errors (ERROR_DEAD_LETTER, "avro-invalid"): the path, the byte,
 * counted from `origin` bytes before `data`, and the reason; `out` is then undefined behind its old
 * size. */
int datum_read(struct datum_reader *reader, const unsigned char *data, size_t size, size_t origin,
               struct buf *out, size_t *ret_used, struct error *error);

/* Appends a value that datum_read made as text, in the plain form of json.h. */
int datum_plain(struct datum_reader *reader, const void *avro, size_t size, struct buf *out,
                struct error *error);

#endif
