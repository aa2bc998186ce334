/* SPDX-License-Identifier: Apache-2.0
 *
 * Which step reads a scalar, by the writer's type and the newest one. */
#include "lib/avro/plan_steps.h"
#include "lib/avro/scalar.h"
#include "lib/avro/shape.h"

static enum step_code text_or_bytes_code(const struct resolve *resolve)
{
    const struct schema *reader = resolve->reader;
    int fixed = resolve->writer->type == AVRO_FIXED_TYPE;
    if (reader->logical == LOGICAL_UUID)
        return fixed ? STEP_UUID_BYTES : STEP_UUID_TEXT;
    if (reader->logical == LOGICAL_DURATION)
        return STEP_INTERVAL;
    if (reader->logical == LOGICAL_DECIMAL)
        return STEP_NUMERIC;
    if (fixed)
        return STEP_FIXED;
    /* A text that becomes bytes still has to be one. */
    int text = reader->type == AVRO_STRING_TYPE || resolve->writer->type == AVRO_STRING_TYPE;
    return text ? STEP_TEXT : STEP_BYTES;
}

enum step_code plan_scalar_code(const struct resolve *resolve)
{
    enum avro_type writer = resolve->writer->type;
    switch (resolve->reader->type) {
    case AVRO_BOOLEAN_TYPE:
        return STEP_BOOL;
    case AVRO_FLOAT_TYPE:
        return writer == AVRO_FLOAT_TYPE ? STEP_FLOAT4 : STEP_INT_FLOAT4;
    case AVRO_DOUBLE_TYPE:
        return writer == AVRO_DOUBLE_TYPE  ? STEP_FLOAT8
               : writer == AVRO_FLOAT_TYPE ? STEP_FLOAT_FLOAT8
                                           : STEP_INT_FLOAT8;
    case AVRO_INT_TYPE:
    case AVRO_LONG_TYPE:
        break;
    default:
        return text_or_bytes_code(resolve);
    }
    switch (relation_scalar_type(resolve->reader)) {
    case SQL_DATE:
        return STEP_DATE;
    case SQL_TIME:
        return STEP_TIME;
    case SQL_TIMESTAMP:
    case SQL_TIMESTAMPTZ:
        return scalar_unit(resolve->reader->logical) == 1 ? STEP_MICROS : STEP_TIMESTAMP;
    default:
        return resolve->reader->type == AVRO_INT_TYPE ? STEP_INT : STEP_LONG;
    }
}

int32_t plan_value_size(enum step_code code)
{
    switch (code) {
    case STEP_BOOL:
        return 1;
    case STEP_INT:
    case STEP_INT_FLOAT4:
    case STEP_FLOAT4:
    case STEP_DATE:
        return 4;
    case STEP_LONG:
    case STEP_MICROS:
    case STEP_TIMESTAMP:
    case STEP_TIME:
    case STEP_INT_FLOAT8:
    case STEP_FLOAT_FLOAT8:
    case STEP_FLOAT8:
        return 8;
    case STEP_UUID_TEXT:
        return sizeof(struct uuid);
    default:
        return 0;
    }
}
