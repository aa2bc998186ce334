/* SPDX-License-Identifier: Apache-2.0
 *
 * weir schema check: would the newest version of an event break anybody? First by the schemas, then
 * by the SQL of the processors, which is asked of Postgres when it is there. All findings are
 * gathered as JSON, which is printed as it is or in words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/schema.h"
#include "cli/schema_users.h"
#include "lib/avro/compat.h"
#include "lib/avro/words.h"

struct check {
    const struct schema_context *context;
    enum compat_mode mode;
    struct schema_users *users;
    const struct catalog_event *event; /* being checked */
    json_t *breaks;                    /* of schemas */
    json_t *changes;                   /* of drafts, that a processor may notice */
    json_t *faults;                    /* of processors */
    size_t versions;
    size_t events;
    int compiled;
};

static const char *direction_name(const struct compat_break *found)
{
    return found->forward ? "FORWARD" : "BACKWARD";
}

static json_t *find_same(const struct check *check, const struct compat_break *found)
{
    size_t i;
    json_t *item;
    json_array_foreach(check->breaks, i, item)
    {
        if (strcmp(json_string_value(json_object_get(item, "event")), check->event->name) == 0 &&
            strcmp(json_string_value(json_object_get(item, "path")), found->path) == 0 &&
            strcmp(json_string_value(json_object_get(item, "instead")), found->advice) == 0 &&
            strcmp(json_string_value(json_object_get(item, "direction")), direction_name(found)) ==
                0)
            return item;
    }
    return NULL;
}

/* The same break against several versions is one, worded for the nearest. */
static void take_break(void *context, const struct compat_break *found)
{
    struct check *check = context;
    json_t *same = find_same(check, found);
    if (same) {
        json_array_append_new(json_object_get(same, "versions"), json_integer(found->older));
        return;
    }
    json_array_append_new(
        check->breaks,
        json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:[i], s:o}", "event", check->event->name,
                  "version", catalog_newest(check->event)->version, "path", found->path,
                  "direction", direction_name(found), "reason", found->reason, "instead",
                  found->advice, "versions", found->older, "processors",
                  schema_users_mention(check->users, check->event, found->column)));
}

/* No mode of reading speaks of those who send: it is only not asked with NONE. */
static void take_tightened(struct check *check, const char *path, const char *text)
{
    const struct catalog_version *newest = catalog_newest(check->event);
    if (check->mode == COMPAT_NONE)
        return;
    json_array_append_new(
        check->breaks,
        json_pack("{s:s, s:i, s:s, s:s, s:s+, s:s, s:[i], s:[]}", "event", check->event->name,
                  "version", newest->version, "path", path, "direction", "PRODUCERS", "reason",
                  text, ": producers are refused what they could send until now", "instead",
                  "keep the limit as it was, or add a field that has the new one", "versions",
                  newest->version - 1, "processors"));
}

/* Fields that are gone, renamed or of another type: lawful for Avro, but not for SQL. */
static void take_change(void *context, enum words_change change, const char *path,
                        const char *old_name, const char *text)
{
    struct check *check = context;
    char old_path[512];
    char column[512];
    const char *dot = strrchr(path, '.');
    if (change == WORDS_TIGHTENED)
        take_tightened(check, path, text);
    if (!catalog_newest(check->event)->draft)
        return;
    if (change != WORDS_REMOVED && change != WORDS_RENAMED && change != WORDS_RETYPED)
        return;
    snprintf(old_path, sizeof old_path, "%.*s%s", dot ? (int)(dot + 1 - path) : 0, path,
             *old_name ? old_name : path);
    compat_column(old_path, column, sizeof column);
    json_t *mentions = schema_users_mention(check->users, check->event, column);
    if (json_array_size(mentions) == 0) {
        json_decref(mentions);
        return;
    }
    json_array_append_new(check->changes,
                          json_pack("{s:s, s:s, s:s, s:s, s:o}", "event", check->event->name,
                                    "change", words_change_name(change), "path", old_path, "text",
                                    text, "processors", mentions));
}

static void check_event(struct check *check, const struct catalog_event *event)
{
    const struct catalog_version *newest = catalog_newest(event);
    check->event = event;
    check->events++;
    check->versions += event->version_count;
    compat_event(event, check->mode, take_break, check);
    if (newest->version > 1)
        words_diff((newest - 1)->schema, newest->schema, take_change, check);
}

static int check_events(struct check *check, struct error *error)
{
    const struct config *config = check->context->config;
    size_t count = config_argument_count(config);
    for (size_t i = 1; i < count; i++) {
        const struct catalog_version *version =
            schema_find(check->context, config_argument(config, i), error);
        if (!version)
            return -1;
        check_event(check, version->event);
    }
    for (size_t i = 0; count == 1 && i < catalog_event_count(check->context->catalog); i++)
        check_event(check, catalog_event_at(check->context->catalog, i));
    return 0;
}

