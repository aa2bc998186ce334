/* SPDX-License-Identifier: Apache-2.0
 *
 * A few hundred elements at most: looked for one after the other. */
#include "processors/rebuild/vector.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/kafka/reader.h"
#include "lib/pg/statement.h"

struct vector vector_new(const struct processor *processor, int32_t partitions)
{
    struct vector vector = {.count = processor->topic_count * (size_t)partitions};
    vector.at = xcalloc(vector.count, sizeof *vector.at);
    for (size_t i = 0; i < vector.count; i++)
        vector.at[i] = (struct vector_element){.topic = processor->topics[i / (size_t)partitions],
                                               .partition = (int32_t)(i % (size_t)partitions)};
    return vector;
}

void vector_free(struct vector *vector)
{
    free(vector->at);
    *vector = (struct vector){0};
}

struct vector vector_copy(const struct vector *vector)
{
    struct vector copy = {.count = vector->count};
    copy.at = xcalloc(copy.count, sizeof *copy.at);
    memcpy(copy.at, vector->at, copy.count * sizeof *copy.at);
    return copy;
}

struct vector_element *vector_find(const struct vector *vector, const char *topic,
                                   int32_t partition)
{
    for (size_t i = 0; i < vector->count; i++)
        if (vector->at[i].partition == partition && strcmp(vector->at[i].topic, topic) == 0)
            return &vector->at[i];
    return NULL;
}

void vector_raise(struct vector *vector, const struct vector *other)
{
    for (size_t i = 0; i < vector->count; i++)
        if (vector->at[i].offset < other->at[i].offset)
            vector->at[i].offset = other->at[i].offset;
}

int64_t vector_sum(const struct vector *vector)
{
    int64_t sum = 0;
    for (size_t i = 0; i < vector->count; i++)
        sum += vector->at[i].offset;
    return sum;
}

int vector_equal(const struct vector *a, const struct vector *b)
{
    return vector_covers(a, b) && vector_covers(b, a);
}

int vector_covers(const struct vector *a, const struct vector *b)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->at[i].offset < b->at[i].offset)
            return 0;
    return 1;
}

int vector_load(struct vector *vector, PGconn *conn, const char *processor, int generation,
                int lock, struct error *error)
{
    const char *values[] = {processor, PG_NUMBER(generation)};
    PGresult *result = NULL;
    if (pg_query(conn, statement(lock ? "positions_locked" : "positions_reached"), 2, values,
                 &result, error) != 0)
        return -1;
    for (size_t i = 0; i < vector->count; i++)
        vector->at[i].offset = 0;
    for (int i = 0; i < PQntuples(result); i++) {
        struct vector_element *element =
            vector_find(vector, PQgetvalue(result, i, 0), (int32_t)pg_int(result, i, 1));
        if (element)
            element->offset = pg_int(result, i, 2);
    }
    PQclear(result);
    return 0;
}

int vector_load_ends(struct vector *vector, const struct config *config, struct error *error)
{
    struct kafka_reader *reader = NULL;
    int64_t pinned = config_int(config, OPT_PARTITIONS);
    int code = kafka_reader_open(config, &reader, error);
    for (size_t i = 0; code == 0 && i < vector->count; i++) {
        struct kafka_extent extent = {.topic = vector->at[i].topic,
                                      .partition = vector->at[i].partition};
        int32_t count = 0;
        if (extent.partition == 0)
            code = kafka_reader_partitions(reader, extent.topic, &count, error);
        if (code == 0 && extent.partition == 0 && count != pinned)
            code = error_set(error, ERROR_HALT, "partitions-changed",
                             "%s has %d partitions, but %lld are pinned (option partitions)",
                             extent.topic, count, (long long)pinned);
        if (code == 0)
            code = kafka_reader_extent(reader, &extent, error);
        if (code == 0)
            vector->at[i].offset = extent.high;
    }
    kafka_reader_free(reader);
    return code;
}
