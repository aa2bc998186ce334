/* SPDX-License-Identifier: Apache-2.0
 *
 * murmur2 as org.apache.kafka.common.utils.Utils computes it: little-endian words, seed 0x9747b28c.
 */
#include "lib/base/hash.h"

#include <endian.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

/* The 32-bit murmur2 of Kafka's Java client, seed included. */
static uint32_t murmur2(const void *data, size_t size)
{
    const uint32_t m = 0x5bd1e995;
    const unsigned char *bytes = data;
    uint32_t h = 0x9747b28cU ^ (uint32_t)size;
    size_t words = size / 4;
    for (size_t i = 0; i < words; i++) {
        uint32_t k;
        memcpy(&k, bytes + 4 * i, 4);
        k = le32toh(k) * m;
        k ^= k >> 24;
        h = h * m ^ k * m;
    }
    const unsigned char *tail = bytes + 4 * words;
    switch (size & 3) {
    case 3:
        h ^= (uint32_t)tail[2] << 16;
        __attribute__((fallthrough));
    case 2:
        h ^= (uint32_t)tail[1] << 8;
        __attribute__((fallthrough));
    case 1:
        h ^= tail[0];
        h *= m;
        break;
    default:
        break;
    }
    h ^= h >> 13;
    h *= m;
    return h ^ h >> 15;
}

int32_t hash_partition(const void *key, size_t size, int32_t partitions)
{
    return (int32_t)(murmur2(key, size) & 0x7fffffffU) % partitions;
}

static void sha256(const void *first, size_t first_size, const void *second, size_t second_size,
                   unsigned char ret_digest[32])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned int size = 0;
    EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    EVP_DigestUpdate(context, first, first_size);
    if (second_size)
        EVP_DigestUpdate(context, second, second_size);
    EVP_DigestFinal_ex(context, ret_digest, &size);
    EVP_MD_CTX_free(context);
}

void hash_sha256_hex(const void *data, size_t size, char ret_hex[65])
{
    unsigned char digest[32];
    sha256(data, size, NULL, 0, digest);
    for (int i = 0; i < 32; i++)
        snprintf(ret_hex + 2 * i, 3, "%02x", digest[i]);
}

int64_t hash_fingerprint(const void *first, size_t first_size, const void *second,
                         size_t second_size)
{
    unsigned char digest[32];
    uint64_t value;
    sha256(first, first_size, second, second_size, digest);
    memcpy(&value, digest, sizeof value);
    return (int64_t)be64toh(value);
}
