/* SPDX-License-Identifier: Apache-2.0
 *
 * Default values: written in a schema in Avro's own JSON form, turned into Avro binary, so that a
 * default and a value that was sent take the same way from there on. Private to lib/avro. */
#ifndef WEIR_AVRO_PRESET_H
#define WEIR_AVRO_PRESET_H

#include "lib/avro/schema.h"
#include "lib/base/buf.h"

/* Work allowed for one default; only nested defaults that multiply can reach it. */
enum { PRESET_VALUES_MAX = 100000 };

/* Appends the encoding of the default `json` of type `schema`. A union takes the first branch that
 * the value fits. Errors (ERROR_USAGE, "schema-invalid"): the value does not fit the type; `out` is
 * then undefined behind its old size. */
int preset_encode(const struct schema *schema, const json_t *json, struct buf *out,
                  struct error *error);

#endif
