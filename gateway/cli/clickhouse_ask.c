/* SPDX-License-Identifier: Apache-2.0
 *
 * See clickhouse_ask.h. wait_end_of_query makes the server keep the result back until it is whole: without
 * it, a failure in the middle comes as text among the rows of an answer that began with 200.
 */
#include "cli/clickhouse_ask.h"

#include <curl/curl.h>
#include <stdlib.h>

enum { ERROR_BYTES_MAX = 4096, TEXT_BYTES_MAX = 1 << 20, ANSWER_MS_MAX = 3600 * 1000 };

struct clickhouse_ask {
    CURL *curl;
    char *base;
    struct curl_slist *headers;
    char why[CURL_ERROR_SIZE];
    /* Of the question at hand. */
    int (*part)(void *arg, struct bytes in);
    void *arg;
    struct buffer error; /* the body of another status than 200 */
    bool refused;        /* by `part` */
};

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct clickhouse_ask *ask = arg;
    long status = 0;
    curl_easy_getinfo(ask->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) {
        size_t room = ERROR_BYTES_MAX - ask->error.size;
        buffer_add(&ask->error, data, size * count < room ? size * count : room);
        return size * count;
    }
    ask->refused = ask->part(ask->arg, bytes_of(data, size * count)) != 0;
    return ask->refused ? 0 : size * count;
}

static int header_add(struct clickhouse_ask *ask, const char *name, const char *value,
                      struct err *err)
{
    if (value == NULL)
        return 0;
    for (const char *at = value; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return err_set(err, GW_EINVAL,
                           "user and password must not hold control characters: no HTTP header "
                           "carries them");
    char *line = mem_printf(*value ? "%s: %s" : "%s;", name, value);
    ask->headers = curl_slist_append(ask->headers, line);
    explicit_bzero(line, strlen(line));
    free(line);
    return 0;
}

/* No redirects, no proxies of the environment, no other protocols: a login goes where it was meant to. */
static void curl_prepare(struct clickhouse_ask *ask, const struct clickhouse_login *login)
{
    ask->curl = curl_easy_init();
    gw_assert(ask->curl != NULL);
    curl_easy_setopt(ask->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(ask->curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(ask->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(ask->curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(ask->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)login->connect_ms);
    curl_easy_setopt(ask->curl, CURLOPT_TIMEOUT_MS, (long)ANSWER_MS_MAX);
    curl_easy_setopt(ask->curl, CURLOPT_ERRORBUFFER, ask->why);
    curl_easy_setopt(ask->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(ask->curl, CURLOPT_WRITEDATA, ask);
    curl_easy_setopt(ask->curl, CURLOPT_USERAGENT, "tidegate");
    if (login->ca_file)
        curl_easy_setopt(ask->curl, CURLOPT_CAINFO, login->ca_file);
}

int clickhouse_ask_new(const char *base, const struct clickhouse_login *login,
                       struct clickhouse_ask **out, struct err *err)
{
    struct clickhouse_ask *ask = mem_zalloc(sizeof *ask);
    ask->base = mem_strdup(base);
    ask->headers = curl_slist_append(NULL, "Expect:");
    curl_prepare(ask, login);
    int rc = header_add(ask, "X-ClickHouse-User", login->user, err);
    if (rc == 0)
        rc = header_add(ask, "X-ClickHouse-Key", login->password, err);
    if (rc) {
        clickhouse_ask_free(ask);
        ask = NULL;
    }
    *out = ask;
    return rc;
}

void clickhouse_ask_free(struct clickhouse_ask *ask)
{
    if (ask == NULL)
        return;
    for (struct curl_slist *at = ask->headers; at; at = at->next)
        explicit_bzero(at->data, strlen(at->data)); /* a password is among them */
    curl_slist_free_all(ask->headers);
    curl_easy_cleanup(ask->curl);
    buffer_fini(&ask->error);
    free(ask->base);
    free(ask);
}

/* The first line of what the server says, without what would move a terminal's cursor. */
static int server_error(struct clickhouse_ask *ask, long status, struct err *err)
{
    size_t size = 0;
    while (size < ask->error.size && size < 300 && ask->error.data[size] != '\n')
        size++;
    for (size_t i = 0; i < size; i++)
        if (ask->error.data[i] < 0x20 || ask->error.data[i] == 0x7f)
            ask->error.data[i] = '?';
    buffer_u8(&ask->error, '\0');
    const char *text = (const char *)ask->error.data;
    bool denied = strstr(text, "ACCESS_DENIED") || strstr(text, "Not enough privileges");
    return err_set(err, GW_EINVAL, "%s: status %ld: %.*s%s", ask->base, status, (int)size, text,
                   denied ? "; name a user that may SELECT: --clickhouse-user" : "");
}

int clickhouse_ask_stream(struct clickhouse_ask *ask, struct bytes query,
                          int (*part)(void *arg, struct bytes in), void *arg, struct err *err)
{
    long status = 0;
    char *url = mem_printf("%s/?wait_end_of_query=1", ask->base);
    ask->part = part;
    ask->arg = arg;
    ask->refused = false;
    ask->why[0] = '\0';
    buffer_clear(&ask->error);
    curl_easy_setopt(ask->curl, CURLOPT_URL, url);
    curl_easy_setopt(ask->curl, CURLOPT_HTTPHEADER, ask->headers);
    curl_easy_setopt(ask->curl, CURLOPT_POST, 1L);
    curl_easy_setopt(ask->curl, CURLOPT_POSTFIELDS, (const char *)query.data);
    curl_easy_setopt(ask->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)query.size);
    CURLcode code = curl_easy_perform(ask->curl);
    curl_easy_getinfo(ask->curl, CURLINFO_RESPONSE_CODE, &status);
    free(url);
    if (ask->refused)
        return err_set(err, GW_EIO, "%s: an answer of another shape than asked for", ask->base);
    if (code != CURLE_OK)
        return err_set(err, GW_EIO, "%s: %s", ask->base,
                       ask->why[0] ? ask->why : curl_easy_strerror(code));
    return status == 200 ? 0 : server_error(ask, status, err);
}

static int on_text(void *arg, struct bytes in)
{
    struct buffer *out = arg;
    buffer_add_bytes(out, in);
    return out->size > TEXT_BYTES_MAX;
}

int clickhouse_ask_text(struct clickhouse_ask *ask, const char *query, struct buffer *out,
                        struct err *err)
{
    return clickhouse_ask_stream(ask, bytes_text(query), on_text, out, err);
}

void clickhouse_quote(struct bytes in, struct buffer *out)
{
    buffer_u8(out, '\'');
    for (size_t i = 0; i < in.size; i++) {
        uint8_t c = in.data[i];
        if (c == '\0') {
            buffer_add_text(out, "\\0");
            continue;
        }
        if (c == '\'' || c == '\\')
            buffer_u8(out, '\\');
        buffer_u8(out, c);
    }
    buffer_u8(out, '\'');
}
