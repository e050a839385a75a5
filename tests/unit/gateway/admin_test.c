/* SPDX-License-Identifier: Apache-2.0
 *
 * The admin interface against a raw socket: what it answers to good, malformed and hostile requests,
 * and that it answers the next one afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/admin.h"

enum { ANSWER_MS = 10000 };

struct fixture {
    struct admin *admin;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int waiting; /* handlers in /wait */
    bool release;
};

static int handle_text(void *arg, const struct admin_request *request, struct buffer *body)
{
    (void)arg;
    const char *name = admin_argument(request, "name");
    buffer_printf(body, "hello %s\n", name ? name : "nobody");
    return 200;
}

static int handle_unready(void *arg, const struct admin_request *request, struct buffer *body)
{
    (void)arg;
    (void)request;
    buffer_add_text(body, "not ready\n");
    return 503;
}

static int handle_empty(void *arg, const struct admin_request *request, struct buffer *body)
{
    (void)arg;
    (void)request;
    (void)body;
    return 200;
}

static int handle_wait(void *arg, const struct admin_request *request, struct buffer *body)
{
    struct fixture *fixture = arg;
    (void)request;
    pthread_mutex_lock(&fixture->lock);
    fixture->waiting++;
    pthread_cond_broadcast(&fixture->changed);
    while (!fixture->release)
        pthread_cond_wait(&fixture->changed, &fixture->lock);
    fixture->waiting--;
    pthread_mutex_unlock(&fixture->lock);
    buffer_add_text(body, "waited\n");
    return 200;
}

static int handle_echo(void *arg, const struct admin_request *request, struct buffer *body)
{
    (void)arg;
    buffer_add_bytes(body, admin_body(request));
    return body->size > 60000 ? 409 : 200;
}

static const struct admin_route routes[] = {
    {.path = "/text", .content_type = "text/plain", .handle = handle_text},
    {.path = "/unready", .content_type = "text/plain", .handle = handle_unready},
    {.path = "/empty", .content_type = "text/plain", .handle = handle_empty},
    {.path = "/wait", .content_type = "text/plain", .handle = handle_wait},
    {.path = "/echo", .content_type = "application/json", .post = handle_echo},
    {.path = "/both",
     .content_type = "application/json",
     .handle = handle_text,
     .post = handle_echo},
    {0},
};

static int admin_begin(struct admin **out, const char *listen, struct fixture *fixture,
                       struct err *err)
{
    struct admin_options options = {.listen = (char *)(uintptr_t)listen};
    return admin_start(out, &options, routes, fixture, NULL, err);
}

static int setup(void **state)
{
    struct fixture *fixture = mem_zalloc(sizeof *fixture);
    struct err err;
    pthread_mutex_init(&fixture->lock, NULL);
    pthread_cond_init(&fixture->changed, NULL);
    if (admin_begin(&fixture->admin, "127.0.0.1:0", fixture, &err))
        fail_msg("%s", err.text);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    admin_stop(fixture->admin);
    pthread_cond_destroy(&fixture->changed);
    pthread_mutex_destroy(&fixture->lock);
    free(fixture);
    return 0;
}

/* ---- a raw client ---- */

static int client_open(const struct fixture *fixture)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)admin_port(fixture->admin)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void client_send(int fd, struct bytes in)
{
    while (in.size) {
        ssize_t size = send(fd, in.data, in.size, MSG_NOSIGNAL);
        if (size <= 0)
            return; /* it closed before it had everything: its right */
        in = bytes_of(in.data + size, in.size - (size_t)size);
    }
}

/* Until the peer closes or `enough` is in it. */
static void client_receive(int fd, const char *enough, struct buffer *out)
{
    for (;;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, ANSWER_MS) != 1)
            fail_msg("no answer within %d ms", ANSWER_MS);
        ssize_t size = recv(fd, buffer_reserve(out, 65536), 65536, 0);
        if (size <= 0)
            return;
        out->size += (size_t)size;
        if (enough && memmem(out->data, out->size, enough, strlen(enough)))
            return;
    }
}

