/* SPDX-License-Identifier: Apache-2.0
 *
 * weir schema decode: bare Avro values on stdin, one behind the other, to JSON lines on stdout. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/schema.h"
#include "lib/avro/datum.h"
#include "lib/avro/json.h"

enum { SCHEMA_FILE_MAX = SCHEMA_TEXT_MAX, INPUT_MAX = 1 << 30, READ_SIZE = 1 << 16 };

static int read_all(FILE *file, const char *name, size_t limit, struct buf *out,
                    struct error *error)
{
    for (;;) {
        size_t got = fread(buf_reserve(out, READ_SIZE), 1, READ_SIZE, file);
        out->size += got;
        if (out->size > limit)
            return error_set(error, ERROR_USAGE, "input-too-large", "%s: more than %zu bytes", name,
                             limit);
        if (got < READ_SIZE)
            break;
    }
    return ferror(file)
               ? error_set(error, ERROR_USAGE, "input-unreadable", "%s: %s", name, strerror(errno))
               : 0;
}

static int read_schema(const char *path, struct schema_document **ret_document, struct error *error)
{
    struct buf text = {0};
    FILE *file = fopen(path, "rb");
    if (!file)
        return error_set(error, ERROR_USAGE, "input-unreadable", "%s: %s", path, strerror(errno));
    int result = read_all(file, path, SCHEMA_FILE_MAX, &text, error);
    fclose(file);
    if (result == 0 && schema_parse(text.data, text.size, ret_document, error) != 0)
        result = error_prefix(error, "%s", path);
    buf_free(&text);
    return result;
}

static int print_value(struct datum_reader *reader, const struct schema *schema,
                       const struct buf *value, int tagged, struct buf *line, struct error *error)
{
    json_t *json;
    const void *bytes = value->data ? value->data : "";
    buf_reset(line);
    if (tagged) {
        if (avro_to_json(schema, bytes, value->size, AVRO_JSON_TAGGED, &json, error) != 0)
            return -1;
        print_json(json);
        return 0;
    }
    if (datum_plain(reader, bytes, value->size, line, error) != 0)
        return -1;
    buf_put_u8(line, '\n');
    fwrite(line->data, 1, line->size, stdout);
    return 0;
}

static int decode(struct datum_reader *reader, const struct schema *schema, int tagged,
                  struct error *error)
{
    struct buf input = {0};
    struct buf value = {0};
    struct buf line = {0};
    size_t at = 0;
    size_t number = 1;
    int result = read_all(stdin, "standard input", INPUT_MAX, &input, error);
    for (; result == 0 && at < input.size; number++) {
        size_t used = 0;
        buf_reset(&value);
        result = datum_read(reader, (const unsigned char *)input.data + at, input.size - at, at,
                            &value, &used, error);
        if (result == 0)
            result = print_value(reader, schema, &value, tagged, &line, error);
        if (result == 0 && used == 0)
            result = error_set(error, ERROR_USAGE, "no-bytes",
                               "byte %zu: values of the writer's schema take no bytes, so it "
                               "cannot be told how many there are",
                               at);
        if (result != 0)
            error_prefix(error, "value %zu", number);
        at += used;
    }
    fflush(stdout);
    buf_free(&input);
    buf_free(&value);
    buf_free(&line);
    return result;
}

int schema_decode(struct schema_context *context, struct error *error)
{
    const char *writer_path = config_text(context->config, OPT_WRITER);
    const char *reader_path = config_text(context->config, OPT_READER);
    struct schema_document *writer = NULL;
    struct schema_document *reader = NULL;
    struct datum_reader *datums = NULL;
    if (!*writer_path) {
        error_set(error, ERROR_USAGE, "bad-argument",
                  "name the schema that the data was written with: --writer FILE");
        return EXIT_USAGE;
    }
    int result = read_schema(writer_path, &writer, error);
    if (result == 0 && *reader_path)
        result = read_schema(reader_path, &reader, error);
    if (result == 0) {
        const struct schema *to = schema_root(reader ? reader : writer);
        result = datum_open(schema_root(writer), to, &datums, error);
        if (result == 0)
            result = decode(datums, to, (int)config_int(context->config, OPT_AVRO_JSON), error);
    }
    datum_free(datums);
    schema_free(writer);
    schema_free(reader);
    return result == 0 ? EXIT_OK : EXIT_FAILED;
}
