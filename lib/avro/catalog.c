/* SPDX-License-Identifier: Apache-2.0
 *
 * Opens the catalog in three steps: read the lock, read each
 * schemas/<domain>/<Event>/<version>.avsc and hold it against lock and rules, then group the
 * versions into events. Texts belong to the assets, which must outlive the catalog; everything else
 * is in its arena. */
#include "lib/avro/catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/avro/catalog_parts.h"
#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/hash.h"

struct source {
    char domain[NAME_SIZE_MAX + 1];
    char event[NAME_SIZE_MAX + 1];
    struct catalog_version version;
    enum catalog_ingest ingest;
};

struct catalog {
    struct arena arena;
    struct schema_document **documents;
    size_t document_count;
    struct source *sources; /* only while opening */
    struct catalog_event *events;
    size_t event_count;
    const struct catalog_version **by_id;
    const char **topics;
    size_t topic_count;
};

/* Splits "schemas/<domain>/<Event>/<version>.avsc". Returns 0 or -1. */
static int split_path(const char *path, struct source *ret_source)
{
    int end = 0;
    if (sscanf(path, "schemas/%63[a-z0-9_]/%63[A-Za-z0-9_]/%d.avsc%n", ret_source->domain,
               ret_source->event, &ret_source->version.version, &end) != 3 ||
        end == 0 || path[end] || ret_source->version.version < 1)
        return -1;
    /* "01.avsc" would be a second file for version 1. */
    char again[200];
    snprintf(again, sizeof again, "schemas/%s/%s/%d.avsc", ret_source->domain, ret_source->event,
             ret_source->version.version);
    return strcmp(again, path) == 0 ? 0 : -1;
}

/* The id of a version that is not in the lock: the next one. The lock is never written here. */
static int number_draft(struct source *source, struct lock *lock)
{
    source->version.draft = 1;
    source->version.id = (lock->count ? lock->lines[lock->count - 1].id : 0) + ++lock->drafts;
    return 0;
}

static int check_lock(struct source *source, struct lock *lock, struct error *error)
{
    char path[200];
    struct catalog_version *version = &source->version;
    snprintf(path, sizeof path, "%s/%s/%d", source->domain, source->event, version->version);
    struct lock_line *line = catalog_lock_find(lock, path);
    hash_sha256_hex(version->text, version->text_size, version->fingerprint);
    if (!line && lock->drafts_allowed)
        return number_draft(source, lock);
    if (!line)
        return error_set(error, ERROR_USAGE, "catalog-invalid",
                         "the version is not in schemas/catalog.lock; append `%d %s %s`",
                         lock->count ? lock->lines[lock->count - 1].id + 1 : 1,
                         version->fingerprint, path);
    line->used = 1;
    version->id = line->id;
    if (strcmp(line->fingerprint, version->fingerprint) != 0)
        return error_set(error, ERROR_USAGE, "catalog-invalid",
                         "the file differs from what schemas/catalog.lock says (%.12s… there, "
                         "%.12s… here): a published "
                         "version never changes, make a new one",
                         line->fingerprint, version->fingerprint);
    return 0;
}

static int read_source(struct catalog *catalog, const struct asset *asset, struct lock *lock,
                       struct source *ret_source, struct error *error)
{
    struct schema_document *document = NULL;
    if (split_path(asset->path, ret_source) != 0)
        return error_set(error, ERROR_USAGE, "catalog-invalid",
                         "a schema's path is schemas/<domain>/<Event>/<version>.avsc, names of at "
                         "most %d characters",
                         NAME_SIZE_MAX);
    ret_source->version.text = asset->data;
    ret_source->version.text_size = asset->size;
    if (schema_parse_contract(asset->data, asset->size, &document, error) != 0)
        return -1;
    catalog->documents[catalog->document_count++] = document;
    ret_source->version.schema = schema_root(document);
    if (catalog_check_portable(ret_source->version.schema, error) != 0 ||
        catalog_check_schema(ret_source->version.schema, ret_source->domain, ret_source->event,
                             &ret_source->ingest, error) != 0)
        return -1;
    return check_lock(ret_source, lock, error);
}

static int compare_source(const void *left, const void *right)
{
    const struct source *a = left;
    const struct source *b = right;
    int order = strcmp(a->domain, b->domain);
    if (order == 0)
        order = strcmp(a->event, b->event);
    return order ? order : a->version.version - b->version.version;
}

