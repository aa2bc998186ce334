/* SPDX-License-Identifier: Apache-2.0
 *
 * A newer schema under the names that an older one has.
 *
 * Aliases tell a reader the earlier names of its fields. The specification has nothing for the
 * other direction: a reader of the old version misses the renamed field, and takes its default
 * or fails. But the newer version lists the old name, so a program that has both versions can
 * use it. */
#ifndef WEIR_AVRO_RENAME_H
#define WEIR_AVRO_RENAME_H

#include "lib/avro/schema.h"

/* Gives each field and each named type of `newer` that is an alias of `older`'s the old name, as
 * long as neither schema has both. `older` must outlive `newer`'s document, which is changed. */
void rename_back(const struct schema *newer, const struct schema *older);

#endif
