/* SPDX-License-Identifier: Apache-2.0
 *
 * weir schema diff: two versions of one event in words. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/schema.h"
#include "lib/avro/words.h"

struct listing {
    enum output_format format;
    json_t *changes;
    size_t count;
};

static void take_change(void *context, enum words_change change, const char *path,
                        const char *old_name, const char *text)
{
    struct listing *listing = context;
    (void)old_name; /* the text has it */
    listing->count++;
    if (listing->format == OUTPUT_TEXT) {
        printf("  %-8s %-28s %s\n", words_change_name(change), *path ? path : "(event)", text);
        return;
    }
    json_array_append_new(listing->changes,
                          json_pack("{s:s, s:s, s:s}", "change", words_change_name(change), "path",
                                    path, "text", text));
}

static const struct catalog_version *find_number(const struct catalog_event *event,
                                                 const char *text, struct error *error)
{
    char *end;
    long number = strtol(text, &end, 10);
    if (!*end && number >= 1 && (size_t)number <= event->version_count)
        return &event->versions[number - 1];
    error_set(error, ERROR_USAGE, "unknown-version", "%s has versions 1 to %zu, but no \"%s\"",
              event->name, event->version_count, text);
    return NULL;
}

static int print_difference(const struct schema_context *context,
                            const struct catalog_version *from, const struct catalog_version *to)
{
    struct listing listing = {.format = context->format, .changes = json_array()};
    if (context->format == OUTPUT_TEXT)
        printf("%s, version %d → %d%s\n", from->event->name, from->version, to->version,
               to->draft ? " (a draft)" : "");
    words_diff(from->schema, to->schema, take_change, &listing);
    if (context->format == OUTPUT_TEXT && listing.count == 0)
        puts("  nothing that matters to anybody");
    if (context->format != OUTPUT_TEXT)
        print_json(json_pack("{s:s, s:i, s:i, s:O}", "event", from->event->name, "from",
                             from->version, "to", to->version, "changes", listing.changes));
    json_decref(listing.changes);
    return EXIT_OK;
}

int schema_diff(struct schema_context *context, struct error *error)
{
    size_t count = config_argument_count(context->config);
    const struct catalog_version *newest = NULL;
    if (count == 2 || count == 4)
        newest = schema_find(context, config_argument(context->config, 1), error);
    else
        error_set(error, ERROR_USAGE, "bad-argument", "weir schema diff EVENT [FROM TO]");
    if (!newest)
        return EXIT_USAGE;
    const struct catalog_event *event = newest->event;
    if (count == 4) {
        const struct catalog_version *from =
            find_number(event, config_argument(context->config, 2), error);
        const struct catalog_version *to =
            from ? find_number(event, config_argument(context->config, 3), error) : NULL;
        return to ? print_difference(context, from, to) : EXIT_USAGE;
    }
    if (event->version_count == 1) {
        error_set(error, ERROR_USAGE, "unknown-version",
                  "%s has one version only; `weir schema new %s` drafts the next", event->name,
                  event->name);
        return EXIT_USAGE;
    }
    return print_difference(context, newest - 1, newest);
}
