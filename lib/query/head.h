/* SPDX-License-Identifier: Apache-2.0
 *
 * The comment lines at the head of a query's file. Part of queries_open. */
#ifndef WEIR_QUERY_HEAD_H
#define WEIR_QUERY_HEAD_H

#include "lib/query/query.h"

/* Fills everything but name, path and statement. Errors: ERROR_USAGE with file and line. */
int query_read_head(struct query *query, const struct asset *asset, struct error *error);

#endif