/* The database that is there by default need not answer; "" is none at all. */
static int compile(struct check *check, struct error *error)
{
    const struct config *config = check->context->config;
    PGconn *conn = NULL;
    if (!*config_text(config, OPT_DATABASE))
        return 0;
    int result = pg_connect(config_text(config, OPT_DATABASE), "weir schema check", &conn, error);
    if (result == 0) {
        result = schema_users_compile(check->users, conn, check->faults, error);
        check->compiled = result == 0;
    } else if (!config_is_set(config, OPT_DATABASE)) {
        *error = (struct error){0};
        result = 0;
    }
    PQfinish(conn);
    return result;
}

static void print_processors(const json_t *processors, const char *head)
{
    size_t i;
    json_t *item;
    json_array_foreach(processors, i, item)
    {
        const char *file = json_string_value(json_object_get(item, "file"));
        printf("%s%s", i ? ", " : head, json_string_value(json_object_get(item, "processor")));
        if (file)
            printf(" (%s:%d)", file, (int)json_integer_value(json_object_get(item, "line")));
    }
    if (json_array_size(processors) > 0)
        putchar('\n');
}

static void print_breaks(const struct check *check)
{
    size_t i;
    json_t *item;
    json_array_foreach(check->breaks, i, item)
    {
        const char *event;
        const char *path;
        const char *reason;
        const char *instead;
        size_t k;
        json_t *version;
        json_t *versions = json_object_get(item, "versions");
        json_unpack(item, "{s:s, s:s, s:s, s:s}", "event", &event, "path", &path, "reason", &reason,
                    "instead", &instead);
        printf("BREAK  %s%s%s: %s\n", event, *path ? "." : "", path, reason);
        json_array_foreach(versions, k, version)
        {
            if (k > 0)
                printf("%s%d", k > 1 ? ", " : "       the same with version ",
                       (int)json_integer_value(version));
        }
        if (json_array_size(versions) > 1)
            putchar('\n');
        printf("       instead: %s\n", instead);
        print_processors(json_object_get(item, "processors"), "       used by: ");
    }
}

static void print_words(const struct check *check)
{
    size_t i;
    json_t *item;
    print_breaks(check);
    json_array_foreach(check->changes, i, item)
    {
        printf("look   %s.%s: %s: %s\n", json_string_value(json_object_get(item, "event")),
               json_string_value(json_object_get(item, "path")),
               json_string_value(json_object_get(item, "change")),
               json_string_value(json_object_get(item, "text")));
        print_processors(json_object_get(item, "processors"), "       used by: ");
    }
    json_array_foreach(check->faults, i, item)
    {
        printf("BREAK  processor %s: %s\n", json_string_value(json_object_get(item, "processor")),
               json_string_value(json_object_get(item, "reason")));
    }
    if (!check->compiled)
        puts("the processors' SQL was not compiled: no database answers (--database)");
    if (json_array_size(check->breaks) + json_array_size(check->faults) == 0)
        printf("%zu event%s, %zu version%s: %s holds%s\n", check->events,
               check->events == 1 ? "" : "s", check->versions, check->versions == 1 ? "" : "s",
               config_text(check->context->config, OPT_COMPATIBILITY),
               check->compiled ? "; every processor's SQL compiles" : "");
}

int schema_check(struct schema_context *context, struct error *error)
{
    struct check check = {.context = context};
    if (compat_mode_parse(config_text(context->config, OPT_COMPATIBILITY), &check.mode, error) != 0)
        return EXIT_USAGE;
    check.breaks = json_array();
    check.changes = json_array();
    check.faults = json_array();
    check.users = schema_users_open(context->assets, context->catalog, check.faults);
    int result = check_events(&check, error);
    if (result == 0)
        result = compile(&check, error);
    int broken = json_array_size(check.breaks) + json_array_size(check.faults) > 0;
    if (result == 0 && context->format == OUTPUT_TEXT)
        print_words(&check);
    else if (result == 0)
        print_json(json_pack("{s:s, s:I, s:I, s:O, s:O, s:O, s:b}", "compatibility",
                             config_text(context->config, OPT_COMPATIBILITY), "events",
                             (json_int_t)check.events, "versions", (json_int_t)check.versions,
                             "breaks", check.breaks, "changes", check.changes, "processors",
                             check.faults, "compiled", check.compiled));
    schema_users_free(check.users);
    json_decref(check.breaks);
    json_decref(check.changes);
    json_decref(check.faults);
    return result != 0 ? EXIT_FAILED : broken ? EXIT_CHECK : EXIT_OK;
}
