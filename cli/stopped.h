/* SPDX-License-Identifier: Apache-2.0
 *
 * Where processors have halted and partitions wait, as the tools show it. */
#ifndef WEIR_CLI_STOPPED_H
#define WEIR_CLI_STOPPED_H

#include <jansson.h>

#include "lib/base/buf.h"
#include "lib/pg/pg.h"

enum stopped_column {
    STOPPED_PROCESSOR,
    STOPPED_GENERATION,
    STOPPED_HOW, /* halted, waits */
    STOPPED_TOPIC,
    STOPPED_PARTITION,
    STOPPED_OFFSET, /* place: NULL when no record is guilty */
    STOPPED_CODE,
    STOPPED_MESSAGE,
    STOPPED_SINCE
};

/* All there are, by processor and place. The caller clears *ret_rows. */
int stopped_load(PGconn *conn, PGresult **ret_rows, struct error *error);

/* Appends "waits at weir.commerce/2/17 since 2026-…: schema-unknown: …". */
void stopped_describe(const PGresult *rows, int row, struct buf *out);

/* Prints a line for each of a generation, indented. */
void stopped_print(const PGresult *rows, const char *processor, int generation);

/* An array with an object for each of a generation. */
json_t *stopped_json(const PGresult *rows, const char *processor, int generation);

#endif
