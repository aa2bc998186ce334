/* SPDX-License-Identifier: Apache-2.0
 *
 * One GET of a query: /v1/spaces/{space_id}/{query}. It lives in its request's memory, from the
 * server thread that reads the parameters over the one that waits for receipts, if there are any,
 * to the worker that answers; one of them has it at a time. */
#ifndef WEIR_GATEWAY_READ_H
#define WEIR_GATEWAY_READ_H

#include "lib/query/session.h"
#include "producers/gateway/gateway.h"
#include "producers/gateway/problem.h"
#include "producers/gateway/receipt.h"

enum { READ_TEXT_BYTES = QUERY_BOUND_MAX * QUERY_VALUE_BYTES };

struct turn;

struct read {
    struct gateway *gateway;
    struct http_request *request;
    const struct query *query;
    char space[UUID_TEXT_SIZE + 1];
    const char *values[QUERY_BOUND_MAX]; /* in the order of the query's parameters */
    char given[QUERY_PARAMETERS_MAX];    /* the client named it */
    int page;                            /* how many rows the client wants at most */
    char page_text[16];
    char bytes_text[24]; /* of all rows at most */
    int cursor;          /* the client brought one */
    int64_t started_us;
    struct receipt receipts[RECEIPTS_MAX];
    size_t receipt_count;
    int64_t wait_until_us;
    struct read *next; /* of whoever has it */
    struct turn *turn; /* of turns.c, as the next two */
    int64_t expires_us;
    int64_t bytes;
    size_t text_size;
    char texts[READ_TEXT_BYTES];
};

/* Answers a GET or HEAD below a Space, now or later. `name` is the last part of the path. */
void read_request(struct gateway *gateway, struct http_request *request, const char *space,
                  const char *name);
/* Answers with the list of queries. */
void read_list(struct gateway *gateway, struct http_request *request);

/* What follows answers; the read is gone afterwards. */
void read_answer(struct read *read, const PGresult *result);
#define read_problem(read, type, ...) read_problem_with(read, type, NULL, __VA_ARGS__)
/* The same with further members, each starting with a comma; `members` may be NULL. */
void read_problem_with(struct read *read, enum problem_type type, const char *members,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The cursor of the page behind the row, from its `after` columns; and back. Returns 0, or -1 when
 * the text is no cursor of this query (or a column is null). */
int read_cursor_put(const struct query *query, const PGresult *result, int row, struct buf *out);
int read_cursor_take(struct read *read, const char *text);

/* Keeps a value for as long as the read lives; NULL when there is no more room. */
const char *read_keep(struct read *read, const char *text, size_t size);

#endif
