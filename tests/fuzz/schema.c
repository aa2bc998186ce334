/* SPDX-License-Identifier: Apache-2.0
 *
 * Hostile schemas. One that is taken must resolve with itself or be refused with a reason, and so
 * must its relations and plan. As a contract it is taken or refused as well. */
#include "tests/unit/avro_pair.h"

enum { SIZE_MAX_TRIED = 1 << 16 };

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct error error = {0};
    struct schema_document *document = NULL;
    struct pair pair;
    if (size > SIZE_MAX_TRIED || schema_parse((const char *)data, size, &document, &error) != 0)
        return 0;
    schema_free(document);
    if (schema_parse_contract((const char *)data, size, &document, &error) == 0)
        schema_free(document);
    char *text = xstrndup((const char *)data, size);
    pair_open(&pair, text, text, &error);
    pair_close(&pair);
    free(text);
    return 0;
}
