/* SPDX-License-Identifier: Apache-2.0
 *
 * The event inside a record that was not applied. It is read with the newest version of its schema,
 * as a redrive would read it. */
#ifndef WEIR_CLI_FAILED_EVENT_H
#define WEIR_CLI_FAILED_EVENT_H

#include "cli/failed.h"
#include "lib/avro/catalog.h"

/* The bytes as they were in the topic. */
struct failed_record {
    PGresult *row; /* owns the bytes below */
    unsigned char *key;
    size_t key_size;
    unsigned char *value; /* NULL for a tombstone */
    size_t value_size;
    json_t *headers; /* [[name, value], …] as texts */
};

/* Reads the bytes of one of failed_load's rows. Errors: ERROR_USAGE "gone" when the row has gone
 * meanwhile; those of Postgres. */
int failed_record_load(PGconn *conn, enum failed_kind kind, const PGresult *rows, int row,
                       struct failed_record *ret_record, struct error *error);
void failed_record_free(struct failed_record *record);

/* Decodes to JSON in the plain form, `meta` included. *ret_event (may be NULL) is the event in
 * `catalog`, NULL when this build does not know it; then the writer's own schema is used. The
 * caller owns *ret_json. Errors: ERROR_DEAD_LETTER, ERROR_HALT: why it cannot be decoded. */
int failed_event_json(PGconn *conn, const struct catalog *catalog,
                      const struct failed_record *record, int show_pii,
                      const struct catalog_event **ret_event, json_t **ret_json,
                      struct error *error);

/* Text as it is, what is no UTF-8 as "base64:…"; NULL is null. */
json_t *failed_bytes_json(const void *data, size_t size);

#endif
