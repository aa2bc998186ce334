/* SPDX-License-Identifier: Apache-2.0
 *
 * regcomp and regexec take characters as the thread's locale says, so both run under C.UTF-8,
 * whatever the program's locale is. Where a pattern is ASCII only, glibc compares bytes anyway. */
#include "lib/avro/pattern.h"

#include <ctype.h>
#include <locale.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"

struct pattern {
    const char *text;
    locale_t locale;
    regex_t regex;
    int compiled;
};

/* A ] at the head is a member, and [:alpha:] and the like may be in it. */
const char *pattern_bracket_end(const char *at)
{
    at += at[1] == '^' ? 2 : 1;
    at += *at == ']';
    for (; *at && *at != ']'; at++) {
        if (at[0] != '[' || !at[1] || !strchr(":.=", at[1]))
            continue;
        const char closing[] = {at[1], ']', '\0'};
        const char *end = strstr(at + 2, closing);
        at = end ? end + 1 : at;
    }
    return at;
}

/* How often the part before may stand at most, as regcomp writes it out: x+ is xx*. Behind it the
 * reading goes on. */
static long read_repeat(const char **at)
{
    char *end;
    char sign = *(*at)++;
    if (sign != '{')
        return sign == '+' ? 2 : 1;
    long least = strtol(*at, &end, 10);
    long most = least;
    if (*end == ',') { /* x{2,} is xxx* */
        const char *bound = end + 1;
        most = strtol(bound, &end, 10);
        most = end == bound && least <= PATTERN_PARTS_MAX ? least + 1 : most;
    }
    *at = *end == '}' ? end + 1 : end;
    return most < 1 ? 1 : most > PATTERN_PARTS_MAX ? PATTERN_PARTS_MAX + 1 : most;
}

/* The parts of a pattern up to its end or a closing parenthesis, repeats written out. More than
 * PATTERN_PARTS_MAX when it is too much, or nested too deep. */
static long count_parts(const char **at, int depth)
{
    long sum = 0;
    if (depth > PATTERN_DEPTH_MAX)
        return PATTERN_PARTS_MAX + 1;
    while (**at && **at != ')' && sum <= PATTERN_PARTS_MAX) {
        long parts = 1;
        char byte = **at;
        if (byte == '[')
            *at = pattern_bracket_end(*at);
        else if (byte == '\\' && (*at)[1])
            (*at)++;
        *at += **at != '\0';
        if (byte == '(') {
            parts = count_parts(at, depth + 1);
            *at += **at == ')';
        }
        while (**at && strchr("*+?{", **at) && parts <= PATTERN_PARTS_MAX)
            parts *= read_repeat(at);
        sum += parts;
    }
    return sum;
}

/* What POSIX leaves undefined, and what grows. */
static int check(const char *text, struct error *error)
{
    const char *end = text;
    for (const char *at = text; *at; at++) {
        if (*at == '[' && !*(at = pattern_bracket_end(at)))
            break; /* regcomp says it */
        if (*at == '\\' && isalnum((unsigned char)at[1]))
            return error_set(error, ERROR_USAGE, "schema-invalid",
                             "\"\\%c\" means nothing in a POSIX extended regular expression: write "
                             "[0-9], [[:alpha:]] or [[:space:]] instead",
                             at[1]);
        at += *at == '\\' && at[1];
    }
    if (count_parts(&end, 0) > PATTERN_PARTS_MAX)
        return error_set(error, ERROR_USAGE, "schema-invalid",
                         "the pattern has more than %d parts once its repeats are written out, or "
                         "is nested deeper than %d",
                         PATTERN_PARTS_MAX, PATTERN_DEPTH_MAX);
    return 0;
}

static int compile(struct pattern *pattern, struct error *error)
{
    char reason[200];
    pattern->locale = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
    if (!pattern->locale)
        return error_set(error, ERROR_FATAL, "schema-invalid", "the system has no locale C.UTF-8");
    locale_t before = uselocale(pattern->locale);
    int code = regcomp(&pattern->regex, pattern->text, REG_EXTENDED | REG_NOSUB);
    if (code != 0)
        regerror(code, &pattern->regex, reason, sizeof reason);
    uselocale(before);
    pattern->compiled = code == 0;
    return code == 0 ? 0
                     : error_set(error, ERROR_USAGE, "schema-invalid",
                                 "the pattern %s is no POSIX extended regular expression: %s",
                                 pattern->text, reason);
}

int pattern_compile(const char *text, struct pattern **ret_pattern, struct error *error)
{
    if (strlen(text) > PATTERN_SIZE_MAX)
        return error_set(error, ERROR_USAGE, "schema-invalid",
                         "the pattern is longer than %d bytes", PATTERN_SIZE_MAX);
    if (check(text, error) != 0)
        return -1;
    struct pattern *pattern = xcalloc(1, sizeof *pattern);
    pattern->text = text;
    if (compile(pattern, error) != 0) {
        pattern_free(pattern);
        return -1;
    }
    *ret_pattern = pattern;
    return 0;
}

void pattern_free(struct pattern *pattern)
{
    if (!pattern)
        return;
    if (pattern->compiled)
        regfree(&pattern->regex);
    if (pattern->locale)
        freelocale(pattern->locale);
    free(pattern);
}

int pattern_matches(const struct pattern *pattern, const char *text)
{
    locale_t before = uselocale(pattern->locale);
    int code = regexec(&pattern->regex, text, 0, NULL, 0);
    uselocale(before);
    return code == 0;
}

const char *pattern_text(const struct pattern *pattern)
{
    return pattern->text;
}
