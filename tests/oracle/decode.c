/* SPDX-License-Identifier: Apache-2.0
 *
 * Weir's side of the comparison with other implementations of Avro: cases on stdin, one JSON object
 * a line, {"writer": schema, "reader": schema, "data": [hex, …]}, answers on stdout, one line each:
 *
 *     {"error": text}                             the pair is refused
 *     {"values": [{"error": text} | {"json": value, "avro": hex, "wrong": text}, …]}
 *
 * `json` is Avro's own JSON of the value and `avro` its bytes, both of the reader's schema; `wrong`
 * is only there when Weir's own ways of reading the value part (tests/unit/avro_pair.h). */
#include <stdio.h>

#include "tests/unit/avro_pair.h"

enum { LINE_MAX = 4 << 20 };

static unsigned char *bytes_of_hex(const char *hex, size_t *ret_size)
{
    size_t size = strlen(hex) / 2;
    unsigned char *bytes = malloc(size ? size : 1); /* to the byte: the sanitizer sees its end */
    for (size_t i = 0; bytes && i < size; i++) {
        unsigned byte = 0;
        sscanf(hex + 2 * i, "%2x", &byte);
        bytes[i] = (unsigned char)byte;
    }
    *ret_size = size;
    return bytes;
}

static json_t *hex_of_bytes(const struct buf *bytes)
{
    struct buf text = {0};
    for (size_t i = 0; i < bytes->size; i++)
        buf_printf(&text, "%02x", (unsigned char)bytes->data[i]);
    json_t *json = json_stringn(text.data ? text.data : "", text.size);
    buf_free(&text);
    return json;
}

static json_t *answer_value(struct pair *pair, const char *hex)
{
    struct error error = {0};
    const char *wrong;
    size_t size;
    unsigned char *data = bytes_of_hex(hex, &size);
    json_t *answer = json_object();
    json_t *json = pair_read(pair, data, size, &wrong, &error);
    if (json) {
        json_object_set_new(answer, "json", json);
        json_object_set_new(answer, "avro", hex_of_bytes(&pair->value));
    } else {
        json_object_set_new(answer, "error", json_string(error.message));
    }
    if (wrong)
        json_object_set_new(answer, "wrong", json_string(wrong));
    free(data);
    return answer;
}

static json_t *answer_case(const json_t *json)
{
    struct pair pair;
    struct error error = {0};
    char *writer = json_dumps(json_object_get(json, "writer"), JSON_ENCODE_ANY);
    char *reader = json_dumps(json_object_get(json, "reader"), JSON_ENCODE_ANY);
    const json_t *data = json_object_get(json, "data");
    json_t *answer = json_object();
    if (pair_open(&pair, writer, reader, &error) != 0) {
        json_object_set_new(answer, "error", json_string(error.message));
    } else {
        json_t *values = json_array();
        for (size_t i = 0; i < json_array_size(data); i++)
            json_array_append_new(values,
                                  answer_value(&pair, json_string_value(json_array_get(data, i))));
        json_object_set_new(answer, "values", values);
    }
    pair_close(&pair);
    free(writer);
    free(reader);
    return answer;
}

int main(void)
{
    static char line[LINE_MAX];
    while (fgets(line, sizeof line, stdin)) {
        json_error_t fault;
        json_t *json = json_loads(line, JSON_ALLOW_NUL, &fault);
        if (!json) {
            fprintf(stderr, "no case: %s\n", fault.text);
            return 1;
        }
        json_t *answer = answer_case(json);
        json_dumpf(answer, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(answer);
        json_decref(json);
    }
    return 0;
}
