/* SPDX-License-Identifier: Apache-2.0
 *
 * processor.conf is `key = value` lines; the rest of the folder are SQL files that are looked up by
 * name. */
#include "processors/definition/processor.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/config.h"
#include "lib/base/timestamp.h"

static const char FOLDER[] = "sql/processors/";
static const int64_t DEFAULT_WINDOW_MS = 7 * 86400 * INT64_C(1000);

static const struct asset *find_file(const struct assets *assets, const char *name,
                                     const char *file)
{
    char path[256];
    snprintf(path, sizeof path, "%s%s/%s", FOLDER, name, file);
    return assets_find(assets, path);
}

static int add_consumed(struct processor *processor, const char *name, const char *place,
                        struct error *error)
{
    const struct catalog_event *event = catalog_find_event(processor->catalog, name);
    if (!event)
        return error_set(error, ERROR_USAGE, "unknown-event",
                         "%s: there is no event \"%s\" in schemas/", place, name);
    if (processor_consumes(processor, event))
        return error_set(error, ERROR_USAGE, "bad-processor", "%s: %s is named twice", place, name);
    processor->consumed = xrealloc(processor->consumed,
                                   (processor->consumed_count + 1) * sizeof *processor->consumed);
    processor->consumed[processor->consumed_count++] = (struct consumed){.event = event};
    return 0;
}

static int set_value(struct processor *processor, const char *key, char *value, const char *place,
                     struct error *error)
{
    if (strcmp(key, "version") == 0) {
        processor->version = atoi(value);
        if (processor->version < 1)
            return error_set(error, ERROR_USAGE, "bad-processor",
                             "%s: version must be a number from 1", place);
    } else if (strcmp(key, "duplicate_window") == 0) {
        if (duration_parse(value, &processor->duplicate_window_ms) != 0)
            return error_set(error, ERROR_USAGE, "bad-processor",
                             "%s: duplicate_window must be a time such as 7d", place);
    } else if (strcmp(key, "consumes") == 0) {
        char *rest = NULL;
        for (char *word = strtok_r(value, " ,\t", &rest); word;
             word = strtok_r(NULL, " ,\t", &rest))
            if (add_consumed(processor, word, place, error) != 0)
                return -1;
    } else if (strcmp(key, "description") != 0) {
        int known = policy_set(&processor->policy, key, value, place, error);
        return known == 0
                   ? error_set(error, ERROR_USAGE, "bad-processor",
                               "%s: unknown key \"%s\"; docs/write-a-processor.md lists them",
                               place, key)
                   : (known < 0 ? -1 : 0);
    }
    return 0;
}

static int read_conf(struct processor *processor, const struct asset *conf, struct error *error)
{
    char *text = xstrndup(conf->data, conf->size);
    char *rest = text;
    int result = 0;
    for (int number = 1; result == 0 && rest; number++) {
        char *line = config_trim(strsep(&rest, "\n"));
        char place[300];
        snprintf(place, sizeof place, "%s:%d", conf->path, number);
        if (*line == '\0' || *line == '#')
            continue;
        char *equals = strchr(line, '=');
        if (!equals) {
            result =
                error_set(error, ERROR_USAGE, "bad-processor", "%s: expected key = value", place);
            break;
        }
        *equals = '\0';
        result = set_value(processor, config_trim(line), config_trim(equals + 1), place, error);
    }
    free(text);
    if (result == 0 && (processor->version == 0 || processor->consumed_count == 0))
        result = error_set(error, ERROR_USAGE, "bad-processor",
                           "%s: needs version = and consumes =", conf->path);
    return result;
}

