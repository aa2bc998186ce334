/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs of bytes that need no escape are copied at once. */
#include "lib/base/json_text.h"

#include <inttypes.h>

#include "lib/base/utf8.h"

void json_text_put(struct buf *out, const char *text, size_t size)
{
    size_t start = 0;
    /* What a client sent may be cut or wrong; an answer must be UTF-8 all the same. */
    int ascii_only = !utf8_valid(text, size);
    buf_put_u8(out, '"');
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\' && !(ascii_only && c > 0x7e))
            continue;
        buf_put(out, text + start, i - start);
        start = i + 1;
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c == '\n')
            buf_put_text(out, "\\n");
        else if (c > 0x7e)
            buf_put_text(out, "?");
        else
            buf_printf(out, "\\u%04x", c);
    }
    buf_put(out, text + start, size - start);
    buf_put_u8(out, '"');
}

static void put_name(struct buf *out, const char *name)
{
    if (out->size > 0 && out->data[out->size - 1] != '{' && out->data[out->size - 1] != '[')
        buf_put_u8(out, ',');
    buf_put_u8(out, '"');
    buf_put_text(out, name);
    buf_put_text(out, "\":");
}

void json_text_member(struct buf *out, const char *name, const char *text)
{
    put_name(out, name);
    json_text_put(out, text, strlen(text));
}

void json_text_number(struct buf *out, const char *name, int64_t number)
{
    put_name(out, name);
    buf_printf(out, "%" PRId64, number);
}
