/* SPDX-License-Identifier: Apache-2.0
 *
 * Text is read sixteen digits at a time, because every event brings several UUIDs as text.
 */
#include "lib/base/uuid.h"

#include <openssl/evp.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* Positions of the 32 digits in the text form. */
static const unsigned char digit_at[32] = {0,  1,  2,  3,  4,  5,  6,  7,  9,  10, 11,
                                           12, 14, 15, 16, 17, 19, 20, 21, 22, 24, 25,
                                           26, 27, 28, 29, 30, 31, 32, 33, 34, 35};

/* Sixteen bytes side by side: vectors of GCC and Clang, which become SSE2, NEON, or plain words. */
typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint16_t pairs8 __attribute__((vector_size(16)));
typedef uint8_t bytes8 __attribute__((vector_size(8)));
typedef uint64_t words2 __attribute__((vector_size(16)));

/* Sixteen hexadecimal digits at once → eight bytes. A byte of *good stays all ones where there was
 * a digit. */
static inline uint64_t read_digits(uint64_t left, uint64_t right, bytes16 *good)
{
    bytes16 text = (bytes16)(words2){left, right};
    bytes16 number = text - '0';
    bytes16 letter = (text | 0x20) - 'a';
    bytes16 is_number = (bytes16)(number <= 9);
    bytes16 is_letter = (bytes16)(letter <= 5);
    *good &= is_number | is_letter;
    pairs8 nibbles = (pairs8)((number & is_number) | ((letter + 10) & is_letter));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    nibbles = (nibbles << 4 | nibbles >> 8) & 0xff;
#else
    nibbles = (nibbles >> 4 | nibbles) & 0xff;
#endif
    return (uint64_t) __builtin_convertvector(nibbles, bytes8);
}

/* The first half comes first in memory. */
static inline uint64_t join(uint32_t first, uint32_t second)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return first | (uint64_t)second << 32;
#else
    return second | (uint64_t)first << 32;
#endif
}

static void random_bytes(void *to, size_t size)
{
    /* Up to 256 bytes getrandom() neither fails nor returns fewer, once the pool is ready. */
    while (getrandom(to, size, 0) != (ssize_t)size)
        ;
}

static void stamp(struct uuid *uuid, int version)
{
    uuid->bytes[6] = (unsigned char)((uuid->bytes[6] & 0x0f) | version << 4);
    uuid->bytes[8] = (unsigned char)((uuid->bytes[8] & 0x3f) | 0x80);
}

struct uuid uuid_v7(void)
{
    struct uuid uuid;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    uint64_t below = (uint64_t)(now.tv_nsec % 1000000) * 4096 / 1000000;
    for (int i = 0; i < 6; i++)
        uuid.bytes[i] = (unsigned char)(ms >> (40 - 8 * i));
    uuid.bytes[6] = (unsigned char)(below >> 8);
    uuid.bytes[7] = (unsigned char)below;
    random_bytes(uuid.bytes + 8, 8);
    stamp(&uuid, 7);
    return uuid;
}

struct uuid uuid_v5(const void *name, size_t size)
{
    static const unsigned char namespace[16] = {0x5f, 0x0c, 0x9e, 0x0a, 0x3b, 0x7e, 0x5d, 0x51,
                                                0x8c, 0x65, 0x77, 0x65, 0x69, 0x72, 0x2e, 0x31};
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int digest_size = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_DigestInit_ex(context, EVP_sha1(), NULL);
    EVP_DigestUpdate(context, namespace, sizeof namespace);
    EVP_DigestUpdate(context, name, size);
    EVP_DigestFinal_ex(context, digest, &digest_size);
    EVP_MD_CTX_free(context);
    struct uuid uuid;
    memcpy(uuid.bytes, digest, sizeof uuid.bytes);
    stamp(&uuid, 5);
    return uuid;
}

int uuid_parse(const char *text, size_t size, struct uuid *ret_uuid)
{
    if (size != UUID_TEXT_SIZE || text[8] != '-' || text[13] != '-' || text[18] != '-' ||
        text[23] != '-')
        return -1;
    uint64_t words[4];
    uint32_t halves[4];
    memcpy(&words[0], text, 8);
    memcpy(&halves[0], text + 9, 4);
    memcpy(&halves[1], text + 14, 4);
    memcpy(&halves[2], text + 19, 4);
    memcpy(&halves[3], text + 24, 4);
    memcpy(&words[3], text + 28, 8);
    words[1] = join(halves[0], halves[1]);
    words[2] = join(halves[2], halves[3]);
    bytes16 good = ~(bytes16){0};
    uint64_t result[2];
    result[0] = read_digits(words[0], words[1], &good);
    result[1] = read_digits(words[2], words[3], &good);
    words2 all = (words2)good;
    if ((all[0] & all[1]) != UINT64_MAX)
        return -1;
    memcpy(ret_uuid->bytes, result, sizeof result);
    return 0;
}

void uuid_format(const struct uuid *uuid, char ret_text[UUID_TEXT_SIZE + 1])
{
    static const char digits[] = "0123456789abcdef";
    memset(ret_text, '-', UUID_TEXT_SIZE);
    ret_text[UUID_TEXT_SIZE] = '\0';
    for (int i = 0; i < 16; i++) {
        ret_text[digit_at[2 * i]] = digits[uuid->bytes[i] >> 4];
        ret_text[digit_at[2 * i + 1]] = digits[uuid->bytes[i] & 15];
    }
}

int uuid_version(const struct uuid *uuid)
{
    return uuid->bytes[6] >> 4;
}
