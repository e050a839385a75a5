/* SPDX-License-Identifier: Apache-2.0
 *
 * libcurl's multi interface, driven by a loop: curl says which sockets and what time it waits for,
 * and libuv tells it when one of them is due. Answers are handed out only after curl has returned,
 * so a callback may send the next request. One thread.
 */
#include "sinks/clickhouse/http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <strings.h>

enum { CONNECTIONS_KEPT = 64, TOTAL_FACTOR = 10 };

struct http_client {
    uv_loop_t *loop;
    CURLM *multi;
    struct curl_slist *headers;
    struct curl_slist **old_headers; /* of earlier logins: requests under way may use them */
    size_t old_count;
    char *ca_file;
    int64_t connect_ms, stall_ms;
    struct http_transfer *transfers; /* under way */
    uv_timer_t timer;
    size_t handles_open; /* the timer, and one for each socket */
    bool closing, inside;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* A socket of curl's that it wants watched. */
struct http_socket {
    struct http_client *client;
    uv_poll_t poll;
    curl_socket_t fd;
};

struct http_transfer {
    struct http_client *client;
    struct http_request *request;
    struct http_transfer *next, **link;
    CURL *curl;
    struct buffer body;
    size_t header_bytes;
    int exception_code;
    bool body_cut;
    bool head_ended; /* the empty line after the headers came */
    bool framed;     /* a length, or chunks: what is cut is seen to be cut */
    char why[CURL_ERROR_SIZE];
};

/* ---- life ---- */

static void curl_start(void)
{
    gw_assert(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

static int add_header(struct curl_slist **headers, const char *name, const char *value,
                      struct err *err)
{
    if (value == NULL)
        return 0;
    for (const char *at = value; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return err_set(err, GW_EINVAL,
                           "user and password must not hold control characters: no HTTP header "
                           "carries them");
    /* curl takes "Name;" for an empty value. */
    char *line = mem_printf(*value ? "%s: %s" : "%s;", name, value);
    *headers = curl_slist_append(*headers, line);
    gw_assert(*headers != NULL);
    explicit_bzero(line, strlen(line));
    free(line);
    return 0;
}

static int on_socket(CURL *curl, curl_socket_t fd, int what, void *arg, void *of_socket);
static int on_timeout(CURLM *multi, long ms, void *arg);

static void multi_open(struct http_client *client)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, curl_start);
    client->multi = curl_multi_init();
    gw_assert(client->multi != NULL);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
    curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    gw_assert(uv_timer_init(client->loop, &client->timer) == 0);
    client->handles_open = 1;
}

static void headers_free(struct curl_slist *headers)
{
    for (struct curl_slist *at = headers; at; at = at->next)
        explicit_bzero(at->data, strlen(at->data)); /* a password is among them */
    curl_slist_free_all(headers);
}

static int headers_make(struct curl_slist **out, const char *user, const char *password,
                        struct err *err)
{
    /* The body goes at once: the wait for "100 Continue" would cost a round trip a block. */
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    gw_assert(headers != NULL);
    int result = add_header(&headers, "X-ClickHouse-User", user, err);
    if (result == 0)
        result = add_header(&headers, "X-ClickHouse-Key", password, err);
    if (result == 0)
        *out = headers;
    else
        headers_free(headers);
    return result;
}

static bool headers_equal(const struct curl_slist *a, const struct curl_slist *b)
{
    for (; a && b && strcmp(a->data, b->data) == 0; a = a->next)
        b = b->next;
    return a == NULL && b == NULL;
}

int http_client_login(struct http_client *client, const char *user, const char *password,
                      struct err *err)
{
    struct curl_slist *headers;
    int result = headers_make(&headers, user, password, err);
    if (result < 0)
        return result;
    if (headers_equal(headers, client->headers)) {
        headers_free(headers);
        return 0;
    }
    size_t size = (client->old_count + 1) * sizeof(struct curl_slist *);
    client->old_headers = mem_realloc(client->old_headers, size);
    client->old_headers[client->old_count++] = client->headers;
    client->headers = headers;
    return 0;
}

int http_client_new(uv_loop_t *loop, const struct http_options *options, struct http_client **out,
                    struct err *err)
{
    struct http_client *client = mem_zalloc(sizeof *client);
    client->loop = loop;
    client->connect_ms = options->connect_ms;
    client->stall_ms = options->stall_ms;
    int result = headers_make(&client->headers, options->user, options->password, err);
    if (result < 0) {
        free(client);
        return result;
    }
    client->ca_file = options->ca_file ? mem_strdup(options->ca_file) : NULL;
    multi_open(client);
    *out = client;
    return 0;
}

static void handle_closed(struct http_client *client)
{
    if (--client->handles_open == 0)
        client->closed(client->closed_arg); /* last: it may free the client */
}

static void on_timer_closed(uv_handle_t *handle)
{
    handle_closed(container_of((uv_timer_t *)handle, struct http_client, timer));
}

static void transfer_free(struct http_transfer *transfer);

void http_client_close(struct http_client *client, void (*closed)(void *arg), void *arg)
{
    gw_assert(!client->closing && !client->inside);
    client->closing = true;
    client->closed = closed;
    client->closed_arg = arg;
    while (client->transfers)
        transfer_free(client->transfers);
    curl_multi_cleanup(client->multi); /* closes its sockets: on_socket is told of each */
    client->multi = NULL;
    uv_close((uv_handle_t *)&client->timer, on_timer_closed);
}

void http_client_free(struct http_client *client)
{
    if (client == NULL)
        return;
    gw_assert(client->handles_open == 0);
    headers_free(client->headers);
    for (size_t i = 0; i < client->old_count; i++)
        headers_free(client->old_headers[i]);
    free(client->old_headers);
    free(client->ca_file);
    free(client);
}

/* ---- one transfer ---- */

static void transfer_link(struct http_transfer *transfer)
{
    struct http_client *client = transfer->client;
    transfer->next = client->transfers;
    transfer->link = &client->transfers;
    if (transfer->next)
        transfer->next->link = &transfer->next;
    client->transfers = transfer;
}

static void transfer_free(struct http_transfer *transfer)
{
    *transfer->link = transfer->next;
    if (transfer->next)
        transfer->next->link = transfer->link;
    curl_multi_remove_handle(transfer->client->multi, transfer->curl);
    curl_easy_cleanup(transfer->curl);
    buffer_fini(&transfer->body);
    transfer->request->transfer = NULL;
    free(transfer);
}

/* What lies beyond the cap is not read: an answer of ours is small, whatever it says. */
static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct http_transfer *transfer = arg;
    size_t room = HTTP_ANSWER_MAX - transfer->body.size, got = size * count;
    buffer_add(&transfer->body, data, got < room ? got : room);
    transfer->body_cut = got > room;
    return transfer->body_cut ? 0 : got;
}

/* Is this line the header `name`, given with its colon? What follows goes to `value`. */
static bool header_is(struct bytes line, const char *name, struct bytes *value)
{
    size_t size = strlen(name);
    if (line.size < size || strncasecmp((const char *)line.data, name, size) != 0)
        return false;
    *value = bytes_of(line.data + size, line.size - size);
    return true;
}

/* Not terminated, so it is copied to be read. */
static int number_of(struct bytes text)
{
    char copy[12] = "";
    memcpy(copy, text.data, text.size < sizeof copy ? text.size : sizeof copy - 1);
    return atoi(copy);
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    struct http_transfer *transfer = arg;
    struct bytes line = bytes_of(data, size * count), value;
    transfer->header_bytes += line.size;
    if (transfer->header_bytes > HTTP_ANSWER_MAX)
        return 0;
    if (header_is(line, "HTTP/", &value)) { /* "100 Continue" comes before the real one */
        transfer->head_ended = transfer->framed = false;
        transfer->exception_code = 0;
    } else if (line.size <= 2) {
        transfer->head_ended = true;
    } else if (header_is(line, "Content-Length:", &value) ||
               header_is(line, "Transfer-Encoding:", &value)) {
        transfer->framed = true;
    } else if (header_is(line, "X-ClickHouse-Exception-Code:", &value)) {
        int code = number_of(value);
        transfer->exception_code = code > 0 ? code : -1; /* there is one, and nobody knows which */
    }
    return line.size;
}

static void set_limits(CURL *curl, const struct http_client *client)
{
    long stall_s = client->stall_ms < 1000 ? 1 : (long)(client->stall_ms / 1000);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)client->connect_ms);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)HTTP_SLOW_BYTES);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, stall_s);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, stall_s * 1000 * TOTAL_FACTOR);
}

