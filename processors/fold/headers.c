/* SPDX-License-Identifier: Apache-2.0
 *
 * An element is its size and a row of two fields, each of them oid, size and bytes. */
#include "processors/fold/headers.h"

#include <string.h>

#include "lib/base/utf8.h"
#include "lib/pg/composite.h"

enum { FIELD_HEAD = 8 };

struct headers headers_open(struct buf *out, uint32_t header_oid)
{
    struct headers headers = {.out = out, .start = out->size};
    const uint32_t head[] = {1, 0, header_oid, 0, 1};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        buf_put_be32(out, head[i]);
    return headers;
}

void headers_add(struct headers *headers, const char *name, const void *value, size_t size)
{
    struct buf *out = headers->out;
    size_t name_size = strlen(name);
    size_t value_size = value ? size : 0;
    buf_put_be32(out, (uint32_t)(4 + FIELD_HEAD + name_size + FIELD_HEAD + value_size));
    buf_put_be32(out, 2);
    buf_put_be32(out, OID_TEXT);
    buf_put_be32(out, (uint32_t)name_size);
    buf_put(out, name, name_size);
    utf8_mend(out->data + out->size - name_size, name_size);
    buf_put_be32(out, OID_BYTEA);
    buf_put_be32(out, value ? (uint32_t)value_size : UINT32_MAX);
    buf_put(out, value, value_size);
    headers->count++;
}

void headers_close(struct headers *headers)
{
    struct buf *out = headers->out;
    buf_set_be32(out, headers->start + 12, headers->count);
    if (headers->count > 0)
        return;
    buf_set_be32(out, headers->start, 0); /* the empty array has no dimension */
    out->size = headers->start + 12;
}
