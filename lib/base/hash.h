/* SPDX-License-Identifier: Apache-2.0
 *
 * Hashes that other programs must agree on. */
#ifndef WEIR_BASE_HASH_H
#define WEIR_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* The partition that Java's default partitioner picks for a key. */
int32_t hash_partition(const void *key, size_t size, int32_t partitions);

/* SHA-256 as 64 lower-case hexadecimal digits and a NUL. */
void hash_sha256_hex(const void *data, size_t size, char ret_hex[65]);

/* The first eight bytes of the SHA-256 of the parts one after the other, as a big-endian integer.
 */
int64_t hash_fingerprint(const void *first, size_t first_size, const void *second,
                         size_t second_size);

#endif
