/* SPDX-License-Identifier: Apache-2.0
 *
 * The registry's URL is kept for people to read: a registry may move house, and what its ids mean
 * is checked schema by schema. */
#include "processors/definition/source.h"

#include <string.h>

static int refuse(const PGresult *row, const char *url, struct error *error)
{
    if (*url)
        return error_set(error, ERROR_USAGE, "schema-source",
                         "the schema ids of this database, and of the records in Kafka, are those "
                         "of schemas/catalog.lock, not those of a registry. Move over with `weir "
                         "schema register --import --schema-registry-url %s`, or leave "
                         "schema-registry-url out",
                         url);
    return error_set(error, ERROR_USAGE, "schema-source",
                     "the schema ids of this database come from the schema registry %s: give "
                     "schema-registry-url. (`weir schema register --import` moved it there, or it "
                     "began there; there is no way back)",
                     PQgetvalue(row, 0, 1));
}

int source_check(PGconn *conn, const char *url, struct error *error)
{
    PGresult *result = NULL;
    int code = pg_query(conn, "SELECT to_regclass('weir.schema_source') IS NOT NULL", 0, NULL,
                        &result, error);
    int there = code == 0 && *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    result = NULL;
    if (there)
        code =
            pg_query(conn, "SELECT source, url FROM weir.schema_source", 0, NULL, &result, error);
    if (code == 0 && (!there || PQntuples(result) == 0))
        code = error_set(error, ERROR_USAGE, "not-migrated",
                         "this database does not say where its schema ids come from; run `weir "
                         "migrate` first");
    else if (code == 0 && (strcmp(PQgetvalue(result, 0, 0), "registry") == 0) != (*url != '\0'))
        code = refuse(result, url, error);
    PQclear(result);
    return code;
}

int source_claim(PGconn *conn, const char *url, struct error *error)
{
    const char *values[] = {*url ? "registry" : "catalog", *url ? url : NULL};
    if (pg_query(conn,
                 "INSERT INTO weir.schema_source (source, url) VALUES ($1, $2) "
                 "ON CONFLICT DO NOTHING",
                 2, values, NULL, error) != 0)
        return -1;
    return source_check(conn, url, error);
}

int source_move(PGconn *conn, const char *url, struct error *error)
{
    const char *values[] = {url};
    return pg_query(conn,
                    "UPDATE weir.schema_source SET (source, url, since) = ('registry', $1, now())",
                    1, values, NULL, error);
}
