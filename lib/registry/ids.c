/* SPDX-License-Identifier: Apache-2.0
 *
 * Versions are registered in the order of the lock, so that a subject gets its versions in order.
 */
#include "lib/registry/ids.h"

#include <stdlib.h>

#include "lib/avro/same.h"

/* Fetches the id and compares. Returns 0 same, 1 no such id, 2 another schema, or -1. */
static int compare(struct registry *registry, const struct catalog_version *version, int32_t id,
                   struct error *error)
{
    struct buf text = {0};
    struct schema_document *document = NULL;
    struct error reason = {0};
    int result = registry_fetch(registry, id, &text, error);
    if (result == 0 && (schema_parse(text.data, text.size, &document, &reason) != 0 ||
                        !schema_same(version->schema, schema_root(document))))
        result = 2;
    schema_free(document);
    buf_free(&text);
    return result;
}

static int find_or_register(struct registry *registry, const struct catalog_version *version,
                            enum ids_how how, int32_t *ret_id, size_t *added, struct error *error)
{
    const struct catalog_event *event = version->event;
    int result = registry_look_up(registry, event->subject, version->text, version->text_size,
                                  ret_id, error);
    if (result == 1 && how == IDS_LOOK_UP)
        return error_set(error, ERROR_USAGE, "schema-not-registered",
                         "the schema registry %s does not know %s version %d (subject %s): run "
                         "`weir schema register`",
                         registry_url(registry), event->name, version->version, event->subject);
    if (result == 1) {
        result = registry_register(registry, event->subject, version->text, version->text_size,
                                   ret_id, error);
        *added += result == 0;
    }
    if (result == 1)
        return error_set(error, ERROR_USAGE, "registry-refused",
                         "the schema registry %s takes no subject %s", registry_url(registry),
                         event->subject);
    return result;
}

int ids_take(struct registry *registry, enum ids_how how, struct catalog *catalog,
             size_t *ret_added, struct error *error)
{
    size_t count = catalog_version_count(catalog);
    int32_t *ids = xcalloc(count ? count : 1, sizeof *ids);
    size_t added = 0;
    int result = 0;
    for (size_t i = 0; result == 0 && i < count; i++) {
        const struct catalog_version *version = catalog_version_at(catalog, i);
        result = find_or_register(registry, version, how, &ids[i], &added, error);
        if (result != 0)
            break;
        result = compare(registry, version, ids[i], error);
        if (result > 0)
            result =
                error_set(error, ERROR_USAGE, "schema-differs",
                          "%s version %d has id %d in the schema registry %s, but what that "
                          "keeps under the id is another schema",
                          version->event->name, version->version, ids[i], registry_url(registry));
    }
    if (result == 0)
        result = catalog_set_ids(catalog, ids, error);
    if (ret_added)
        *ret_added = added;
    free(ids);
    return result;
}

int ids_open_catalog(const struct config *config, const struct assets *assets, enum ids_how how,
                     struct catalog **ret_catalog, struct error *error)
{
    struct registry *registry = NULL;
    struct catalog *catalog = NULL;
    int result = registry_open(config, &registry, error);
    if (result == 0)
        result = catalog_open(assets, &catalog, error);
    if (result == 0 && registry)
        result = ids_take(registry, how, catalog, NULL, error);
    registry_free(registry);
    if (result != 0) {
        catalog_free(catalog);
        return -1;
    }
    *ret_catalog = catalog;
    return 0;
}

/* Registers one version under its own id. */
static int import_version(struct registry *registry, const struct catalog_version *version,
                          struct error *error)
{
    const struct catalog_event *event = version->event;
    int32_t id = 0;
    struct error ignored;
    if (registry_set_mode(registry, event->subject, "IMPORT", error) != 0)
        return -1;
    int result = registry_import(registry, event->subject, version->version, version->id,
                                 version->text, version->text_size, &id, error);
    if (registry_set_mode(registry, event->subject, "READWRITE", result == 0 ? error : &ignored) !=
        0)
        result = -1;
    if (result == 1)
        return error_set(error, ERROR_USAGE, "registry-refused",
                         "the schema registry %s takes no subject %s", registry_url(registry),
                         event->subject);
    if (result == 0 && id != version->id)
        return error_set(error, ERROR_USAGE, "schema-ids",
                         "%s version %d got id %d in the schema registry %s, but records carry id "
                         "%d: it takes no ids of others, so import into one that is empty",
                         event->name, version->version, id, registry_url(registry), version->id);
    return result;
}

int ids_import(struct registry *registry, const struct catalog *catalog, size_t *ret_added,
               struct error *error)
{
    size_t count = catalog_version_count(catalog);
    char *missing = xcalloc(count ? count : 1, 1);
    size_t added = 0;
    int result = 0;
    for (size_t i = 0; result == 0 && i < count; i++) {
        const struct catalog_version *version = catalog_version_at(catalog, i);
        result = compare(registry, version, version->id, error);
        missing[i] = result == 1;
        if (result == 2)
            error_set(error, ERROR_USAGE, "schema-ids",
                      "id %d is %s version %d in schemas/catalog.lock, but another schema in the "
                      "schema registry %s: import into one that is empty",
                      version->id, version->event->name, version->version, registry_url(registry));
        result = result == 0 || result == 1 ? 0 : -1;
    }
    for (size_t i = 0; result == 0 && i < count; i++) {
        if (!missing[i])
            continue;
        result = import_version(registry, catalog_version_at(catalog, i), error);
        added += result == 0;
    }
    *ret_added = added;
    free(missing);
    return result;
}
