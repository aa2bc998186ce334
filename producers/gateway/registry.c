/* SPDX-License-Identifier: Apache-2.0
 *
 * Confluent's schema registry API, as far as it reads:
 *
 *     GET  /subjects                              names; ?subjectPrefix=
 *     GET  /subjects/{s}/versions                 numbers
 *     GET  /subjects/{s}/versions/{n|latest}      one version; /schema behind it: its text alone
 *     POST /subjects/{s}                          which version is this schema?
 *     POST /subjects/{s}/versions                 the id of a schema that is there already
 *     GET  /schemas/ids/{id}                      by id; /schema, /subjects, /versions behind it
 *     GET  /schemas/types, /config, /config/{s}, /mode, /mode/{s}
 *
 * A topic carries several event types, so a subject is named as TopicRecordNameStrategy does:
 * weir.commerce-weir.commerce.ProductPurchased. A schema is served as the text of its file. Nothing
 * is written: schemas come from the catalog, which is files, so a schema that is not there is
 * refused as a registry in the mode READONLY does. Errors are {"error_code", "message"}. */
#include "producers/gateway/registry.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "lib/base/json_text.h"

#define REGISTRY_TYPE "application/vnd.schemaregistry.v1+json"

enum {
    SEGMENTS_MAX = 5,
    SEGMENT_BYTES = 256, /* the longest subject, of names of 63 characters, has 202 */
    MESSAGE_BYTES = 1024,
    VERSION_LATEST = -1
};

/* The API's codes; the first three digits are the HTTP status. */
enum registry_code {
    CODE_NOT_FOUND = 404,
    CODE_METHOD = 405,
    CODE_MEDIA_TYPE = 415,
    CODE_SUBJECT = 40401,
    CODE_VERSION = 40402,
    CODE_SCHEMA = 40403,
    CODE_INVALID_SCHEMA = 42201,
    CODE_INVALID_VERSION = 42202,
    CODE_NOT_PERMITTED = 42205
};

struct call {
    struct gateway *gateway;
    struct http_request *request;
    int count;
    char segments[SEGMENTS_MAX][SEGMENT_BYTES]; /* unescaped */
};

static void answer(struct call *call, int status)
{
    gateway_count_request(call->gateway, NULL, "none", status, 0);
    http_respond(call->request, status, REGISTRY_TYPE);
}

