/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads SQL text just well enough to split it into statements and to see which names it mentions:
 * quotes, dollar quotes and nested comments are understood, grammar is not (PostgreSQL
 * documentation, 4.1 Lexical Structure). */
#ifndef WEIR_PG_SQL_SCAN_H
#define WEIR_PG_SQL_SCAN_H

#include <stddef.h>

struct sql_statement {
    const char *lead; /* white space and comments before it */
    size_t lead_size;
    const char *text; /* the statement without its semicolon */
    size_t size;
    size_t with_size; /* bytes of a leading WITH [RECURSIVE], 0 when there is none */
    int recursive;
    int line; /* line of `text`, from 1 */
};

struct sql_cursor {
    const char *at;
    const char *end;
    int line;
};

struct sql_cursor sql_open(const char *text, size_t size);

/* Returns 1 with the next statement, 0 at the end. The comments behind the last statement are
 * skipped. */
int sql_next(struct sql_cursor *cursor, struct sql_statement *ret_statement);

enum sql_token {
    SQL_END,
    SQL_BLANK, /* white space or a comment */
    SQL_WORD,
    SQL_QUOTED,
    SQL_STRING,
    SQL_SEMICOLON,
    SQL_OTHER /* one byte of an operator, a number or punctuation */
};

/* Measures the token at `at`; *ret_end is behind it, and as it was at the end. */
enum sql_token sql_token(const char *at, const char *end, const char **ret_end);

/* Whether an unquoted or quoted identifier `name` (lower case) occurs outside strings and comments.
 */
int sql_mentions(const struct sql_statement *statement, const char *name);

#endif
