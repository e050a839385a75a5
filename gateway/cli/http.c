/* SPDX-License-Identifier: Apache-2.0
 *
 * libcurl with everything off that a question to a gateway does not need: no proxies, no redirects, no
 * other protocols, a limit on the answer. A token never goes over a network in the clear, nor into a
 * URL.
 */
#include "cli/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/disk.h"
#include "cli/cli.h"

enum { BODY_BYTES_MAX = 256 << 20 };

struct http {
    CURL *curl;
    const char *scheme;
    struct curl_slist *token; /* its header; null without */
    struct err wrong;         /* what a question is answered with, unless empty */
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

/* ---- TLS and token ---- */

static bool is_loopback(const char *admin)
{
    return strncmp(admin, "127.", 4) == 0 || strncmp(admin, "[::1]", 5) == 0 ||
           strncmp(admin, "localhost:", 10) == 0;
}

/* The last word of the first line that is neither empty nor a comment. */
static struct bytes token_in(struct bytes text)
{
    while (text.size) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size;
        size_t stop = size;
        while (stop && strchr(" \t\r", text.data[stop - 1]))
            stop--;
        size_t begin = stop;
        while (begin && !strchr(" \t", text.data[begin - 1]))
            begin--;
        if (stop > begin && text.data[0] != '#')
            return bytes_of(text.data + begin, stop - begin);
        size += end != NULL;
        text = bytes_of(text.data + size, text.size - size);
    }
    return text;
}

static void token_read(struct http *http, const char *path)
{
    struct buffer text = {0};
    int rc = disk_read_named(&disk_real, path, 1 << 20, &text);
    struct bytes token = token_in(buffer_bytes(&text));
    if (rc < 0)
        err_set(&http->wrong, GW_EINVAL, "--token-file %s: %s", path, strerror(-rc));
    else if (token.size == 0)
        err_set(&http->wrong, GW_EINVAL, "--token-file %s: there is no token in it", path);
    else if (!cli_ask.tls && !is_loopback(http->admin))
        err_set(&http->wrong, GW_EINVAL,
                "a token is not sent in the clear: --admin https://%s --admin-ca FILE",
                http->admin);
    if (http->wrong.text[0] == '\0') {
        char *header =
            mem_printf("Authorization: Bearer %.*s", (int)token.size, (const char *)token.data);
        http->token = curl_slist_append(NULL, header);
        explicit_bzero(header, strlen(header));
        free(header);
    }
    if (text.capacity)
        explicit_bzero(text.data, text.capacity);
    buffer_fini(&text);
}