static void set_caution(CURL *curl, const struct http_client *client)
{
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    if (client->ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, client->ca_file);
    /* Closing must not wait for a name that nobody resolves. */
    curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
}

static void set_request(struct http_transfer *transfer)
{
    CURL *curl = transfer->curl;
    const struct http_request *request = transfer->request;
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, transfer->client->headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "tidegate");
    curl_easy_setopt(curl, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, transfer->why);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    if (request->body.size == 0)
        return;
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, (const char *)request->body.data);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
}

void http_send(struct http_client *client, struct http_request *request)
{
    gw_assert(!client->closing && request->transfer == NULL);
    struct http_transfer *transfer = mem_zalloc(sizeof *transfer);
    transfer->client = client;
    transfer->request = request;
    transfer->curl = curl_easy_init();
    gw_assert(transfer->curl != NULL);
    request->transfer = transfer;
    transfer_link(transfer);
    set_caution(transfer->curl, client);
    set_limits(transfer->curl, client);
    set_request(transfer);
    gw_assert(curl_multi_add_handle(client->multi, transfer->curl) == CURLM_OK);
}

void http_escape(struct buffer *out, struct bytes text)
{
    static const char plain[] = "-._~";
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        bool letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
        if (letter || (byte >= '0' && byte <= '9') || (byte && strchr(plain, byte)))
            buffer_u8(out, byte);
        else
            buffer_printf(out, "%%%02X", byte);
    }
}

