/* SPDX-License-Identifier: Apache-2.0
 *
 * The catalog: every event type, its versions and their ids, read from
 * schemas/<domain>/<Event>/<version>.avsc and schemas/catalog.lock. Immutable after it is opened,
 * so threads share it. */
#ifndef WEIR_AVRO_CATALOG_H
#define WEIR_AVRO_CATALOG_H

#include <stdint.h>

#include "lib/avro/schema.h"
#include "lib/base/asset.h"

enum catalog_ingest { INGEST_PUBLIC, INGEST_SERVICE, INGEST_INTERNAL };

struct catalog_version {
    int version;
    int32_t id;           /* schema id on the wire */
    char fingerprint[65]; /* SHA-256 of the file, hexadecimal */
    const char *text;     /* the file itself */
    size_t text_size;
    const struct schema *schema; /* root record */
    const struct catalog_event *event;
    int draft; /* not in the lock yet; `id` is the one it would get */
};

struct catalog_event {
    const char *name;                       /* "ProductPurchased" */
    const char *relation;                   /* "product_purchased" */
    const char *domain;                     /* "commerce" */
    const char *topic;                      /* "weir.commerce" */
    const char *subject;                    /* in a registry, by TopicRecordNameStrategy:
                                               "weir.commerce-weir.commerce.ProductPurchased" */
    enum catalog_ingest ingest;             /* of the newest version */
    const struct catalog_version *versions; /* ascending */
    size_t version_count;
    size_t index; /* place in the catalog, 0… */
};

enum { CATALOG_EVENTS_MAX = 1024 };

struct catalog;

/* Errors (ERROR_USAGE) name the file: a schema that does not parse, a missing or doubled version, a
 * version that is not in the lock, a file that differs from its locked fingerprint, a doubled id, a
 * missing doc, a missing or wrong `meta`, an event field named like a reserved column, two events
 * with one relation name, a schema that avro-c cannot read. `assets` own the texts and must outlive
 * the catalog. */
int catalog_open(const struct assets *assets, struct catalog **ret_catalog, struct error *error);
/* The same, but versions that are not in the lock yet are drafts instead of an error, and older
 * records may be unreadable: for tools that look at a new version before it is published. */
int catalog_open_drafts(const struct assets *assets, struct catalog **ret_catalog,
                        struct error *error);
void catalog_free(struct catalog *catalog);

size_t catalog_event_count(const struct catalog *catalog);
const struct catalog_event *catalog_event_at(const struct catalog *catalog, size_t index);
const struct catalog_event *catalog_find_event(const struct catalog *catalog, const char *name);
const struct catalog_version *catalog_find_id(const struct catalog *catalog, int32_t id);
/* Every version, by ascending id. */
size_t catalog_version_count(const struct catalog *catalog);
const struct catalog_version *catalog_version_at(const struct catalog *catalog, size_t index);
const struct catalog_version *catalog_newest(const struct catalog_event *event);

/* Gives every version another id, such as a registry's: ids[i] becomes the id of
 * catalog_version_at(i); that index then means another version. Only before the catalog is
 * shared. Errors (ERROR_USAGE): one id for two versions; then nothing is changed. */
int catalog_set_ids(struct catalog *catalog, const int32_t *ids, struct error *error);

/* The distinct topics, in name order. */
size_t catalog_topic_count(const struct catalog *catalog);
const char *catalog_topic_at(const struct catalog *catalog, size_t index);

#endif
