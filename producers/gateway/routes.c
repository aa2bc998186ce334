/* SPDX-License-Identifier: Apache-2.0
 *
 * From a path to what answers it:
 *
 *     POST /v1/spaces/{space_id}/events/{Event}   one event, or NDJSON lines of one type
 *     POST /v1/spaces/{space_id}/events           NDJSON lines that name their event
 *     GET  /v1/spaces/{space_id}/{query}          what a query of sql/queries/ finds
 *     GET  /v1/queries                            the queries
 *     GET  /v1/events                             the event types
 *     GET  /v1/events/{Event}                     the newest schema of one
 *
 * On the admin listener, beside /livez, /readyz and /metrics (lib/observe), so that they answer
 * while the public one is full:
 *
 *     GET  /subjects, /schemas, /config, /mode    the schema registry's API, see registry.c */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/avro/limits.h"
#include "lib/base/json_text.h"
#include "producers/gateway/answer.h"
#include "producers/gateway/line.h"
#include "producers/gateway/read.h"
#include "producers/gateway/registry.h"

enum { SEGMENTS_MAX = 6, SEGMENT_BYTES = 80 };

struct route {
    int count; /* -1 when it is no path of ours */
    char segments[SEGMENTS_MAX][SEGMENT_BYTES];
};

/* Printable ASCII only, so that a segment can be shown; an escaped byte matches nothing. */
static void split(const char *path, struct route *ret_route)
{
    ret_route->count = 0;
    while (*path == '/') {
        size_t size = strcspn(++path, "/");
        int bad = size == 0 || size >= SEGMENT_BYTES || ret_route->count == SEGMENTS_MAX;
        for (size_t i = 0; !bad && i < size; i++)
            bad = !isgraph((unsigned char)path[i]);
        if (bad) {
            ret_route->count = -1;
            return;
        }
        memcpy(ret_route->segments[ret_route->count], path, size);
        ret_route->segments[ret_route->count++][size] = '\0';
        path += size;
    }
}

static int is(const struct route *route, int index, const char *text)
{
    return index < route->count && strcmp(route->segments[index], text) == 0;
}

