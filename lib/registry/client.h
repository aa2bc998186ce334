/* SPDX-License-Identifier: Apache-2.0
 *
 * A schema registry that speaks Confluent's API: register, look up, fetch by id. A request is tried
 * again after no answer, 429 and 5xx, with pauses that double and jitter, until its deadline; the
 * pauses also hold between requests, so that a caller with a loop of its own cannot hammer a
 * registry that is down. Nothing is cached here: the caller keeps the answer, which never changes.
 *
 * A client belongs to one thread. */
#ifndef WEIR_REGISTRY_CLIENT_H
#define WEIR_REGISTRY_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/config.h"
#include "lib/base/error.h"

enum {
    REGISTRY_REQUEST_MS = 5000,   /* one try */
    REGISTRY_DEADLINE_MS = 30000, /* of a request at start-up and in tools */
    REGISTRY_ONE_TRY = 0,         /* deadline of callers that try again by themselves */
    REGISTRY_BACKOFF_FIRST_MS = 200,
    REGISTRY_BACKOFF_MAX_MS = 10000,
    REGISTRY_RETRY_AFTER_MAX_MS = 60000 /* a longer Retry-After is cut to this */
};

struct registry;

/* Opens a client from the options schema-registry-url, -auth and -ca; *ret_registry is NULL when
 * there is no URL. Nothing is sent yet. Errors: ERROR_USAGE. */
int registry_open(const struct config *config, struct registry **ret_registry, struct error *error);
void registry_free(struct registry *registry);
const char *registry_url(const struct registry *registry);
/* How long a request may take with its repetitions; REGISTRY_DEADLINE_MS at first. */
void registry_set_deadline(struct registry *registry, int64_t deadline_ms);

/* Each returns 0, 1 when the registry has no such thing, or -1. Errors: ERROR_RETRY
 * "registry-unavailable" (no answer, 429, 5xx), ERROR_USAGE "registry-refused" (anything else).
 * Schemas are registered and looked up with normalize=true. */
int registry_look_up(struct registry *registry, const char *subject, const char *text, size_t size,
                     int32_t *ret_id, struct error *error);
int registry_register(struct registry *registry, const char *subject, const char *text, size_t size,
                      int32_t *ret_id, struct error *error);
/* Registers under an id and a version of one's own, where the registry can (mode IMPORT). *ret_id
 * is the id that it really got. */
int registry_import(struct registry *registry, const char *subject, int version, int32_t id,
                    const char *text, size_t size, int32_t *ret_id, struct error *error);
/* The text of a schema by its id, into `ret_text`, which is reset. */
int registry_fetch(struct registry *registry, int32_t id, struct buf *ret_text,
                   struct error *error);
/* "IMPORT" while schemas are imported under a subject, "READWRITE" afterwards. A registry without
 * modes ignores it. */
int registry_set_mode(struct registry *registry, const char *subject, const char *mode,
                      struct error *error);

#endif
