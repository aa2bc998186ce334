/* SPDX-License-Identifier: Apache-2.0
 *
 * From a request to the values that are bound: every parameter is known to the query, given once
 * and of its type, or the answer names it. */
#include "producers/gateway/read.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/hash.h"
#include "lib/base/json_text.h"
#include "lib/base/timestamp.h"
#include "producers/gateway/answer.h"
#include "producers/gateway/reads.h"

struct intake {
    struct read *read;
    const char *cursor;
    int paged;   /* limit was given */
    int unknown; /* a fault that is about the name */
    size_t faults;
    struct buf errors;
};

const char *read_keep(struct read *read, const char *text, size_t size)
{
    char *kept = read->texts + read->text_size;
    if (size >= sizeof read->texts - read->text_size)
        return NULL;
    memcpy(kept, text, size);
    kept[size] = '\0';
    read->text_size += size + 1;
    return kept;
}

static void fault(struct intake *intake, const char *name, const char *why)
{
    buf_put_text(&intake->errors, intake->faults++ ? ",{" : ",\"errors\":[{");
    json_text_member(&intake->errors, "parameter", name);
    json_text_member(&intake->errors, "detail", why);
    buf_put_text(&intake->errors, "}");
}

/* Undoes %XX. Returns NULL when the escapes are wrong, one is NUL, or the value is too long. */
static const char *unescape(struct read *read, const char *text)
{
    char value[QUERY_VALUE_BYTES * 4];
    size_t size = 0;
    for (; *text; text++) {
        if (size == sizeof value - 1)
            return NULL;
        value[size] = *text;
        if (*text == '%') {
            int byte = http_escaped_byte(text);
            if (byte <= 0)
                return NULL;
            value[size] = (char)byte;
            text += 2;
        }
        size++;
    }
    return read_keep(read, value, size);
}

static void take_limit(struct intake *intake, const char *text)
{
    struct read *read = intake->read;
    const struct query_parameter limit = {
        .type = QUERY_INTEGER, .lowest = 1, .highest = read->query->page_max};
    char why[QUERY_VALUE_BYTES];
    if (intake->paged++)
        fault(intake, "limit", "is given twice");
    else if (query_check_value(&limit, text, why, sizeof why) != 0)
        fault(intake, "limit", why);
    else
        read->page = atoi(text);
}

static void take_parameter(struct intake *intake, size_t index, const char *text)
{
    struct read *read = intake->read;
    const struct query_parameter *parameter = &read->query->parameters[index];
    char why[QUERY_VALUE_BYTES * 2];
    if (read->given[index])
        fault(intake, parameter->name, "is given twice");
    else if (query_check_value(parameter, text, why, sizeof why) != 0)
        fault(intake, parameter->name, why);
    read->given[index] = 1;
    read->values[1 + index] = text;
}

static void take(const char *name, const char *escaped, void *context)
{
    struct intake *intake = context;
    const struct query *query = intake->read->query;
    const char *text = unescape(intake->read, escaped);
    size_t index = 0;
    while (index < query->parameter_count && strcmp(query->parameters[index].name, name) != 0)
        index++;
    int page = query->shape == QUERY_PAGE;
    if (index == query->parameter_count && !(page && strcmp(name, "limit") == 0) &&
        !(page && strcmp(name, "cursor") == 0)) {
        intake->unknown = 1;
        fault(intake, name, "is no parameter of this query");
    } else if (!text) {
        fault(intake, name, "is too long, or escaped wrongly");
    } else if (index < query->parameter_count) {
        take_parameter(intake, index, text);
    } else if (strcmp(name, "limit") == 0) {
        take_limit(intake, text);
    } else if (intake->cursor) {
        fault(intake, name, "is given twice");
    } else {
        intake->cursor = text;
    }
}

static void fill_presets(struct intake *intake)
{
    struct read *read = intake->read;
    const struct query *query = read->query;
    size_t number = 0;
    read->values[number++] = read->space;
    for (size_t i = 0; i < query->parameter_count; i++, number++) {
        if (read->given[i])
            continue;
        if (query->parameters[i].required)
            fault(intake, query->parameters[i].name, "is missing");
        read->values[number] = query->parameters[i].preset;
    }
    for (size_t i = 0; i < query->after_count; i++)
        read->values[number++] = query->after[i].preset;
    if (query->shape == QUERY_PAGE) {
        snprintf(read->page_text, sizeof read->page_text, "%d", read->page + 1);
        read->values[number++] = read->page_text;
    }
    snprintf(read->bytes_text, sizeof read->bytes_text, "%lld",
             (long long)reads_bytes(read->gateway->reads));
    read->values[number] = read->bytes_text;
}

