/* SPDX-License-Identifier: Apache-2.0
 *
 * Brings a database up to this build: control migrations, the catalog, types, each processor's
 * first generation, its procedure and its published views. Safe to repeat and to run from several
 * places at once (advisory lock). */
#ifndef WEIR_DEFINITION_INSTALL_H
#define WEIR_DEFINITION_INSTALL_H

#include "lib/pg/pg.h"
#include "processors/definition/processor.h"

/* Where a generation lives and how it is called. */
struct installed {
    int generation;
    char schema[64];    /* "ledger_1" */
    char procedure[32]; /* "apply_0123456789ab" */
};

/* Control schema and catalog. The catalog's ids are those of the registry at `registry_url`, or of
 * the lock when that is "". Refuses (ERROR_USAGE, "schema-source") to mix the two. */
int install_control(PGconn *conn, const struct assets *assets, const struct catalog *catalog,
                    const char *registry_url, struct error *error);

/* One processor, with a dry run of its procedure on an empty batch, so that broken SQL is found
 * here, with its line. Refuses (ERROR_USAGE, "version-changed") when the live generation was built
 * with another version. */
int install_processor(PGconn *conn, const struct processor *processor,
                      struct installed *ret_installed, struct error *error);

/* A generation that nothing publishes, in the schema `schema`, for `weir processor test`; without
 * indexes.sql when it is `bare`, as a rebuild's. Runs in the caller's transaction. */
int install_scratch(PGconn *conn, const struct processor *processor, const char *schema, int bare,
                    struct installed *ret_installed, struct error *error);

enum install_tables {
    INSTALL_NO_TABLES, /* they are there */
    INSTALL_BARE,      /* without what install_indexes adds */
    INSTALL_INDEXED
};

/* A generation beside the live one, `<name>_<generation>`, in the caller's transaction: its
 * procedure, and tables if it has none. */
int install_generation(PGconn *conn, const struct processor *processor, int generation,
                       enum install_tables tables, struct installed *ret_installed,
                       struct error *error);
/* Runs indexes.sql. The view `batch` of the schema is replaced: is_first is false from then on. */
int install_indexes(PGconn *conn, const struct processor *processor,
                    const struct installed *installed, struct error *error);

/* Makes the published views read this generation, in the caller's transaction. Views that are there
 * are replaced, so that what others built on them stays. */
int install_views(PGconn *conn, const struct processor *processor,
                  const struct installed *installed, struct error *error);

/* Finds what install_processor made, for a processor that is about to run. Errors: ERROR_USAGE
 * "not-migrated" and "version-changed" say what to do. */
int install_find(PGconn *conn, const struct processor *processor, struct installed *ret_installed,
                 struct error *error);

#endif
