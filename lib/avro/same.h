/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether two schemas mean the same: one decodes what the other wrote, to the same values. */
#ifndef WEIR_AVRO_SAME_H
#define WEIR_AVRO_SAME_H

#include "lib/avro/schema.h"

/* Compares names, types, logical types, symbols, fields in their order, defaults and aliases.
 * Documentation, x- attributes, and how the text is written do not count, because a registry may
 * normalize them. Returns 1 or 0. */
int schema_same(const struct schema *left, const struct schema *right);

#endif
