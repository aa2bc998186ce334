/* SPDX-License-Identifier: Apache-2.0
 *
 * weir schema new: a draft of the next version of an event. The text is copied as it is, so that
 * the difference to the version before is what was changed by hand; a field to be named is put
 * behind the last one. Its empty doc makes the catalog refuse the draft until it is filled in. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/schema.h"
#include "lib/base/buf.h"

static const char placeholder[] = "{\n"
                                  "      \"name\": \"new_field\",\n"
                                  "      \"type\": [\"null\", \"string\"],\n"
                                  "      \"x-length-max\": 200,\n"
                                  "      \"default\": null,\n"
                                  "      \"doc\": \"\"\n"
                                  "    }";

/* The end of a JSON text that starts at `at`. */
static size_t text_end(const char *json, size_t size, size_t at)
{
    for (at++; at < size && json[at] != '"'; at++)
        at += json[at] == '\\';
    return at + 1;
}

/* Where the last element of the outermost "fields" ends; 0 when there is none. */
static size_t fields_end(const char *json, size_t size)
{
    int depth = 0;
    int in_fields = 0;
    size_t last = 0; /* behind the last thing that is not white space */
    for (size_t i = 0; i < size;) {
        size_t start = i;
        if (json[i] == '"') {
            i = text_end(json, size, i);
            in_fields |= depth == 1 && i - start == 8 && memcmp(json + start, "\"fields\"", 8) == 0;
            last = i;
            continue;
        }
        depth += json[i] == '{' || json[i] == '[';
        depth -= json[i] == '}' || json[i] == ']';
        if (in_fields && depth == 1 && json[i] == ']')
            return last;
        i++;
        if (!strchr(" \t\r\n", json[start]))
            last = i;
    }
    return 0;
}

static int write_file(const char *path, const struct buf *text, struct error *error)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file < 0)
        return error_set(error, ERROR_USAGE, "not-written", "%s: %s", path, strerror(errno));
    ssize_t written = write(file, text->data, text->size);
    if (close(file) == 0 && written == (ssize_t)text->size)
        return 0;
    unlink(path);
    return error_set(error, ERROR_FATAL, "not-written", "%s: %s", path, strerror(errno));
}

static int write_draft(const struct catalog_version *newest, const char *path, struct error *error)
{
    struct buf text = {0};
    size_t end = fields_end(newest->text, newest->text_size);
    buf_put(&text, newest->text, end);
    buf_printf(&text, ",\n    %s", placeholder);
    buf_put(&text, newest->text + end, newest->text_size - end);
    int result = end > 0 ? write_file(path, &text, error)
                         : error_set(error, ERROR_FATAL, "not-written", "there are no fields");
    buf_free(&text);
    return result;
}

static void print_steps(const struct catalog_event *event, const char *home, const char *path,
                        int version)
{
    const char *option = strcmp(home, ".") ? " --home " : "";
    const char *folder = *option ? home : "";
    printf("%s\n\n"
           "1. Edit it: name the new field, say in its doc what it means and how long or large it "
           "may be; keep the\n"
           "   default, which is what older events show. Not needed: take it out. A field that is "
           "renamed keeps its\n"
           "   old name in \"aliases\".\n"
           "2. weir schema diff %s%s%s    what changed\n"
           "   weir schema check %s%s%s   whether it breaks anybody\n"
           "3. %s%sschemas/lock           gives version %d its id; from then on the file never "
           "changes\n"
           "4. Build and deploy; the order of processors and producers does not matter.\n",
           path, event->name, option, folder, event->name, option, folder, folder,
           *folder ? "/" : "", version);
}

int schema_new(struct schema_context *context, struct error *error)
{
    const char *name = config_argument(context->config, 1);
    if (!name || config_argument_count(context->config) != 2) {
        error_set(error, ERROR_USAGE, "bad-argument", "name one event: weir schema new EVENT");
        return EXIT_USAGE;
    }
    if (!*context->home) {
        error_set(error, ERROR_USAGE, "no-home",
                  "there is no folder to write to: stand in one that has schemas/ and sql/, or "
                  "name it with --home");
        return EXIT_USAGE;
    }
    const struct catalog_version *newest = schema_find(context, name, error);
    if (!newest)
        return EXIT_USAGE;
    const struct catalog_event *event = newest->event;
    newest = catalog_newest(event);
    char path[512];
    snprintf(path, sizeof path, "%s%sschemas/%s/%s/%d.avsc",
             strcmp(context->home, ".") ? context->home : "", strcmp(context->home, ".") ? "/" : "",
             event->domain, event->name, newest->version + 1);
    if (newest->draft) {
        error_set(error, ERROR_USAGE, "draft-there",
                  "version %d of %s is still a draft: edit it, or take it out first",
                  newest->version, event->name);
        return EXIT_USAGE;
    }
    if (write_draft(newest, path, error) != 0)
        return EXIT_FAILED;
    if (context->format == OUTPUT_TEXT)
        print_steps(event, context->home, path, newest->version + 1);
    else
        print_json(json_pack("{s:s, s:i, s:s}", "event", event->name, "version",
                             newest->version + 1, "file", path));
    return EXIT_OK;
}
