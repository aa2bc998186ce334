/* SPDX-License-Identifier: Apache-2.0
 *
 * One request at a time over lib/http/client. Texts of answers are parsed here; callers see ids and
 * schemas. What signs in is never part of a message. */
#include "lib/registry/client.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/base64.h"
#include "lib/base/json_text.h"
#include "lib/base/timestamp.h"
#include "lib/http/client.h"

#define MEDIA_TYPE "application/vnd.schemaregistry.v1+json"

enum { TOKEN_MAX = 16384, NOT_FOUND_SUBJECT = 40401, NOT_FOUND_SCHEMA = 40403 };

struct registry {
    char *url; /* without a slash at its end */
    char *ca_file;
    char *token_file; /* NULL: the header below */
    char *authorization;
    struct http_client *http;
    int64_t deadline_ms;
    int64_t backoff_ms;
    int64_t not_before_us; /* monotonic */
    unsigned jitter;
    struct buf body;
    struct buf answer;
    char problem[256]; /* why the last try failed */
};

struct attempt {
    struct registry *registry;
    int done;
    int status;
    int distrusted;
    int64_t retry_after_ms;
};

static int check_url(const char *url, struct error *error)
{
    size_t scheme = strncmp(url, "https://", 8) == 0 ? 8 : strncmp(url, "http://", 7) == 0 ? 7 : 0;
    if (!scheme || !url[scheme])
        return error_set(error, ERROR_USAGE, "bad-option",
                         "schema-registry-url must be an http:// or https:// URL, not \"%s\"", url);
    if (strpbrk(url, "@?# "))
        return error_set(
            error, ERROR_USAGE, "bad-option",
            "schema-registry-url takes no user, query or fragment; a user belongs into "
            "schema-registry-auth");
    return 0;
}

static int read_auth(struct registry *registry, const char *auth, struct error *error)
{
    struct buf text = {0};
    if (!*auth)
        return 0;
    if (*auth == '@') {
        registry->token_file = xstrdup(auth + 1);
        return 0;
    }
    if (!strchr(auth, ':'))
        return error_set(error, ERROR_USAGE, "bad-option",
                         "schema-registry-auth is USER:PASSWORD, or @FILE with a bearer token");
    buf_put_text(&text, "Authorization: Basic ");
    base64_encode(auth, strlen(auth), &text);
    registry->authorization = xstrdup(buf_text(&text));
    buf_free(&text);
    return 0;
}

int registry_open(const struct config *config, struct registry **ret_registry, struct error *error)
{
    const char *url = config_text(config, OPT_SCHEMA_REGISTRY_URL);
    *ret_registry = NULL;
    if (!*url)
        return 0;
    if (check_url(url, error) != 0)
        return -1;
    struct registry *registry = xcalloc(1, sizeof *registry);
    registry->url = xstrdup(url);
    for (size_t size = strlen(url); size > 0 && registry->url[size - 1] == '/'; size--)
        registry->url[size - 1] = '\0';
    registry->ca_file = xstrdup(config_text(config, OPT_SCHEMA_REGISTRY_CA));
    registry->deadline_ms = REGISTRY_DEADLINE_MS;
    registry->jitter = (unsigned)monotonic_now_us();
    if (read_auth(registry, config_text(config, OPT_SCHEMA_REGISTRY_AUTH), error) != 0 ||
        http_client_open(1, &registry->http, error) != 0) {
        registry_free(registry);
        return -1;
    }
    *ret_registry = registry;
    return 0;
}

void registry_free(struct registry *registry)
{
    if (!registry)
        return;
    http_client_free(registry->http);
    buf_free(&registry->body);
    buf_free(&registry->answer);
    free(registry->url);
    free(registry->ca_file);
    free(registry->token_file);
    free(registry->authorization);
    free(registry);
}

const char *registry_url(const struct registry *registry)
{
    return registry->url;
}

void registry_set_deadline(struct registry *registry, int64_t deadline_ms)
{
    registry->deadline_ms = deadline_ms;
}

/* The header that signs in, or NULL; tokens expire, so their file is read each time. */
static int make_authorization(struct registry *registry, struct error *error)
{
    if (!registry->token_file)
        return 0;
    char token[TOKEN_MAX];
    FILE *file = fopen(registry->token_file, "re");
    size_t size = file ? fread(token, 1, sizeof token, file) : 0;
    if (file)
        fclose(file);
    while (size > 0 && isspace((unsigned char)token[size - 1]))
        size--;
    for (size_t i = 0; i < size; i++)
        if (!isgraph((unsigned char)token[i]))
            size = 0;
    if (size == 0 || size == sizeof token)
        return error_set(error, ERROR_USAGE, "bad-option",
                         "schema-registry-auth: there is no bearer token in %s",
                         registry->token_file);
    free(registry->authorization);
    registry->authorization = xasprintf("Authorization: Bearer %.*s", (int)size, token);
    return 0;
}

