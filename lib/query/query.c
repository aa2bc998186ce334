/* SPDX-License-Identifier: Apache-2.0
 *
 * First the comment lines at the head, then the statement: each `:name` becomes `$n`, and the whole
 * file stands inside a SELECT that makes JSON of its rows and adds their sizes up. The first row
 * that goes beyond the bytes of an answer comes without its JSON, and is the last one: count(*)
 * over rows is known to grow, so Postgres ends the scan there instead of making rows that nobody
 * gets. The file's text keeps its lines, behind one line of ours, so that Postgres' positions lead
 * to the author's line. */
#include "lib/query/query.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/nearest.h"
#include "lib/pg/sql_scan.h"
#include "lib/query/head.h"

#define FOLDER "sql/queries/"

struct queries {
    size_t count;
    struct query *items;
};

static int fail(const struct query *query, const char *text, const char *at, struct error *error)
{
    int line = 1;
    for (const char *c = query->sql; c && c < at; c++)
        line += *c == '\n';
    return error_set(error, ERROR_USAGE, "bad-query", "%s:%d: %s", query->path, line, text);
}

/* The number of a parameter, or 0. */
static size_t number_of(const struct query *query, const char *name, size_t size)
{
    static const char after[] = "after_";
    if (size == strlen("space_id") && memcmp(name, "space_id", size) == 0)
        return 1;
    for (size_t i = 0; i < query->parameter_count; i++)
        if (strlen(query->parameters[i].name) == size &&
            memcmp(query->parameters[i].name, name, size) == 0)
            return 2 + i;
    if (size <= strlen(after) || memcmp(name, after, strlen(after)) != 0)
        return 0;
    name += strlen(after);
    size -= strlen(after);
    for (size_t i = 0; i < query->after_count; i++)
        if (strlen(query->after[i].name) == size && memcmp(query->after[i].name, name, size) == 0)
            return 2 + query->parameter_count + i;
    return 0;
}

/* Copies the statement with numbers instead of names. `query->sql` is the file's text meanwhile. */
static int bind(const struct query *query, const char *at, const char *end, int *used,
                struct buf *out, struct error *error)
{
    const char *stop = at;
    const char *name_end;
    enum sql_token token;
    for (char last = 0; (token = sql_token(at, end, &stop)) != SQL_END; at = stop) {
        if (token == SQL_OTHER && *at == ':' && last != ':' &&
            sql_token(stop, end, &name_end) == SQL_WORD) {
            size_t number = number_of(query, stop, (size_t)(name_end - stop));
            char text[128];
            snprintf(text, sizeof text, "there is no parameter \":%.*s\"", (int)(name_end - stop),
                     stop);
            if (number == 0)
                return fail(query, text, at, error);
            used[number - 1] = 1;
            buf_printf(out, "$%zu", number);
            stop = name_end;
        } else {
            buf_put(out, at, (size_t)(stop - at));
        }
        last = token == SQL_OTHER ? *at : 0;
    }
    return 0;
}

static int check_used(const struct query *query, const int *used, struct error *error)
{
    if (!used[0])
        return error_set(error, ERROR_USAGE, "bad-query",
                         "%s: the statement does not use :space_id; every query is of one Space",
                         query->path);
    for (size_t i = 0; i < query->parameter_count; i++)
        if (!used[1 + i])
            return error_set(error, ERROR_USAGE, "bad-query", "%s: the statement does not use :%s",
                             query->path, query->parameters[i].name);
    for (size_t i = 0; i < query->after_count; i++)
        if (!used[1 + query->parameter_count + i])
            return error_set(error, ERROR_USAGE, "bad-query",
                             "%s: the statement does not use :after_%s", query->path,
                             query->after[i].name);
    return 0;
}

static void number_types(struct query *query)
{
    query->types[query->bound_count++] = query_type_oid(QUERY_UUID);
    for (size_t i = 0; i < query->parameter_count; i++)
        query->types[query->bound_count++] = query_type_oid(query->parameters[i].type);
    for (size_t i = 0; i < query->after_count; i++)
        query->types[query->bound_count++] = query_type_oid(query->after[i].type);
    if (query->shape == QUERY_PAGE)
        query->types[query->bound_count++] = query_type_oid(QUERY_BIGINT);
    query->types[query->bound_count++] = query_type_oid(QUERY_BIGINT);
}

