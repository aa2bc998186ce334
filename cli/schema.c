/* SPDX-License-Identifier: Apache-2.0
 *
 * weir schema: what the events look like, and what a new version of one would break. */
#include "cli/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/avro/words.h"

static const char *const ingest_names[] = {
    [INGEST_PUBLIC] = "public", [INGEST_SERVICE] = "service", [INGEST_INTERNAL] = "internal"};

const struct catalog_version *schema_find(const struct schema_context *context, const char *name,
                                          struct error *error)
{
    char event_name[128];
    const char *slash = strrchr(name, '/');
    snprintf(event_name, sizeof event_name, "%.*s", slash ? (int)(slash - name) : (int)strlen(name),
             name);
    const struct catalog_event *event = catalog_find_event(context->catalog, event_name);
    if (!event) {
        error_set(error, ERROR_USAGE, "unknown-event",
                  "the catalog has no event \"%s\"; `weir schema list` lists them", event_name);
        return NULL;
    }
    if (!slash)
        return catalog_newest(event);
    char *end;
    long number = strtol(slash + 1, &end, 10);
    if (*end || number < 1 || (size_t)number > event->version_count) {
        error_set(error, ERROR_USAGE, "unknown-version", "%s has versions 1 to %zu, but no \"%s\"",
                  event->name, event->version_count, slash + 1);
        return NULL;
    }
    return &event->versions[number - 1];
}

static json_t *event_json(const struct catalog_event *event)
{
    json_t *versions = json_array();
    for (size_t i = 0; i < event->version_count; i++) {
        const struct catalog_version *version = &event->versions[i];
        json_array_append_new(versions,
                              json_pack("{s:i, s:o, s:s, s:b}", "version", version->version, "id",
                                        version->draft ? json_null() : json_integer(version->id),
                                        "sha256", version->fingerprint, "draft", version->draft));
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "event", event->name, "domain",
                     event->domain, "topic", event->topic, "relation", event->relation, "ingest",
                     ingest_names[event->ingest], "versions", versions);
}

static void print_event(const struct catalog_event *event)
{
    struct buf ids = {0};
    char versions[32] = "1";
    if (event->version_count > 1)
        snprintf(versions, sizeof versions, "1–%zu", event->version_count);
    for (size_t i = 0; i < event->version_count; i++) {
        buf_put_text(&ids, i ? ", " : "");
        if (event->versions[i].draft)
            buf_put_text(&ids, "draft");
        else
            buf_printf(&ids, "%d", event->versions[i].id);
    }
    /* an en dash has three bytes and one column */
    printf("%-26s %-*s %-12s %-18s %s\n", event->name, event->version_count > 1 ? 10 : 8, versions,
           buf_text(&ids), event->topic, ingest_names[event->ingest]);
    buf_free(&ids);
}

static int list(struct schema_context *context, struct error *error)
{
    (void)error;
    json_t *array = json_array();
    if (context->format == OUTPUT_TEXT)
        printf("%-26s %-8s %-12s %-18s %s\n", "EVENT", "VERSIONS", "IDS", "TOPIC", "INGEST");
    for (size_t i = 0; i < catalog_event_count(context->catalog); i++) {
        const struct catalog_event *event = catalog_event_at(context->catalog, i);
        if (context->format == OUTPUT_TEXT)
            print_event(event);
        else if (context->format == OUTPUT_JSONL)
            print_json(event_json(event));
        else
            json_array_append_new(array, event_json(event));
    }
    if (context->format == OUTPUT_JSON)
        print_json(array);
    else
        json_decref(array);
    return EXIT_OK;
}

enum { SHOW_DEPTH_MAX = 16, NAME_COLUMN = 24, TYPE_COLUMN = 30 };

/* The fields of a record, those of records inside of it below them. */
static void print_fields(const struct schema *record, int depth)
{
    struct buf text = {0};
    for (size_t i = 0; i < record->field_count; i++) {
        const struct schema_field *field = &record->fields[i];
        const struct schema *inside = field->type;
        buf_reset(&text);
        words_type(field->type, &text);
        if (field->preset) {
            buf_put_text(&text, " = ");
            words_preset(field->preset, &text);
        }
        int indent = 2 + 2 * depth;
        printf("%*s%-*s %-*s %s%s", indent, "", indent < NAME_COLUMN ? NAME_COLUMN - indent : 1,
               field->name, TYPE_COLUMN, buf_text(&text), field->pii ? "(personal) " : "",
               field->doc ? field->doc : "");
        buf_reset(&text);
        words_limits(field->type, &text);
        printf(text.size > 0 ? " [%s]\n" : "\n", buf_text(&text));
        while (inside->items || schema_optional(inside))
            inside = inside->items ? inside->items : schema_optional(inside);
        if (inside->type == AVRO_RECORD_TYPE && depth < SHOW_DEPTH_MAX && inside != record)
            print_fields(inside, depth + 1);
        for (size_t k = 0; inside->type == AVRO_ENUM_TYPE && k < inside->symbol_count; k++)
            printf("%s%s%s", k ? ", " : "                         one of ", inside->symbols[k],
                   k + 1 == inside->symbol_count ? "\n" : "");
    }
    buf_free(&text);
}

