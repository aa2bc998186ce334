/* SPDX-License-Identifier: Apache-2.0
 *
 * For tests: reads the rows of a plan back as text, strictly: oids must be those of the columns,
 * sizes must add up. */
#ifndef WEIR_TESTS_AVRO_ROWS_H
#define WEIR_TESTS_AVRO_ROWS_H

#include <endian.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/avro/relation.h"
#include "lib/base/buf.h"
#include "lib/base/timestamp.h"
#include "lib/base/uuid.h"

#define ROWS_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: row is wrong: %s\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline uint32_t rows_be32(const char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return be32toh(value);
}

static inline uint64_t rows_be64(const char *at)
{
    return (uint64_t)rows_be32(at) << 32 | rows_be32(at + 4);
}

static inline int rows_be16(const char *at)
{
    return (int16_t)((unsigned char)at[0] << 8 | (unsigned char)at[1]);
}

/* "-12.3400": the digits that Postgres would show. */
static inline void rows_numeric(struct buf *out, const char *data, size_t size)
{
    int count = rows_be16(data);
    int weight = rows_be16(data + 2);
    int scale = rows_be16(data + 6);
    struct buf fraction = {0};
    ROWS_CHECK(size == 8 + 2 * (size_t)count);
    ROWS_CHECK(count == 0 || (rows_be16(data + 8) != 0 && rows_be16(data + 6 + 2 * count) != 0));
    if (rows_be16(data + 4) == 0x4000)
        buf_put_u8(out, '-');
    for (int i = 0; i <= (weight < 0 ? 0 : weight); i++)
        buf_printf(out, i ? "%04d" : "%d",
                   i <= weight && i < count ? rows_be16(data + 8 + 2 * i) : 0);
    for (int i = weight + 1; (int)fraction.size < scale; i++)
        buf_printf(&fraction, "%04d", i >= 0 && i < count ? rows_be16(data + 8 + 2 * i) : 0);
    if (scale > 0)
        buf_printf(out, ".%.*s", scale, fraction.data);
    buf_free(&fraction);
}

static inline void rows_scalar(struct buf *out, enum sql_type type, const char *data, size_t size)
{
    static const size_t sizes[] = {
        [SQL_BOOL] = 1,   [SQL_INT4] = 4,  [SQL_INT8] = 8,        [SQL_FLOAT4] = 4,
        [SQL_FLOAT8] = 8, [SQL_UUID] = 16, [SQL_TIMESTAMPTZ] = 8, [SQL_TIMESTAMP] = 8,
        [SQL_DATE] = 4,   [SQL_TIME] = 8,  [SQL_INTERVAL] = 16,   [SQL_JSONB] = 0};
    char text[64];
    uint32_t half = size == 4 ? rows_be32(data) : 0;
    uint64_t word = size >= 8 ? rows_be64(data) : 0;
    float single;
    double real;
    struct uuid uuid;
    ROWS_CHECK(type >= sizeof sizes / sizeof *sizes || sizes[type] == 0 || sizes[type] == size);
    switch (type) {
    case SQL_BOOL:
        buf_put_text(out, *data ? "t" : "f");
        break;
    case SQL_INT4:
        buf_printf(out, "%d", (int32_t)half);
        break;
    case SQL_INT8:
        buf_printf(out, "%lld", (long long)word);
        break;
    case SQL_FLOAT4:
        memcpy(&single, &half, sizeof single);
        buf_printf(out, "%g", (double)single);
        break;
    case SQL_FLOAT8:
        memcpy(&real, &word, sizeof real);
        buf_printf(out, "%g", real);
        break;
    case SQL_TEXT:
        buf_printf(out, "'%.*s'", (int)size, data);
        break;
    case SQL_BYTEA:
        buf_put_text(out, "\\x");
        for (size_t i = 0; i < size; i++)
            buf_printf(out, "%02x", (unsigned char)data[i]);
        break;
    case SQL_UUID:
        memcpy(uuid.bytes, data, sizeof uuid.bytes);
        uuid_format(&uuid, text);
        buf_put_text(out, text);
        break;
    case SQL_TIMESTAMPTZ:
    case SQL_TIMESTAMP:
        timestamp_format((int64_t)word + POSTGRES_EPOCH_US, text);
        buf_put_text(out, text);
        break;
    case SQL_DATE:
        timestamp_format((int32_t)half * INT64_C(86400000000) + POSTGRES_EPOCH_US, text);
        buf_put(out, text, 10);
        break;
    case SQL_TIME:
        timestamp_format((int64_t)word, text);
        buf_put(out, text + 11, 15);
        break;
    case SQL_INTERVAL:
        buf_printf(out, "%u months %u days %llu us", rows_be32(data + 12), rows_be32(data + 8),
                   (unsigned long long)word);
        break;
    case SQL_NUMERIC:
        rows_numeric(out, data, size);
        break;
    case SQL_JSONB:
        ROWS_CHECK(*data == 1);
        buf_put(out, data + 1, size - 1);
        break;
    }
}

static inline void rows_array(struct buf *out, const struct relation_column *column,
                              const char *data, size_t size)
{
    const char *end = data + size;
    struct relation_column item = {.type = column->type};
    uint32_t nulls = 0;
    ROWS_CHECK(size >= 12 && rows_be32(data + 8) == relation_column_oid(&item));
    uint32_t dimensions = rows_be32(data);
    buf_put_u8(out, '{');
    if (dimensions > 0) {
        uint32_t count = rows_be32(data + 12);
        ROWS_CHECK(dimensions == 1 && size >= 20 && count > 0 && rows_be32(data + 16) == 1);
        const char *at = data + 20;
        for (uint32_t i = 0; i < count; i++) {
            int32_t item_size = (int32_t)rows_be32(at);
            at += 4;
            if (i > 0)
                buf_put_u8(out, ',');
            if (item_size < 0) {
                buf_put_text(out, "NULL");
                nulls = 1;
                continue;
            }
            ROWS_CHECK(item_size <= end - at);
            rows_scalar(out, column->type, at, (size_t)item_size);
            at += item_size;
        }
        ROWS_CHECK(at == end && rows_be32(data + 4) == nulls);
    } else {
        ROWS_CHECK(size == 12 && rows_be32(data + 4) == 0);
    }
    buf_put_u8(out, '}');
}

/* Appends "(value, value)" of the row at `at` from column `first` on. Returns where it ends. */
static inline const char *rows_read(struct buf *out, const struct relation *relation, size_t first,
                                    const char *at, const char *end)
{
    ROWS_CHECK(end - at >= 8);
    const char *row_end = at + 4 + rows_be32(at);
    ROWS_CHECK(row_end <= end && rows_be32(at + 4) == relation->column_count);
    at += 8;
    buf_put_u8(out, '(');
    for (size_t i = 0; i < relation->column_count; i++) {
        const struct relation_column *column = &relation->columns[i];
        ROWS_CHECK(row_end - at >= 8 && rows_be32(at) == relation_column_oid(column));
        int32_t size = (int32_t)rows_be32(at + 4);
        at += 8;
        ROWS_CHECK(size <= row_end - at && (size >= 0 || column->nullable));
        size_t before = out->size;
        if (i > first)
            buf_put_text(out, ", ");
        if (size < 0)
            buf_put_text(out, "NULL");
        else if (column->array)
            rows_array(out, column, at, (size_t)size);
        else
            rows_scalar(out, column->type, at, (size_t)size);
        if (i < first)
            out->size = before;
        at += size < 0 ? 0 : size;
    }
    buf_put_u8(out, ')');
    ROWS_CHECK(at == row_end);
    return row_end;
}

#endif
