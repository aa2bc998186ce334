/* SPDX-License-Identifier: Apache-2.0
 *
 * What `weir doctor` finds out about a schema registry, if one is configured: whether it answers
 * and has the catalog. Nothing is registered. */
#include <string.h>

#include "cli/doctor.h"
#include "lib/registry/ids.h"

static void examine_catalog(struct registry *registry, struct catalog *catalog,
                            struct report *report)
{
    struct error error = {0};
    if (ids_take(registry, IDS_LOOK_UP, catalog, NULL, &error) == 0)
        report_add(report, FINDING_OK, "registry", NULL, "%s has all %zu versions of the catalog",
                   registry_url(registry), catalog_version_count(catalog));
    else if (error.class == ERROR_RETRY)
        report_add(report, FINDING_FAIL, "registry",
                   "start it: until then partitions with an unknown schema id wait, and no gateway "
                   "starts",
                   "%s", error.message);
    else if (strcmp(error.code, "schema-not-registered") == 0)
        report_add(report, FINDING_WARN, "registry", "`weir schema register` registers what is new",
                   "%s", error.message);
    else
        report_add(report, FINDING_FAIL, "registry",
                   "correct --schema-registry-url, -auth or -ca, or what the registry keeps", "%s",
                   error.message);
}

void doctor_registry(const struct config *config, struct report *report)
{
    struct error error = {0};
    struct registry *registry = NULL;
    struct assets *assets = NULL;
    struct catalog *catalog = NULL;
    if (registry_open(config, &registry, &error) != 0)
        report_add(report, FINDING_FAIL, "registry", "correct the option", "%s", error.message);
    if (!registry)
        return;
    registry_set_deadline(registry, REGISTRY_ONE_TRY);
    if (assets_open(config_text(config, OPT_HOME), &assets, &error) == 0 &&
        catalog_open(assets, &catalog, &error) == 0) /* the catalog's own finding says it if not */
        examine_catalog(registry, catalog, report);
    catalog_free(catalog);
    assets_free(assets);
    registry_free(registry);
}
