/* SPDX-License-Identifier: Apache-2.0
 *
 * The lock file gives each schema version its id on the wire. It is append-only: an id once given
 * is in the topics for ever, so a version whose file changed afterwards is refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/avro/catalog_parts.h"
#include "lib/base/buf.h"

static const char lock_path[] = "schemas/catalog.lock";

static int parse_line(const char *line, struct lock_line *ret_line)
{
    int end = 0;
    if (sscanf(line, "%d %64[0-9a-f] %199s%n", &ret_line->id, ret_line->fingerprint, ret_line->path,
               &end) != 3)
        return -1;
    return line[end] == '\0' && ret_line->id > 0 && strlen(ret_line->fingerprint) == 64 ? 0 : -1;
}

static int check_line(const struct lock *lock, const struct lock_line *line, int number,
                      struct error *error)
{
    if (lock->count > 0 && line->id <= lock->lines[lock->count - 1].id)
        return error_set(error, ERROR_USAGE, "catalog-invalid",
                         "%s:%d: id %d is not above the one before it", lock_path, number,
                         line->id);
    if (catalog_lock_find(lock, line->path))
        return error_set(error, ERROR_USAGE, "catalog-invalid", "%s:%d: %s is locked twice",
                         lock_path, number, line->path);
    if (lock->count == CATALOG_VERSIONS_MAX)
        return error_set(error, ERROR_USAGE, "catalog-invalid", "%s has more than %d lines",
                         lock_path, CATALOG_VERSIONS_MAX);
    return 0;
}

int catalog_lock_read(const struct assets *assets, struct lock *ret_lock, struct error *error)
{
    const struct asset *file = assets_find(assets, lock_path);
    *ret_lock = (struct lock){0};
    if (!file)
        return error_set(error, ERROR_USAGE, "catalog-invalid", "%s is missing", lock_path);
    ret_lock->lines = xcalloc(CATALOG_VERSIONS_MAX, sizeof *ret_lock->lines);
    char *text = xstrndup(file->data, file->size);
    char *rest = text;
    int number = 0;
    int result = 0;
    for (char *line; result == 0 && (line = strsep(&rest, "\n"));) {
        struct lock_line parsed = {0};
        line[strcspn(line, "\r")] = '\0';
        number++;
        if (*line == '\0' || *line == '#')
            continue;
        if (parse_line(line, &parsed) != 0)
            result = error_set(error, ERROR_USAGE, "catalog-invalid",
                               "%s:%d: expected `<id> <sha256> <domain>/<Event>/<version>`",
                               lock_path, number);
        else if ((result = check_line(ret_lock, &parsed, number, error)) == 0)
            ret_lock->lines[ret_lock->count++] = parsed;
    }
    free(text);
    return result;
}

struct lock_line *catalog_lock_find(const struct lock *lock, const char *path)
{
    for (size_t i = 0; i < lock->count; i++)
        if (strcmp(lock->lines[i].path, path) == 0)
            return &lock->lines[i];
    return NULL;
}

void catalog_lock_free(struct lock *lock)
{
    free(lock->lines);
    *lock = (struct lock){0};
}
