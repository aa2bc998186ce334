/* SPDX-License-Identifier: Apache-2.0
 *
 * What a read is answered with. Rows come as JSON from Postgres and are put beside each other as
 * they are. The ETag is a hash of the body, so that an unchanged answer costs a client nothing. */
#include <stdarg.h>
#include <stdio.h>

#include "lib/base/base64.h"
#include "lib/base/hash.h"
#include "producers/gateway/answer.h"
#include "producers/gateway/etag.h"
#include "producers/gateway/read.h"
#include "producers/gateway/reads.h"

enum { TAG_BYTES = 8, ETAG_DIGITS = 32 };

/* Two queries, or two versions of one with other columns, do not take each other's cursors. */
static void cursor_tag(const struct query *query, char ret_tag[65])
{
    struct buf text = {0};
    buf_put_text(&text, query->name);
    for (size_t i = 0; i < query->after_count; i++)
        buf_printf(&text, " %s %s", query->after[i].name, query_type_name(query->after[i].type));
    hash_sha256_hex(text.data, text.size, ret_tag);
    buf_free(&text);
}

/* base64url without padding (RFC 4648 §5) of the tag and each value behind its length. */
int read_cursor_put(const struct query *query, const PGresult *result, int row, struct buf *out)
{
    struct buf bytes = {0};
    char tag[65];
    cursor_tag(query, tag);
    buf_put(&bytes, tag, TAG_BYTES);
    for (size_t i = 0; i < query->after_count; i++) {
        int size = PQgetlength(result, row, 1 + (int)i);
        if (PQgetisnull(result, row, 1 + (int)i) || size >= QUERY_VALUE_BYTES) {
            buf_free(&bytes);
            return -1;
        }
        buf_put_u8(&bytes, (uint8_t)size);
        buf_put(&bytes, PQgetvalue(result, row, 1 + (int)i), (size_t)size);
    }
    size_t start = out->size;
    base64_encode(bytes.data, bytes.size, out);
    buf_free(&bytes);
    while (out->size > start && out->data[out->size - 1] == '=')
        out->size--;
    for (size_t i = start; i < out->size; i++)
        out->data[i] = out->data[i] == '+' ? '-' : out->data[i] == '/' ? '_' : out->data[i];
    return 0;
}

static int take_values(struct read *read, const char *at, const char *end)
{
    const struct query *query = read->query;
    char why[QUERY_VALUE_BYTES * 2];
    for (size_t i = 0; i < query->after_count; i++) {
        size_t size = at < end ? (unsigned char)*at++ : SIZE_MAX;
        if (size > (size_t)(end - at))
            return -1;
        const char *value = read_keep(read, at, size);
        at += size;
        /* Postgres writes a time in its own way, which the query reads again; it is checked there.
         */
        if (!value || strlen(value) < size ||
            (query->after[i].type != QUERY_TIMESTAMPTZ &&
             query_check_value(&query->after[i], value, why, sizeof why) != 0))
            return -1;
        if (query->after[i].type == QUERY_TIMESTAMPTZ &&
            strspn(value, "0123456789-:. +infty") < size)
            return -1;
        read->values[1 + query->parameter_count + i] = value;
    }
    return at == end ? 0 : -1;
}

int read_cursor_take(struct read *read, const char *text)
{
    struct buf letters = {0};
    struct buf bytes = {0};
    char tag[65];
    cursor_tag(read->query, tag);
    for (; *text; text++)
        buf_put_u8(&letters, (uint8_t)(*text == '-' ? '+' : *text == '_' ? '/' : *text));
    while (letters.size % 4)
        buf_put_u8(&letters, '=');
    int code = -1;
    if (base64_decode(letters.data, letters.size, &bytes) == 0 && bytes.size > TAG_BYTES &&
        memcmp(bytes.data, tag, TAG_BYTES) == 0)
        code = take_values(read, bytes.data + TAG_BYTES, bytes.data + bytes.size);
    buf_free(&letters);
    buf_free(&bytes);
    return code;
}

static void put_escaped(struct buf *out, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
    for (; *text; text++) {
        if (strchr(plain, *text))
            buf_put_u8(out, (uint8_t)*text);
        else
            buf_printf(out, "%%%02X", (unsigned char)*text);
    }
}

/* The same request with the cursor, as a relative reference. */
static void put_link(struct read *read, const char *cursor, size_t cursor_size)
{
    const struct query *query = read->query;
    struct buf link = {0};
    buf_put_text(&link, "</v1/spaces/");
    buf_put_text(&link, read->space);
    buf_printf(&link, "/%s?limit=%d", query->name, read->page);
    for (size_t i = 0; i < query->parameter_count; i++)
        if (read->given[i]) {
            buf_printf(&link, "&%s=", query->parameters[i].name);
            put_escaped(&link, read->values[1 + i]);
        }
    buf_put_text(&link, "&cursor=");
    buf_put(&link, cursor, cursor_size);
    buf_put_text(&link, ">; rel=\"next\"");
    if (link.size < HTTP_REPLY_VALUE_BYTES) /* else the body's `next` must do */
        http_reply_header(read->request, "Link", buf_text(&link));
    buf_free(&link);
}

