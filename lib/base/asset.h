/* SPDX-License-Identifier: Apache-2.0
 *
 * Assets: the schemas and SQL files the program runs on. They are embedded at build time and can be
 * replaced as a whole by a folder that holds `schemas/` and `sql/` (option `home`). Paths are
 * relative, such as "schemas/commerce/ProductPurchased/1.avsc". */
#ifndef WEIR_BASE_ASSET_H
#define WEIR_BASE_ASSET_H

#include <stddef.h>

#include "lib/base/error.h"

struct asset {
    const char *path; /* relative, '/' between parts */
    const char *data; /* `size` bytes and a NUL after them */
    size_t size;
};

extern const struct asset embedded_assets[];
extern const size_t embedded_asset_count;

/* Of sql/statements/ (lib/pg/statement.h). */
struct embedded_statement {
    const char *name;
    const char *text;
};

extern const struct embedded_statement embedded_statements[];
extern const size_t embedded_statement_count;

enum { ASSET_SIZE_MAX = 1 << 20, ASSET_COUNT_MAX = 4096 };

struct assets; /* a set of assets, sorted by path */

/* Opens the assets of the folder `home`, or the embedded ones when `home` is NULL or "".
 * Errors (ERROR_USAGE): the folder cannot be read, a file is larger than ASSET_SIZE_MAX. */
int assets_open(const char *home, struct assets **ret_assets, struct error *error);
void assets_free(struct assets *assets);

size_t assets_count(const struct assets *assets);
const struct asset *assets_at(const struct assets *assets, size_t index);
/* NULL when there is no such path. */
const struct asset *assets_find(const struct assets *assets, const char *path);

#endif
