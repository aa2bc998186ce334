/* SPDX-License-Identifier: Apache-2.0
 *
 * Assets are sorted by path. The table files that were applied are a prefix of those that are here,
 * name by name and hash by hash; whatever else it may be is an error. */
#include "lib/pg/migrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/hash.h"

static const char BOOTSTRAP[] = "sql/control/migration.sql";
static const char TABLES[] = "sql/control/tables/";
static const char FUNCTIONS[] = "sql/control/functions/";

/* Runs a file of any number of statements. An SQL error names its path and, where Postgres tells,
 * the line, and is ERROR_USAGE: whoever wrote the file has to act. */
static int run_file(PGconn *conn, const struct asset *asset, struct error *error)
{
    PGresult *result = PQexec(conn, asset->data);
    ExecStatusType status = PQresultStatus(result);
    int code = 0;
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY) {
        const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
        int line = 1;
        for (int i = 0, end = position ? atoi(position) : 0; i < end && asset->data[i]; i++)
            line += asset->data[i] == '\n';
        pg_fail(conn, result, error);
        code = position ? error_prefix(error, "%s:%d", asset->path, line)
                        : error_prefix(error, "%s", asset->path);
        if (error->class == ERROR_HALT || error->class == ERROR_DEAD_LETTER)
            error->class = ERROR_USAGE;
    }
    PQclear(result);
    return code;
}

/* The first asset of a folder; *ret_count is how many there are. */
static const struct asset *files_of(const struct assets *assets, const char *folder,
                                    size_t *ret_count)
{
    const struct asset *first = NULL;
    *ret_count = 0;
    for (size_t i = 0; i < assets_count(assets); i++) {
        const struct asset *asset = assets_at(assets, i);
        if (strncmp(asset->path, folder, strlen(folder)) != 0)
            continue;
        first = first ? first : asset;
        ++*ret_count;
    }
    return first;
}

static int check_numbers(const struct asset *files, size_t count, struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        char number[8];
        const char *name = files[i].path + sizeof TABLES - 1;
        snprintf(number, sizeof number, "%04zu_", i + 1);
        if (strncmp(name, number, strlen(number)) == 0)
            continue;
        if (i > 0 && strncmp(name, files[i - 1].path + sizeof TABLES - 1, strlen(number)) == 0)
            return error_set(error, ERROR_USAGE, "migration-number",
                             "%s and %s have one number; give the newer one the next that is free",
                             files[i - 1].path, files[i].path);
        return error_set(error, ERROR_USAGE, "migration-number",
                         "%s should be %s%s…: table files are numbered from 0001 without gaps",
                         files[i].path, TABLES, number);
    }
    return 0;
}

/* Whether the file was applied, with this text. */
static int is_applied(const PGresult *applied, const struct asset *file)
{
    char hash[65];
    hash_sha256_hex(file->data, file->size, hash);
    for (int i = 0; i < PQntuples(applied); i++)
        if (strcmp(PQgetvalue(applied, i, 0), file->path) == 0)
            return strcmp(PQgetvalue(applied, i, 1), hash) == 0;
    return 0;
}

static int check_applied(const PGresult *applied, const struct asset *files, size_t count,
                         struct error *error)
{
    size_t at = 0;
    for (int i = 0; i < PQntuples(applied); i++) {
        const char *path = PQgetvalue(applied, i, 0);
        if (strncmp(path, TABLES, sizeof TABLES - 1) != 0)
            continue;
        if (at >= count)
            return error_set(error, ERROR_USAGE, "migration-unknown",
                             "this database has %s, which this build lacks: it was migrated by a "
                             "newer build; use that one, or newer",
                             path);
        const struct asset *file = &files[at++];
        if (strcmp(file->path, path) != 0)
            return error_set(error, ERROR_USAGE, "migration-changed",
                             "this database has %s where %s is here; what was applied keeps its "
                             "name and its place",
                             path, file->path);
        if (!is_applied(applied, file))
            return error_set(error, ERROR_USAGE, "migration-changed",
                             "%s was changed after this database had applied it at %s; take the "
                             "change back, and make it in a new file, %s%04zu_….sql",
                             path, PQgetvalue(applied, i, 2), TABLES, count + 1);
    }
    return 0;
}

/* The rows of weir.migration, found to agree with the table files. */
static int read_applied(PGconn *conn, const struct asset *tables, size_t table_count,
                        PGresult **ret_applied, struct error *error)
{
    PGresult *applied = NULL;
    if (check_numbers(tables, table_count, error) != 0 ||
        pg_query(conn,
                 "SELECT path, sha256, date_trunc('second', applied_at) FROM weir.migration "
                 "ORDER BY path",
                 0, NULL, &applied, error) != 0)
        return -1;
    if (check_applied(applied, tables, table_count, error) != 0) {
        PQclear(applied);
        return -1;
    }
    *ret_applied = applied;
    return 0;
}

static int run_files(PGconn *conn, const PGresult *applied, const struct asset *files, size_t count,
                     struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        char hash[65];
        hash_sha256_hex(files[i].data, files[i].size, hash);
        const char *values[] = {files[i].path, hash};
        if (is_applied(applied, &files[i]))
            continue;
        if (run_file(conn, &files[i], error) != 0 ||
            pg_query(
                conn,
                "INSERT INTO weir.migration (path, sha256) VALUES ($1, $2) "
                "ON CONFLICT (path) DO UPDATE SET sha256 = excluded.sha256, applied_at = now()",
                2, values, NULL, error) != 0)
            return -1;
    }
    return 0;
}

int migrate_control(PGconn *conn, const struct assets *assets, struct error *error)
{
    size_t table_count;
    size_t function_count;
    const struct asset *bootstrap = assets_find(assets, BOOTSTRAP);
    const struct asset *tables = files_of(assets, TABLES, &table_count);
    const struct asset *functions = files_of(assets, FUNCTIONS, &function_count);
    PGresult *applied = NULL;
    if (!bootstrap)
        return error_set(error, ERROR_USAGE, "home-incomplete",
                         "there is no %s; a home folder holds all of sql/control/", BOOTSTRAP);
    if (run_file(conn, bootstrap, error) != 0 ||
        read_applied(conn, tables, table_count, &applied, error) != 0)
        return -1;
    int code = run_files(conn, applied, tables, table_count, error);
    if (code == 0)
        code = run_files(conn, applied, functions, function_count, error);
    PQclear(applied);
    return code;
}

int migrate_compare(PGconn *conn, const struct assets *assets, size_t *ret_done,
                    size_t *ret_missing, struct error *error)
{
    size_t table_count;
    size_t function_count;
    const struct asset *tables = files_of(assets, TABLES, &table_count);
    const struct asset *functions = files_of(assets, FUNCTIONS, &function_count);
    PGresult *applied = NULL;
    size_t done = 0;
    if (read_applied(conn, tables, table_count, &applied, error) != 0)
        return -1;
    for (size_t i = 0; i < table_count; i++)
        done += is_applied(applied, &tables[i]);
    for (size_t i = 0; i < function_count; i++)
        done += is_applied(applied, &functions[i]);
    PQclear(applied);
    *ret_done = done;
    *ret_missing = table_count + function_count - done;
    return 0;
}
