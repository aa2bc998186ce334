/* SPDX-License-Identifier: Apache-2.0
 *
 * Line by line: a line that starts with a known word and fits nothing is a mistake, any other one
 * is description. */
#include "lib/query/head.h"

#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/base/config.h"

enum { LINE_BYTES_MAX = 512 };

static const char NAME_LETTERS[] = "abcdefghijklmnopqrstuvwxyz0123456789_";

struct head {
    struct query *query;
    struct buf doc;
    int answered; /* the line `answer:` was there */
    int line;
    struct error *error;
};

static int fail(const struct head *head, const char *text, const char *what)
{
    return error_set(head->error, ERROR_USAGE, "bad-query", "%s:%d: %s%s%s%s", head->query->path,
                     head->line, text, *what ? " \"" : "", what, *what ? "\"" : "");
}

/* Cuts the word at *text off, with the blanks behind it. */
static char *next_word(char **text)
{
    char *word = *text;
    char *end = word + strcspn(word, " \t");
    *text = end + strspn(end, " \t");
    *end = '\0';
    return word;
}

static int read_reads(struct head *head, char *text)
{
    struct query *query = head->query;
    char *rest = text;
    char *word;
    while ((word = strsep(&rest, ","))) {
        word = config_trim(word);
        size_t size = strlen(word);
        if (size == 0 || strspn(word, NAME_LETTERS) < size || size >= QUERY_NAME_BYTES)
            return fail(head, "reads: wants names of processors, but has", word);
        if (query->read_count == QUERY_READS_MAX)
            return fail(head, "too many processors", "");
        memcpy(query->reads[query->read_count++], word, size);
    }
    return 0;
}

static int read_answer(struct head *head, const char *text)
{
    struct query *query = head->query;
    int end = 0;
    head->answered = 1;
    if (strcmp(text, "object") == 0) {
        query->shape = QUERY_OBJECT;
        return 0;
    }
    if (strcmp(text, "list") == 0) {
        query->shape = QUERY_LIST;
        return 0;
    }
    query->shape = QUERY_PAGE;
    if (sscanf(text, "page of %5d, at most %5d%n", &query->page_preset, &query->page_max, &end) !=
            2 ||
        text[end] || query->page_preset < 1 || query->page_max < query->page_preset ||
        query->page_max > QUERY_ROWS_MAX)
        return fail(head, "answer: is object, list, or a page such as: page of 50, at most 200",
                    "");
    return 0;
}

static int read_type(const char *word, enum query_type *ret_type)
{
    for (int type = 0; type < QUERY_TYPE_COUNT; type++)
        if (strcmp(word, query_type_name((enum query_type)type)) == 0) {
            *ret_type = (enum query_type)type;
            return 0;
        }
    return -1;
}

/* Behind the default: "1 to 52" or "one of a b c". */
static int read_rule(struct head *head, struct query_parameter *parameter, char *text)
{
    long long lowest;
    long long highest;
    int end = 0;
    if (strncmp(text, "one of ", 7) == 0 && parameter->type == QUERY_TEXT) {
        parameter->choices = xstrdup(config_trim(text + 7));
        return 0;
    }
    if (sscanf(text, "%lld to %lld%n", &lowest, &highest, &end) != 2 || text[end] ||
        lowest > highest || (parameter->type != QUERY_INTEGER && parameter->type != QUERY_BIGINT))
        return fail(head, "a rule is `1 to 52` for numbers or `one of a b` for text, not", text);
    parameter->lowest = lowest;
    parameter->highest = highest;
    return 0;
}

static int read_preset(struct head *head, struct query_parameter *parameter, const char *text)
{
    char why[256];
    if (strcmp(text, "null") == 0)
        return 0;
    parameter->preset = xstrdup(text);
    if (parameter->type == QUERY_TIMESTAMPTZ || parameter->type == QUERY_DATE ||
        parameter->type == QUERY_NUMERIC)
        if (strcmp(text, "infinity") == 0 || strcmp(text, "-infinity") == 0)
            return 0;
    if (query_check_value(parameter, text, why, sizeof why) != 0)
        return fail(head, why, text);
    return 0;
}

