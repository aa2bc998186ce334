/* SPDX-License-Identifier: Apache-2.0
 *
 * What the actions of `weir schema` share. schema.c opens the catalog and has list and show; each
 * other action has a file of its own. Each returns an exit code and may fill the error. */
#ifndef WEIR_CLI_SCHEMA_H
#define WEIR_CLI_SCHEMA_H

#include "cli/command.h"
#include "cli/support.h"
#include "lib/avro/catalog.h"

struct schema_context {
    const struct config *config;
    enum output_format format;
    const char
        *home; /* the folder that schemas/ and sql/ are read from, "" for the program's own */
    struct assets *assets;
    struct catalog *catalog;
};

int schema_check(struct schema_context *context, struct error *error);
int schema_decode(struct schema_context *context, struct error *error);
int schema_diff(struct schema_context *context, struct error *error);
int schema_new(struct schema_context *context, struct error *error);
int schema_register(struct schema_context *context, struct error *error);

/* The version that "Event" (the newest) or "Event/2" names. Returns NULL with the error set. */
const struct catalog_version *schema_find(const struct schema_context *context, const char *name,
                                          struct error *error);

#endif
