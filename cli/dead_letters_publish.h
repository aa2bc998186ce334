/* SPDX-License-Identifier: Apache-2.0
 *
 * The event that is published instead of a dead letter. */
#ifndef WEIR_CLI_DEAD_LETTERS_PUBLISH_H
#define WEIR_CLI_DEAD_LETTERS_PUBLISH_H

#include "cli/dead_letters.h"
#include "cli/failed_event.h"
#include "producers/gateway/event.h"

struct replacement {
    struct event_record record;
    char space[UUID_TEXT_SIZE + 1];
    char traceparent[64]; /* "" without one */
    int32_t partition;
    int64_t offset; /* where it was written; -1: the broker did not say */
};

/* Makes the record: `body` under `meta`, as the gateway would, in the newest version of the event.
 * Its id is a function of the place of the first of `rows`. Errors: faults, with their JSON
 * pointers; or `error`: ERROR_USAGE when the database does not know that version. */
int replacement_encode(struct replacement *replacement, PGconn *conn,
                       const struct catalog_event *event, const PGresult *rows,
                       const struct failed_record *old, const json_t *meta, const json_t *body,
                       struct faults *faults, struct error *error);

/* Publishes it with acks=all, beside the event that it replaces, and waits for the broker. Errors:
 * ERROR_RETRY; it may have been written then, and the message says so. */
int replacement_publish(struct replacement *replacement, const struct config *config,
                        struct error *error);

void replacement_free(struct replacement *replacement);

#endif
