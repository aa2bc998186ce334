/* SPDX-License-Identifier: Apache-2.0
 *
 * Read endpoints: the files sql/queries/<name>.sql. A file is one SELECT with named parameters, and
 * comments at its head that declare them:
 *
 *     -- reads: overview, ledger                             the processors whose views it reads
 *     -- answer: object | list | page of 50, at most 200
 *     -- param kind text = all, one of all purchase refund: what the parameter is for
 *     -- param member_id uuid: a parameter without a default is required
 *     -- param before timestamptz = infinity: a default is a value of the type, or null
 *     -- param weeks integer = 4, 1 to 52: bounds
 *     -- after occurred_at timestamptz = infinity            a page goes on behind these columns
 *
 * Every other comment line is its description. In the statement `:name` is a parameter, `:space_id`
 * the Space of the path, which every query must use, and `:after_<column>` what the page before
 * ended with (its `after` default on the first page). Values are always bound, never put into the
 * text. The order, and for pages the row comparison behind it, is the author's; the limit is ours.
 */
#ifndef WEIR_QUERY_QUERY_H
#define WEIR_QUERY_QUERY_H

#include <stdint.h>

#include "lib/base/asset.h"

enum {
    QUERY_NAME_BYTES = 48,
    QUERY_PARAMETERS_MAX = 12,
    QUERY_AFTER_MAX = 4,
    QUERY_READS_MAX = 8,
    QUERY_BOUND_MAX = 1 + QUERY_PARAMETERS_MAX + QUERY_AFTER_MAX + 2,
    QUERY_ROWS_MAX = 1000, /* of a list, and the largest page that a file may allow */
    QUERY_VALUE_BYTES = 256
};

enum query_type {
    QUERY_UUID,
    QUERY_INTEGER,
    QUERY_BIGINT,
    QUERY_NUMERIC,
    QUERY_TIMESTAMPTZ,
    QUERY_DATE,
    QUERY_BOOLEAN,
    QUERY_TEXT,
    QUERY_TYPE_COUNT
};

enum query_shape { QUERY_OBJECT, QUERY_LIST, QUERY_PAGE };

struct query_parameter {
    char name[QUERY_NAME_BYTES];
    enum query_type type;
    int required;
    char *preset;   /* what is bound when it is not given; NULL is null */
    char *choices;  /* words between blanks, or NULL for any */
    int64_t lowest; /* of numbers */
    int64_t highest;
    char *doc; /* "" for a column of `after` */
};

struct query {
    char name[QUERY_NAME_BYTES];
    char *path; /* of the file */
    char *doc;
    char reads[QUERY_READS_MAX][QUERY_NAME_BYTES];
    size_t read_count;
    enum query_shape shape;
    int page_preset;
    int page_max;
    /* Bound in this order: space_id, parameters, after, for a page one row more than it has, and
     * the bytes that all rows may have together. */
    struct query_parameter parameters[QUERY_PARAMETERS_MAX];
    size_t parameter_count;
    struct query_parameter after[QUERY_AFTER_MAX];
    size_t after_count;
    size_t bound_count;
    unsigned int types[QUERY_BOUND_MAX]; /* as Postgres numbers them */
    char *sql; /* selects a row's JSON, null once there are too many bytes, and for a page the
                  `after` columns as text */
    size_t index;
};

struct queries;

/* Reads sql/queries/ of the assets. Errors: ERROR_USAGE with file and line. */
int queries_open(const struct assets *assets, struct queries **ret_queries, struct error *error);
void queries_free(struct queries *queries);
size_t queries_count(const struct queries *queries);
const struct query *queries_at(const struct queries *queries, size_t index);
const struct query *queries_find(const struct queries *queries, const char *name);
/* The query that a wrong name probably means, or NULL. */
const char *queries_nearest(const struct queries *queries, const char *name);

const char *query_type_name(enum query_type type);
unsigned int query_type_oid(enum query_type type);
/* Whether the text is a value of the parameter. Returns 0, or -1 with what it must be. */
int query_check_value(const struct query_parameter *parameter, const char *text, char *ret_why,
                      size_t why_size);

#endif
