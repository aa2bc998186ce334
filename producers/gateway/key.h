/* SPDX-License-Identifier: Apache-2.0
 *
 * Idempotency keys and what follows from them. The event id is a function of (Space, key), so a
 * retry under the same key is the same event everywhere. The fingerprint is a function of the
 * payload, so another body under that key is noticed. */
#ifndef WEIR_GATEWAY_KEY_H
#define WEIR_GATEWAY_KEY_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/uuid.h"

enum {
    KEY_BYTES_MAX = 255,
    KEY_LINE_BYTES_MAX = 9 /* "#" and the number of a line, behind the key of an NDJSON request */
};

struct key {
    char text[KEY_BYTES_MAX + 1];
    size_t size;
};

/* Reads the header Idempotency-Key: a quoted string (RFC 8941) or the bare text, printable ASCII,
 * at most `size_max` bytes. Returns 0, or -1 with what is wrong in *ret_why. */
int key_parse(const char *header, size_t size_max, struct key *ret_key, const char **ret_why);

/* A key for a client that sent none: a UUIDv7 as text, which is the event id itself. */
void key_make(struct key *ret_key);

/* The key of line `number` (from 1) of an NDJSON request: "<key>#<number>". */
void key_of_line(const struct key *key, size_t number, struct key *ret_key);

/* A key that is a UUIDv7 as text is the event id; any other is hashed together with the Space, of
 * which `space` is the 36-character lower-case text. */
struct uuid key_event_id(const char *space, const struct key *key);

/* The first eight bytes of the SHA-256 of the event's name, a line feed and the canonical JSON
 * (sorted members, no blanks) of the body. `scratch` is overwritten. */
int64_t key_fingerprint(const char *event, const json_t *body, struct buf *scratch);

#endif