static int read_sources(struct catalog *catalog, const struct assets *assets, int drafts,
                        size_t *ret_count, struct error *error)
{
    struct lock lock;
    int result = catalog_lock_read(assets, &lock, error);
    size_t count = 0;
    lock.drafts_allowed = drafts;
    for (size_t i = 0; result == 0 && i < assets_count(assets); i++) {
        const struct asset *asset = assets_at(assets, i);
        size_t size = strlen(asset->path);
        if (strncmp(asset->path, "schemas/", 8) != 0 || size < 5 ||
            strcmp(asset->path + size - 5, ".avsc") != 0)
            continue;
        if (count == CATALOG_VERSIONS_MAX)
            result = error_set(error, ERROR_USAGE, "catalog-invalid", "more than %d schemas",
                               CATALOG_VERSIONS_MAX);
        else if (read_source(catalog, asset, &lock, &catalog->sources[count++], error) != 0)
            result = error_prefix(error, "%s", asset->path);
    }
    for (size_t i = 0; result == 0 && i < lock.count; i++)
        if (!lock.lines[i].used)
            result = error_set(error, ERROR_USAGE, "catalog-invalid",
                               "schemas/%s.avsc is locked with id %d, but the file is missing",
                               lock.lines[i].path, lock.lines[i].id);
    catalog_lock_free(&lock);
    qsort(catalog->sources, count, sizeof *catalog->sources, compare_source);
    *ret_count = count;
    return result;
}

/* Makes an event of the `count` sources from `source` on, which are its versions in order. */
static int add_event(struct catalog *catalog, const struct source *source, size_t count,
                     struct error *error)
{
    char relation[NAME_SIZE_MAX + 1];
    if (catalog->event_count == CATALOG_EVENTS_MAX)
        return error_set(error, ERROR_USAGE, "catalog-invalid", "more than %d events",
                         CATALOG_EVENTS_MAX);
    struct catalog_event *event = &catalog->events[catalog->event_count];
    if (catalog_snake_case(source->event, relation) != 0)
        return error_set(error, ERROR_USAGE, "catalog-invalid",
                         "the name %s is too long for a relation", source->event);
    for (size_t i = 0; i < catalog->event_count; i++)
        if (strcmp(catalog->events[i].relation, relation) == 0)
            return error_set(error, ERROR_USAGE, "catalog-invalid",
                             "%s/%s and %s/%s are both the relation %s", catalog->events[i].domain,
                             catalog->events[i].name, source->domain, source->event, relation);
    struct catalog_version *versions = arena_alloc(&catalog->arena, count * sizeof *versions);
    for (size_t i = 0; i < count; i++) {
        if (source[i].version.version != (int)i + 1)
            return error_set(error, ERROR_USAGE, "catalog-invalid",
                             "schemas/%s/%s: version %zu is missing", source->domain, source->event,
                             i + 1);
        versions[i] = source[i].version;
        versions[i].event = event;
    }
    *event = (struct catalog_event){
        .name = arena_strdup(&catalog->arena, source->event),
        .relation = arena_strdup(&catalog->arena, relation),
        .domain = arena_strdup(&catalog->arena, source->domain),
        .topic = arena_printf(&catalog->arena, "weir.%s", source->domain),
        .subject = arena_printf(&catalog->arena, "weir.%s-weir.%s.%s", source->domain,
                                source->domain, source->event),
        .ingest = source[count - 1].ingest,
        .versions = versions,
        .version_count = count,
        .index = catalog->event_count++};
    /* Events are sorted by domain, so a new topic is one that differs from the last. */
    if (catalog->topic_count == 0 ||
        strcmp(catalog->topics[catalog->topic_count - 1], event->topic) != 0)
        catalog->topics[catalog->topic_count++] = event->topic;
    return 0;
}

static int compare_id(const void *left, const void *right)
{
    const struct catalog_version *const *a = left;
    const struct catalog_version *const *b = right;
    return ((*a)->id > (*b)->id) - ((*a)->id < (*b)->id);
}

static int group(struct catalog *catalog, size_t count, struct error *error)
{
    catalog->events = arena_alloc(&catalog->arena, CATALOG_EVENTS_MAX * sizeof *catalog->events);
    catalog->topics = arena_alloc(&catalog->arena, CATALOG_EVENTS_MAX * sizeof *catalog->topics);
    catalog->by_id = arena_alloc(&catalog->arena, count * sizeof(struct catalog_version *));
    for (size_t first = 0, next; first < count; first = next) {
        const struct source *source = &catalog->sources[first];
        for (next = first + 1; next < count; next++)
            if (strcmp(catalog->sources[next].domain, source->domain) != 0 ||
                strcmp(catalog->sources[next].event, source->event) != 0)
                break;
        if (add_event(catalog, source, next - first, error) != 0)
            return -1;
    }
    size_t ids = 0;
    for (size_t i = 0; i < catalog->event_count; i++)
        for (size_t k = 0; k < catalog->events[i].version_count; k++)
            catalog->by_id[ids++] = &catalog->events[i].versions[k];
    qsort(catalog->by_id, ids, sizeof(struct catalog_version *), compare_id);
    return 0;
}

