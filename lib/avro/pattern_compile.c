/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes the program of a pattern in one pass: each piece is written behind the last one, and what
 * is found behind it moves or copies it. The rest of the text is `at`; the first fault ends it all.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/avro/limits.h"
#include "lib/avro/pattern_parts.h"

struct compiler {
    struct pattern *pattern;
    const char *at;
    struct error *error;
    int failed;
    int depth;
};

static void fail(struct compiler *compiler, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void fail(struct compiler *compiler, const char *format, ...)
{
    char message[300];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    const char *text = compiler->pattern->text;
    if (!compiler->failed)
        error_set(compiler->error, ERROR_USAGE, "schema-invalid",
                  "%s is no pattern: %s (at character %lld)", text, message,
                  (long long)limits_characters(text, (size_t)(compiler->at - text)) + 1);
    compiler->failed = 1;
}

/* Writes steps at a place and moves what is behind it. */
static void insert(struct compiler *compiler, size_t place, const struct pattern_step *steps,
                   size_t count)
{
    struct pattern *pattern = compiler->pattern;
    if (pattern->step_count + count > PATTERN_STEPS_MAX) {
        fail(compiler, "it has more than %d steps once its repeats are written out",
             PATTERN_STEPS_MAX);
        return;
    }
    memmove(pattern->steps + place + count, pattern->steps + place,
            (pattern->step_count - place) * sizeof *steps);
    memcpy(pattern->steps + place, steps, count * sizeof *steps);
    pattern->step_count += count;
}

static void insert_step(struct compiler *compiler, size_t place, enum step_kind kind, size_t to,
                        size_t or_to)
{
    struct pattern_step step = {.kind = (uint8_t)kind, .to = (int16_t)to, .or_to = (int16_t)or_to};
    insert(compiler, place, &step, 1);
}

static void append(struct compiler *compiler, enum step_kind kind, size_t to, size_t or_to)
{
    insert_step(compiler, compiler->pattern->step_count, kind, to, or_to);
}

/* Sets */

static void add_range(struct compiler *compiler, struct pattern_set *set, uint32_t first,
                      uint32_t last)
{
    if (first > last)
        fail(compiler, "a range in [ ] ends before it begins");
    for (uint32_t point = first; point <= last && point < 128; point++)
        set->ascii[point / 64] |= UINT64_C(1) << point % 64;
    if (last < 128)
        return;
    if (set->range_count == PATTERN_RANGES_MAX)
        fail(compiler, "a [ ] has more than %d parts that are not ASCII", PATTERN_RANGES_MAX);
    else
        set->ranges[set->range_count++] = (struct pattern_range){first < 128 ? 128 : first, last};
}

static void add_class(struct compiler *compiler, struct pattern_set *set)
{
    static const struct {
        const char *name;
        int (*is)(int byte);
    } classes[] = {{"[:alpha:]", isalpha}, {"[:digit:]", isdigit}, {"[:alnum:]", isalnum},
                   {"[:upper:]", isupper}, {"[:lower:]", islower}, {"[:space:]", isspace},
                   {"[:blank:]", isblank}, {"[:punct:]", ispunct}, {"[:print:]", isprint},
                   {"[:graph:]", isgraph}, {"[:cntrl:]", iscntrl}, {"[:xdigit:]", isxdigit}};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        size_t size = strlen(classes[i].name);
        if (strncmp(compiler->at, classes[i].name, size) != 0)
            continue;
        for (uint32_t byte = 1; byte < 128; byte++)
            if (classes[i].is((int)byte))
                add_range(compiler, set, byte, byte);
        compiler->at += size;
        return;
    }
    fail(compiler, "there is no class %.10s", compiler->at);
}

/* The members up to the ]. A ] at the head and a - at either end are members; a backslash is one
 * too, which nobody expects, so it has to be doubled. */
static void read_members(struct compiler *compiler, struct pattern_set *set)
{
    const char *first_member = compiler->at;
    while (!compiler->failed && (*compiler->at != ']' || compiler->at == first_member)) {
        if (!*compiler->at) {
            fail(compiler, "a [ has no ]");
            return;
        }
        if (compiler->at[0] == '[' && strchr(":.=", compiler->at[1]) && compiler->at[1]) {
            add_class(compiler, set);
            continue;
        }
        if (compiler->at[0] == '\\' && *++compiler->at != '\\')
            fail(compiler, "a backslash in [ ] is one of its members: write two if it is meant");
        uint32_t first = pattern_next(&compiler->at);
        uint32_t last = first;
        if (compiler->at[0] == '-' && compiler->at[1] && compiler->at[1] != ']') {
            compiler->at++;
            last = pattern_next(&compiler->at);
        }
        add_range(compiler, set, first, last);
    }
    compiler->at += !compiler->failed;
}

static struct pattern_set *append_set(struct compiler *compiler)
{
    struct pattern *pattern = compiler->pattern;
    struct pattern_step step = {.kind = PATTERN_SET, .set = (uint16_t)pattern->set_count};
    insert(compiler, pattern->step_count, &step, 1);
    pattern->sets = xrealloc(pattern->sets, (pattern->set_count + 1) * sizeof *pattern->sets);
    struct pattern_set *set = &pattern->sets[pattern->set_count++];
    *set = (struct pattern_set){0};
    return set;
}

static void negate(struct pattern_set *set)
{
    set->negated = 1;
    set->ascii[0] = ~set->ascii[0];
    set->ascii[1] = ~set->ascii[1];
}

/* Pieces */

static void read_alternatives(struct compiler *compiler);

static void read_group(struct compiler *compiler)
{
    if (++compiler->depth > PATTERN_DEPTH_MAX) {
        fail(compiler, "it is nested deeper than %d", PATTERN_DEPTH_MAX);
        return;
    }
    read_alternatives(compiler);
    compiler->depth--;
    if (*compiler->at != ')')
        fail(compiler, "a ( has no )");
    compiler->at += !compiler->failed;
}