/* Returns -1 after it has answered. */
static int read_parameters(struct read *read)
{
    struct intake intake = {.read = read};
    read->page = read->query->page_preset;
    http_query_each(read->request, take, &intake);
    fill_presets(&intake);
    read->cursor = intake.cursor != NULL;
    if (intake.cursor && read_cursor_take(read, intake.cursor) != 0)
        fault(&intake, "cursor", "is none that this query gave");
    if (intake.faults == 0)
        return 0;
    buf_put_text(&intake.errors, "]");
    read_problem_with(read, intake.unknown ? PROBLEM_UNKNOWN_PARAMETER : PROBLEM_INVALID_PARAMETER,
                      buf_text(&intake.errors), "GET /v1/queries lists what %s takes",
                      read->query->name);
    buf_free(&intake.errors);
    return -1;
}

/* Returns -1 after it has answered. */
static int read_receipts(struct read *read)
{
    const char *text = http_header(read->request, "Weir-After");
    const char *why;
    if (!text)
        return 0;
    int32_t partition = hash_partition(read->space, UUID_TEXT_SIZE, read->gateway->partitions);
    if (receipt_parse(read->gateway->catalog, text, partition, read->receipts, &read->receipt_count,
                      &why) == 0)
        return 0;
    read_problem(read, PROBLEM_BAD_RECEIPT, "Weir-After: %s", why);
    return -1;
}

void read_request(struct gateway *gateway, struct http_request *request, const char *space,
                  const char *name)
{
    const struct query *query =
        gateway->reads ? queries_find(reads_queries(gateway->reads), name) : NULL;
    if (!query) {
        const char *nearest =
            gateway->reads ? queries_nearest(reads_queries(gateway->reads), name) : NULL;
        answer_problem(gateway, request, PROBLEM_NOT_FOUND, NULL,
                       "there is no query \"%s\"%s%s%s (GET /v1/queries lists them)", name,
                       nearest ? "; did you mean " : "", nearest ? nearest : "",
                       nearest ? "?" : "");
        return;
    }
    struct read *read = http_scratch(request, sizeof *read);
    read->gateway = gateway;
    read->request = request;
    read->query = query;
    read->started_us = monotonic_now_us();
    read->wait_until_us = read->started_us + reads_wait_ms(gateway->reads) * 1000;
    memcpy(read->space, space, sizeof read->space);
    if (read_parameters(read) == 0 && read_receipts(read) == 0)
        reads_submit(gateway->reads, read);
}

static void list_parameter(struct buf *out, const struct query_parameter *parameter)
{
    json_text_member(out, "name", parameter->name);
    json_text_member(out, "type", query_type_name(parameter->type));
    buf_put_text(out, parameter->required ? ",\"required\":true" : ",\"required\":false");
    if (parameter->preset)
        json_text_member(out, "default", parameter->preset);
    if (parameter->choices)
        json_text_member(out, "one_of", parameter->choices);
    json_text_member(out, "doc", parameter->doc);
}

static void list_query(struct buf *out, const struct query *query)
{
    static const char *const shapes[] = {
        [QUERY_OBJECT] = "object", [QUERY_LIST] = "list", [QUERY_PAGE] = "page"};
    char path[QUERY_NAME_BYTES + 32];
    snprintf(path, sizeof path, "/v1/spaces/{space_id}/%s", query->name);
    json_text_member(out, "query", query->name);
    json_text_member(out, "path", path);
    json_text_member(out, "answer", shapes[query->shape]);
    if (query->shape == QUERY_PAGE) {
        json_text_number(out, "limit", query->page_preset);
        json_text_number(out, "limit_at_most", query->page_max);
    }
    buf_put_text(out, ",\"reads\":[");
    for (size_t i = 0; i < query->read_count; i++) {
        buf_put_text(out, i ? "," : "");
        json_text_put(out, query->reads[i], strlen(query->reads[i]));
    }
    buf_put_text(out, "],\"parameters\":[");
    for (size_t i = 0; i < query->parameter_count; i++) {
        buf_put_text(out, i ? ",{" : "{");
        list_parameter(out, &query->parameters[i]);
        buf_put_text(out, "}");
    }
    buf_put_text(out, "]");
    json_text_member(out, "doc", query->doc);
}

void read_list(struct gateway *gateway, struct http_request *request)
{
    struct buf *out = http_reply(request);
    const struct queries *queries = gateway->reads ? reads_queries(gateway->reads) : NULL;
    buf_put_text(out, "{\"queries\":[");
    for (size_t i = 0; queries && i < queries_count(queries); i++) {
        buf_put_text(out, i ? ",\n{" : "\n{");
        list_query(out, queries_at(queries, i));
        buf_put_text(out, "}");
    }
    buf_put_text(out, "\n]}\n");
    gateway_count_request(gateway, NULL, "none", 200, 0);
    http_respond(request, 200, "application/json");
}
