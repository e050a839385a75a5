/* SPDX-License-Identifier: Apache-2.0
 *
 * libcurl with everything off that a question to a local gateway does not need: no proxies, no
 * redirects, no other protocols, a limit on the answer.
 */
#include "cli/http.h"

#include <curl/curl.h>
#include <stdlib.h>

enum { BODY_BYTES_MAX = 256 << 20 };

struct http {
    CURL *curl;
    char *admin;
    char why[CURL_ERROR_SIZE];
};

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct buffer *body = arg;
    if (body->size + size * count > BODY_BYTES_MAX)
        return 0;
    buffer_add(body, data, size * count);
    return size * count;
}

struct http *http_new(const char *admin)
{
    struct http *http = mem_zalloc(sizeof *http);
    http->admin = mem_strdup(admin);
    http->curl = curl_easy_init();
    gw_assert(http->curl != NULL);
    curl_easy_setopt(http->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(http->curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(http->curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(http->curl, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
    curl_easy_setopt(http->curl, CURLOPT_ERRORBUFFER, http->why);
    curl_easy_setopt(http->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(http->curl, CURLOPT_USERAGENT, "tidegate");
    return http;
}

void http_free(struct http *http)
{
    if (http == NULL)
        return;
    curl_easy_cleanup(http->curl);
    free(http->admin);
    free(http);
}

/* Whatever the method is. */
static int perform(struct http *http, const char *path, int64_t timeout_ms, struct buffer *body,
                   long *status, struct err *err)
{
    char *url = mem_printf("http://%s%s", http->admin, path);
    buffer_clear(body);
    http->why[0] = '\0';
    curl_easy_setopt(http->curl, CURLOPT_URL, url);
    curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(http->curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    CURLcode code = curl_easy_perform(http->curl);
    curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, status);
    free(url);
    if (code == CURLE_OK)
        return 0;
    return err_set(err, GW_EIO,
                   "http://%s: %s; is the gateway running, and is that its --admin address?",
                   http->admin, http->why[0] ? http->why : curl_easy_strerror(code));
}

int http_get(struct http *http, const char *path, int64_t timeout_ms, struct buffer *body,
             struct err *err)
{
    long status = 0;
    int rc = perform(http, path, timeout_ms, body, &status, err);
    if (rc == 0 && status != 200)
        rc = err_set(err, GW_EINVAL, "http://%s%s: answered with status %ld", http->admin, path,
                     status);
    return rc;
}

static int post_error(const struct http *http, long status, struct buffer *body, struct err *err)
{
    int rc = status == 404 ? GW_ENOENT : status == 409 ? GW_EEXIST : GW_EINVAL;
    while (body->size && body->data[body->size - 1] == '\n')
        body->size--;
    if (body->size == 0)
        return err_set(err, rc, "http://%s: answered with status %ld", http->admin, status);
    return err_set(err, rc, "%.*s", (int)body->size, (const char *)body->data);
}

int http_post(struct http *http, const char *path, struct bytes json, int64_t timeout_ms,
              struct buffer *body, struct err *err)
{
    long status = 0;
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    curl_easy_setopt(http->curl, CURLOPT_POST, 1L);
    curl_easy_setopt(http->curl, CURLOPT_POSTFIELDS, (const char *)json.data);
    curl_easy_setopt(http->curl, CURLOPT_POSTFIELDSIZE, (long)json.size);
    curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, headers);
    int rc = perform(http, path, timeout_ms, body, &status, err);
    curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(http->curl, CURLOPT_HTTPGET, 1L);
    curl_slist_free_all(headers);
    return rc || status == 200 ? rc : post_error(http, status, body, err);
}

int http_exit_code(int rc)
{
    return rc == GW_EIO ? EXIT_CODE_UNAVAILABLE : rc ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