/* The rows that fit into the answer: all that are there, or fewer, when *ret_more is 1. */
static int fitting_rows(const struct read *read, const PGresult *result, int *ret_more)
{
    int rows = PQntuples(result);
    int fit = 0;
    while (fit < rows && !PQgetisnull(result, fit, 0))
        fit++;
    if (read->query->shape == QUERY_PAGE && fit > read->page)
        fit = read->page;
    *ret_more = fit < rows;
    return fit;
}

static void put_rows(struct read *read, const PGresult *result, struct buf *out)
{
    int more;
    int rows = fitting_rows(read, result, &more);
    buf_put_text(out, "{\"items\":[");
    for (int i = 0; i < rows; i++) {
        buf_put_text(out, i ? ",\n" : "\n");
        buf_put(out, PQgetvalue(result, i, 0), (size_t)PQgetlength(result, i, 0));
    }
    buf_put_text(out, "]");
    if (read->query->shape == QUERY_PAGE) {
        size_t start = out->size + strlen(",\"next\":\"");
        buf_put_text(out, ",\"next\":\"");
        if (more && read_cursor_put(read->query, result, rows - 1, out) == 0) {
            put_link(read, out->data + start, out->size - start);
            buf_put_u8(out, '"');
        } else {
            out->size = start - 1;
            buf_put_text(out, "null");
        }
    }
    buf_put_text(out, "}\n");
}

static void finish(struct read *read, int status, const char *type)
{
    struct gateway *gateway = read->gateway;
    struct http_request *request = read->request;
    gateway_count_request(gateway, NULL, "read", status, 0);
    reads_answered(gateway->reads, read, status, http_reply(request)->size);
    http_respond(request, status, type);
}

/* Answers when nothing of it can be given. A page can be gone on with behind the row. */
static int answer_too_large(struct read *read, const PGresult *result)
{
    const struct query *query = read->query;
    long long bytes = (long long)reads_bytes(read->gateway->reads);
    struct buf next = {0};
    int more;
    int rows = fitting_rows(read, result, &more);
    if (!more || (rows > 0 && query->shape == QUERY_PAGE))
        return 0;
    if (query->shape == QUERY_LIST && rows > 0) {
        read_problem(read, PROBLEM_ANSWER_TOO_LARGE, "%s has more than %lld bytes", query->name,
                     bytes);
        return 1;
    }
    buf_put_text(&next, ",\"next\":\"");
    int known = query->shape == QUERY_PAGE && read_cursor_put(query, result, 0, &next) == 0;
    buf_put_u8(&next, '"');
    read_problem_with(read, PROBLEM_ROW_TOO_LARGE, known ? buf_text(&next) : NULL,
                      "the %srow has more than %lld bytes%s",
                      query->shape == QUERY_OBJECT ? "" : "first ", bytes,
                      known ? "; the cursor in next goes on behind it" : "");
    buf_free(&next);
    return 1;
}

void read_answer(struct read *read, const PGresult *result)
{
    struct buf *out = http_reply(read->request);
    char digest[65];
    char etag[ETAG_DIGITS + 3];
    if (read->query->shape == QUERY_OBJECT && PQntuples(result) == 0) {
        read_problem(read, PROBLEM_NO_ROW, "this Space has no such %s, or none yet",
                     read->query->name);
        return;
    }
    if (answer_too_large(read, result))
        return;
    if (read->query->shape == QUERY_OBJECT) {
        buf_put(out, PQgetvalue(result, 0, 0), (size_t)PQgetlength(result, 0, 0));
        buf_put_u8(out, '\n');
    } else {
        put_rows(read, result, out);
    }
    hash_sha256_hex(out->data, out->size, digest);
    snprintf(etag, sizeof etag, "\"%.*s\"", ETAG_DIGITS, digest);
    http_reply_header(read->request, "ETag", etag);
    http_reply_header(read->request, "Cache-Control", "private, no-cache");
    if (etag_matches(http_header(read->request, "If-None-Match"), etag)) {
        buf_reset(out);
        finish(read, 304, NULL);
    } else {
        finish(read, 200, "application/json");
    }
}

void read_problem_with(struct read *read, enum problem_type type, const char *members,
                       const char *format, ...)
{
    char detail[DETAIL_BYTES];
    struct buf *out = http_reply(read->request);
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    buf_put_u8(out, '{');
    problem_members(out, type, detail);
    if (members)
        buf_put_text(out, members);
    buf_put_text(out, "}\n");
    if (problem_retry_after_s(type)) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%d", problem_retry_after_s(type));
        http_reply_header(read->request, "Retry-After", seconds);
    }
    finish(read, problem_status(type), PROBLEM_CONTENT_TYPE);
}
