/* SPDX-License-Identifier: Apache-2.0
 *
 * Helpers of the subcommands. Data goes to stdout, everything else to stderr. */
#include "cli/support.h"

#include <stdio.h>
#include <string.h>

#include "processors/definition/processor.h"
#include "processors/outbox/topics.h"

int output_format(const struct config *config, enum output_format *ret_format, struct error *error)
{
    static const char *const names[] = {"text", "json", "jsonl"};
    const char *text = config_text(config, OPT_OUTPUT);
    for (int i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            *ret_format = (enum output_format)i;
            return 0;
        }
    return error_set(error, ERROR_USAGE, "bad-option",
                     "output is \"%s\", but must be text, json or jsonl", text);
}

void print_json(json_t *value)
{
    json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    fputc('\n', stdout);
    json_decref(value);
}

static int too_many_topics(struct error *error)
{
    return error_set(error, ERROR_USAGE, "too-many-topics",
                     "domains and processors together have more than %d topics", TOPIC_NAMES_MAX);
}

static int add_processor(const char *name, void *context)
{
    struct topic_names *names = context;
    for (int kind = 0; kind < OUTBOX_KINDS; kind++) {
        if (names->count == TOPIC_NAMES_MAX)
            return 1;
        outbox_topic_name(kind, name, names->names[names->count++]);
    }
    return 0;
}

static int names_of(const struct assets *assets, struct topic_names *ret_names, struct error *error)
{
    static const char root[] = "schemas/";
    ret_names->count = 0;
    for (size_t i = 0; i < assets_count(assets); i++) {
        const char *path = assets_at(assets, i)->path;
        if (strncmp(path, root, sizeof root - 1) != 0)
            continue;
        const char *domain = path + sizeof root - 1;
        const char *slash = strchr(domain, '/');
        if (!slash)
            continue;
        char name[TOPIC_NAME_SIZE];
        snprintf(name, sizeof name, "weir.%.*s", (int)(slash - domain), domain);
        /* assets are sorted by path, so one domain's files are neighbours */
        if (ret_names->count && strcmp(ret_names->names[ret_names->count - 1], name) == 0)
            continue;
        if (ret_names->count == TOPIC_NAMES_MAX)
            return too_many_topics(error);
        memcpy(ret_names->names[ret_names->count++], name, sizeof name);
    }
    if (ret_names->count == 0)
        return error_set(error, ERROR_USAGE, "no-domains",
                         "there is no schemas/<domain>/<Event>/<version>.avsc");
    return processor_each(assets, add_processor, ret_names) == 0 ? 0 : too_many_topics(error);
}

int topic_names_open(const struct config *config, struct topic_names *ret_names,
                     struct error *error)
{
    struct assets *assets;
    if (assets_open(config_text(config, OPT_HOME), &assets, error) != 0)
        return -1;
    int result = names_of(assets, ret_names, error);
    assets_free(assets);
    return result;
}

void listen_base(const char *listen, char *ret_base, size_t size)
{
    const char *colon = strrchr(listen, ':');
    size_t host = colon ? (size_t)(colon - listen) : 0;
    int any = host == 0 || (host == 7 && !strncmp(listen, "0.0.0.0", host)) ||
              (host == 4 && !strncmp(listen, "[::]", host));
    if (any)
        snprintf(ret_base, size, "http://127.0.0.1%s", colon ? colon : "");
    else
        snprintf(ret_base, size, "http://%s", listen);
}

void gateway_base(const struct config *config, char *ret_base, size_t size)
{
    if (config_is_set(config, OPT_TARGET) || !config_is_set(config, OPT_GATEWAY_LISTEN))
        snprintf(ret_base, size, "%s", config_text(config, OPT_TARGET));
    else
        listen_base(config_text(config, OPT_GATEWAY_LISTEN), ret_base, size);
    size_t used = strlen(ret_base);
    while (used && ret_base[used - 1] == '/')
        ret_base[--used] = '\0';
}
