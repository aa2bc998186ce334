/* SPDX-License-Identifier: Apache-2.0
 *
 * Records that a person decided to skip and that the position has not reached yet. Each becomes a
 * dead letter when it comes, whatever it is. */
#ifndef WEIR_FOLD_SKIPS_H
#define WEIR_FOLD_SKIPS_H

#include <stdint.h>

#include "lib/pg/pg.h"

/* Code of such a dead letter. */
#define SKIPS_CODE "skipped"

struct positions;
struct skips;

struct skips *skips_new(void);
void skips_free(struct skips *skips);
void skips_clear(struct skips *skips);

/* Reads what the owner has taken up about its positions. */
int skips_load(struct skips *skips, PGconn *conn, const struct positions *positions,
               struct error *error);

/* The same for positions of a generation that is not live: what was decided about the live one's.
 */
int skips_load_live(struct skips *skips, PGconn *conn, const struct positions *positions,
                    struct error *error);

/* Who skipped a record and why, or NULL when nobody did. `position` is an index. */
const char *skips_find(const struct skips *skips, uint32_t position, int64_t offset);

#endif
