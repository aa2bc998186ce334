/* SPDX-License-Identifier: Apache-2.0
 *
 * A newer schema under the names that an older one has.
 *
 * Aliases of a reader tell it what its fields were called before. The other way round the
 * specification has nothing: a reader of the old version would find the renamed field missing, and
 * take its default or fail. But who renamed it has written down what it was called, so a program
 * that holds both versions can know. */
#ifndef WEIR_AVRO_RENAME_H
#define WEIR_AVRO_RENAME_H

#include "lib/avro/schema.h"

/* Gives each field and each named type of `newer` that is an alias of `older`'s the old name, as
 * long as neither schema has both. `older` must outlive `newer`'s document, which is changed. */
void rename_back(const struct schema *newer, const struct schema *older);

#endif
