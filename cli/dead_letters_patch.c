/* SPDX-License-Identifier: Apache-2.0
 *
 * weir dead-letters patch, weir parked patch: another event is published instead of one that cannot
 * be applied, and the old one is discarded.
 *
 * Order: the new event first, acknowledged by the broker, then the decision. Its id is made from
 * the record that it replaces, so a crash in between loses nothing and doubles nothing: the same
 * command again publishes a second copy under the same id, of which every processor applies one,
 * and writes the decision that was missing. Another body under that id would be set aside as a
 * conflict, in the open. The other way round, the old event could be discarded and the new one
 * never published.
 *
 * A patch is an event of the domain: every processor meets it, not only the one that failed. Where
 * another one has the old event among its dead letters or parked ones, it is decided about there
 * too; where the old one was applied, both will be, so that is asked about first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/dead_letters_publish.h"
#include "cli/decide.h"
#include "cli/edit.h"
#include "cli/failed_event.h"
#include "lib/pg/statement.h"
#include "lib/registry/ids.h"

struct patch {
    struct decide decide;
    struct letters_context *context;
    struct assets *assets;
    struct catalog *catalog;
    PGresult *rows; /* the first one is the old event */
    struct failed_record record;
    const struct catalog_event *event;
    json_t *body;     /* without meta, as it was */
    json_t *meta;     /* what the new event takes over */
    struct edit edit; /* of the body */
    struct replacement replacement;
};

/* Without `meta`, which is kept apart: what the old one says, and that it is the cause. */
static void split(struct patch *patch, json_t *event)
{
    static const char *const kept[] = {"occurred_at", "actor", "correlation_id"};
    const json_t *old = json_object_get(event, "meta");
    const json_t *id = json_object_get(old, "event_id");
    patch->meta = json_object();
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        json_t *value = json_object_get(old, kept[i]);
        if (value && !json_is_null(value))
            json_object_set(patch->meta, kept[i], value);
    }
    if (id)
        json_object_set(patch->meta, "causation_id", (json_t *)id);
    patch->body = json_deep_copy(event);
    json_object_del(patch->body, "meta");
}

/* What bytes that cannot be decoded are, only a person can say. */
static int begin_anew(struct patch *patch, const struct error *why, struct error *error)
{
    const char *name = config_text(patch->context->config, OPT_AS);
    if (!*name || !*config_text(patch->context->config, OPT_FILE))
        return error_set(error, ERROR_USAGE, "not-decodable",
                         "it cannot be decoded (%s), so say what it is: --as EVENT --file FILE",
                         why->message);
    patch->event = catalog_find_event(patch->catalog, name);
    if (!patch->event)
        return error_set(error, ERROR_USAGE, "bad-option", "the catalog has no event \"%s\"", name);
    patch->body = json_object();
    patch->meta = json_object();
    return 0;
}

static int load(struct patch *patch, struct error *error)
{
    struct error why = {0};
    json_t *event = NULL;
    int count = 0;
    PGconn *conn = patch->context->conn;
    if (decide_load(&patch->decide, &patch->rows, &count, error) != 0)
        return -1;
    if (count == 0)
        return error_set(error, ERROR_RETRY, "patched", "it is patched already");
    if (count != 1)
        return error_set(error, ERROR_USAGE, "bad-argument",
                         "a patch is about one record of one processor, and these are %d", count);
    if (PQgetisnull(patch->rows, 0, FAILED_SPACE))
        return error_set(error, ERROR_USAGE, "no-space",
                         "its key names no Space, so nobody knows whose event it is; discard it, "
                         "and let its producer send it again");
    if (failed_record_load(conn, patch->context->kind, patch->rows, 0, &patch->record, error) != 0)
        return -1;
    if (failed_event_json(conn, patch->catalog, &patch->record, 1, &patch->event, &event, &why) !=
        0) {
        if (begin_anew(patch, &why, error) != 0)
            return -1;
    } else {
        split(patch, event);
        json_decref(event);
    }
    if (!patch->event)
        return error_set(error, ERROR_USAGE, "unknown-event",
                         "this build does not know the event %s",
                         PQgetvalue(patch->rows, 0, FAILED_EVENT));
    if (strcmp(patch->event->topic, PQgetvalue(patch->rows, 0, FAILED_TOPIC)) != 0)
        return error_set(error, ERROR_USAGE, "bad-option", "%s is an event of %s, not of %s",
                         patch->event->name, patch->event->topic,
                         PQgetvalue(patch->rows, 0, FAILED_TOPIC));
    return 0;
}

/* Whether a text reads as `weir dead-letters show` masks what identifies people. */
static int is_masked(const json_t *value)
{
    const char *name;
    size_t i;
    json_t *member;
    if (json_is_string(value))
        return strcmp(json_string_value(value), "***") == 0;
    json_array_foreach((json_t *)value, i, member) if (is_masked(member)) return 1;
    json_object_foreach((json_t *)value, name, member) if (is_masked(member)) return 1;
    return 0;
}

