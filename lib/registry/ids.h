/* SPDX-License-Identifier: Apache-2.0
 *
 * Schema ids have one source: schemas/catalog.lock, or a registry. With a registry each version
 * of the catalog is registered there (or looked up), the registry's schema is compared with the
 * file, and the catalog takes the registry's ids. */
#ifndef WEIR_REGISTRY_IDS_H
#define WEIR_REGISTRY_IDS_H

#include "lib/avro/catalog.h"
#include "lib/registry/client.h"

enum ids_how {
    IDS_LOOK_UP, /* a version that is not there is an error */
    IDS_REGISTER /* a version that is not there is registered */
};

/* Opens the catalog, with the ids of the registry if `config` names one. Errors: those of
 * catalog_open; ERROR_RETRY when the registry does not answer within REGISTRY_DEADLINE_MS;
 * ERROR_USAGE "schema-not-registered", "registry-refused", "schema-differs". */
int ids_open_catalog(const struct config *config, const struct assets *assets, enum ids_how how,
                     struct catalog **ret_catalog, struct error *error);

/* Gives the catalog the registry's ids. *ret_added (may be NULL) is how many versions were
 * registered by this call. */
int ids_take(struct registry *registry, enum ids_how how, struct catalog *catalog,
             size_t *ret_added, struct error *error);

/* Registers the catalog's versions under the catalog's own ids, so that every record that was
 * written with them means the same to the registry. Nothing is registered when one of the ids is
 * another schema's there. Errors also: ERROR_USAGE "schema-ids": the registry gave another id. */
int ids_import(struct registry *registry, const struct catalog *catalog, size_t *ret_added,
               struct error *error);

#endif
