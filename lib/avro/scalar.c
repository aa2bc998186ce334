/* SPDX-License-Identifier: Apache-2.0
 *
 * All forms go through microseconds. Where milliseconds are the unit, finer digits are cut. */
#include "lib/avro/scalar.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/timestamp.h"

static const int64_t DAY_US = INT64_C(86400000000);
static const int64_t LAST_US = INT64_C(253402300800000000); /* the year 10000 */

int scalar_unit(enum avro_logical logical)
{
    switch (logical) {
    case LOGICAL_TIME_MILLIS:
    case LOGICAL_TIMESTAMP_MILLIS:
    case LOGICAL_LOCAL_TIMESTAMP_MILLIS:
        return -1000;
    case LOGICAL_TIME_MICROS:
    case LOGICAL_TIMESTAMP_MICROS:
    case LOGICAL_LOCAL_TIMESTAMP_MICROS:
        return 1;
    case LOGICAL_TIMESTAMP_NANOS:
    case LOGICAL_LOCAL_TIMESTAMP_NANOS:
        return 1000;
    default:
        return 0;
    }
}

static int is_local(enum avro_logical logical)
{
    return logical == LOGICAL_LOCAL_TIMESTAMP_MILLIS || logical == LOGICAL_LOCAL_TIMESTAMP_MICROS ||
           logical == LOGICAL_LOCAL_TIMESTAMP_NANOS;
}

static int is_time(enum avro_logical logical)
{
    return logical == LOGICAL_TIME_MILLIS || logical == LOGICAL_TIME_MICROS;
}

size_t scalar_to_text(const struct schema *schema, int64_t value, char ret_text[SCALAR_TEXT_SIZE])
{
    char text[TIMESTAMP_TEXT_SIZE + 1];
    int unit = scalar_unit(schema->logical);
    int64_t us;
    if (schema->logical == LOGICAL_DATE)
        unit = 1;
    if (unit == 0 || value < 0)
        return 0;
    if (schema->logical == LOGICAL_DATE)
        us = value * DAY_US;
    else if (unit < 0 ? __builtin_mul_overflow(value, -unit, &us) : value % unit != 0)
        return 0;
    else if (unit > 0)
        us = value / unit;
    if (us >= (is_time(schema->logical) ? DAY_US : LAST_US))
        return 0;
    timestamp_format(us, text);
    const char *start = is_time(schema->logical) ? text + 11 : text;
    size_t size = schema->logical == LOGICAL_DATE ? 10 : strlen(start);
    if (is_time(schema->logical) || is_local(schema->logical))
        size--; /* no zone */
    memcpy(ret_text, start, size);
    ret_text[size] = '\0';
    return size;
}

int scalar_from_text(const struct schema *schema, const char *text, size_t size, int64_t *ret_value)
{
    char full[64];
    int64_t us;
    int32_t days;
    int unit = scalar_unit(schema->logical);
    if (schema->logical == LOGICAL_DATE) {
        if (date_parse(text, size, &days) != 0)
            return -1;
        *ret_value = days;
        return 0;
    }
    if (unit == 0 || size > 40 || memchr(text, '\0', size))
        return -1;
    /* A time of day and a local timestamp have no zone. */
    int bare = is_time(schema->logical) || is_local(schema->logical);
    snprintf(full, sizeof full, "%s%.*s%s", is_time(schema->logical) ? "1970-01-01T" : "",
             (int)size, text, bare ? "Z" : "");
    if ((bare && memchr(text, 'Z', size)) || timestamp_parse(full, strlen(full), &us) != 0)
        return -1;
    if (unit > 0)
        return __builtin_mul_overflow(us, unit, ret_value) ? -1 : 0;
    *ret_value = us / -unit;
    return 0;
}

const char *scalar_expected(const struct schema *schema)
{
    if (schema->logical == LOGICAL_DATE)
        return "a date such as \"2026-11-22\"";
    if (is_time(schema->logical))
        return "a time such as \"10:00:00.5\"";
    if (is_local(schema->logical))
        return "a local time such as \"2026-11-22T10:00:00\"";
    return scalar_unit(schema->logical) ? "a time such as \"2026-11-22T10:00:00Z\"" : NULL;
}