static int show(struct schema_context *context, struct error *error)
{
    const char *name = config_argument(context->config, 1);
    if (!name) {
        error_set(error, ERROR_USAGE, "bad-argument", "name an event: weir schema show EVENT[/2]");
        return EXIT_USAGE;
    }
    const struct catalog_version *version = schema_find(context, name, error);
    if (!version)
        return EXIT_USAGE;
    if (context->format != OUTPUT_TEXT) { /* the file as it is: what a registry would serve */
        fwrite(version->text, 1, version->text_size, stdout);
        return EXIT_OK;
    }
    const struct catalog_event *event = version->event;
    printf("%s version %d of %zu", version->schema->full_name, version->version,
           event->version_count);
    if (version->draft)
        printf(", a draft: not in schemas/catalog.lock yet\n");
    else
        printf(", schema id %d\n", version->id);
    printf("%s\ntopic %s, relation %s, accepted from: %s\n\n", version->schema->doc, event->topic,
           event->relation, ingest_names[event->ingest]);
    print_fields(version->schema, 0);
    return EXIT_OK;
}

static const struct {
    const char *name;
    int (*run)(struct schema_context *context, struct error *error);
    int catalog; /* needs one */
} actions[] = {{"list", list, 1},
               {"show", show, 1},
               {"diff", schema_diff, 1},
               {"check", schema_check, 1},
               {"new", schema_new, 1},
               {"decode", schema_decode, 0},
               {"register", schema_register, 1}};

/* People who change schemas stand in a folder that has them; what the program was built with would
 * be yesterday's. */
static const char *home_of(const struct config *config)
{
    if (config_is_set(config, OPT_HOME))
        return config_text(config, OPT_HOME);
    return access("schemas/catalog.lock", R_OK) == 0 && access("sql", R_OK) == 0 ? "." : "";
}

static int run(const struct config *config, struct error *error)
{
    struct schema_context context = {.config = config, .home = home_of(config)};
    const char *name = config_argument(config, 0);
    int result = EXIT_USAGE;
    if (output_format(config, &context.format, error) != 0)
        return EXIT_USAGE;
    for (size_t i = 0; name && i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(name, actions[i].name) != 0)
            continue;
        if (!actions[i].catalog ||
            (assets_open(context.home, &context.assets, error) == 0 &&
             catalog_open_drafts(context.assets, &context.catalog, error) == 0))
            result = actions[i].run(&context, error);
        catalog_free(context.catalog);
        assets_free(context.assets);
        return result;
    }
    error_set(error, ERROR_USAGE, "bad-argument",
              "say what to do: list, show, diff, check, new, decode or register; see --help");
    return EXIT_USAGE;
}

static const enum option_id options[] = {OPT_COMPATIBILITY,
                                         OPT_DATABASE,
                                         OPT_WRITER,
                                         OPT_READER,
                                         OPT_AVRO_JSON,
                                         OPT_SCHEMA_REGISTRY_URL,
                                         OPT_SCHEMA_REGISTRY_AUTH,
                                         OPT_SCHEMA_REGISTRY_CA,
                                         OPT_IMPORT};

const struct command command_schema = {
    .name = "schema",
    .arguments =
        "list|show EVENT[/V]|diff EVENT [V1 V2]|check [EVENT...]|new EVENT|decode|register",
    .summary = "the events' schemas: show, compare, check a new version, decode",
    .help =
        "list    each event with its versions, their ids on the wire, its topic and who may send "
        "it\n"
        "show    one version as a table of its fields; with -o json the .avsc file itself\n"
        "diff    the changes from one version to another; without versions, those of the newest\n"
        "check   whether the newest version of each event (or of the named ones) keeps "
        "--compatibility:\n"
        "        BACKWARD  this build reads what the version before wrote (FORWARD: the other way "
        "round; FULL: both);\n"
        "        …_TRANSITIVE  the same for every older version. A break is explained, with the "
        "field and what to do\n"
        "        instead, and the processors that mention the field. With a database that answers, "
        "each processor's\n"
        "        SQL is also compiled against the new fields, in a transaction that is rolled "
        "back. A limit that is\n"
        "        tighter than in the version before is a break for producers\n"
        "new     writes a draft of the next version, to be edited\n"
        "decode  bare Avro values on standard input, one behind the other, to one line of JSON "
        "each: written with\n"
        "        --writer, read as --reader. No schema id in front: for records of a topic use "
        "`weir tail`\n"
        "register  registers every version with --schema-registry-url. With --import it uses the "
        "ids of\n"
        "        schemas/catalog.lock, and from then on the database takes its ids from the "
        "registry\n"
        "\n"
        "Schemas and SQL are those of --home, else of the current folder when it has schemas/ and "
        "sql/, else those that\n"
        "the program was built with. A version that is not in schemas/catalog.lock yet is a "
        "draft.\n"
        "\n"
        "  weir schema new ProductPurchased\n"
        "  weir schema check\n"
        "  weir schema diff ProductPurchased 1 2\n"
        "  weir schema decode --writer old.avsc --reader new.avsc <values.avro\n"
        "\n"
        "Exit codes: 0 done; 1 bytes that cannot be decoded, a pair that cannot be resolved, a "
        "database that was named\n"
        "and did not answer; 2 wrong usage, or a schema that is none; 3 check found a break.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .run = run,
};
