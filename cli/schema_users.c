/* SPDX-License-Identifier: Apache-2.0
 *
 * Mentions are found by words, not by meaning: a statement that names both the event's relation and
 * the column. Only Postgres knows for sure, so its word counts where there is a database. */
#include "cli/schema_users.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/pg/migrate.h"
#include "lib/pg/sql_scan.h"
#include "processors/definition/install.h"
#include "processors/processor_test/published.h"

enum { USERS_MAX = 256 };

struct schema_users {
    const struct assets *assets;
    const struct catalog *catalog;
    struct processor *processors[USERS_MAX];
    size_t count;
    json_t *faults; /* while opening */
};

static void add_fault(json_t *faults, const char *name, const char *reason)
{
    json_array_append_new(faults, json_pack("{s:s, s:s}", "processor", name, "reason", reason));
}

static int load(const char *name, void *context)
{
    struct schema_users *users = context;
    struct error error = {0};
    if (users->count == USERS_MAX)
        return 1;
    if (processor_load(users->assets, users->catalog, name, &users->processors[users->count],
                       &error) == 0)
        users->count++;
    else
        add_fault(users->faults, name, error.message);
    return 0;
}

struct schema_users *schema_users_open(const struct assets *assets, const struct catalog *catalog,
                                       json_t *faults)
{
    struct schema_users *users = xcalloc(1, sizeof *users);
    users->assets = assets;
    users->catalog = catalog;
    users->faults = faults;
    processor_each(assets, load, users);
    return users;
}

void schema_users_free(struct schema_users *users)
{
    for (size_t i = 0; users && i < users->count; i++)
        processor_free(users->processors[i]);
    free(users);
}

size_t schema_users_count(const struct schema_users *users)
{
    return users->count;
}

static int in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The line of the first place where the statement has the word. */
static int line_of(const struct sql_statement *statement, const char *word)
{
    size_t size = strlen(word);
    int line = statement->line;
    for (size_t i = 0; i + size <= statement->size; i++) {
        const char *at = statement->text + i;
        if (strncasecmp(at, word, size) == 0 && (i == 0 || !in_word(at[-1])) &&
            (i + size == statement->size || !in_word(at[size])))
            return line;
        line += *at == '\n';
    }
    return statement->line;
}

static void add_mentions(const struct processor *processor, const struct consumed *consumed,
                         const char *column, json_t *mentions)
{
    struct sql_cursor cursor = sql_open(processor->apply->data, processor->apply->size);
    struct sql_statement statement;
    while (sql_next(&cursor, &statement)) {
        int reads = 0;
        for (size_t i = 0; i < relation_count(consumed->relations) && !reads; i++)
            reads = sql_mentions(&statement, relation_at(consumed->relations, i)->name);
        if (reads && sql_mentions(&statement, column))
            json_array_append_new(
                mentions, json_pack("{s:s, s:s, s:i}", "processor", processor->name, "file",
                                    processor->apply->path, "line", line_of(&statement, column)));
    }
}

json_t *schema_users_mention(const struct schema_users *users, const struct catalog_event *event,
                             const char *column)
{
    json_t *mentions = json_array();
    for (size_t i = 0; i < users->count; i++) {
        const struct processor *processor = users->processors[i];
        const struct consumed *consumed = processor_consumes(processor, event);
        if (!consumed)
            continue;
        if (*column)
            add_mentions(processor, consumed, column, mentions);
        else
            json_array_append_new(mentions, json_pack("{s:s}", "processor", processor->name));
    }
    return mentions;
}

/* What processors stand on, in a database that was never migrated. */
static int make_control(const struct schema_users *users, PGconn *conn, struct error *error)
{
    PGresult *result = NULL;
    if (pg_query(conn, "SELECT to_regnamespace('weir_event') IS NOT NULL", 0, NULL, &result,
                 error) != 0)
        return -1;
    int there = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return there ? 0 : migrate_control(conn, users->assets, error);
}

int schema_users_compile(const struct schema_users *users, PGconn *conn, json_t *faults,
                         struct error *error)
{
    char schema[64];
    int code = 0;
    snprintf(schema, sizeof schema, "weir_check_%d", (int)getpid());
    for (size_t i = 0; code == 0 && i < users->count; i++) {
        struct installed installed;
        struct error fault = {0};
        code = pg_run(conn, "BEGIN; SET LOCAL client_min_messages = warning", error);
        if (code == 0)
            code = make_control(users, conn, error);
        if (code == 0 &&
            (install_scratch(conn, users->processors[i], schema, 0, &installed, &fault) != 0 ||
             published_compile(conn, users->processors[i], schema, &fault) != 0)) {
            if (fault.class == ERROR_USAGE || fault.class == ERROR_HALT) {
                add_fault(faults, users->processors[i]->name, fault.message);
            } else {
                *error = fault;
                code = -1;
            }
        }
        pg_run(conn, "ROLLBACK", NULL);
    }
    return code;
}
