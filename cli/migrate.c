/* SPDX-License-Identifier: Apache-2.0
 *
 * weir migrate: brings the database up to this build. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/command.h"
#include "lib/base/buf.h"
#include "lib/base/timestamp.h"
#include "lib/query/session.h"
#include "lib/registry/ids.h"
#include "processors/definition/install.h"

struct work {
    PGconn *conn;
    const struct assets *assets;
    const struct catalog *catalog;
    struct error *error;
};

static int migrate_processor(const char *name, void *context)
{
    struct work *work = context;
    struct processor *processor = NULL;
    struct installed installed;
    int code = processor_load(work->assets, work->catalog, name, &processor, work->error);
    if (code == 0)
        code = install_processor(work->conn, processor, &installed, work->error);
    if (code != 0 && strcmp(work->error->code, "version-changed") == 0) {
        /* the others need not wait for it; its tables stay as they are until it is rebuilt */
        printf("processor %-16s NOT CHANGED: %s\n", name, work->error->message);
        *work->error = (struct error){0};
        code = 0;
    } else if (code == 0)
        printf("processor %-16s generation %d, version %d, %zu events\n", name,
               installed.generation, processor->version, processor->consumed_count);
    processor_free(processor);
    return code;
}

/* As the role that will run them. */
static int check_queries(const struct config *config, const struct assets *assets,
                         struct error *error)
{
    struct queries *queries = NULL;
    int code = queries_open(assets, &queries, error);
    if (code == 0)
        code = query_session_check(config_text(config, OPT_DATABASE), queries, error);
    if (code == 0)
        printf("queries   %zu\n", queries_count(queries));
    queries_free(queries);
    return code;
}

/* "@FILE" is the first line of the file. The caller frees *ret_password. */
static int read_password(const char *text, char **ret_password, struct error *error)
{
    char line[256];
    *ret_password = NULL;
    if (*text != '@') {
        *ret_password = xstrdup(text);
        return 0;
    }
    FILE *file = fopen(text + 1, "r");
    int good = file && fgets(line, sizeof line, file);
    if (file)
        fclose(file);
    if (!good)
        return error_set(error, ERROR_USAGE, "bad-option", "%s: cannot read a password from it",
                         text + 1);
    line[strcspn(line, "\r\n")] = '\0';
    *ret_password = xstrdup(line);
    explicit_bzero(line, sizeof line);
    return 0;
}

/* What the server is sent is the hash, so that no log of it ever holds the password. */
static int let_in(PGconn *conn, const char *role, const char *secret, struct error *error)
{
    char *password;
    if (pg_runf(conn, error, "ALTER ROLE %s LOGIN", role) != 0 ||
        read_password(secret, &password, error) != 0)
        return -1;
    char *hash = *password ? PQencryptPasswordConn(conn, password, role, NULL) : NULL;
    int code = 0;
    if (*password && !hash)
        code = error_set(error, ERROR_USAGE, "bad-password", "%s: %s", role, PQerrorMessage(conn));
    if (hash)
        code = pg_runf(conn, error, "ALTER ROLE %s PASSWORD '%s'", role, hash);
    if (code == 0)
        printf("login     %s%s\n", role, hash ? ", with a password" : "");
    explicit_bzero(password, strlen(password));
    free(password);
    PQfreemem(hash);
    return code;
}

static int make_logins(PGconn *conn, const struct config *config, struct error *error)
{
    static const struct {
        const char *role;
        enum option_id password;
    } logins[] = {{"weir_gateway", OPT_GATEWAY_PASSWORD},
                  {"weir_processor", OPT_PROCESSOR_PASSWORD},
                  {"weir_reader", OPT_READER_PASSWORD}};
    for (size_t i = 0; i < sizeof logins / sizeof *logins; i++)
        if (let_in(conn, logins[i].role, config_text(config, logins[i].password), error) != 0)
            return -1;
    return pg_query(conn, "SELECT weir.limit_reader('weir_reader')", 0, NULL, NULL, error);
}

static int connect_within(const struct config *config, PGconn **ret_conn, struct error *error)
{
    int64_t deadline_us = monotonic_now_us() + config_int(config, OPT_WAIT) * 1000;
    while (pg_connect(config_text(config, OPT_DATABASE), "weir migrate", ret_conn, error) != 0) {
        if (error->class != ERROR_RETRY || monotonic_now_us() >= deadline_us)
            return -1;
        struct timespec pause = {.tv_nsec = 250 * 1000000};
        nanosleep(&pause, NULL);
    }
    return 0;
}

static int run(const struct config *config, struct error *error)
{
    struct assets *assets = NULL;
    struct catalog *catalog = NULL;
    struct work work = {.error = error};
    int code = assets_open(config_text(config, OPT_HOME), &assets, error);
    if (code == 0)
        code = ids_open_catalog(config, assets, IDS_REGISTER, &catalog, error);
    if (code == 0)
        code = connect_within(config, &work.conn, error);
    if (code == 0)
        code = install_control(work.conn, assets, catalog,
                               config_text(config, OPT_SCHEMA_REGISTRY_URL), error);
    if (code == 0) {
        printf("catalog   %zu events on %zu topics\n", catalog_event_count(catalog),
               catalog_topic_count(catalog));
        work.assets = assets;
        work.catalog = catalog;
        code = processor_each(assets, migrate_processor, &work);
    }
    if (code == 0 && config_int(config, OPT_ROLES))
        code = make_logins(work.conn, config, error);
    if (code == 0)
        code = check_queries(config, assets, error);
    PQfinish(work.conn);
    catalog_free(catalog);
    assets_free(assets);
    return code == 0 ? EXIT_OK : EXIT_FAILED;
}

static const enum option_id options[] = {
    OPT_DATABASE,           OPT_WAIT,  OPT_SCHEMA_REGISTRY_URL, OPT_SCHEMA_REGISTRY_AUTH,
    OPT_SCHEMA_REGISTRY_CA, OPT_ROLES, OPT_GATEWAY_PASSWORD,    OPT_PROCESSOR_PASSWORD,
    OPT_READER_PASSWORD};

const struct command command_migrate = {
    .name = "migrate",
    .arguments = "",
    .summary = "bring the database up to this build",
    .help =
        "Runs the migrations of the control schema, records the catalog of events, and creates\n"
        "the tables, the procedure and the published views of each processor. It runs each\n"
        "processor's SQL on an empty batch, and prepares each query of sql/queries/ as the role\n"
        "that will run it. So it reports a mistake with file and line. Running it again changes\n"
        "nothing.\n"
        "\n"
        "The login is weir_owner unless --database names another. It owns the database, or may\n"
        "CREATE in it, and has CREATEROLE. --roles lets weir_gateway, weir_processor and\n"
        "weir_reader log in. Their passwords come from the environment (WEIR_GATEWAY_PASSWORD,\n"
        "...) or the file of --config.\n"
        "\n"
        "  weir migrate\n"
        "  weir migrate --wait 30s        wait for Postgres to come up\n"
        "  weir migrate --home ./mine     schemas and SQL of your own",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .run = run,
};