static void refuse(struct call *call, enum registry_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse(struct call *call, enum registry_code code, const char *format, ...)
{
    struct buf *out = http_reply(call->request);
    char message[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    buf_put_u8(out, '{');
    json_text_number(out, "error_code", code);
    json_text_member(out, "message", message);
    buf_put_u8(out, '}');
    answer(call, code > 1000 ? (int)code / 100 : (int)code);
}

/* Unescapes a segment of a path. Returns its size, or 0 when no name is like that. */
static size_t unescape(const char *text, size_t size, char ret_segment[SEGMENT_BYTES])
{
    size_t at = 0;
    for (size_t i = 0; i < size; i++) {
        char byte = text[i];
        if (byte == '%') {
            byte = (char)http_escaped_byte(text + i); /* none that can be printed, if it is none */
            i += 2;
        }
        if (!isprint((unsigned char)byte) || at == SEGMENT_BYTES - 1)
            return 0;
        ret_segment[at++] = byte;
    }
    ret_segment[at] = '\0';
    return at;
}

/* Returns 0, or -1 when the path is none of the API's. A slash at the end is taken. */
static int split(const char *path, struct call *call)
{
    call->count = 0;
    while (*path == '/' && path[1]) {
        size_t size = strcspn(++path, "/");
        if (call->count == SEGMENTS_MAX || unescape(path, size, call->segments[call->count++]) == 0)
            return -1;
        path += size;
    }
    return call->count > 0 ? 0 : -1;
}

static int is(const struct call *call, int index, const char *text)
{
    return index < call->count && strcmp(call->segments[index], text) == 0;
}

static void refuse_method(struct call *call, const char *allow)
{
    http_reply_header(call->request, "Allow", allow);
    refuse(call, CODE_METHOD,
           "%s is not taken here: this registry is the gateway's catalog, which is read-only. A "
           "schema is added as a file, schemas/<domain>/<Event>/<version>.avsc",
           http_method(call->request));
}

/* Subjects */

/* Tools that know one schema per topic ask for {topic}-value, others for the record's name alone:
 * they are told what the subject is called. */
static void refuse_subject(struct call *call, const char *name)
{
    const struct catalog *catalog = call->gateway->catalog;
    size_t size = strlen(name);
    for (size_t i = 0; i < catalog_event_count(catalog); i++) {
        const struct catalog_event *event = catalog_event_at(catalog, i);
        size_t topic_size = strlen(event->topic);
        if (strcmp(name, event->name) == 0 || strcmp(name, event->subject + topic_size + 1) == 0) {
            refuse(call, CODE_SUBJECT, "Subject '%s' not found. It is called '%s' here", name,
                   event->subject);
            return;
        }
        if (size < topic_size || strncmp(name, event->topic, topic_size) != 0)
            continue;
        if (strcmp(name + topic_size, "-key") == 0) {
            refuse(call, CODE_SUBJECT,
                   "Subject '%s' not found. The keys of %s are plain text, the Space's id", name,
                   event->topic);
            return;
        }
        if (!name[topic_size] || strcmp(name + topic_size, "-value") == 0) {
            refuse(call, CODE_SUBJECT,
                   "Subject '%s' not found. %s carries several event types, so its subjects are "
                   "named by TopicRecordNameStrategy, such as '%s'; GET /subjects lists them",
                   name, event->topic, event->subject);
            return;
        }
    }
    refuse(call, CODE_SUBJECT, "Subject '%s' not found. GET /subjects lists them", name);
}

/* NULL after it has answered. */
static const struct catalog_event *find_subject(struct call *call, const char *name)
{
    const struct catalog *catalog = call->gateway->catalog;
    for (size_t i = 0; i < catalog_event_count(catalog); i++)
        if (strcmp(catalog_event_at(catalog, i)->subject, name) == 0)
            return catalog_event_at(catalog, i);
    refuse_subject(call, name);
    return NULL;
}

static void list_subjects(struct call *call)
{
    static const char wildcard[] = ":*:"; /* of any context; there is but one */
    const struct catalog *catalog = call->gateway->catalog;
    const char *wanted = http_query(call->request, "subjectPrefix");
    struct buf *out = http_reply(call->request);
    char unescaped[SEGMENT_BYTES] = "";
    const char *prefix = unescaped;
    if (wanted && *wanted && unescape(wanted, strlen(wanted), unescaped) == 0) {
        buf_put_text(out, "[]"); /* no name begins like this */
        answer(call, 200);
        return;
    }
    if (strncmp(prefix, wildcard, sizeof wildcard - 1) == 0)
        prefix += sizeof wildcard - 1;
    buf_put_u8(out, '[');
    for (size_t i = 0; i < catalog_event_count(catalog); i++) {
        const char *subject = catalog_event_at(catalog, i)->subject;
        if (strncmp(subject, prefix, strlen(prefix)) != 0)
            continue;
        if (out->size > 1)
            buf_put_u8(out, ',');
        json_text_put(out, subject, strlen(subject));
    }
    buf_put_u8(out, ']');
    answer(call, 200);
}

/* Versions */

static void put_version(struct buf *out, const struct catalog_version *version)
{
    json_text_member(out, "subject", version->event->subject);
    json_text_number(out, "version", version->version);
}

static void put_schema(struct buf *out, const struct catalog_version *version)
{
    json_text_member(out, "schemaType", "AVRO");
    buf_put_text(out, ",\"schema\":");
    json_text_put(out, version->text, version->text_size);
}

static void answer_version(struct call *call, const struct catalog_version *version)
{
    struct buf *out = http_reply(call->request);
    buf_put_u8(out, '{');
    put_version(out, version);
    json_text_number(out, "id", version->id);
    put_schema(out, version);
    buf_put_u8(out, '}');
    answer(call, 200);
}

static void answer_text(struct call *call, const struct catalog_version *version)
{
    buf_put(http_reply(call->request), version->text, version->text_size);
    answer(call, 200);
}

static void list_versions(struct call *call, const struct catalog_event *event)
{
    struct buf *out = http_reply(call->request);
    buf_put_u8(out, '[');
    for (size_t i = 0; i < event->version_count; i++)
        buf_printf(out, "%s%d", i ? "," : "", event->versions[i].version);
    buf_put_u8(out, ']');
    answer(call, 200);
}

/* A whole number from `lowest` on that fits an int32_t. Returns 0 or -1. */
static int parse_number(const char *text, int32_t lowest, int32_t *ret_number)
{
    char *end;
    long number = strtol(text, &end, 10);
    if (!(isdigit((unsigned char)*text) || *text == '-') || *end || number < lowest ||
        number > INT32_MAX)
        return -1;
    *ret_number = (int32_t)number;
    return 0;
}

/* NULL after it has answered. */
static const struct catalog_version *
find_version(struct call *call, const struct catalog_event *event, const char *text)
{
    int32_t number = VERSION_LATEST;
    if (strcmp(text, "latest") != 0 &&
        (parse_number(text, VERSION_LATEST, &number) != 0 || number == 0)) {
        refuse(call, CODE_INVALID_VERSION,
               "The specified version '%s' is not a valid version id. Allowed values are between "
               "1 and 2147483647 and the string \"latest\"",
               text);
        return NULL;
    }
    if (number == VERSION_LATEST)
        return catalog_newest(event);
    if ((size_t)number <= event->version_count)
        return &event->versions[number - 1];
    refuse(call, CODE_VERSION, "Version %d not found. The newest of %s is %d", number, event->name,
           catalog_newest(event)->version);
    return NULL;
}

/* application/json, or the API's own application/vnd.schemaregistry.v1+json. */
static int is_json(const struct call *call)
{
    const char *type = http_header(call->request, "Content-Type");
    size_t size = type ? strcspn(type, "; \t") : 0;
    return size > 4 && strncasecmp(type, "application/", 12) == 0 &&
           strncasecmp(type + size - 4, "json", 4) == 0;
}

/* The schema in a body {"schema": "…"}, for the caller to release; NULL after it has answered. It
 * is read as JSON alone: to compare the names of a schema with each other costs their square. */
static json_t *read_schema(struct call *call)
{
    size_t size;
    const char *body = http_body(call->request, &size);
    json_error_t failure = {0};
    json_t *root = json_loadb(body, size, 0, &failure);
    const json_t *text = json_object_get(root, "schema");
    const json_t *type = json_object_get(root, "schemaType");
    json_t *schema = NULL;
    if (!is_json(call))
        refuse(call, CODE_MEDIA_TYPE, "Send Content-Type: application/json");
    else if (!json_is_string(text))
        refuse(call, CODE_INVALID_SCHEMA, "The body must be {\"schema\": \"…\"}%s%s",
               root ? "" : ": ", failure.text);
    else if (json_is_string(type) && strcmp(json_string_value(type), "AVRO") != 0)
        refuse(call, CODE_INVALID_SCHEMA, "Only schemas of type AVRO are here");
    else if (!(schema = json_loadb(json_string_value(text), json_string_length(text),
                                   JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &failure)))
        refuse(call, CODE_INVALID_SCHEMA, "Invalid schema: line %d: %s", failure.line,
               failure.text);
    json_decref(root);
    return schema;
}

/* The same JSON is the same schema: spaces and the order of members do not count. */
static const struct catalog_version *find_same(const struct catalog_event *event,
                                               const json_t *schema)
{
    for (size_t i = event->version_count; i-- > 0;) {
        const struct catalog_version *version = &event->versions[i];
        json_t *ours = json_loadb(version->text, version->text_size, 0, NULL);
        int same = json_equal(ours, schema);
        json_decref(ours);
        if (same)
            return version;
    }
    return NULL;
}

/* POST /subjects/{s} looks a schema up, with /versions behind it registers one. */
static void post_schema(struct call *call, const struct catalog_event *event, int registers)
{
    json_t *schema = read_schema(call);
    if (!schema)
        return;
    const struct catalog_version *version = find_same(event, schema);
    json_decref(schema);
    if (!version && registers) {
        refuse(call, CODE_NOT_PERMITTED,
               "%s has no such version, and this registry is the gateway's catalog, which is "
               "read-only: add schemas/%s/%s/%d.avsc and deploy the gateway",
               event->name, event->domain, event->name, catalog_newest(event)->version + 1);
    } else if (!version) {
        refuse(call, CODE_SCHEMA, "Schema not found: %s has no such version", event->name);
    } else if (registers) {
        struct buf *out = http_reply(call->request);
        buf_put_u8(out, '{');
        json_text_number(out, "id", version->id);
        buf_put_u8(out, '}');
        answer(call, 200);
    } else {
        answer_version(call, version);
    }
}

/* Paths */

static void handle_unknown(struct call *call)
{
    refuse(call, CODE_NOT_FOUND,
           "HTTP 404 Not Found. The gateway serves the read side of the schema registry's API; "
           "docs/registry.md lists its paths");
}

static void handle_version(struct call *call, const struct catalog_event *event)
{
    const struct catalog_version *version = find_version(call, event, call->segments[3]);
    if (!version)
        return;
    if (call->count == 4) {
        answer_version(call, version);
    } else if (is(call, 4, "schema")) {
        answer_text(call, version);
    } else if (is(call, 4, "referencedby")) {
        buf_put_text(http_reply(call->request), "[]"); /* each schema is whole */
        answer(call, 200);
    } else {
        handle_unknown(call);
    }
}

static void handle_subjects(struct call *call)
{
    int posts = strcmp(http_method(call->request), "POST") == 0;
    int lists = call->count == 3; /* …/versions */
    if (call->count > 2 && !is(call, 2, "versions")) {
        handle_unknown(call);
        return;
    }
    if (!http_is_get(call->request) && !(posts && (call->count == 2 || lists))) {
        refuse_method(call, call->count == 2 ? "POST" : lists ? "GET, HEAD, POST" : "GET, HEAD");
        return;
    }
    if (call->count == 1) {
        list_subjects(call);
        return;
    }
    if (call->count == 2 && !posts) {
        refuse_method(call, "POST");
        return;
    }
    const struct catalog_event *event = find_subject(call, call->segments[1]);
    if (!event)
        return;
    if (posts)
        post_schema(call, event, lists);
    else if (lists)
        list_versions(call, event);
    else
        handle_version(call, event);
}

static void handle_id(struct call *call)
{
    int32_t id;
    struct buf *out = http_reply(call->request);
    const struct catalog_version *version = NULL;
    if (parse_number(call->segments[2], 0, &id) == 0)
        version = catalog_find_id(call->gateway->catalog, id);
    if (!version) {
        refuse(call, CODE_SCHEMA, "Schema %s not found in this gateway's catalog",
               call->segments[2]);
    } else if (call->count == 3) {
        buf_put_u8(out, '{');
        put_schema(out, version);
        buf_put_u8(out, '}');
        answer(call, 200);
    } else if (is(call, 3, "schema")) {
        answer_text(call, version);
    } else if (is(call, 3, "versions")) {
        buf_put_text(out, "[{");
        put_version(out, version);
        buf_put_text(out, "}]");
        answer(call, 200);
    } else if (is(call, 3, "subjects")) {
        buf_put_u8(out, '[');
        json_text_put(out, version->event->subject, strlen(version->event->subject));
        buf_put_u8(out, ']');
        answer(call, 200);
    } else {
        handle_unknown(call);
    }
}

static void handle_schemas(struct call *call)
{
    if (!http_is_get(call->request)) {
        refuse_method(call, "GET, HEAD");
    } else if (call->count == 2 && is(call, 1, "types")) {
        buf_put_text(http_reply(call->request), "[\"AVRO\"]");
        answer(call, 200);
    } else if (is(call, 1, "ids") && (call->count == 3 || call->count == 4)) {
        handle_id(call);
    } else {
        handle_unknown(call);
    }
}

/* /config and /mode, of all subjects or of one: they are the same for each. */
static void handle_setting(struct call *call, const char *text)
{
    if (call->count > 2) {
        handle_unknown(call);
    } else if (!http_is_get(call->request)) {
        refuse_method(call, "GET, HEAD");
    } else if (call->count == 1 || find_subject(call, call->segments[1])) {
        buf_put_text(http_reply(call->request), text);
        answer(call, 200);
    }
}

int registry_answer(struct gateway *gateway, struct http_request *request)
{
    struct call call = {.gateway = gateway, .request = request};
    if (split(http_path(request), &call) != 0)
        return 0;
    if (*gateway->registry_url)
        refuse(&call, CODE_NOT_FOUND, "This gateway's schemas are in the schema registry %s",
               gateway->registry_url);
    else if (is(&call, 0, "subjects"))
        handle_subjects(&call);
    else if (is(&call, 0, "schemas"))
        handle_schemas(&call);
    else if (is(&call, 0, "config"))
        handle_setting(&call, "{\"compatibilityLevel\":\"BACKWARD_TRANSITIVE\"}");
    else if (is(&call, 0, "mode"))
        handle_setting(&call, "{\"mode\":\"READONLY\"}");
    else
        return 0;
    return 1;
}
