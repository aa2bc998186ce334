/* SPDX-License-Identifier: Apache-2.0
 *
 * Each request under way is an exchange: an easy handle with its buffers. Exchanges are made up to
 * the limit and then used again, so that steady traffic allocates nothing but libcurl's header
 * lists. */
#include "lib/http/client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct exchange {
    CURL *easy;
    struct curl_slist *headers;
    struct buf request;
    struct buf answer;
    void (*on_answer)(const struct http_answer *answer, void *opaque);
    void *opaque;
    struct exchange *next_free;
};

struct http_client {
    CURLM *multi;
    size_t limit;
    size_t under_way;
    size_t made;
    struct exchange **exchanges; /* `made` of them, all ever made */
    struct exchange *free_list;
};

static void start_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

int http_client_open(int connections_max, struct http_client **ret_client, struct error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_curl);
    CURLM *multi = curl_multi_init();
    if (!multi)
        return error_set(error, ERROR_FATAL, "http-client", "libcurl does not start");
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)connections_max);
    struct http_client *client = xcalloc(1, sizeof *client);
    client->multi = multi;
    client->limit = (size_t)connections_max;
    client->exchanges = xcalloc(client->limit, sizeof *client->exchanges);
    *ret_client = client;
    return 0;
}

void http_client_free(struct http_client *client)
{
    if (!client)
        return;
    for (size_t i = 0; i < client->made; i++) {
        struct exchange *exchange = client->exchanges[i];
        curl_multi_remove_handle(client->multi, exchange->easy);
        curl_easy_cleanup(exchange->easy);
        curl_slist_free_all(exchange->headers);
        buf_free(&exchange->request);
        buf_free(&exchange->answer);
        free(exchange);
    }
    curl_multi_cleanup(client->multi);
    free(client->exchanges);
    free(client);
}

size_t http_client_under_way(const struct http_client *client)
{
    return client->under_way;
}

static size_t take_body(char *data, size_t size, size_t count, void *opaque)
{
    struct exchange *exchange = opaque;
    size_t bytes = size * count;
    if (exchange->answer.size + bytes > HTTP_CLIENT_BODY_MAX)
        return 0; /* libcurl then ends the transfer */
    buf_put(&exchange->answer, data, bytes);
    return bytes;
}

static struct exchange *take_exchange(struct http_client *client)
{
    struct exchange *exchange = client->free_list;
    if (exchange) {
        client->free_list = exchange->next_free;
        return exchange;
    }
    if (client->made == client->limit)
        return NULL;
    exchange = xcalloc(1, sizeof *exchange);
    exchange->easy = curl_easy_init();
    if (!exchange->easy) {
        free(exchange);
        return NULL;
    }
    client->exchanges[client->made++] = exchange;
    return exchange;
}

static void give_back(struct http_client *client, struct exchange *exchange)
{
    curl_slist_free_all(exchange->headers);
    exchange->headers = NULL;
    exchange->next_free = client->free_list;
    client->free_list = exchange;
}

int http_client_submit(struct http_client *client, const struct http_call *request,
                       struct error *error)
{
    struct exchange *exchange = take_exchange(client);
    if (!exchange)
        return error_set(error, ERROR_FATAL, "http-client-full", "%zu requests are under way",
                         client->limit);
    CURL *easy = exchange->easy;
    buf_reset(&exchange->answer);
    buf_reset(&exchange->request);
    buf_put(&exchange->request, request->body, request->body_size);
    exchange->on_answer = request->on_answer;
    exchange->opaque = request->opaque;
    for (size_t i = 0; i < HTTP_CLIENT_HEADERS_MAX && request->headers[i]; i++)
        exchange->headers = curl_slist_append(exchange->headers, request->headers[i]);
    exchange->headers = curl_slist_append(exchange->headers, "Expect:");
    curl_easy_reset(easy); /* keeps connections */
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->headers);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    if (strcmp(request->method, "GET") != 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                         exchange->request.size ? exchange->request.data : "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)exchange->request.size);
    }
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    if (request->ca_file && *request->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, request->ca_file);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "weir/" WEIR_VERSION);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, exchange);
    CURLMcode code = curl_multi_add_handle(client->multi, easy);
    if (code != CURLM_OK) {
        give_back(client, exchange);
        return error_set(error, ERROR_FATAL, "http-client", "%s: %s", request->url,
                         curl_multi_strerror(code));
    }
    client->under_way++;
    return 0;
}

