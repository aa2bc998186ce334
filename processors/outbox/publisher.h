/* SPDX-License-Identifier: Apache-2.0
 *
 * Hands rows to an idempotent producer and waits for what became of each. */
#ifndef WEIR_OUTBOX_PUBLISHER_H
#define WEIR_OUTBOX_PUBLISHER_H

#include <stdatomic.h>

#include "lib/base/config.h"
#include "processors/outbox/rows.h"
#include "processors/outbox/topics.h"

enum verdict {
    VERDICT_NONE,           /* not sent: its topic is held back */
    VERDICT_ACKED,          /* in the log */
    VERDICT_FAILED,         /* the broker failed for now; the record may be in the log */
    VERDICT_REFUSED_RECORD, /* the broker refuses this record, or another one of its batch */
    VERDICT_REFUSED_TOPIC   /* no record for this topic will do */
};

struct delivery {
    struct publisher *publisher;
    enum verdict verdict;
    char code[40]; /* of the error */
};

struct publisher;

/* Nothing is connected before the first row. When *stop becomes non-zero, the publisher gives up
 * the records under way after two seconds. */
struct publisher *publisher_new(const struct config *config, const atomic_int *stop);
void publisher_free(struct publisher *publisher);

/* Sends the rows whose topics are known, at most OUTBOX_ROWS_MAX, and waits until each is reported
 * on. Returns one delivery for each row, which stand until the next call. Errors: ERROR_USAGE names
 * a bad property. */
int publisher_send(struct publisher *publisher, const struct outbox_rows *rows,
                   struct outbox_topics *topics, const struct delivery **ret_deliveries,
                   struct error *error);

#endif
