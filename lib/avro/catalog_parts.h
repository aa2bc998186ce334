/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to lib/avro: the parts of the catalog. catalog.c joins them, catalog_lock.c reads the
 * lock, catalog_check.c checks each schema against the rules of the house. */
#ifndef WEIR_AVRO_CATALOG_PARTS_H
#define WEIR_AVRO_CATALOG_PARTS_H

#include "lib/avro/catalog.h"

enum { CATALOG_VERSIONS_MAX = 4000, NAME_SIZE_MAX = 63 /* Postgres cuts longer identifiers */ };

struct lock_line {
    int32_t id;
    char fingerprint[65];
    char path[200]; /* "commerce/ProductPurchased/1" */
    int used;       /* a file was found for it */
};

struct lock {
    struct lock_line *lines;
    size_t count;
    int drafts_allowed; /* versions may be missing in the lock */
    int drafts;         /* that were */
};

/* Reads schemas/catalog.lock: `<id> <sha256> <domain>/<Event>/<version>` on each line; empty lines
 * and lines that start with # are skipped. The caller frees with catalog_lock_free, after an error
 * too. */
int catalog_lock_read(const struct assets *assets, struct lock *ret_lock, struct error *error);
struct lock_line *catalog_lock_find(const struct lock *lock, const char *path);
void catalog_lock_free(struct lock *lock);

/* Checks one parsed schema against the rules: names, namespace, doc everywhere, `meta`,
 * x-ingest. */
int catalog_check_schema(const struct schema *schema, const char *domain, const char *event,
                         enum catalog_ingest *ret_ingest, struct error *error);
/* Asks avro-c, so that the catalog accepts no schema that clients built on avro-c cannot read. */
int catalog_check_portable(const struct schema *tree, struct error *error);

/* Whether records of each older version can be read as the newest one. */
int catalog_check_readable(const struct catalog_event *event, struct error *error);

/* "ProductPurchased" → "product_purchased". Returns 0, or -1 when it is longer than Postgres takes.
 */
int catalog_snake_case(const char *name, char ret_name[NAME_SIZE_MAX + 1]);

#endif
