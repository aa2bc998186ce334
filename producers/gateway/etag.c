/* SPDX-License-Identifier: Apache-2.0
 *
 * A list is read to its end before it counts: what is malformed matches nothing. */
#include "producers/gateway/etag.h"

#include <string.h>

#define BLANKS " \t"

/* The end of the opaque tag at `text`, behind its closing quote, or NULL when it is none. */
static const char *tag_end(const char *text)
{
    if (*text != '"')
        return NULL;
    for (text++; *text != '"'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x21 || byte == 0x7f) /* the end of the text as well */
            return NULL;
    }
    return text + 1;
}

int etag_matches(const char *header, const char *etag)
{
    size_t size = strlen(etag);
    int found = 0;
    if (!header)
        return 0;
    header += strspn(header, BLANKS);
    if (*header == '*')
        return header[1 + strspn(header + 1, BLANKS)] == '\0';
    for (;;) {
        header += strspn(header, BLANKS ","); /* a list may have empty elements */
        if (!*header)
            return found;
        if (strncmp(header, "W/", 2) == 0)
            header += 2;
        const char *end = tag_end(header);
        if (!end)
            return 0;
        found |= (size_t)(end - header) == size && memcmp(header, etag, size) == 0;
        header = end + strspn(end, BLANKS);
        if (*header && *header != ',')
            return 0;
    }
}
