/* SPDX-License-Identifier: Apache-2.0
 *
 * A text that matches a pattern, for made-up events: the expression is read once more, and each of
 * its parts is written as it says, few times where it may repeat. Whether the text then matches is
 * asked of the pattern, since anchors and what surrounds them are passed over. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lib/avro/pattern.h"

enum { MORE_MAX = 3, SET_SIZE = 128 };

struct maker {
    const char *at;
    struct buf *out; /* NULL while an alternative is passed over */
    uint64_t (*next)(void *context);
    void *context;
};

static void make_alternatives(struct maker *maker);

static size_t below(struct maker *maker, size_t limit)
{
    return limit > 1 ? (size_t)(maker->next(maker->context) % limit) : 0;
}

static void put(struct maker *maker, char byte)
{
    if (maker->out)
        buf_put_u8(maker->out, (uint8_t)byte);
}

static int in_class(const char *name, int byte)
{
    static const struct {
        const char *name;
        int (*is)(int byte);
    } classes[] = {{"alpha", isalpha}, {"digit", isdigit}, {"alnum", isalnum},
                   {"upper", isupper}, {"lower", islower}, {"space", isspace},
                   {"blank", isblank}, {"punct", ispunct}, {"print", isprint},
                   {"graph", isgraph}, {"cntrl", iscntrl}, {"xdigit", isxdigit}};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strncmp(name, classes[i].name, strlen(classes[i].name)) == 0)
            return classes[i].is(byte) != 0;
    return 0;
}

/* One of the printable ASCII members of [ … ]. */
static void make_bracket(struct maker *maker)
{
    char set[SET_SIZE] = {0};
    char members[SET_SIZE];
    size_t count = 0;
    int wanted = maker->at[1] != '^';
    const char *end = pattern_bracket_end(maker->at);
    const char *at = maker->at + (wanted ? 1 : 2);
    while (at < end) {
        if (at[0] == '[' && at[1] == ':') {
            for (int byte = ' '; byte < SET_SIZE - 1; byte++)
                set[byte] |= (char)in_class(at + 2, byte);
            at = strchr(at, ']') + 1;
            continue;
        }
        unsigned char first = (unsigned char)*at++;
        unsigned char last = first;
        if (at[0] == '-' && at + 1 < end) {
            last = (unsigned char)at[1];
            at += 2;
        }
        for (int byte = first; byte <= last && byte < SET_SIZE; byte++)
            set[byte] = 1;
    }
    for (int byte = ' '; byte < SET_SIZE - 1; byte++)
        if (set[byte] == wanted)
            members[count++] = (char)byte;
    put(maker, count ? members[below(maker, count)] : 'x');
    maker->at = *end ? end + 1 : end;
}

static void make_atom(struct maker *maker)
{
    char byte = *maker->at;
    if (byte == '[') {
        make_bracket(maker);
        return;
    }
    maker->at++;
    if (byte == '(') {
        make_alternatives(maker);
        maker->at += *maker->at == ')';
    } else if (byte == '\\' && *maker->at) {
        put(maker, *maker->at++);
    } else if (byte == '.') {
        put(maker, (char)('a' + below(maker, 26)));
    } else if (byte != '^' && byte != '$') {
        put(maker, byte);
    }
}

/* How often the part before may stand, behind which the reading goes on. */
static void read_times(struct maker *maker, size_t *ret_least, size_t *ret_most)
{
    char sign = *maker->at;
    *ret_least = *ret_most = 1;
    if (sign == '{') {
        char *end;
        *ret_least = *ret_most = strtoul(maker->at + 1, &end, 10);
        if (*end == ',') {
            *ret_most = *ret_least + MORE_MAX;
            if (isdigit((unsigned char)end[1]))
                *ret_most = strtoul(end + 1, &end, 10);
            else
                end++;
        }
        maker->at = *end ? end + 1 : end;
    } else if (sign == '*' || sign == '+' || sign == '?') {
        *ret_least = sign == '+';
        *ret_most = sign == '?' ? 1 : MORE_MAX;
        maker->at++;
    }
}

static void make_piece(struct maker *maker)
{
    const char *atom = maker->at;
    struct buf *out = maker->out;
    size_t least;
    size_t most;
    maker->out = NULL;
    make_atom(maker);
    maker->out = out;
    read_times(maker, &least, &most);
    const char *behind = maker->at;
    size_t times = !out || most < least ? 0 : least + below(maker, most - least + 1);
    for (size_t i = 0; i < times; i++) {
        maker->at = atom;
        make_atom(maker);
    }
    maker->at = behind;
}

/* Goes over one alternative; writes it when there is somewhere to write. */
static void make_branch(struct maker *maker)
{
    while (*maker->at && *maker->at != '|' && *maker->at != ')')
        make_piece(maker);
}

static void make_alternatives(struct maker *maker)
{
    const char *first = maker->at;
    struct buf *out = maker->out;
    size_t count = 1;
    maker->out = NULL;
    for (make_branch(maker); *maker->at == '|'; count++) {
        maker->at++;
        make_branch(maker);
    }
    const char *behind = maker->at;
    maker->at = first;
    for (size_t chosen = out ? below(maker, count) : 0; chosen > 0; chosen--) {
        make_branch(maker);
        maker->at++;
    }
    maker->out = out;
    if (out)
        make_branch(maker);
    maker->at = behind;
}

void pattern_make(const struct pattern *pattern, uint64_t (*next)(void *context), void *context,
                  struct buf *out)
{
    struct maker maker = {
        .at = pattern_text(pattern), .out = out, .next = next, .context = context};
    make_alternatives(&maker);
}
