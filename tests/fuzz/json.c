/* SPDX-License-Identifier: Apache-2.0
 *
 * Hostile JSON. What is taken must read back. */
#include <stdio.h>

#include "lib/avro/json.h"
#include "tests/unit/avro_event.h"

static const char schema_text[] =
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
    "{\"name\":\"i\",\"type\":\"int\",\"default\":1},"
    "{\"name\":\"f\",\"type\":[\"null\",\"float\",\"string\"],\"default\":null},"
    "{\"name\":\"b\",\"type\":\"bytes\",\"default\":\"\"},"
    "{\"name\":\"d\",\"type\":{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":20,"
    "\"scale\":3},\"default\":\"\"},"
    "{\"name\":\"t\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"},"
    "\"default\":0},"
    "{\"name\":\"u\",\"type\":[\"null\",{\"type\":\"string\",\"logicalType\":\"uuid\"}],"
    "\"default\":null},"
    "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]},"
    "\"default\":\"A\"},"
    "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":[\"null\",\"R\","
    "{\"type\":\"array\",\"items\":\"double\"}]},\"default\":{}},"
    "{\"name\":\"x\",\"type\":{\"type\":\"fixed\",\"name\":\"D\",\"size\":12,"
    "\"logicalType\":\"duration\"},"
    "\"default\":\"abcdefghijkl\"}]}";

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static struct schema_document *document;
    struct faults faults = {0};
    struct error error = {0};
    struct buf out = {0};
    json_t *back = NULL;
    if (!document)
        document = test_schema(schema_text);
    json_t *json = json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    const struct schema *schema = schema_root(document);
    if (json && avro_from_json(schema, json, &out, &faults) == 0 &&
        avro_to_json(schema, (const unsigned char *)out.data, out.size, 0, &back, &error) != 0) {
        fprintf(stderr, "%s\n", error.message);
        abort();
    }
    json_decref(back);
    json_decref(json);
    buf_free(&out);
    return 0;
}