static void secure(struct http *http)
{
    if (cli_ask.ca_file)
        cli_ask.tls = true;
    http->scheme = cli_ask.tls ? "https" : "http";
    curl_easy_setopt(http->curl, CURLOPT_PROTOCOLS_STR, http->scheme);
    curl_easy_setopt(http->curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (cli_ask.ca_file)
        curl_easy_setopt(http->curl, CURLOPT_CAINFO, cli_ask.ca_file);
    if (cli_ask.any_name)
        curl_easy_setopt(http->curl, CURLOPT_SSL_VERIFYHOST, 0L);
    if (cli_ask.any_certificate && cli_ask.token_file == NULL) {
        curl_easy_setopt(http->curl, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(http->curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (cli_ask.token_file)
        token_read(http, cli_ask.token_file);
    curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, http->token);
}

/* ---- questions ---- */

struct http *http_new(const char *admin)
{
    struct http *http = mem_zalloc(sizeof *http);
    http->admin = mem_strdup(admin);
    http->curl = curl_easy_init();
    gw_assert(http->curl != NULL);
    curl_easy_setopt(http->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(http->curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(http->curl, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
    curl_easy_setopt(http->curl, CURLOPT_ERRORBUFFER, http->why);
    curl_easy_setopt(http->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(http->curl, CURLOPT_USERAGENT, "tidegate");
    secure(http);
    return http;
}

void http_free(struct http *http)
{
    if (http == NULL)
        return;
    curl_easy_cleanup(http->curl);
    curl_slist_free_all(http->token);
    free(http->admin);
    free(http);
}

/* Whatever the method is. */
static int perform(struct http *http, const char *path, int64_t timeout_ms, struct buffer *body,
                   long *status, struct err *err)
{
    buffer_clear(body);
    if (http->wrong.text[0])
        return err_set(err, GW_EINVAL, "%s", http->wrong.text);
    char *url = mem_printf("%s://%s%s", http->scheme, http->admin, path);
    http->why[0] = '\0';
    curl_easy_setopt(http->curl, CURLOPT_URL, url);
    curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(http->curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    CURLcode code = curl_easy_perform(http->curl);
    curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, status);
    free(url);
    if (code == CURLE_OK)
        return 0;
    return err_set(
        err, GW_EIO, "%s://%s: %s; is the gateway running, and is that its --admin address%s?",
        http->scheme, http->admin, http->why[0] ? http->why : curl_easy_strerror(code),
        cli_ask.tls ? ", and --admin-ca its authority" : " (with TLS: https://HOST:PORT)");
}

static int token_error(const struct http *http, long status, struct err *err)
{
    return err_set(err, GW_EINVAL, "%s://%s: %s", http->scheme, http->admin,
                   status == 403 ? "this token's role is not good for that"
                   : http->token ? "it does not know this token"
                                 : "it asks for a token: --token-file FILE");
}

int http_get(struct http *http, const char *path, int64_t timeout_ms, struct buffer *body,
             struct err *err)
{
    long status = 0;
    int rc = perform(http, path, timeout_ms, body, &status, err);
    if (rc == 0 && (status == 401 || status == 403))
        return token_error(http, status, err);
    if (rc == 0 && status != 200)
        rc = err_set(err, GW_EINVAL, "%s://%s%s: answered with status %ld", http->scheme,
                     http->admin, path, status);
    return rc;
}

static int post_error(const struct http *http, long status, struct buffer *body, struct err *err)
{
    if (status == 401 || (status == 403 && http->token))
        return token_error(http, status, err);
    int rc = status == 404 ? GW_ENOENT : status == 409 ? GW_EEXIST : GW_EINVAL;
    while (body->size && body->data[body->size - 1] == '\n')
        body->size--;
    if (body->size == 0)
        return err_set(err, rc, "%s://%s: answered with status %ld", http->scheme, http->admin,
                       status);
    return err_set(err, rc, "%.*s", (int)body->size, (const char *)body->data);
}

int http_post(struct http *http, const char *path, struct bytes json, int64_t timeout_ms,
              struct buffer *body, struct err *err)
{
    long status = 0;
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (http->token)
        headers = curl_slist_append(headers, http->token->data);
    curl_easy_setopt(http->curl, CURLOPT_POST, 1L);
    curl_easy_setopt(http->curl, CURLOPT_POSTFIELDS, (const char *)json.data);
    curl_easy_setopt(http->curl, CURLOPT_POSTFIELDSIZE, (long)json.size);
    curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, headers);
    int rc = perform(http, path, timeout_ms, body, &status, err);
    curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, http->token);
    curl_easy_setopt(http->curl, CURLOPT_HTTPGET, 1L);
    curl_slist_free_all(headers);
    return rc || status == 200 ? rc : post_error(http, status, body, err);
}

int http_exit_code(int rc)
{
    return rc == GW_EIO ? EXIT_CODE_UNAVAILABLE : rc ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

char *http_reachable(const char *listen)
{
    const char *colon = strrchr(listen, ':');
    size_t size = colon ? (size_t)(colon - listen) : 0;
    if (colon == NULL)
        return mem_strdup(listen);
    if (size == 0 || (size == 7 && memcmp(listen, "0.0.0.0", 7) == 0))
        return mem_printf("127.0.0.1%s", colon);
    if (size == 4 && memcmp(listen, "[::]", 4) == 0)
        return mem_printf("[::1]%s", colon);
    return mem_strdup(listen);
}