static int compare_text(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static int build_relations(struct processor *processor, struct error *error)
{
    processor->relations = xcalloc(PROCESSOR_RELATIONS_MAX, sizeof *processor->relations);
    processor->topics = xcalloc(processor->consumed_count, sizeof *processor->topics);
    for (size_t i = 0; i < processor->consumed_count; i++) {
        struct consumed *consumed = &processor->consumed[i];
        if (relation_build(consumed->event, &consumed->relations, error) != 0)
            return -1;
        consumed->first_relation = processor->relation_count;
        for (size_t j = 0; j < relation_count(consumed->relations); j++) {
            if (processor->relation_count == PROCESSOR_RELATIONS_MAX)
                return error_set(error, ERROR_USAGE, "bad-processor",
                                 "processor %s consumes more than %d relations; split it",
                                 processor->name, PROCESSOR_RELATIONS_MAX);
            processor->relations[processor->relation_count++] = relation_at(consumed->relations, j);
        }
        size_t known = 0;
        while (known < processor->topic_count &&
               strcmp(processor->topics[known], consumed->event->topic) != 0)
            known++;
        if (known == processor->topic_count)
            processor->topics[processor->topic_count++] = consumed->event->topic;
    }
    qsort(processor->topics, processor->topic_count, sizeof *processor->topics, compare_text);
    return 0;
}

/* The names of the consumed events in order, to notice that they changed. */
static char *list_consumed(const struct processor *processor)
{
    const char **names = xcalloc(processor->consumed_count, sizeof *names);
    struct buf list = {0};
    for (size_t i = 0; i < processor->consumed_count; i++)
        names[i] = processor->consumed[i].event->name;
    qsort(names, processor->consumed_count, sizeof *names, compare_text);
    for (size_t i = 0; i < processor->consumed_count; i++)
        buf_printf(&list, "%s%s", i ? ", " : "", names[i]);
    free(names);
    return list.data;
}

static int check_name(const char *name, struct error *error)
{
    size_t size = strlen(name);
    int good = size > 0 && size <= PROCESSOR_NAME_MAX && islower((unsigned char)*name);
    for (const char *c = name; *c; c++)
        good = good && (islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_');
    /* Schemas that are somebody else's: resetting the processor would drop them. */
    if (strcmp(name, "weir") == 0 || strcmp(name, "weir_event") == 0 ||
        strcmp(name, "public") == 0 || strcmp(name, "information_schema") == 0 ||
        strncmp(name, "pg_", 3) == 0)
        return error_set(error, ERROR_USAGE, "bad-processor",
                         "\"%s\" is no processor name: Postgres or Weir has a schema of that name",
                         name);
    /* A generation's schema is <name>_<number>, so no processor may be called like one. */
    const char *last = strrchr(name, '_');
    good = good && !(last && last[1] && strspn(last + 1, "0123456789") == strlen(last + 1));
    return good
               ? 0
               : error_set(error, ERROR_USAGE, "bad-processor",
                           "\"%s\" is no processor name: lower-case letters, digits and _, at most "
                           "%d, and no number behind the last _",
                           name, PROCESSOR_NAME_MAX);
}

int processor_load(const struct assets *assets, const struct catalog *catalog, const char *name,
                   struct processor **ret_processor, struct error *error)
{
    if (check_name(name, error) != 0)
        return -1;
    const struct asset *conf = find_file(assets, name, "processor.conf");
    if (!conf)
        return error_set(error, ERROR_USAGE, "unknown-processor",
                         "there is no processor \"%s\": %s%s/processor.conf is missing", name,
                         FOLDER, name);
    struct processor *processor = xcalloc(1, sizeof *processor);
    processor->name = xstrdup(name);
    processor->catalog = catalog;
    processor->duplicate_window_ms = DEFAULT_WINDOW_MS;
    processor->policy = policy_default;
    processor->tables = find_file(assets, name, "tables.sql");
    processor->indexes = find_file(assets, name, "indexes.sql");
    processor->views = find_file(assets, name, "views.sql");
    processor->apply = find_file(assets, name, "apply.sql");
    processor->screen = find_file(assets, name, "screen.sql");
    processor->checks = find_file(assets, name, "checks.sql");
    int result = 0;
    if (!processor->tables || !processor->apply || !processor->checks)
        result = error_set(error, ERROR_USAGE, "bad-processor",
                           "%s%s/ needs tables.sql, apply.sql and checks.sql", FOLDER, name);
    if (result == 0)
        result = read_conf(processor, conf, error);
    if (result == 0)
        result = build_relations(processor, error);
    if (result != 0) {
        processor_free(processor);
        return -1;
    }
    processor->consumes = list_consumed(processor);
    *ret_processor = processor;
    return 0;
}

void processor_free(struct processor *processor)
{
    if (!processor)
        return;
    free(processor->consumes);
    for (size_t i = 0; i < processor->consumed_count; i++)
        relation_free(processor->consumed[i].relations);
    free(processor->consumed);
    free(processor->relations);
    free(processor->topics);
    free(processor->name);
    free(processor);
}

const struct consumed *processor_consumes(const struct processor *processor,
                                          const struct catalog_event *event)
{
    for (size_t i = 0; i < processor->consumed_count; i++)
        if (processor->consumed[i].event == event)
            return &processor->consumed[i];
    return NULL;
}

int processor_each(const struct assets *assets, int (*visit)(const char *name, void *context),
                   void *context)
{
    static const char conf[] = "/processor.conf";
    for (size_t i = 0; i < assets_count(assets); i++) {
        const char *path = assets_at(assets, i)->path;
        size_t size = strlen(path);
        size_t head = sizeof FOLDER - 1;
        size_t tail = sizeof conf - 1;
        if (size <= head + tail || strncmp(path, FOLDER, head) != 0 ||
            strcmp(path + size - tail, conf) != 0)
            continue;
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)(size - head - tail), path + head);
        int result = visit(name, context);
        if (result != 0)
            return result;
    }
    return 0;
}
