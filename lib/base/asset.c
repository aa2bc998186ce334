/* SPDX-License-Identifier: Apache-2.0
 *
 * A set of assets is a sorted array of pointers, either to the embedded table or to files read once
 * from a folder. */
#include "lib/base/asset.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/buf.h"

struct assets {
    struct asset *items;
    size_t count;
    int owned; /* paths and data were read from a folder */
};

static int compare_path(const void *left, const void *right)
{
    return strcmp(((const struct asset *)left)->path, ((const struct asset *)right)->path);
}

static int read_file(const char *path, const char *name, struct asset *ret_asset,
                     struct error *error)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return error_set(error, ERROR_USAGE, "asset-unreadable", "%s: %s", path, strerror(errno));
    struct stat status;
    if (fstat(fileno(file), &status) != 0 || status.st_size > ASSET_SIZE_MAX) {
        fclose(file);
        return error_set(error, ERROR_USAGE, "asset-too-large", "%s is larger than %d bytes", path,
                         ASSET_SIZE_MAX);
    }
    size_t size = (size_t)status.st_size;
    char *data = xmalloc(size + 1);
    size_t got = fread(data, 1, size, file);
    fclose(file);
    data[got] = '\0';
    *ret_asset = (struct asset){.path = xstrdup(name), .data = data, .size = got};
    return 0;
}

static int wanted(const char *name)
{
    const char *end = strrchr(name, '.');
    return end && (!strcmp(end, ".avsc") || !strcmp(end, ".sql") || !strcmp(end, ".conf") ||
                   !strcmp(end, ".lock"));
}

static int read_folder(struct assets *assets, const char *home, struct error *error)
{
    char *schemas = xasprintf("%s/schemas", home);
    char *sql = xasprintf("%s/sql", home);
    char *roots[] = {schemas, sql, NULL};
    int result = 0;
    assets->items = xcalloc(ASSET_COUNT_MAX, sizeof *assets->items);
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL);
    if (!walk)
        result = error_set(error, ERROR_USAGE, "home-unreadable", "%s: %s", home, strerror(errno));
    for (FTSENT *entry; result == 0 && (entry = fts_read(walk));) {
        if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS)
            result = error_set(error, ERROR_USAGE, "home-unreadable",
                               "%s: %s (the home folder must hold schemas/ and sql/)",
                               entry->fts_path, strerror(entry->fts_errno));
        else if (entry->fts_info == FTS_F && wanted(entry->fts_name)) {
            if (assets->count == ASSET_COUNT_MAX)
                result = error_set(error, ERROR_USAGE, "home-too-large",
                                   "%s holds more than %d files", home, ASSET_COUNT_MAX);
            else if ((result = read_file(entry->fts_path, entry->fts_path + strlen(home) + 1,
                                         &assets->items[assets->count], error)) == 0)
                assets->count++;
        }
    }
    if (walk)
        fts_close(walk);
    free(schemas);
    free(sql);
    return result;
}

int assets_open(const char *home, struct assets **ret_assets, struct error *error)
{
    struct assets *assets = xcalloc(1, sizeof *assets);
    if (home && *home) {
        assets->owned = 1;
        if (read_folder(assets, home, error) != 0) {
            assets_free(assets);
            return -1;
        }
    } else {
        assets->count = embedded_asset_count;
        assets->items = xcalloc(assets->count, sizeof *assets->items);
        memcpy(assets->items, embedded_assets, assets->count * sizeof *assets->items);
    }
    qsort(assets->items, assets->count, sizeof *assets->items, compare_path);
    *ret_assets = assets;
    return 0;
}

void assets_free(struct assets *assets)
{
    if (!assets)
        return;
    for (size_t i = 0; assets->owned && i < assets->count; i++) {
        free((char *)assets->items[i].path);
        free((char *)assets->items[i].data);
    }
    free(assets->items);
    free(assets);
}

size_t assets_count(const struct assets *assets)
{
    return assets->count;
}

const struct asset *assets_at(const struct assets *assets, size_t index)
{
    return &assets->items[index];
}

const struct asset *assets_find(const struct assets *assets, const char *path)
{
    struct asset key = {.path = path};
    return bsearch(&key, assets->items, assets->count, sizeof key, compare_path);
}