/* Sends and half-closes; the whole answer as text, which the caller frees. */
static char *ask(const struct fixture *fixture, struct bytes request)
{
    struct buffer answer = {0};
    int fd = client_open(fixture);
    client_send(fd, request);
    shutdown(fd, SHUT_WR);
    client_receive(fd, NULL, &answer);
    close(fd);
    char *text = bytes_strdup(buffer_bytes(&answer));
    buffer_fini(&answer);
    return text;
}

static int status_of(const char *answer)
{
    int status = 0;
    sscanf(answer, "HTTP/1.%*d %d", &status);
    return status;
}

static int ask_status(const struct fixture *fixture, const char *request)
{
    char *answer = ask(fixture, bytes_text(request));
    int status = status_of(answer);
    free(answer);
    return status;
}

static void assert_serves(const struct fixture *fixture)
{
    assert_int_equal(
        ask_status(fixture, "GET /text HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), 200);
}

/* ---- tests ---- */

static void get_answers_with_body_type_and_argument(void **state)
{
    char *answer = ask(*state, bytes_text("GET /text?a=1&name=wat%20er HTTP/1.1\r\nHost: x\r\n"
                                          "Connection: close\r\n\r\n"));
    assert_int_equal(status_of(answer), 200);
    assert_non_null(strstr(answer, "Content-Type: text/plain\r\n"));
    assert_non_null(strstr(answer, "X-Content-Type-Options: nosniff\r\n"));
    assert_non_null(strstr(answer, "\r\n\r\nhello wat er\n"));
    free(answer);
}

static void head_answers_without_body(void **state)
{
    char *answer =
        ask(*state, bytes_text("HEAD /text HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    assert_int_equal(status_of(answer), 200);
    assert_non_null(strstr(answer, "Content-Length: 13\r\n"));
    assert_null(strstr(answer, "hello"));
    free(answer);
}

static void handler_chooses_the_status(void **state)
{
    assert_int_equal(
        ask_status(*state, "GET /unready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), 503);
    assert_int_equal(
        ask_status(*state, "GET /empty HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), 200);
}

static void other_methods_are_refused(void **state)
{
    static const char *const methods[] = {"POST",    "PUT",   "DELETE", "TRACE", "OPTIONS",
                                          "CONNECT", "PATCH", "get",    "GETX",  "X-HTTP"};
    for (size_t i = 0; i < array_count(methods); i++) {
        char *request = mem_printf("%s /text HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                                   "X-HTTP-Method-Override: GET\r\nContent-Length: 2\r\n\r\n{}",
                                   methods[i]);
        char *answer = ask(*state, bytes_text(request));
        if (status_of(answer) != 405 || strstr(answer, "Allow: GET, HEAD\r\n") == NULL)
            fail_msg("%s: %s", methods[i], answer);
        free(answer);
        free(request);
    }
    assert_serves(*state);
}

static void paths_match_exactly(void **state)
{
    static const char *const paths[] = {
        "/",         "/text/",         "/text/../text", "/..;/text", "//text",
        "/TEXT",     "/%2e%2e/text",   "/%252e%252e/",  "/text%2f",  "http://x/other",
        "/text;a=1", "/../etc/passwd", "/text%3fa",     "*",         "/wait/x",
    };
    for (size_t i = 0; i < array_count(paths); i++) {
        char *request =
            mem_printf("GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", paths[i]);
        int status = ask_status(*state, request);
        if (status != 404 && status != 400)
            fail_msg("%s: %d", paths[i], status);
        free(request);
    }
}

static void bodies_are_refused(void **state)
{
    static const char *const headers[] = {
        "Content-Length: 5\r\n\r\nhello",
        "Content-Length: 99999999999999999999999\r\n\r\n",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: 0x10\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nhello\r\n0\r\n\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip\r\n\r\n",
    };
    for (size_t i = 0; i < array_count(headers); i++) {
        char *request =
            mem_printf("GET /text HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s", headers[i]);
        int status = ask_status(*state, request);
        if (status != 400 && status != 413)
            fail_msg("%s: %d", headers[i], status);
        free(request);
    }
    assert_serves(*state);
}

/* ---- POST ---- */

static char *post(const struct fixture *fixture, const char *path, const char *headers,
                  const char *body)
{
    char *request = mem_printf("POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s"
                               "Content-Length: %zu\r\n\r\n%s",
                               path, headers, strlen(body), body);
    char *answer = ask(fixture, bytes_text(request));
    free(request);
    return answer;
}

static void a_post_of_json_reaches_its_handler(void **state)
{
    static const char *const types[] = {"Content-Type: application/json\r\n",
                                        "content-type: Application/JSON; charset=utf-8\r\n"};
    for (size_t i = 0; i < array_count(types); i++) {
        char *answer = post(*state, "/echo", types[i], "{\"a\": 1}");
        assert_int_equal(status_of(answer), 200);
        assert_non_null(strstr(answer, "\r\n\r\n{\"a\": 1}"));
        free(answer);
    }
}

static void a_large_post_comes_whole_and_a_larger_one_is_refused(void **state)
{
    static const struct {
        size_t size;
        int status;
    } cases[] = {{60001, 409}, {65536, 409}, {65537, 413}, {1000000, 413}};
    for (size_t i = 0; i < array_count(cases); i++) {
        char *body = mem_zalloc(cases[i].size + 1);
        memset(body, 'x', cases[i].size);
        char *answer = post(*state, "/echo", "Content-Type: application/json\r\n", body);
        assert_int_equal(status_of(answer), cases[i].status);
        if (cases[i].status == 409) {
            assert_non_null(strstr(answer, "Content-Type: text/plain\r\n"));
            assert_int_equal(strlen(strstr(answer, "\r\n\r\n") + 4), cases[i].size);
        }
        free(answer);
        free(body);
    }
    assert_serves(*state);
}

/* A form or a script of a page elsewhere can send the first two kinds unasked, and cannot hide the
 * others. */
static void what_a_browser_sends_for_a_page_is_refused(void **state)
{
    static const struct {
        const char *headers;
        int status;
    } cases[] = {
        {"", 415},
        {"Content-Type: text/plain\r\n", 415},
        {"Content-Type: application/x-www-form-urlencoded\r\n", 415},
        {"Content-Type: application/jsonp\r\n", 415},
        {"Content-Type: application/json\r\nOrigin: http://evil.example\r\n", 403},
        {"Content-Type: application/json\r\nOrigin: null\r\n", 403},
        {"Content-Type: application/json\r\nSec-Fetch-Site: cross-site\r\n", 403},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        char *answer = post(*state, "/echo", cases[i].headers, "{}");
        if (status_of(answer) != cases[i].status)
            fail_msg("%s: %s", cases[i].headers, answer);
        free(answer);
    }
}

static void a_post_without_a_length_is_refused(void **state)
{
    static const char *const rests[] = {
        "\r\n",
        "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < array_count(rests); i++) {
        char *request = mem_printf("POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                                   "Content-Type: application/json\r\n%s",
                                   rests[i]);
        int status = ask_status(*state, request);
        if (status != 411 && status != 400)
            fail_msg("%s: %d", rests[i], status);
        free(request);
    }
    assert_serves(*state);
}

static void each_path_has_its_methods(void **state)
{
    const struct fixture *fixture = *state;
    char *answer =
        ask(fixture, bytes_text("GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    assert_int_equal(status_of(answer), 405);
    assert_non_null(strstr(answer, "Allow: POST\r\n"));
    free(answer);
    answer = ask(fixture, bytes_text("PUT /both HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    assert_non_null(strstr(answer, "Allow: GET, HEAD, POST\r\n"));
    free(answer);
    answer = post(fixture, "/nowhere", "Content-Type: application/json\r\n", "{}");
    assert_int_equal(status_of(answer), 404);
    free(answer);
}

static void a_post_that_is_cut_short_reaches_nobody(void **state)
{
    const struct fixture *fixture = *state;
    int fd = client_open(fixture);
    client_send(fd, bytes_text("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: "
                               "application/json\r\nContent-Length: 100\r\n\r\n{\"a\""));
    close(fd);
    assert_serves(fixture);
}

static void large_requests_are_refused(void **state)
{
    struct buffer request = {0};
    buffer_add_text(&request, "GET /text?name=");
    memset(buffer_reserve(&request, 9000), 'a', 9000);
    request.size += 9000;
    buffer_add_text(&request, " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    char *answer = ask(*state, buffer_bytes(&request));
    assert_int_equal(status_of(answer), 414);
    free(answer);

    buffer_clear(&request);
    buffer_add_text(&request, "GET /text HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    for (int i = 0; i < 10000; i++)
        buffer_printf(&request, "X-Header-%d: value\r\n", i);
    buffer_add_text(&request, "\r\n");
    answer = ask(*state, buffer_bytes(&request));
    int status = status_of(answer);
    /* 0: the connection was reset before the answer could be read */
    assert_true(status == 431 || status == 413 || status == 0);
    free(answer);
    buffer_fini(&request);
    assert_serves(*state);
}

static void malformed_requests_do_no_harm(void **state)
{
    static const struct bytes requests[] = {
#define REQUEST(text) {(const uint8_t *)(text), sizeof(text) - 1}
        REQUEST("\r\n\r\n"),
        REQUEST("GET /text\r\n\r\n"),
        REQUEST("GET\r\n\r\n"),
        REQUEST("GET /text HTTP/9.9\r\nHost: x\r\n\r\n"),
        REQUEST("GET /te\0xt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        REQUEST("GET /text%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        REQUEST("GET /text HTTP/1.1\r\nHost: a\0b\r\nConnection: close\r\n\r\n"),
        REQUEST("GET /text HTTP/1.1\r\nConnection: close\r\n\r\n"),
        REQUEST("GET /text HTTP/1.1\r\nHost x\r\nConnection: close\r\n\r\n"),
        REQUEST("GET /text HTTP/1.1\r\n folded\r\nHost: x\r\n\r\n"),
        REQUEST("GET /text HTTP/1.1\r\nHost: x\r\n"),
        REQUEST("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        REQUEST("\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"),
        REQUEST("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
#undef REQUEST
    };
    for (size_t i = 0; i < array_count(requests); i++) {
        char *answer = ask(*state, requests[i]);
        int status = status_of(answer);
        /* HTTP/0.9 and cut requests may simply be closed. */
        if (status >= 500 && status != 505)
            fail_msg("request %zu: %s", i, answer);
        free(answer);
    }
    char *answer = ask(*state, requests[5]);
    assert_int_equal(status_of(answer), 400);
    free(answer);
    assert_serves(*state);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    enum { REQUESTS = 200 };
    struct buffer request = {0}, answer = {0};
    for (int i = 0; i < REQUESTS; i++)
        buffer_printf(&request, "GET /text?name=%d HTTP/1.1\r\nHost: x\r\n%s\r\n", i,
                      i + 1 == REQUESTS ? "Connection: close\r\n" : "");
    int fd = client_open(*state);
    client_send(fd, buffer_bytes(&request));
    client_receive(fd, NULL, &answer);
    close(fd);
    buffer_u8(&answer, '\0');
    const char *at = (const char *)answer.data;
    for (int i = 0; i < REQUESTS; i++) {
        char want[32];
        snprintf(want, sizeof want, "hello %d\n", i);
        at = strstr(at, want);
        assert_non_null(at);
    }
    buffer_fini(&request);
    buffer_fini(&answer);
}

static void silent_connections_do_not_stop_others(void **state)
{
    int fds[40];
    for (size_t i = 0; i < array_count(fds); i++) {
        fds[i] = client_open(*state);
        client_send(fds[i], bytes_text("GET /te"));
    }
    assert_serves(*state);
    for (size_t i = 0; i < array_count(fds); i++)
        close(fds[i]);
}

/* A byte now and then does not keep a connection: the test ends when the server has closed it. */
static void slow_requests_are_ended(void **state)
{
    int fd = client_open(*state);
    int sent = 0;
    char byte;
    client_send(fd, bytes_text("GET /text HTTP/1.1\r\nHost: "));
    for (;;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, 500) == 1 && recv(fd, &byte, 1, 0) <= 0)
            break;
        client_send(fd, bytes_text("x"));
        assert_true(++sent < 60);
    }
    assert_true(sent > 2);
    close(fd);
    assert_serves(*state);
}

/* ---- handlers that wait ---- */

static void waiters_start(struct fixture *fixture, int *fds, int count)
{
    for (int i = 0; i < count; i++) {
        fds[i] = client_open(fixture);
        client_send(fds[i],
                    bytes_text("GET /wait HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    }
    pthread_mutex_lock(&fixture->lock);
    while (fixture->waiting < count)
        pthread_cond_wait(&fixture->changed, &fixture->lock);
    pthread_mutex_unlock(&fixture->lock);
}

static void waiters_release(struct fixture *fixture)
{
    pthread_mutex_lock(&fixture->lock);
    fixture->release = true;
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
}

static void waiting_handlers_are_bounded_and_leave_room_for_others(void **state)
{
    enum { WAITERS = 16 };
    struct fixture *fixture = *state;
    int fds[WAITERS];
    waiters_start(fixture, fds, WAITERS);
    assert_int_equal(
        ask_status(fixture, "GET /wait HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), 429);
    assert_serves(fixture);
    waiters_release(fixture);
    for (int i = 0; i < WAITERS; i++) {
        struct buffer answer = {0};
        client_receive(fds[i], NULL, &answer);
        buffer_u8(&answer, '\0');
        assert_int_equal(status_of((const char *)answer.data), 200);
        buffer_fini(&answer);
        close(fds[i]);
    }
}

static void *stop_thread(void *arg)
{
    struct fixture *fixture = arg;
    admin_stop(fixture->admin);
    return NULL;
}

static void stop_waits_for_handlers(void **state)
{
    struct fixture *fixture = *state;
    pthread_t thread;
    int fd;
    waiters_start(fixture, &fd, 1);
    assert_int_equal(pthread_create(&thread, NULL, stop_thread, fixture), 0);
    waiters_release(fixture);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(fixture->waiting, 0);
    fixture->admin = NULL;
    close(fd);
}

/* ---- listening ---- */

static void taken_and_bad_addresses_are_told(void **state)
{
    static const char *const bad[] = {"127.0.0.1", "127.0.0.1:", "no.such.host.invalid:1", ""};
    struct fixture *fixture = *state;
    struct admin *other = NULL;
    struct err err;
    char taken[64];
    snprintf(taken, sizeof taken, "127.0.0.1:%d", admin_port(fixture->admin));
    assert_int_equal(admin_begin(&other, taken, fixture, &err), GW_EIO);
    assert_non_null(strstr(err.text, "Address already in use"));
    assert_non_null(strstr(err.text, "--admin"));
    for (size_t i = 0; i < array_count(bad); i++)
        if (admin_begin(&other, bad[i], fixture, &err) == 0)
            fail_msg("`%s` was taken as an address", bad[i]);
    assert_null(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(get_answers_with_body_type_and_argument),
        TEST(head_answers_without_body),
        TEST(handler_chooses_the_status),
        TEST(other_methods_are_refused),
        TEST(paths_match_exactly),
        TEST(bodies_are_refused),
        TEST(a_post_of_json_reaches_its_handler),
        TEST(a_large_post_comes_whole_and_a_larger_one_is_refused),
        TEST(what_a_browser_sends_for_a_page_is_refused),
        TEST(a_post_without_a_length_is_refused),
        TEST(each_path_has_its_methods),
        TEST(a_post_that_is_cut_short_reaches_nobody),
        TEST(large_requests_are_refused),
        TEST(malformed_requests_do_no_harm),
        TEST(pipelined_requests_are_answered_in_order),
        TEST(silent_connections_do_not_stop_others),
        TEST(slow_requests_are_ended),
        TEST(waiting_handlers_are_bounded_and_leave_room_for_others),
        TEST(stop_waits_for_handlers),
        TEST(taken_and_bad_addresses_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
