/* SPDX-License-Identifier: Apache-2.0
 *
 * Which Spaces are held back, of the partitions that this process owns: the image in memory of
 * weir.parked_space. Each record is looked up here, so that it costs nothing how many events are
 * parked. Only the owner changes either, one transaction at a time; after anything else (another
 * owner, a crash) the table is read again. */
#ifndef WEIR_FOLD_PARKED_H
#define WEIR_FOLD_PARKED_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/uuid.h"
#include "lib/pg/pg.h"

struct parked;
struct positions;

struct parked *parked_new(void);
void parked_free(struct parked *parked);
void parked_clear(struct parked *parked);
/* Reads them anew. */
int parked_load(struct parked *parked, PGconn *conn, const struct positions *positions,
                struct error *error);
size_t parked_count(const struct parked *parked);

/* The offset from which on records of the Space wait, or INT64_MAX when none does. `position` is an
 * index of the owner's positions. */
int64_t parked_since(const struct parked *parked, uint32_t position, const struct uuid *space_id);
/* When it is there already the lower of both offsets counts. */
void parked_add(struct parked *parked, uint32_t position, const struct uuid *space_id,
                int64_t since);
void parked_remove(struct parked *parked, uint32_t position, const struct uuid *space_id);

#endif