static int wrap(struct query *query, const struct asset *asset, struct error *error)
{
    struct sql_cursor cursor = sql_open(asset->data, asset->size);
    struct sql_statement statement;
    struct sql_statement more;
    struct buf out = {0};
    int used[QUERY_BOUND_MAX] = {0};
    if (!sql_next(&cursor, &statement) || sql_next(&cursor, &more))
        return error_set(error, ERROR_USAGE, "bad-query", "%s: a query is one statement",
                         query->path);
    number_types(query);
    buf_printf(&out, "SELECT CASE WHEN t.bytes <= $%zu THEN t.json END", query->bound_count);
    for (size_t i = 0; i < query->after_count; i++)
        buf_printf(&out, ", t.after_%zu", i);
    buf_printf(&out,
               " FROM (SELECT s.*, count(*) FILTER (WHERE s.bytes > $%zu) OVER (ROWS UNBOUNDED "
               "PRECEDING) AS beyond",
               query->bound_count);
    buf_put_text(&out, " FROM (SELECT r.*, sum(octet_length(r.json)) OVER (ROWS UNBOUNDED "
                       "PRECEDING) AS bytes FROM (SELECT row_to_json(q)::text AS json");
    for (size_t i = 0; i < query->after_count; i++)
        buf_printf(&out, ", left(q.%s::text, %d) AS after_%zu", query->after[i].name,
                   QUERY_VALUE_BYTES, i);
    buf_put_text(&out, " FROM (\n");
    query->sql = (char *)asset->data;
    int code = bind(query, asset->data, statement.text + statement.size, used, &out, error);
    query->sql = NULL;
    if (code == 0)
        code = check_used(query, used, error);
    if (query->shape == QUERY_PAGE)
        buf_printf(&out, "\n) q LIMIT $%zu", query->bound_count - 1);
    else
        buf_printf(&out, "\n) q LIMIT %d", query->shape == QUERY_OBJECT ? 1 : QUERY_ROWS_MAX);
    buf_put_text(&out, ") r) s) t WHERE t.beyond <= 1");
    query->sql = xstrdup(buf_text(&out));
    buf_free(&out);
    return code;
}

static int load(struct query *query, const struct asset *asset, struct error *error)
{
    const char *name = asset->path + strlen(FOLDER);
    size_t size = strcspn(name, ".");
    query->path = xstrdup(asset->path);
    if (size >= QUERY_NAME_BYTES || strcmp(name + size, ".sql") != 0 ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") < size || size == 0 ||
        (size == 6 && memcmp(name, "events", 6) == 0))
        return error_set(error, ERROR_USAGE, "bad-query",
                         "%s: a query is called <name>.sql, of lower-case letters, digits, - and "
                         "_, and not events",
                         asset->path);
    memcpy(query->name, name, size);
    return query_read_head(query, asset, error) == 0 ? wrap(query, asset, error) : -1;
}

int queries_open(const struct assets *assets, struct queries **ret_queries, struct error *error)
{
    struct queries *queries = xcalloc(1, sizeof *queries);
    queries->items = xcalloc(assets_count(assets), sizeof *queries->items);
    for (size_t i = 0; i < assets_count(assets); i++) {
        const struct asset *asset = assets_at(assets, i);
        if (strncmp(asset->path, FOLDER, strlen(FOLDER)) != 0)
            continue;
        struct query *query = &queries->items[queries->count];
        query->index = queries->count++;
        if (load(query, asset, error) != 0) {
            queries_free(queries);
            return -1;
        }
    }
    *ret_queries = queries;
    return 0;
}

static void free_parameters(struct query_parameter *parameters, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(parameters[i].preset);
        free(parameters[i].choices);
        free(parameters[i].doc);
    }
}

void queries_free(struct queries *queries)
{
    if (!queries)
        return;
    for (size_t i = 0; i < queries->count; i++) {
        struct query *query = &queries->items[i];
        free_parameters(query->parameters, query->parameter_count);
        free_parameters(query->after, query->after_count);
        free(query->path);
        free(query->doc);
        free(query->sql);
    }
    free(queries->items);
    free(queries);
}

size_t queries_count(const struct queries *queries)
{
    return queries->count;
}

const struct query *queries_at(const struct queries *queries, size_t index)
{
    return &queries->items[index];
}

const struct query *queries_find(const struct queries *queries, const char *name)
{
    for (size_t i = 0; i < queries->count; i++)
        if (strcmp(queries->items[i].name, name) == 0)
            return &queries->items[i];
    return NULL;
}

const char *queries_nearest(const struct queries *queries, const char *name)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < queries->count; i++) {
        size_t distance = nearest_distance(name, queries->items[i].name);
        if (distance < least) {
            least = distance;
            best = queries->items[i].name;
        }
    }
    return best && nearest_plausible(name, least) ? best : NULL;
}