static void read_atom(struct compiler *compiler)
{
    char byte = *compiler->at;
    if (strchr("*+?{", byte)) {
        fail(compiler, "there is nothing before a %c that could repeat", byte);
        return;
    }
    if (byte == '(' || byte == '[' || byte == '.' || byte == '^' || byte == '$' || byte == '\\')
        compiler->at++;
    if (byte == '(') {
        read_group(compiler);
    } else if (byte == '[') {
        struct pattern_set *set = append_set(compiler);
        int negated = *compiler->at == '^';
        compiler->at += negated;
        read_members(compiler, set);
        if (negated)
            negate(set);
    } else if (byte == '.') {
        negate(append_set(compiler));
    } else if (byte == '^' || byte == '$') {
        append(compiler, byte == '^' ? PATTERN_BEGIN : PATTERN_END, 1, 0);
    } else if (byte == '\\' && (!*compiler->at || isalnum((unsigned char)*compiler->at))) {
        fail(compiler,
             "\"\\%.1s\" means nothing in a POSIX extended regular expression; there is [0-9], "
             "[[:alpha:]], [[:space:]] and so on",
             compiler->at);
    } else {
        uint32_t point = pattern_next(&compiler->at);
        add_range(compiler, append_set(compiler), point, point);
    }
}

/* -1 when there is none. */
static long read_number(struct compiler *compiler)
{
    long number = isdigit((unsigned char)*compiler->at) ? 0 : -1;
    for (; isdigit((unsigned char)*compiler->at); compiler->at++)
        if (number <= PATTERN_STEPS_MAX)
            number = number * 10 + (*compiler->at - '0');
    return number;
}

/* Reads what is behind the { of {n}, {n,} or {n,m}; `most` of -1 is without end. */
static void read_bounds(struct compiler *compiler, long *ret_least, long *ret_most)
{
    const char *begin = compiler->at;
    *ret_least = *ret_most = read_number(compiler);
    if (*compiler->at == ',') {
        compiler->at++;
        *ret_most = read_number(compiler);
    }
    if (*ret_least < 0 || *compiler->at != '}' || (*ret_most >= 0 && *ret_most < *ret_least))
        fail(compiler, "the repeat {%.8s is none of {2}, {2,} and {2,5}", begin);
    else if (*ret_least > PATTERN_STEPS_MAX || *ret_most > PATTERN_STEPS_MAX)
        fail(compiler, "it repeats more than %d times", PATTERN_STEPS_MAX);
    else
        compiler->at++;
}

/* What is from `begin` on, at least and at most so often. */
static void repeat(struct compiler *compiler, size_t begin, long least, long most)
{
    struct pattern *pattern = compiler->pattern;
    struct pattern_step piece[PATTERN_STEPS_MAX];
    size_t size = pattern->step_count - begin;
    memcpy(piece, pattern->steps + begin, size * sizeof *piece);
    pattern->step_count = begin;
    for (long i = 0; i < least && !compiler->failed; i++)
        insert(compiler, pattern->step_count, piece, size);
    if (most < 0 && least > 0) { /* the last one again and again */
        append(compiler, PATTERN_SPLIT, (size_t)0 - size, 1);
    } else if (most < 0) {
        append(compiler, PATTERN_SPLIT, 1, size + 2);
        insert(compiler, pattern->step_count, piece, size);
        append(compiler, PATTERN_JUMP, (size_t)0 - size - 1, 0);
    }
    for (long left = most - least; left > 0 && !compiler->failed; left--) {
        append(compiler, PATTERN_SPLIT, 1, (size_t)left * (size + 1));
        insert(compiler, pattern->step_count, piece, size);
    }
}

static void read_piece(struct compiler *compiler)
{
    size_t begin = compiler->pattern->step_count;
    read_atom(compiler);
    while (!compiler->failed && *compiler->at && strchr("*+?{", *compiler->at)) {
        char sign = *compiler->at++;
        long least = sign == '+';
        long most = sign == '?' ? 1 : -1;
        if (sign == '{')
            read_bounds(compiler, &least, &most);
        if (!compiler->failed)
            repeat(compiler, begin, least, most);
    }
}

static void read_alternatives(struct compiler *compiler)
{
    struct pattern *pattern = compiler->pattern;
    size_t begin = pattern->step_count;
    while (!compiler->failed && *compiler->at && !strchr("|)", *compiler->at))
        read_piece(compiler);
    if (compiler->failed || *compiler->at != '|')
        return;
    compiler->at++;
    insert_step(compiler, begin, PATTERN_SPLIT, 1, pattern->step_count - begin + 2);
    append(compiler, PATTERN_JUMP, 0, 0);
    size_t jump = pattern->step_count - 1;
    if (++compiler->depth > PATTERN_DEPTH_MAX)
        fail(compiler, "it is nested deeper than %d, or has more alternatives", PATTERN_DEPTH_MAX);
    else
        read_alternatives(compiler);
    compiler->depth--;
    pattern->steps[jump].to = (int16_t)(pattern->step_count - jump);
}

int pattern_compile(const char *text, struct pattern **ret_pattern, struct error *error)
{
    struct pattern *pattern = xcalloc(1, sizeof *pattern);
    struct compiler compiler = {.pattern = pattern, .at = text, .error = error};
    pattern->text = text;
    read_alternatives(&compiler);
    if (*compiler.at == ')')
        fail(&compiler, "a ) has no (");
    append(&compiler, PATTERN_MATCH, 0, 0);
    if (compiler.failed) {
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
    free(pattern->sets);
    free(pattern);
}
