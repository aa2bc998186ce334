/* SPDX-License-Identifier: Apache-2.0
 *
 * One function measures a token; everything else walks tokens. */
#include "lib/pg/sql_scan.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static int word_start(char c)
{
    return isalpha((unsigned char)c) || c == '_' || (c & 0x80);
}

static int word_part(char c)
{
    return word_start(c) || isdigit((unsigned char)c) || c == '$';
}

static const char *skip_comment(const char *at, const char *end)
{
    int depth = 0;
    while (at < end) {
        if (end - at > 1 && at[0] == '/' && at[1] == '*') {
            depth++;
            at += 2;
        } else if (end - at > 1 && at[0] == '*' && at[1] == '/') {
            at += 2;
            if (--depth == 0)
                return at;
        } else {
            at++;
        }
    }
    return end;
}

/* Behind the closing quote; a doubled quote is part of the text, and so is what a backslash escapes
 * in E''. */
static const char *skip_quoted(const char *at, const char *end, char quote, int escapes)
{
    for (at++; at < end; at++) {
        if (escapes && *at == '\\') {
            at++;
        } else if (*at == quote) {
            if (at + 1 >= end || at[1] != quote)
                return at + 1;
            at++;
        }
    }
    return end;
}

/* $tag$ … $tag$, or NULL when `at` starts no dollar quote. */
static const char *skip_dollar(const char *at, const char *end)
{
    const char *tag_end = at + 1;
    while (tag_end < end && word_part(*tag_end) && *tag_end != '$')
        tag_end++;
    if (tag_end >= end || *tag_end != '$' || isdigit((unsigned char)at[1]))
        return NULL;
    size_t tag_size = (size_t)(tag_end - at) + 1;
    const char *close = memmem(tag_end + 1, (size_t)(end - tag_end - 1), at, tag_size);
    return close ? close + tag_size : end;
}

enum sql_token sql_token(const char *at, const char *end, const char **ret_end)
{
    if (at >= end)
        return SQL_END;
    const char *stop;
    if (isspace((unsigned char)*at)) {
        *ret_end = at + 1;
        return SQL_BLANK;
    }
    if (end - at > 1 && at[0] == '-' && at[1] == '-') {
        stop = memchr(at, '\n', (size_t)(end - at));
        *ret_end = stop ? stop : end;
        return SQL_BLANK;
    }
    if (end - at > 1 && at[0] == '/' && at[1] == '*') {
        *ret_end = skip_comment(at, end);
        return SQL_BLANK;
    }
    if ((*at == 'e' || *at == 'E') && end - at > 1 && at[1] == '\'') {
        *ret_end = skip_quoted(at + 1, end, '\'', 1);
        return SQL_STRING;
    }
    if (word_start(*at)) {
        for (stop = at; stop < end && word_part(*stop); stop++)
            ;
        *ret_end = stop;
        return SQL_WORD;
    }
    if (*at == '\'' || *at == '"') {
        *ret_end = skip_quoted(at, end, *at, 0);
        return *at == '"' ? SQL_QUOTED : SQL_STRING;
    }
    if (*at == '$' && (stop = skip_dollar(at, end))) {
        *ret_end = stop;
        return SQL_STRING;
    }
    *ret_end = at + 1;
    return *at == ';' ? SQL_SEMICOLON : SQL_OTHER;
}

static int is_word(const char *at, const char *end, const char *word)
{
    size_t size = strlen(word);
    return (size_t)(end - at) == size && strncasecmp(at, word, size) == 0;
}

struct sql_cursor sql_open(const char *text, size_t size)
{
    return (struct sql_cursor){.at = text, .end = text + size, .line = 1};
}

static int count_lines(const char *from, const char *to)
{
    int lines = 0;
    for (; from < to; from++)
        lines += *from == '\n';
    return lines;
}

/* Sets with_size when the statement starts with WITH [RECURSIVE]. */
static void find_with(struct sql_statement *statement)
{
    const char *end = statement->text + statement->size;
    const char *at = statement->text;
    const char *stop = at;
    if (sql_token(at, end, &stop) != SQL_WORD || !is_word(at, stop, "with"))
        return;
    statement->with_size = (size_t)(stop - statement->text);
    for (at = stop; sql_token(at, end, &stop) == SQL_BLANK; at = stop)
        ;
    if (at < end && is_word(at, stop, "recursive")) {
        statement->recursive = 1;
        statement->with_size = (size_t)(stop - statement->text);
    }
}

int sql_next(struct sql_cursor *cursor, struct sql_statement *ret_statement)
{
    const char *at = cursor->at;
    const char *stop = at;
    enum sql_token token;
    while ((token = sql_token(at, cursor->end, &stop)) == SQL_BLANK || token == SQL_SEMICOLON)
        at = stop;
    if (token == SQL_END)
        return 0;
    struct sql_statement statement = {
        .lead = cursor->at, .lead_size = (size_t)(at - cursor->at), .text = at};
    statement.line = cursor->line + count_lines(cursor->at, at);
    while ((token = sql_token(at, cursor->end, &stop)) != SQL_END && token != SQL_SEMICOLON)
        at = stop;
    statement.size = (size_t)(at - statement.text);
    find_with(&statement);
    cursor->line = statement.line + count_lines(statement.text, at);
    cursor->at = token == SQL_SEMICOLON ? stop : at;
    *ret_statement = statement;
    return 1;
}

int sql_mentions(const struct sql_statement *statement, const char *name)
{
    const char *end = statement->text + statement->size;
    const char *stop;
    enum sql_token token;
    for (const char *at = statement->text; (token = sql_token(at, end, &stop)) != SQL_END;
         at = stop) {
        if (token == SQL_WORD && is_word(at, stop, name))
            return 1;
        if (token == SQL_QUOTED && (size_t)(stop - at) == strlen(name) + 2 &&
            memcmp(at + 1, name, strlen(name)) == 0)
            return 1;
    }
    return 0;
}