/* Whether the server may have got the request although no answer came. */
static int may_have_arrived(CURLcode code)
{
    return code != CURLE_COULDNT_CONNECT && code != CURLE_COULDNT_RESOLVE_HOST &&
           code != CURLE_URL_MALFORMAT && code != CURLE_UNSUPPORTED_PROTOCOL &&
           code != CURLE_COULDNT_RESOLVE_PROXY;
}

static void finish(struct http_client *client, struct exchange *exchange, CURLcode code)
{
    struct http_answer answer = {.problem = "", .retry_after_ms = -1};
    long status = 0;
    curl_off_t value = 0;
    curl_easy_getinfo(exchange->easy, CURLINFO_TOTAL_TIME_T, &value);
    answer.elapsed_us = value;
    if (code == CURLE_OK) {
        curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
        answer.status = (int)status;
        if (curl_easy_getinfo(exchange->easy, CURLINFO_RETRY_AFTER, &value) == CURLE_OK &&
            value > 0)
            answer.retry_after_ms = value * 1000;
    } else {
        answer.problem = curl_easy_strerror(code);
        answer.sent = may_have_arrived(code);
        answer.distrusted =
            code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
    }
    buf_reserve(&exchange->answer, 1)[0] = '\0';
    answer.body = exchange->answer.data;
    answer.body_size = exchange->answer.size;
    curl_multi_remove_handle(client->multi, exchange->easy);
    client->under_way--;
    exchange->on_answer(&answer, exchange->opaque);
    give_back(client, exchange);
}

int http_client_poll(struct http_client *client, int timeout_ms, struct error *error)
{
    int running;
    int left;
    CURLMcode code = curl_multi_perform(client->multi, &running);
    if (code == CURLM_OK && (size_t)running == client->under_way)
        code = curl_multi_poll(client->multi, NULL, 0, timeout_ms, NULL);
    if (code == CURLM_OK)
        code = curl_multi_perform(client->multi, &running);
    if (code != CURLM_OK)
        return error_set(error, ERROR_FATAL, "http-client", "%s", curl_multi_strerror(code));
    for (CURLMsg *message; (message = curl_multi_info_read(client->multi, &left));) {
        char *opaque = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &opaque);
        finish(client, (struct exchange *)(void *)opaque, result);
    }
    return 0;
}

struct one_get {
    int done;
    int status;
    char problem[128];
    struct buf *body;
};

static void on_get(const struct http_answer *answer, void *opaque)
{
    struct one_get *get = opaque;
    get->done = 1;
    get->status = answer->status;
    strncpy(get->problem, answer->problem, sizeof get->problem - 1);
    if (get->body) {
        buf_put(get->body, answer->body, answer->body_size);
        buf_reserve(get->body, 1)[0] = '\0';
    }
}

int http_get(const char *url, int timeout_ms, int *ret_status, struct buf *ret_body,
             struct error *error)
{
    struct http_client *client;
    struct one_get get = {.body = ret_body};
    if (http_client_open(1, &client, error) != 0)
        return -1;
    struct http_call request = {
        .method = "GET", .url = url, .timeout_ms = timeout_ms, .on_answer = on_get, .opaque = &get};
    if (ret_body)
        buf_reset(ret_body);
    int result = http_client_submit(client, &request, error);
    while (result == 0 && !get.done)
        result = http_client_poll(client, timeout_ms, error);
    http_client_free(client);
    if (result == 0 && get.status == 0)
        return error_set(error, ERROR_RETRY, "no-answer", "%s: %s", url, get.problem);
    *ret_status = get.status;
    return result;
}
