/* SPDX-License-Identifier: Apache-2.0
 *
 * What a parameter may be, checked before Postgres sees it, so that a mistake is answered with the
 * name of the parameter. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/timestamp.h"
#include "lib/base/utf8.h"
#include "lib/base/uuid.h"
#include "lib/query/query.h"

static const struct {
    const char *name;
    unsigned int oid; /* pg_type.dat; these never change */
    const char *must_be;
} types[QUERY_TYPE_COUNT] = {
    [QUERY_UUID] = {"uuid", 2950, "a UUID"},
    [QUERY_INTEGER] = {"integer", 23, "a whole number"},
    [QUERY_BIGINT] = {"bigint", 20, "a whole number"},
    [QUERY_NUMERIC] = {"numeric", 1700, "a number"},
    [QUERY_TIMESTAMPTZ] = {"timestamptz", 1184, "a time such as 2026-11-22T10:00:00Z"},
    [QUERY_DATE] = {"date", 1082, "a day such as 2026-11-22"},
    [QUERY_BOOLEAN] = {"boolean", 16, "true or false"},
    [QUERY_TEXT] = {"text", 25, "text"},
};

const char *query_type_name(enum query_type type)
{
    return types[type].name;
}

unsigned int query_type_oid(enum query_type type)
{
    return types[type].oid;
}

static int is_number(const struct query_parameter *parameter, const char *text)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    int digits = (*text >= '0' && *text <= '9') || (*text == '-' && text[1]);
    return digits && !errno && !*end && value >= parameter->lowest && value <= parameter->highest;
}

/* -1234.5 */
static int is_decimal(const char *text)
{
    static const char digits[] = "0123456789";
    text += *text == '-';
    size_t whole = strspn(text, digits);
    size_t part = text[whole] == '.' ? 1 + strspn(text + whole + 1, digits) : 0;
    return whole > 0 && part != 1 && !text[whole + part];
}

static int is_choice(const char *choices, const char *text)
{
    size_t size = strlen(text);
    for (const char *at = choices; *at;) {
        size_t word = strcspn(at, " ");
        if (word == size && memcmp(at, text, size) == 0)
            return 1;
        at += word;
        at += strspn(at, " ");
    }
    return 0;
}

static int is_value(const struct query_parameter *parameter, const char *text)
{
    struct uuid uuid;
    int64_t us;
    int32_t days;
    size_t size = strlen(text);
    switch (parameter->type) {
    case QUERY_UUID:
        return uuid_parse(text, size, &uuid) == 0;
    case QUERY_INTEGER:
    case QUERY_BIGINT:
        return is_number(parameter, text);
    case QUERY_NUMERIC:
        return is_decimal(text);
    case QUERY_TIMESTAMPTZ:
        return timestamp_parse(text, size, &us) == 0;
    case QUERY_DATE:
        return date_parse(text, size, &days) == 0;
    case QUERY_BOOLEAN:
        return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
    case QUERY_TEXT:
        return utf8_valid(text, size);
    case QUERY_TYPE_COUNT:
        break;
    }
    return 0;
}

int query_check_value(const struct query_parameter *parameter, const char *text, char *ret_why,
                      size_t why_size)
{
    int number = parameter->type == QUERY_INTEGER || parameter->type == QUERY_BIGINT;
    if (strlen(text) >= QUERY_VALUE_BYTES)
        snprintf(ret_why, why_size, "is longer than %d bytes", QUERY_VALUE_BYTES - 1);
    else if (parameter->choices && !is_choice(parameter->choices, text))
        snprintf(ret_why, why_size, "must be one of: %s", parameter->choices);
    else if (is_value(parameter, text))
        return 0;
    else if (number)
        snprintf(ret_why, why_size, "must be a whole number from %lld to %lld",
                 (long long)parameter->lowest, (long long)parameter->highest);
    else
        snprintf(ret_why, why_size, "must be %s", types[parameter->type].must_be);
    return -1;
}
