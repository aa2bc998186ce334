/* SPDX-License-Identifier: Apache-2.0
 *
 * Compares the topics weir.dlt.<processor> and weir.decisions.<processor> with the tables. Rows
 * commit before their records are published. So a record without the row of its dead letter or
 * decision belongs to another past: the database was lost, is an older copy, or is another one. */
#ifndef WEIR_OUTBOX_KNOWN_H
#define WEIR_OUTBOX_KNOWN_H

#include <stdatomic.h>

#include "lib/base/config.h"
#include "lib/pg/pg.h"
#include "processors/outbox/topics.h"

enum { KNOWN_ALL = INT32_MAX };

struct known_whose {
    const char *processor;
    const char *const *topics; /* that it consumes; records about others are passed over */
    size_t topic_count;
    const atomic_int *stop; /* NULL: nothing ends it early */
};

struct known {
    int64_t read;    /* records that name a dead letter or decision */
    int64_t unknown; /* those of them that the live generation has no row for */
    char first[320]; /* the first of these, for people */
};

/* Reads the newest `newest` records of each partition, or KNOWN_ALL. In no transaction of the
 * caller's: rows are looked for after their records were read. Errors: of Postgres; ERROR_RETRY
 * when Kafka is away, "stopped" when *stop is set. */
int known_check(const struct config *config, PGconn *conn, const struct known_whose *whose,
                enum outbox_kind kind, int64_t newest, struct known *ret_known,
                struct error *error);

#endif
