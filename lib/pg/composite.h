/* SPDX-License-Identifier: Apache-2.0
 *
 * Arrays of composite values as binary parameters: array_recv and record_recv of PostgreSQL
 * (src/backend/utils/adt/arrayfuncs.c, rowtypes.c). */
#ifndef WEIR_PG_COMPOSITE_H
#define WEIR_PG_COMPOSITE_H

#include "lib/base/buf.h"
#include "lib/base/uuid.h"

/* Types of the server (src/include/catalog/pg_type.dat). */
enum {
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_TIMESTAMPTZ = 1184,
    OID_UUID = 2950
};

enum { ARRAY_HEADER_SIZE = 20 };

/* Writes the header of an array of one dimension, of ARRAY_HEADER_SIZE bytes. */
void composite_array_header(char *at, uint32_t oid, uint32_t count);

/* Starts a composite value; returns where its size goes, for composite_close. */
size_t composite_open(struct buf *out, uint32_t fields);
void composite_close(struct buf *out, size_t at);

/* Appends a field; a negative size makes it NULL. */
void composite_field(struct buf *out, uint32_t oid, const void *data, int32_t size);
void composite_int4(struct buf *out, int32_t value);
void composite_int8(struct buf *out, int64_t value);
/* `us`: microseconds since 1970. */
void composite_timestamp(struct buf *out, int64_t us);
/* NULL when all its bytes are zero. */
void composite_uuid(struct buf *out, const struct uuid *uuid);
/* NULL makes it NULL. */
void composite_text(struct buf *out, const char *text);
/* A bytea that is written later; returns where. */
size_t composite_leave_bytes(struct buf *out, size_t size);

#endif