static void on_answer(const struct http_answer *answer, void *opaque)
{
    struct attempt *attempt = opaque;
    struct registry *registry = attempt->registry;
    attempt->done = 1;
    attempt->status = answer->status;
    attempt->distrusted = answer->distrusted;
    attempt->retry_after_ms = answer->retry_after_ms;
    buf_reset(&registry->answer);
    buf_put(&registry->answer, answer->body, answer->body_size);
    if (answer->status == 0)
        snprintf(registry->problem, sizeof registry->problem, "%s", answer->problem);
    else
        snprintf(registry->problem, sizeof registry->problem, "HTTP status %d", answer->status);
}

static int try_once(struct registry *registry, const char *method, const char *path,
                    struct attempt *ret_attempt, struct error *error)
{
    char *url = xasprintf("%s%s", registry->url, path);
    *ret_attempt = (struct attempt){.registry = registry};
    int result = make_authorization(registry, error);
    struct http_call call = {.method = method,
                             .url = url,
                             .headers = {"Accept: " MEDIA_TYPE ", application/json",
                                         "Content-Type: " MEDIA_TYPE, registry->authorization},
                             .body = registry->body.data,
                             .body_size = registry->body.size,
                             .ca_file = registry->ca_file,
                             .timeout_ms = REGISTRY_REQUEST_MS,
                             .on_answer = on_answer,
                             .opaque = ret_attempt};
    if (result == 0)
        result = http_client_submit(registry->http, &call, error);
    while (result == 0 && !ret_attempt->done)
        result = http_client_poll(registry->http, REGISTRY_REQUEST_MS, error);
    free(url);
    return result;
}

static int passes_by_itself(int status)
{
    return status == 0 || status == 429 || status >= 500;
}

/* Doubles the pause before the next try: half of it is certain, half of it is chance. */
static void back_off(struct registry *registry, int64_t retry_after_ms)
{
    int64_t ms = registry->backoff_ms ? registry->backoff_ms * 2 : REGISTRY_BACKOFF_FIRST_MS;
    if (ms > REGISTRY_BACKOFF_MAX_MS)
        ms = REGISTRY_BACKOFF_MAX_MS;
    registry->backoff_ms = ms;
    registry->jitter = registry->jitter * 1103515245U + 12345U;
    ms = ms / 2 + (int64_t)((registry->jitter >> 8) % (unsigned)(ms / 2 + 1));
    if (retry_after_ms > ms)
        ms = retry_after_ms;
    if (ms > REGISTRY_RETRY_AFTER_MAX_MS)
        ms = REGISTRY_RETRY_AFTER_MAX_MS;
    registry->not_before_us = monotonic_now_us() + ms * 1000;
}

static void sleep_until(int64_t moment_us)
{
    int64_t left_us = moment_us - monotonic_now_us();
    struct timespec pause = {.tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000};
    while (left_us > 0 && nanosleep(&pause, &pause) != 0 && errno == EINTR)
        ;
}

/* Sends registry->body. Returns the status of an answer that counts, or -1. */
static int request(struct registry *registry, const char *method, const char *path,
                   struct error *error)
{
    int64_t deadline_us = monotonic_now_us() + registry->deadline_ms * 1000;
    for (;;) {
        struct attempt attempt;
        int64_t now_us = monotonic_now_us();
        if (registry->not_before_us > now_us && registry->not_before_us > deadline_us)
            return error_set(error, ERROR_RETRY, "registry-unavailable",
                             "the schema registry %s does not answer as it should (%s)",
                             registry->url, registry->problem);
        sleep_until(registry->not_before_us);
        if (try_once(registry, method, path, &attempt, error) != 0)
            return -1;
        if (attempt.distrusted)
            return error_set(error, ERROR_USAGE, "registry-refused",
                             "the schema registry %s shows a certificate that is not trusted (%s); "
                             "see schema-registry-ca",
                             registry->url, registry->problem);
        if (!passes_by_itself(attempt.status)) {
            registry->backoff_ms = 0;
            registry->not_before_us = 0;
            return attempt.status;
        }
        back_off(registry, attempt.retry_after_ms);
    }
}

