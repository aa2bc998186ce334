/* SPDX-License-Identifier: Apache-2.0
 *
 * The headers of a record as Postgres takes an array of weir.header in its binary form (array_recv,
 * record_recv). They are only built for records that are parked or set aside. */
#ifndef WEIR_FOLD_HEADERS_H
#define WEIR_FOLD_HEADERS_H

#include <stdint.h>

#include "lib/base/buf.h"

/* An array under construction at the end of `out`. */
struct headers {
    struct buf *out;
    size_t start;
    uint32_t count;
};

/* Begins an array. `header_oid` is the oid of weir.header in this database. */
struct headers headers_open(struct buf *out, uint32_t header_oid);

/* Adds one. `value` may be NULL. Bytes of the name that are no UTF-8 become '?'. */
void headers_add(struct headers *headers, const char *name, const void *value, size_t size);

void headers_close(struct headers *headers);

#endif
