/* SPDX-License-Identifier: Apache-2.0
 *
 * A batch of rows of weir.outbox, taken and deleted in one transaction. An advisory lock of that
 * transaction keeps two relays from publishing the same rows, and the order of one partition. */
#ifndef WEIR_OUTBOX_ROWS_H
#define WEIR_OUTBOX_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/kafka/producer.h"
#include "lib/pg/pg.h"

enum { OUTBOX_ROWS_MAX = 1000, OUTBOX_BYTES_MAX = 8 * 1024 * 1024 };

struct outbox_row {
    int64_t id;
    const char *topic;
    int32_t partition;
    const void *key; /* NULL: the record has none; likewise the value */
    size_t key_size;
    const void *value;
    size_t value_size;
    const struct producer_header *headers;
    size_t header_count;
};

struct outbox_rows {
    struct outbox_row *rows; /* by id */
    size_t count;
    int locked;           /* 0: another relay is at work */
    PGresult *results[2]; /* what the rows point into */
    struct producer_header *headers;
};

/* Which rows not to take. */
struct outbox_skip {
    const int64_t *ids;
    size_t id_count;
    const char *const *topics;
    size_t topic_count;
};

/* Begins a transaction and takes the first rows that are not skipped: at most `limit`, and at least
 * one even when it is larger than OUTBOX_BYTES_MAX. Without a row, or while another relay is at
 * work, *ret_rows is empty and the transaction is over. Free it with outbox_rows_free. Errors leave
 * the transaction open: end the session. */
int outbox_rows_take(PGconn *conn, const struct outbox_skip *skip, int limit,
                     struct outbox_rows *ret_rows, struct error *error);

/* Deletes the rows with these ids and commits; with none it only ends the transaction. Waits for no
 * disk: a row that comes back after a crash is published twice. */
int outbox_rows_delete(PGconn *conn, const int64_t *ids, size_t count, struct error *error);

void outbox_rows_free(struct outbox_rows *rows);

/* Postgres' text of an array, for a parameter: '{1,2}' and '{"a","b"}'. Appends it with its NUL. */
void outbox_put_ids(struct buf *out, const int64_t *ids, size_t count);
void outbox_put_texts(struct buf *out, const char *const *texts, size_t count);

#endif
