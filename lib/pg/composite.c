/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/pg/composite.h"

#include "lib/base/timestamp.h"

void composite_array_header(char *at, uint32_t oid, uint32_t count)
{
    const uint32_t header[] = {htobe32(1), 0, htobe32(oid), htobe32(count), htobe32(1)};
    memcpy(at, header, sizeof header);
}

size_t composite_open(struct buf *out, uint32_t fields)
{
    size_t at = out->size;
    buf_put_be32(out, 0);
    buf_put_be32(out, fields);
    return at;
}

void composite_close(struct buf *out, size_t at)
{
    buf_set_be32(out, at, (uint32_t)(out->size - at - 4));
}

void composite_field(struct buf *out, uint32_t oid, const void *data, int32_t size)
{
    buf_put_be32(out, oid);
    buf_put_be32(out, (uint32_t)size);
    if (size > 0)
        buf_put(out, data, (size_t)size);
}

void composite_int4(struct buf *out, int32_t value)
{
    uint32_t bytes = htobe32((uint32_t)value);
    composite_field(out, OID_INT4, &bytes, sizeof bytes);
}

static void put_int8(struct buf *out, uint32_t oid, int64_t value)
{
    uint64_t bytes = htobe64((uint64_t)value);
    composite_field(out, oid, &bytes, sizeof bytes);
}

void composite_int8(struct buf *out, int64_t value)
{
    put_int8(out, OID_INT8, value);
}

void composite_timestamp(struct buf *out, int64_t us)
{
    put_int8(out, OID_TIMESTAMPTZ, us - POSTGRES_EPOCH_US);
}

void composite_uuid(struct buf *out, const struct uuid *uuid)
{
    static const struct uuid none;
    int missing = memcmp(uuid, &none, sizeof none) == 0;
    composite_field(out, OID_UUID, uuid, missing ? -1 : 16);
}

void composite_text(struct buf *out, const char *text)
{
    composite_field(out, OID_TEXT, text, text ? (int32_t)strlen(text) : -1);
}

size_t composite_leave_bytes(struct buf *out, size_t size)
{
    buf_put_be32(out, OID_BYTEA);
    buf_put_be32(out, (uint32_t)size);
    buf_reserve(out, size);
    out->size += size;
    return out->size - size;
}
