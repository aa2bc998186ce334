/* SPDX-License-Identifier: Apache-2.0
 *
 * Nothing here allocates, apart from jansson's sorting. */
#include "producers/gateway/key.h"

#include <stdio.h>

#include "lib/base/hash.h"

/* A bare key; quotes inside are refused, so that no key has two spellings. */
static int parse_bare(const char *header, size_t size_max, struct key *key, const char **ret_why)
{
    for (const char *c = header; *c; c++) {
        if (*c < 0x21 || *c > 0x7e || *c == '"') {
            *ret_why = "it may hold printable ASCII without blanks and quotes";
            return -1;
        }
        if (key->size == size_max) {
            *ret_why = "it is too long";
            return -1;
        }
        key->text[key->size++] = *c;
    }
    return 0;
}

static int parse_quoted(const char *header, size_t size_max, struct key *key, const char **ret_why)
{
    const char *c = header + 1;
    for (; *c && *c != '"'; c++) {
        if (*c == '\\' && (c[1] == '"' || c[1] == '\\'))
            c++;
        else if (*c < 0x20 || *c > 0x7e || *c == '\\') {
            *ret_why = "a quoted one may hold printable ASCII, with \\\" and \\\\";
            return -1;
        }
        if (key->size == size_max) {
            *ret_why = "it is too long";
            return -1;
        }
        key->text[key->size++] = *c;
    }
    if (*c != '"' || c[1]) {
        *ret_why = *c ? "something follows the closing quote" : "the closing quote is missing";
        return -1;
    }
    return 0;
}

int key_parse(const char *header, size_t size_max, struct key *ret_key, const char **ret_why)
{
    ret_key->size = 0;
    int result = *header == '"' ? parse_quoted(header, size_max, ret_key, ret_why)
                                : parse_bare(header, size_max, ret_key, ret_why);
    ret_key->text[ret_key->size] = '\0';
    if (result == 0 && ret_key->size == 0) {
        *ret_why = "it is empty";
        return -1;
    }
    return result;
}

void key_make(struct key *ret_key)
{
    struct uuid uuid = uuid_v7();
    uuid_format(&uuid, ret_key->text);
    ret_key->size = UUID_TEXT_SIZE;
}

void key_of_line(const struct key *key, size_t number, struct key *ret_key)
{
    int size = snprintf(ret_key->text, sizeof ret_key->text, "%s#%zu", key->text, number);
    ret_key->size = (size_t)size < sizeof ret_key->text ? (size_t)size : sizeof ret_key->text - 1;
}

struct uuid key_event_id(const char *space, const struct key *key)
{
    struct uuid uuid;
    if (uuid_parse(key->text, key->size, &uuid) == 0 && uuid_version(&uuid) == 7)
        return uuid;
    char name[UUID_TEXT_SIZE + 1 + KEY_BYTES_MAX];
    memcpy(name, space, UUID_TEXT_SIZE);
    name[UUID_TEXT_SIZE] = '/';
    memcpy(name + UUID_TEXT_SIZE + 1, key->text, key->size);
    return uuid_v5(name, UUID_TEXT_SIZE + 1 + key->size);
}

static int put_json(const char *text, size_t size, void *out)
{
    buf_put(out, text, size);
    return 0;
}

int64_t key_fingerprint(const char *event, const json_t *body, struct buf *scratch)
{
    buf_reset(scratch);
    buf_put_text(scratch, event);
    buf_put_u8(scratch, '\n');
    json_dump_callback(body, put_json, scratch, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    return hash_fingerprint(scratch->data, scratch->size, NULL, 0);
}
