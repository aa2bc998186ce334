/* SPDX-License-Identifier: Apache-2.0
 *
 * The topics that the relay publishes to: whether each exists, and until when the relay leaves
 * it alone because the broker refused a record. */
#ifndef WEIR_OUTBOX_TOPICS_H
#define WEIR_OUTBOX_TOPICS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/config.h"
#include "lib/base/error.h"

enum { OUTBOX_TOPICS_MAX = 256, OUTBOX_TOPIC_SIZE = 250 };

/* Topics of a processor. */
enum outbox_kind { OUTBOX_DEAD_LETTERS, OUTBOX_DECISIONS, OUTBOX_KINDS };

/* "weir.dlt.<processor>" or "weir.decisions.<processor>". */
void outbox_topic_name(enum outbox_kind kind, const char *processor,
                       char ret_name[OUTBOX_TOPIC_SIZE]);

struct outbox_topic {
    char name[OUTBOX_TOPIC_SIZE];
    int known;           /* it is there, as far as we know */
    int missing;         /* it was not there, and could not be made */
    int refusals;        /* in a row; 0: nothing is wrong with it */
    int64_t retry_at_us; /* monotonic; 0: not held back */
};

struct outbox_topics {
    struct outbox_topic topics[OUTBOX_TOPICS_MAX];
    size_t count;
};

/* The entry, made when new; NULL when there are OUTBOX_TOPICS_MAX. */
struct outbox_topic *outbox_topic_find(struct outbox_topics *topics, const char *name);

/* Looks those up that are not known and not held back, and makes those of processors that are
 * missing, with the pinned partition count and settings. A topic that is not there then, or may not
 * be made, is held back, with the reason in `error` (returns -1). Errors: ERROR_RETRY when no
 * broker answers; then nothing is held back. */
int outbox_topics_look_up(const struct config *config, struct outbox_topics *topics,
                          struct error *error);

/* Leaves a topic alone for a while: longer from one refusal to the next. */
void outbox_topic_hold(struct outbox_topic *topic);

/* Milliseconds to wait after so many failures in a row: from first_ms on, doubled up to most_ms. */
int64_t outbox_backoff_ms(int failures, int64_t first_ms, int64_t most_ms);

#endif