/* ---- how it ended ---- */

static bool anything_sent(CURL *curl)
{
    long head = 0;
    curl_off_t body = 0;
    curl_easy_getinfo(curl, CURLINFO_REQUEST_SIZE, &head);
    curl_easy_getinfo(curl, CURLINFO_SIZE_UPLOAD_T, &body);
    return head > 0 || body > 0;
}

static enum http_end end_of(struct http_transfer *transfer, CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        /* curl also takes headers that end with the connection, and a body without a length. */
        if (transfer->head_ended && transfer->framed)
            return HTTP_ANSWERED;
        snprintf(transfer->why, sizeof transfer->why, "the answer is cut, or has no length");
        break;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT: return HTTP_REFUSED;
    case CURLE_WRITE_ERROR:
        /* Our own cap: status and the beginning are there. */
        if (transfer->body_cut)
            return HTTP_ANSWERED;
        break;
    case CURLE_OPERATION_TIMEDOUT:
        if (anything_sent(transfer->curl))
            return HTTP_TIMED_OUT;
        break;
    default: break;
    }
    return anything_sent(transfer->curl) ? HTTP_BROKEN : HTTP_UNREACHABLE;
}

static void transfer_done(struct http_transfer *transfer, CURLcode code)
{
    long status = 0;
    struct http_request *request = transfer->request;
    struct buffer body = transfer->body;
    enum http_end end = end_of(transfer, code);
    char why[CURL_ERROR_SIZE];
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
    snprintf(why, sizeof why, "%s", transfer->why[0] ? transfer->why : curl_easy_strerror(code));
    struct http_answer answer = {
        .end = end,
        .status = (int)status,
        .exception_code = transfer->exception_code,
        .body = buffer_bytes(&body),
        .body_cut = transfer->body_cut,
        .why = why,
    };
    transfer->body = (struct buffer){0};
    transfer_free(transfer); /* before the callback, which may send with the same request */
    request->done(request, &answer);
    buffer_fini(&body);
}

static void hand_out_answers(struct http_client *client)
{
    int left;
    const CURLMsg *message;
    while (!client->closing && (message = curl_multi_info_read(client->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct http_transfer *transfer = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        transfer_done(transfer, message->data.result);
    }
}

/* ---- curl and the loop ---- */

static void drive(struct http_client *client, curl_socket_t fd, int events)
{
    int running;
    client->inside = true;
    gw_assert(curl_multi_socket_action(client->multi, fd, events, &running) == CURLM_OK);
    client->inside = false;
    hand_out_answers(client);
}

static void on_timer(uv_timer_t *timer)
{
    drive(container_of(timer, struct http_client, timer), CURL_SOCKET_TIMEOUT, 0);
}

static int on_timeout(CURLM *multi, long ms, void *arg)
{
    (void)multi;
    struct http_client *client = arg;
    if (uv_is_closing((uv_handle_t *)&client->timer))
        return 0;
    if (ms < 0)
        uv_timer_stop(&client->timer);
    else
        uv_timer_start(&client->timer, on_timer, (uint64_t)ms, 0);
    return 0;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct http_socket *watched = container_of(poll, struct http_socket, poll);
    /* The loop says no more than that there is an error. curl reads it from the socket, and knows
     * that a kept connection which was reset before any answer calls for a new one. */
    int what = status < 0 ? CURL_CSELECT_IN | CURL_CSELECT_OUT : 0;
    if (events & UV_READABLE)
        what |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        what |= CURL_CSELECT_OUT;
    drive(watched->client, watched->fd, what);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct http_socket *watched = container_of((uv_poll_t *)handle, struct http_socket, poll);
    struct http_client *client = watched->client;
    free(watched);
    handle_closed(client);
}

static struct http_socket *watch(struct http_client *client, curl_socket_t fd)
{
    struct http_socket *watched = mem_zalloc(sizeof *watched);
    watched->client = client;
    watched->fd = fd;
    gw_assert(uv_poll_init_socket(client->loop, &watched->poll, fd) == 0);
    client->handles_open++;
    curl_multi_assign(client->multi, fd, watched);
    return watched;
}

/* curl closes the descriptor when this returns: the loop must have forgotten it by then. */
static void unwatch(struct http_socket *watched)
{
    curl_multi_assign(watched->client->multi, watched->fd, NULL);
    uv_poll_stop(&watched->poll);
    uv_close((uv_handle_t *)&watched->poll, on_poll_closed);
}

static int on_socket(CURL *curl, curl_socket_t fd, int what, void *arg, void *of_socket)
{
    (void)curl;
    struct http_client *client = arg;
    struct http_socket *watched = of_socket;
    if (what == CURL_POLL_REMOVE) {
        if (watched)
            unwatch(watched);
        return 0;
    }
    if (watched == NULL)
        watched = watch(client, fd);
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    gw_assert(uv_poll_start(&watched->poll, events, on_poll) == 0);
    return 0;
}
