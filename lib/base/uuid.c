/* SPDX-License-Identifier: Apache-2.0
 *
 * Text is read through a table of digit values, because every event brings several UUIDs as text.
 */
#include "lib/base/uuid.h"

#include <endian.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* Positions of the 32 digits in the text form. */
static const unsigned char digit_at[32] = {0,  1,  2,  3,  4,  5,  6,  7,  9,  10, 11,
                                           12, 14, 15, 16, 17, 19, 20, 21, 22, 24, 25,
                                           26, 27, 28, 29, 30, 31, 32, 33, 34, 35};

#define EACH_BYTE(value) ((value)*UINT64_C(0x0101010101010101))

/* Eight hexadecimal digits at once, as bytes of one word: checks ranges by what carries into the
 * high bits of the bytes, turns each byte into its nibble, then packs the nibbles. Returns whether
 * all were digits. */
static int read_digits(const char *text, unsigned char ret_bytes[4])
{
    uint64_t word;
    memcpy(&word, text, sizeof word);
    word = le64toh(word);
    uint64_t ascii = word & EACH_BYTE(0x7f);
    uint64_t lower = ascii | EACH_BYTE(0x20);
    uint64_t is_digit = (ascii + EACH_BYTE(0x80 - '0')) & ~(ascii + EACH_BYTE(0x80 - '9' - 1));
    uint64_t is_letter = (lower + EACH_BYTE(0x80 - 'a')) & ~(lower + EACH_BYTE(0x80 - 'f' - 1));
    uint64_t good = (is_digit | is_letter) & ~word & EACH_BYTE(0x80);
    uint64_t nibbles = (word & EACH_BYTE(0x0f)) + ((word >> 6) & EACH_BYTE(0x01)) * 9;
    nibbles = (nibbles << 4 | nibbles >> 8) & UINT64_C(0x00ff00ff00ff00ff);
    nibbles = (nibbles | nibbles >> 8) & UINT64_C(0x0000ffff0000ffff);
    uint32_t packed = htole32((uint32_t)(nibbles | nibbles >> 16));
    memcpy(ret_bytes, &packed, sizeof packed);
    return good == EACH_BYTE(0x80);
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
    char digits[32];
    memcpy(digits, text, 8);
    memcpy(digits + 8, text + 9, 4);
    memcpy(digits + 12, text + 14, 4);
    memcpy(digits + 16, text + 19, 4);
    memcpy(digits + 20, text + 24, 12);
    struct uuid uuid;
    int good = 1;
    for (int i = 0; i < 4; i++)
        good &= read_digits(digits + 8 * i, uuid.bytes + 4 * i);
    if (!good)
        return -1;
    *ret_uuid = uuid;
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