static int open_catalog(const struct assets *assets, int drafts, struct catalog **ret_catalog,
                        struct error *error)
{
    struct catalog *catalog = xcalloc(1, sizeof *catalog);
    size_t count = 0;
    catalog->documents = xcalloc(CATALOG_VERSIONS_MAX, sizeof(struct schema_document *));
    catalog->sources = xcalloc(CATALOG_VERSIONS_MAX, sizeof *catalog->sources);
    int result = read_sources(catalog, assets, drafts, &count, error);
    if (result == 0)
        result = group(catalog, count, error);
    for (size_t i = 0; result == 0 && !drafts && i < catalog->event_count; i++)
        result = catalog_check_readable(&catalog->events[i], error);
    free(catalog->sources);
    catalog->sources = NULL;
    if (result != 0) {
        catalog_free(catalog);
        return -1;
    }
    *ret_catalog = catalog;
    return 0;
}

int catalog_open(const struct assets *assets, struct catalog **ret_catalog, struct error *error)
{
    return open_catalog(assets, 0, ret_catalog, error);
}

int catalog_open_drafts(const struct assets *assets, struct catalog **ret_catalog,
                        struct error *error)
{
    return open_catalog(assets, 1, ret_catalog, error);
}

void catalog_free(struct catalog *catalog)
{
    if (!catalog)
        return;
    for (size_t i = 0; i < catalog->document_count; i++)
        schema_free(catalog->documents[i]);
    free(catalog->documents);
    arena_free(&catalog->arena);
    free(catalog);
}

size_t catalog_event_count(const struct catalog *catalog)
{
    return catalog->event_count;
}

const struct catalog_event *catalog_event_at(const struct catalog *catalog, size_t index)
{
    return &catalog->events[index];
}

const struct catalog_event *catalog_find_event(const struct catalog *catalog, const char *name)
{
    for (size_t i = 0; i < catalog->event_count; i++)
        if (strcmp(catalog->events[i].name, name) == 0)
            return &catalog->events[i];
    return NULL;
}

const struct catalog_version *catalog_find_id(const struct catalog *catalog, int32_t id)
{
    struct catalog_version wanted = {.id = id};
    const struct catalog_version *key = &wanted;
    size_t count = catalog->document_count;
    const struct catalog_version **found =
        count ? bsearch(&key, catalog->by_id, count, sizeof(struct catalog_version *), compare_id)
              : NULL;
    return found ? *found : NULL;
}

size_t catalog_version_count(const struct catalog *catalog)
{
    return catalog->document_count;
}

const struct catalog_version *catalog_version_at(const struct catalog *catalog, size_t index)
{
    return catalog->by_id[index];
}

int catalog_set_ids(struct catalog *catalog, const int32_t *ids, struct error *error)
{
    size_t count = catalog->document_count;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (ids[i] == ids[j])
                return error_set(error, ERROR_USAGE, "schema-ids",
                                 "%s/%d and %s/%d have one id, %d", catalog->by_id[j]->event->name,
                                 catalog->by_id[j]->version, catalog->by_id[i]->event->name,
                                 catalog->by_id[i]->version, ids[i]);
    for (size_t i = 0; i < count; i++) {
        const struct catalog_version *version = catalog->by_id[i];
        struct catalog_event *event = &catalog->events[version->event->index];
        /* The array is the catalog's own; it is only shown as constant. */
        struct catalog_version *versions = (struct catalog_version *)(uintptr_t)event->versions;
        versions[version->version - 1].id = ids[i];
    }
    qsort(catalog->by_id, count, sizeof(struct catalog_version *), compare_id);
    return 0;
}

const struct catalog_version *catalog_newest(const struct catalog_event *event)
{
    return &event->versions[event->version_count - 1];
}

size_t catalog_topic_count(const struct catalog *catalog)
{
    return catalog->topic_count;
}

const char *catalog_topic_at(const struct catalog *catalog, size_t index)
{
    return catalog->topics[index];
}
