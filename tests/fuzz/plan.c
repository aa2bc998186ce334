/* SPDX-License-Identifier: Apache-2.0
 *
 * Hostile values: the first byte picks a pair of schemas, the rest is data for it. Nothing may
 * crash, and all ways of reading a value must agree (tests/unit/avro_pair.h). */
#include <stdio.h>

#include "tests/unit/avro_pair.h"

#define R(fields) "{\"type\":\"record\",\"name\":\"R\",\"fields\":[" fields "]}"
#define F(name, type) "{\"name\":\"" name "\",\"type\":" type "}"
#define ARRAY_OF(items) "{\"type\":\"array\",\"items\":" items "}"
#define MAP_OF(values) "{\"type\":\"map\",\"values\":" values "}"
#define DECIMAL "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":20,\"scale\":3}"
#define MICROS "{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}"
#define UUID_TEXT "{\"type\":\"string\",\"logicalType\":\"uuid\"}"
#define ENUM_AB "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}"
#define ENUM_BC "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"B\",\"C\"],\"default\":\"C\"}"
#define ITEM                                                                                       \
    "{\"type\":\"record\",\"name\":\"I\",\"fields\":[" F("x", "\"int\"") "," F("y",                \
                                                                               "\"string\"") "]}"

static const char *const schemas[][2] = {
    {R(F("a", "\"int\"") "," F("b", "\"string\"") "," F("c", MAP_OF("\"string\""))),
     R(F("c", MAP_OF("\"bytes\"")) "," F("a", "\"double\"") ",{\"name\":\"d\",\"type\":\"int\","
                                                            "\"default\":7}")},
    {R(F("l", ARRAY_OF("[\"null\"," ITEM "]"))), R(F("l", ARRAY_OF(ITEM)))},
    {R(F("l", ARRAY_OF(ITEM)) "," F("n", ARRAY_OF("[\"null\",\"int\"]"))),
     R(F("n", ARRAY_OF("[\"null\",\"long\"]")) "," F("l", ARRAY_OF(ITEM)))},
    {R(F("d", DECIMAL) "," F("t", MICROS) "," F("u", UUID_TEXT) "," F("e", ENUM_AB)),
     R(F("e", ENUM_BC) "," F("u", UUID_TEXT) "," F("t", MICROS) "," F("d", DECIMAL))},
    {R(F("v", "\"int\"") "," F("next", "[\"null\",\"R\"]")),
     R(F("next", "[\"null\",\"R\"]") "," F("v", "\"long\""))},
    {R(F("v", "\"bytes\"") "," F("all", ARRAY_OF("\"R\""))),
     R(F("all", ARRAY_OF("\"R\"")) "," F("v", "\"string\""))},
    {"[\"null\",\"int\",\"string\"," ARRAY_OF(MAP_OF("\"float\"")) "]",
     "[" ARRAY_OF(MAP_OF("\"double\"")) ",\"bytes\",\"long\",\"null\"]"},
    {R(F("gone", ARRAY_OF(MAP_OF(ENUM_AB))) "," F("b", "\"boolean\"")), R(F("b", "\"boolean\""))},
};

enum { PAIR_COUNT = sizeof schemas / sizeof *schemas };

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static struct pair pairs[PAIR_COUNT];
    struct error error = {0};
    const char *wrong;
    if (size == 0)
        return 0;
    struct pair *pair = &pairs[data[0] % PAIR_COUNT];
    if (!pair->datums && pair_open(pair, schemas[data[0] % PAIR_COUNT][0],
                                   schemas[data[0] % PAIR_COUNT][1], &error) != 0) {
        fprintf(stderr, "%s\n", error.message);
        abort();
    }
    json_decref(pair_read(pair, data + 1, size - 1, &wrong, &error));
    if (wrong) {
        fprintf(stderr, "%s (%s)\n", wrong, error.message);
        abort();
    }
    return 0;
}