static int encode(struct patch *patch, struct error *error)
{
    struct faults faults = {0};
    if (json_equal(patch->edit.value, patch->body))
        return error_set(error, ERROR_USAGE, "unchanged",
                         "nothing was changed; to apply the event as it is, %s it",
                         patch->context->kind == FAILED_PARKED ? "retry" : "redrive");
    if (is_masked(patch->edit.value) && !is_masked(patch->body))
        return error_set(error, ERROR_USAGE, "masked",
                         "\"***\" stands for a value that was masked: take the event from `weir "
                         "%s show --show-pii`",
                         patch->context->kind == FAILED_PARKED ? "parked" : "dead-letters");
    if (replacement_encode(&patch->replacement, patch->context->conn, patch->event, patch->rows,
                           &patch->record, patch->meta, patch->edit.value, &faults, error) == 0)
        return 0;
    for (size_t i = 0; i < faults.count; i++)
        fprintf(stderr, "%s: %s\n", *faults.items[i].pointer ? faults.items[i].pointer : "/",
                faults.items[i].message);
    if (faults.count)
        error_set(error, ERROR_USAGE, "event-invalid", "the event is no valid %s: %zu fault%s",
                  patch->event->name, faults.count, faults.count == 1 ? "" : "s");
    return -1;
}

/* Until it is a valid event. In an editor one may try again. */
static int edit(struct patch *patch, struct error *error)
{
    patch->edit.value = json_deep_copy(patch->body);
    for (;;) {
        int by_hand = 0;
        char answer[16] = "";
        if (edit_apply(patch->context->config, &patch->edit, &by_hand, error) == 0 &&
            encode(patch, error) == 0)
            return 0;
        if (*patch->edit.path == '\0' || strcmp(error->code, "editor") == 0 ||
            strcmp(error->code, "unchanged") == 0 || !isatty(STDIN_FILENO))
            return -1;
        fprintf(stderr, "%s\nedit it again? [Y/n] ", error->message);
        if (!fgets(answer, sizeof answer, stdin) || *answer == 'n' || *answer == 'N')
            return -1;
        *error = (struct error){0};
    }
}

/* What the other processors did with the old event, from where the new one will come past them. */
static int ask_about_others(struct patch *patch, struct error *error)
{
    const PGresult *rows = patch->rows;
    const char *values[] = {PQgetvalue(rows, 0, FAILED_TOPIC),
                            PQgetvalue(rows, 0, FAILED_PARTITION),
                            PQgetvalue(rows, 0, FAILED_OFFSET),
                            PQgetvalue(rows, 0, FAILED_PROCESSOR),
                            patch->event->name,
                            PQgetvalue(rows, 0, FAILED_SPACE)};
    PGresult *result = NULL;
    char question[600] = "";
    if (pg_query(patch->context->conn, statement("others_and_event"), 6, values, &result, error) !=
        0)
        return -1;
    for (int i = 0; i < PQntuples(result); i++) {
        size_t used = strlen(question);
        snprintf(question + used, sizeof question - used, "%s%.40s", i ? ", " : "",
                 PQgetvalue(result, i, 0));
    }
    int others = PQntuples(result);
    PQclear(result);
    if (others == 0)
        return 0;
    size_t used = strlen(question);
    snprintf(question + used, sizeof question - used,
             " applied the old event, or will, and will apply the new one beside it.");
    return decide_confirm(&patch->decide, question, error);
}

/* Decides about the old event wherever it waits. */
static int decide_all(struct patch *patch, struct error *error)
{
    static struct failed_choice choice; /* too large for a stack frame */
    int result = EXIT_OK;
    for (int kind = FAILED_DEAD_LETTERS; kind <= FAILED_PARKED; kind++) {
        PGresult *rows = NULL;
        failed_choose_place(patch->rows, 0, (enum failed_kind)kind, &choice);
        if (failed_load(patch->context->conn, &choice, 0, &rows, error) != 0)
            return EXIT_FAILED;
        patch->decide.kind = (enum failed_kind)kind;
        if (PQntuples(rows) > 0) {
            int one = decide_rows(&patch->decide, rows, PQntuples(rows), error);
            result = result == EXIT_OK ? one : result;
        }
        PQclear(rows);
    }
    return result;
}

static int run_patch(struct patch *patch, struct error *error)
{
    struct letters_context *context = patch->context;
    int dry = (int)config_int(context->config, OPT_DRY_RUN);
    if ((!dry && decide_check(&patch->decide, error) != 0) ||
        assets_open(config_text(context->config, OPT_HOME), &patch->assets, error) != 0 ||
        ids_open_catalog(context->config, patch->assets, IDS_LOOK_UP, &patch->catalog, error) != 0)
        return EXIT_FAILED;
    if (load(patch, error) != 0 || edit(patch, error) != 0)
        return EXIT_FAILED;
    if (dry)
        return letters_rehearse(context, patch->rows, 1, &patch->replacement.record.value, error);
    if (ask_about_others(patch, error) != 0)
        return EXIT_FAILED;
    if (replacement_publish(&patch->replacement, context->config, error) != 0)
        return EXIT_FAILED;
    if (context->format == OUTPUT_TEXT)
        printf("published %s %s to %s [%d] offset %lld\n", patch->event->name,
               patch->replacement.record.event_id_text, patch->event->topic,
               patch->replacement.partition, (long long)patch->replacement.offset);
    patch->decide.replacement_id = patch->replacement.record.event_id_text;
    return decide_all(patch, error);
}

int letters_patch(struct letters_context *context, struct error *error)
{
    struct patch patch = {.context = context,
                          .decide = {.config = context->config,
                                     .conn = context->conn,
                                     .format = context->format,
                                     .kind = context->kind,
                                     .verdict = "patch"}};
    int result = run_patch(&patch, error);
    replacement_free(&patch.replacement);
    edit_free(&patch.edit);
    json_decref(patch.body);
    json_decref(patch.meta);
    failed_record_free(&patch.record);
    PQclear(patch.rows);
    catalog_free(patch.catalog);
    assets_free(patch.assets);
    return result;
}
