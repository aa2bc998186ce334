/* SPDX-License-Identifier: Apache-2.0
 *
 * weir schema register: makes the catalog's versions known to a schema registry. With --import
 * under the ids of schemas/catalog.lock, which moves a platform with records of its own over: first
 * the registry has to mean the same by each id, then the database is told where its ids come from.
 */
#include <stdio.h>

#include "cli/schema.h"
#include "lib/pg/pg.h"
#include "lib/registry/ids.h"
#include "processors/definition/source.h"

static int refuse_drafts(const struct catalog *catalog, struct error *error)
{
    for (size_t i = 0; i < catalog_version_count(catalog); i++) {
        const struct catalog_version *version = catalog_version_at(catalog, i);
        if (version->draft)
            return error_set(error, ERROR_USAGE, "draft",
                             "%s/%d is a draft: put it into schemas/catalog.lock first, because "
                             "what is registered never changes",
                             version->event->name, version->version);
    }
    return 0;
}

/* Another build may have recorded more than this one knows; its records would be left behind. */
static int check_recorded(PGconn *conn, const struct catalog *catalog, struct error *error)
{
    PGresult *result = NULL;
    int code = pg_query(conn,
                        "SELECT schema_id, event, version, fingerprint FROM weir.schema "
                        "ORDER BY schema_id",
                        0, NULL, &result, error);
    for (int row = 0; code == 0 && row < PQntuples(result); row++) {
        int32_t id = (int32_t)pg_int(result, row, 0);
        const struct catalog_version *version = catalog_find_id(catalog, id);
        if (!version || strcmp(version->fingerprint, PQgetvalue(result, row, 3)) != 0)
            code = error_set(error, ERROR_USAGE, "schema-changed",
                             "this database has recorded id %d as %s version %s, which this "
                             "catalog does not have: import with the newest build",
                             id, PQgetvalue(result, row, 1), PQgetvalue(result, row, 2));
    }
    PQclear(result);
    return code;
}

static int import(const struct schema_context *context, struct registry *registry,
                  size_t *ret_added, struct error *error)
{
    PGconn *conn = NULL;
    if (pg_connect(config_text(context->config, OPT_DATABASE), "weir schema register", &conn,
                   error) != 0)
        return -1;
    /* A database whose ids are the registry's has nothing to move. */
    int code = source_check(conn, "", error);
    if (code == 0)
        code = check_recorded(conn, context->catalog, error);
    if (code == 0)
        code = ids_import(registry, context->catalog, ret_added, error);
    if (code == 0)
        code = source_move(conn, registry_url(registry), error);
    PQfinish(conn);
    return code;
}

int schema_register(struct schema_context *context, struct error *error)
{
    struct registry *registry = NULL;
    size_t added = 0;
    int imports = (int)config_int(context->config, OPT_IMPORT);
    size_t count = catalog_version_count(context->catalog);
    if (registry_open(context->config, &registry, error) != 0)
        return EXIT_USAGE;
    if (!registry) {
        error_set(error, ERROR_USAGE, "bad-option",
                  "name the registry: --schema-registry-url http://HOST:PORT");
        return EXIT_USAGE;
    }
    int code = refuse_drafts(context->catalog, error);
    if (code == 0)
        code = imports ? import(context, registry, &added, error)
                       : ids_take(registry, IDS_REGISTER, context->catalog, &added, error);
    if (code == 0 && context->format == OUTPUT_TEXT)
        printf("%zu versions are in %s, %zu of them new%s\n", count, registry_url(registry), added,
               imports ? "; this database takes its ids from there now" : "");
    else if (code == 0)
        print_json(json_pack("{s:s, s:I, s:I, s:b}", "registry", registry_url(registry), "versions",
                             (json_int_t)count, "added", (json_int_t)added, "imported", imports));
    registry_free(registry);
    return code == 0 ? EXIT_OK : EXIT_FAILED;
}