/* NULL after it has answered. */
static const struct catalog_event *find_event(struct gateway *gateway, struct http_request *request,
                                              const char *name)
{
    const struct catalog_event *event = catalog_find_event(gateway->catalog, name);
    if (event)
        return event;
    const char *nearest = line_nearest_event(gateway->catalog, name);
    answer_problem(gateway, request, PROBLEM_UNKNOWN_EVENT, NULL,
                   "there is no event \"%s\"%s%s%s (GET /v1/events lists them)", name,
                   nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
    return NULL;
}

static void put_limits(struct buf *out, const struct schema *schema)
{
    json_t *limits = limits_json(schema);
    char *text = json_dumps(limits, JSON_COMPACT);
    buf_put_text(out, ",\"limits\":");
    buf_put_text(out, text);
    free(text);
    json_decref(limits);
}

static void list_events(struct gateway *gateway, struct http_request *request)
{
    static const char *const ingests[] = {"public", "service", "internal"};
    struct buf *out = http_reply(request);
    buf_put_text(out, "{\"events\":[");
    for (size_t i = 0; i < catalog_event_count(gateway->catalog); i++) {
        const struct catalog_event *event = catalog_event_at(gateway->catalog, i);
        const struct catalog_version *newest = catalog_newest(event);
        char schema[SEGMENT_BYTES + 16];
        snprintf(schema, sizeof schema, "/v1/events/%s", event->name);
        buf_put_text(out, i ? ",\n{" : "\n{");
        json_text_member(out, "event", event->name);
        json_text_member(out, "topic", event->topic);
        json_text_member(out, "ingest", ingests[event->ingest]);
        json_text_number(out, "version", newest->version);
        json_text_number(out, "schema_id", newest->id);
        json_text_member(out, "schema", schema);
        put_limits(out, newest->schema);
        if (newest->schema->doc)
            json_text_member(out, "doc", newest->schema->doc);
        buf_put_text(out, "}");
    }
    buf_put_text(out, "\n]}\n");
    gateway_count_request(gateway, NULL, "none", 200, 0);
    http_respond(request, 200, "application/json");
}

static void show_schema(struct gateway *gateway, struct http_request *request, const char *name)
{
    char id[16];
    const struct catalog_event *event = find_event(gateway, request, name);
    if (!event)
        return;
    const struct catalog_version *newest = catalog_newest(event);
    snprintf(id, sizeof id, "%d", newest->id);
    http_reply_header(request, "Weir-Schema-Id", id);
    buf_put(http_reply(request), newest->text, newest->text_size);
    gateway_count_request(gateway, NULL, "none", 200, 0);
    http_respond(request, 200, "application/json");
}

/* Whether the request's method is the one of `allow`; otherwise it is refused. */
static int check_method(struct gateway *gateway, struct http_request *request, const char *allow)
{
    if (*allow == 'P' ? strcmp(http_method(request), "POST") == 0 : http_is_get(request))
        return 1;
    answer_problem(gateway, request, PROBLEM_METHOD, allow, "%s is not taken here",
                   http_method(request));
    return 0;
}

/* Whether `id` is a Space, in lower case then; otherwise the request is refused. */
static int check_space(struct gateway *gateway, struct http_request *request, const char *id,
                       char ret_space[UUID_TEXT_SIZE + 1])
{
    struct uuid uuid;
    if (uuid_parse(id, strlen(id), &uuid) == 0) {
        uuid_format(&uuid, ret_space);
        return 1;
    }
    answer_problem(gateway, request, PROBLEM_BAD_SPACE_ID, NULL,
                   "\"%s\" is no UUID such as 0190a5f0-7a1c-7000-8000-000000000001", id);
    return 0;
}

static void handle_events(struct gateway *gateway, struct http_request *request,
                          const struct route *route)
{
    if (!check_method(gateway, request, "GET, HEAD"))
        return;
    if (route->count == 2)
        list_events(gateway, request);
    else
        show_schema(gateway, request, route->segments[2]);
}

static void handle_query(struct gateway *gateway, struct http_request *request,
                         const struct route *route)
{
    char space[UUID_TEXT_SIZE + 1];
    if (check_method(gateway, request, "GET, HEAD") &&
        check_space(gateway, request, route->segments[2], space))
        read_request(gateway, request, space, route->segments[3]);
}

static void handle_queries(struct gateway *gateway, struct http_request *request)
{
    if (check_method(gateway, request, "GET, HEAD"))
        read_list(gateway, request);
}

static void handle_space(struct gateway *gateway, struct http_request *request,
                         const struct route *route)
{
    char space[UUID_TEXT_SIZE + 1];
    const struct catalog_event *event = NULL;
    if (check_method(gateway, request, "POST") &&
        check_space(gateway, request, route->segments[2], space) &&
        (route->count == 4 || (event = find_event(gateway, request, route->segments[4])) != NULL))
        ingest_events(gateway, request, space, event);
}

void gateway_handle(struct http_request *request, void *context)
{
    struct gateway *gateway = context;
    struct route route;
    split(http_path(request), &route);
    if (is(&route, 0, "v1") && is(&route, 1, "spaces") && is(&route, 3, "events") &&
        route.count <= 5)
        handle_space(gateway, request, &route);
    else if (is(&route, 0, "v1") && is(&route, 1, "spaces") && route.count == 4)
        handle_query(gateway, request, &route);
    else if (is(&route, 0, "v1") && is(&route, 1, "queries") && route.count == 2)
        handle_queries(gateway, request);
    else if (is(&route, 0, "v1") && is(&route, 1, "events") && route.count <= 3)
        handle_events(gateway, request, &route);
    else
        answer_problem(gateway, request, PROBLEM_NOT_FOUND, NULL,
                       "there are POST /v1/spaces/{space_id}/events/{Event}, "
                       "POST /v1/spaces/{space_id}/events, GET /v1/spaces/{space_id}/{query}, "
                       "GET /v1/queries and GET /v1/events; health, metrics and the schema "
                       "registry are at the address of --admin-listen");
}

void gateway_handle_admin(struct http_request *request, void *context)
{
    struct gateway *gateway = context;
    if (!registry_answer(gateway, request))
        answer_problem(gateway, request, PROBLEM_NOT_FOUND, NULL,
                       "there are /livez, /readyz and /metrics, and the schema registry's "
                       "/subjects, /schemas, /config and /mode");
}

void gateway_refuse(struct http_request *request, void *context)
{
    int status;
    const char *why = http_refusal(request, &status);
    answer_problem(context, request,
                   status == 413   ? PROBLEM_BODY_TOO_LARGE
                   : status == 421 ? PROBLEM_FOREIGN_HOST
                   : status == 431 ? PROBLEM_HEADERS_TOO_LARGE
                                   : PROBLEM_BAD_REQUEST,
                   NULL, "%s", why);
}