/* What an answer that is no success means: 1 for a thing that is not there, or -1. */
static int read_refusal(struct registry *registry, int status, const char *what,
                        struct error *error)
{
    json_t *root = json_loadb(registry->answer.data, registry->answer.size, 0, NULL);
    const json_t *message = json_object_get(root, "message");
    json_int_t code = json_integer_value(json_object_get(root, "error_code"));
    int missing = status == 404 && (code == NOT_FOUND_SUBJECT || code == NOT_FOUND_SCHEMA);
    if (!missing)
        error_set(error, ERROR_USAGE, "registry-refused",
                  "%s: the schema registry %s answers %d%s%s%s", what, registry->url, status,
                  json_is_string(message) ? ": " : "",
                  json_is_string(message) ? json_string_value(message) : "",
                  status == 401 || status == 403 ? "; see schema-registry-auth" : "");
    json_decref(root);
    return missing ? 1 : -1;
}

static int read_id(struct registry *registry, const char *what, int32_t *ret_id,
                   struct error *error)
{
    json_t *root = json_loadb(registry->answer.data, registry->answer.size, 0, NULL);
    const json_t *id = json_object_get(root, "id");
    json_int_t value = json_integer_value(id);
    int good = json_is_integer(id) && value > 0 && value <= INT32_MAX;
    json_decref(root);
    if (!good)
        return error_set(error, ERROR_USAGE, "registry-refused",
                         "%s: the schema registry %s answers without an id", what, registry->url);
    *ret_id = (int32_t)value;
    return 0;
}

static int post(struct registry *registry, const char *subject, const char *tail, int version,
                int32_t id, const char *text, size_t size, int32_t *ret_id, struct error *error)
{
    char *path = xasprintf("/subjects/%s%s?normalize=true", subject, tail);
    buf_reset(&registry->body);
    buf_put_text(&registry->body, "{\"schema\":");
    json_text_put(&registry->body, text, size);
    if (id > 0)
        buf_printf(&registry->body, ",\"id\":%d,\"version\":%d", id, version);
    buf_put_u8(&registry->body, '}');
    int status = request(registry, "POST", path, error);
    free(path);
    if (status < 0)
        return -1;
    return status == 200 ? read_id(registry, subject, ret_id, error)
                         : read_refusal(registry, status, subject, error);
}

int registry_look_up(struct registry *registry, const char *subject, const char *text, size_t size,
                     int32_t *ret_id, struct error *error)
{
    return post(registry, subject, "", 0, 0, text, size, ret_id, error);
}

int registry_register(struct registry *registry, const char *subject, const char *text, size_t size,
                      int32_t *ret_id, struct error *error)
{
    return post(registry, subject, "/versions", 0, 0, text, size, ret_id, error);
}

int registry_import(struct registry *registry, const char *subject, int version, int32_t id,
                    const char *text, size_t size, int32_t *ret_id, struct error *error)
{
    return post(registry, subject, "/versions", version, id, text, size, ret_id, error);
}

int registry_fetch(struct registry *registry, int32_t id, struct buf *ret_text, struct error *error)
{
    char path[64];
    char what[32];
    snprintf(path, sizeof path, "/schemas/ids/%d", id);
    snprintf(what, sizeof what, "schema id %d", id);
    buf_reset(&registry->body);
    int status = request(registry, "GET", path, error);
    if (status < 0)
        return -1;
    if (status != 200)
        return read_refusal(registry, status, what, error);
    json_t *root = json_loadb(registry->answer.data, registry->answer.size, 0, NULL);
    const json_t *text = json_object_get(root, "schema");
    const json_t *type = json_object_get(root, "schemaType");
    int result = 0;
    if (!json_is_string(text) ||
        (json_is_string(type) && strcmp(json_string_value(type), "AVRO") != 0)) {
        result = error_set(error, ERROR_USAGE, "registry-refused",
                           "%s of the schema registry %s is no Avro schema", what, registry->url);
    } else {
        buf_reset(ret_text);
        buf_put(ret_text, json_string_value(text), json_string_length(text));
    }
    json_decref(root);
    return result;
}

int registry_set_mode(struct registry *registry, const char *subject, const char *mode,
                      struct error *error)
{
    char *path = xasprintf("/mode/%s?force=true", subject);
    buf_reset(&registry->body);
    buf_printf(&registry->body, "{\"mode\":\"%s\"}", mode);
    int status = request(registry, "PUT", path, error);
    free(path);
    return status < 0 ? -1 : 0;
}
