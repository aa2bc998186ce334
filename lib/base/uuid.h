/* SPDX-License-Identifier: Apache-2.0
 *
 * UUIDs as 16 bytes in network order (RFC 9562). */
#ifndef WEIR_BASE_UUID_H
#define WEIR_BASE_UUID_H

#include <stddef.h>
#include <stdint.h>

struct uuid {
    unsigned char bytes[16];
};

enum { UUID_TEXT_SIZE = 36 };

/* A time-ordered UUID, version 7: milliseconds, 12 bits below them, 62 random bits. */
struct uuid uuid_v7(void);

/* A name-based UUID, version 5 (SHA-1), in Weir's own namespace. */
struct uuid uuid_v5(const void *name, size_t size);

/* Reads 8-4-4-4-12 hexadecimal digits of either case. Returns 0, or -1 when `text` is anything
 * else. */
int uuid_parse(const char *text, size_t size, struct uuid *ret_uuid);

/* Writes 36 lower-case characters and a NUL. */
void uuid_format(const struct uuid *uuid, char ret_text[UUID_TEXT_SIZE + 1]);

int uuid_version(const struct uuid *uuid);

#endif
