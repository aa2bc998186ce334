/* SPDX-License-Identifier: Apache-2.0
 *
 * A line of the context about a function, in English: "PL/pgSQL function author_0123456789ab(type,
 * …) line 7 at SQL statement". Other languages put the number before the function, and quotes round
 * it. Whatever they do, the number of the line is the only one outside of the function's signature.
 */
#include "processors/definition/place.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Behind the parenthesis that closes the one at `open`, or `end`. */
static const char *skip_arguments(const char *open, const char *end)
{
    int depth = 0;
    for (const char *at = open; at < end; at++) {
        depth += *at == '(';
        if (*at == ')' && --depth == 0)
            return at + 1;
    }
    return end;
}

static int first_number(const char *from, const char *to)
{
    while (from < to && !isdigit((unsigned char)*from))
        from++;
    return from < to ? atoi(from) : 0;
}

/* The name that begins with `prefix` and is followed by its arguments. */
static const char *find_function(const char *from, const char *to, const char *prefix)
{
    const char *found = memmem(from, (size_t)(to - from), prefix, strlen(prefix));
    const char *open = found;
    while (open && open < to && (isalnum((unsigned char)*open) || *open == '_'))
        open++;
    return open && open < to && *open == '(' ? found : NULL;
}

/* What stands before the name up to white space is its schema, or a quote. */
static const char *skip_back(const char *from, const char *name)
{
    while (name > from && !isspace((unsigned char)name[-1]) && (unsigned char)name[-1] < 0x80)
        name--;
    return name;
}

const struct asset *place_find(const struct processor *processor, const char *context,
                               int *ret_line)
{
    *ret_line = 0;
    for (const char *line = context, *next; line && *line; line = next) {
        const char *end = line + strcspn(line, "\n");
        next = *end ? end + 1 : end;
        const char *screen = find_function(line, end, "screen_");
        const char *name = screen ? screen : find_function(line, end, "author_");
        if (!name)
            continue;
        *ret_line = first_number(skip_arguments(strchr(name, '('), end), end);
        if (*ret_line == 0)
            *ret_line = first_number(line, skip_back(line, name));
        return screen && processor->screen ? processor->screen : processor->apply;
    }
    return NULL;
}

int place_prefix(const struct processor *processor, const char *context, struct error *error)
{
    int line;
    const struct asset *file = place_find(processor, context, &line);
    if (!file)
        return 0;
    return line ? error_prefix(error, "%s: statement at line %d", file->path, line)
                : error_prefix(error, "%s", file->path);
}