/* NAME TYPE [= DEFAULT][, RULE] */
static int read_parameter(struct head *head, struct query_parameter *parameter, char *text)
{
    char *name = next_word(&text);
    size_t size = strlen(name);
    if (size == 0 || size >= QUERY_NAME_BYTES - 8 || strspn(name, NAME_LETTERS) < size)
        return fail(head, "a parameter has a name of lower-case letters, not", name);
    if (strcmp(name, "space_id") == 0 || strcmp(name, "limit") == 0 ||
        strcmp(name, "cursor") == 0 || strncmp(name, "after_", 6) == 0)
        return fail(head, "this name has a meaning of its own:", name);
    for (size_t i = 0; i < head->query->parameter_count; i++)
        if (strcmp(head->query->parameters[i].name, name) == 0)
            return fail(head, "there are two parameters", name);
    memcpy(parameter->name, name, size);
    char *rule = strchr(text, ',');
    if (rule)
        *rule++ = '\0';
    char *preset = strchr(text, '=');
    if (preset)
        *preset++ = '\0';
    if (read_type(config_trim(text), &parameter->type) != 0)
        return fail(
            head,
            "a type is uuid, integer, bigint, timestamptz, date, boolean, numeric or text, not",
            config_trim(text));
    parameter->lowest = parameter->type == QUERY_INTEGER ? INT32_MIN : INT64_MIN;
    parameter->highest = parameter->type == QUERY_INTEGER ? INT32_MAX : INT64_MAX;
    parameter->required = !preset;
    if (rule && read_rule(head, parameter, config_trim(rule)) != 0)
        return -1;
    return preset ? read_preset(head, parameter, config_trim(preset)) : 0;
}

static int read_param(struct head *head, char *text)
{
    struct query *query = head->query;
    if (query->parameter_count == QUERY_PARAMETERS_MAX)
        return fail(head, "too many parameters", "");
    char *doc = strstr(text, ": ");
    if (!doc)
        return fail(head, "say behind a colon what the parameter is for", "");
    *doc = '\0';
    struct query_parameter parameter = {0};
    int code = read_parameter(head, &parameter, config_trim(text));
    parameter.doc = xstrdup(config_trim(doc + 2));
    query->parameters[query->parameter_count++] = parameter;
    return code;
}

static int read_after(struct head *head, char *text)
{
    struct query *query = head->query;
    if (query->after_count == QUERY_AFTER_MAX)
        return fail(head, "too many columns", "");
    struct query_parameter column = {0};
    int code = read_parameter(head, &column, config_trim(text));
    column.doc = xstrdup("");
    query->after[query->after_count++] = column;
    if (code == 0 && !column.preset)
        code = fail(head, "a column of after has what the first page starts from: = VALUE", "");
    return code;
}

static int read_line(struct head *head, char *text)
{
    if (strncmp(text, "SPDX-", 5) == 0)
        return 0;
    if (strncmp(text, "reads:", 6) == 0)
        return read_reads(head, text + 6);
    if (strncmp(text, "answer:", 7) == 0)
        return read_answer(head, config_trim(text + 7));
    if (strncmp(text, "param ", 6) == 0)
        return read_param(head, text + 6);
    if (strncmp(text, "after ", 6) == 0)
        return read_after(head, text + 6);
    if (*text) {
        if (head->doc.size > 0)
            buf_put_u8(&head->doc, ' ');
        buf_put_text(&head->doc, text);
    }
    return 0;
}

static int read_lines(struct head *head, const struct asset *asset)
{
    const char *at = asset->data;
    while (strncmp(at, "--", 2) == 0) {
        char line[LINE_BYTES_MAX];
        size_t size = strcspn(at, "\n");
        head->line++;
        if (size >= sizeof line)
            return fail(head, "the line is too long", "");
        memcpy(line, at + 2, size - 2);
        line[size - 2] = '\0';
        if (read_line(head, config_trim(line)) != 0)
            return -1;
        at += size + (at[size] == '\n');
    }
    return 0;
}

int query_read_head(struct query *query, const struct asset *asset, struct error *error)
{
    struct head head = {.query = query, .error = error};
    int code = read_lines(&head, asset);
    query->doc = xstrdup(head.doc.size ? buf_text(&head.doc) : "");
    buf_free(&head.doc);
    if (code == 0 && query->read_count == 0)
        code = fail(&head, "the head lacks the line -- reads: PROCESSOR, ...", "");
    if (code == 0 && !head.answered)
        code = fail(&head, "the head lacks the line -- answer: object, list or page", "");
    if (code == 0 && (query->shape == QUERY_PAGE) != (query->after_count > 0))
        code = fail(&head, "a page, and nothing else, has columns to go on behind: -- after", "");
    return code;
}
