/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP client against servers that misbehave: every request ends, once, in bounded time and
 * memory, and no secret goes where it should not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/clock.h"
#include "lib/fake_http.h"
#include "sinks/clickhouse/http.h"

/* ---- a client, and what it hears ---- */

struct heard {
    struct http_request request;
    uv_loop_t *loop;
    bool done;
    enum http_end end;
    int status, code;
    bool body_cut;
    char body[256], why[256];
    size_t body_size;
};

struct rig {
    uv_loop_t loop;
    struct http_client *client;
    struct fake_http fake;
    char *url;
    bool closed;
    int other_port;
    int seen;             /* requests; the fake's lock */
    char last_head[2048]; /* likewise */
    struct bytes last_body;
    uint8_t body_copy[1 << 20];
};

static void on_done(struct http_request *request, const struct http_answer *answer)
{
    struct heard *heard = container_of(request, struct heard, request);
    assert_false(heard->done);
    heard->done = true;
    heard->end = answer->end;
    heard->status = answer->status;
    heard->code = answer->exception_code;
    heard->body_cut = answer->body_cut;
    heard->body_size = answer->body.size;
    snprintf(heard->body, sizeof heard->body, "%.*s", (int)answer->body.size,
             (const char *)answer->body.data);
    snprintf(heard->why, sizeof heard->why, "%s", answer->why);
    uv_stop(heard->loop);
}

static void rig_open(struct rig *rig, const char *user, const char *password)
{
    struct err err;
    struct http_options options = {
        .user = user, .password = password, .connect_ms = 500, .stall_ms = 1000};
    assert_int_equal(uv_loop_init(&rig->loop), 0);
    assert_int_equal(http_client_new(&rig->loop, &options, &rig->client, &err), 0);
    rig->fake.arg = rig;
    fake_http_start(&rig->fake);
    rig->url = mem_printf("http://127.0.0.1:%d/", rig->fake.port);
}

static void on_closed(void *arg)
{
    ((struct rig *)arg)->closed = true;
}

static void rig_close(struct rig *rig)
{
    http_client_close(rig->client, on_closed, rig);
    assert_false(rig->closed);
    while (!rig->closed)
        uv_run(&rig->loop, UV_RUN_ONCE);
    http_client_free(rig->client);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
    fake_http_stop(&rig->fake);
    free(rig->url);
}

static void on_over(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
    uv_stop(timer->loop);
}

static void wait_for(struct rig *rig, struct heard *heard)
{
    uv_timer_t timer;
    bool over = false;
    uv_timer_init(&rig->loop, &timer);
    timer.data = &over;
    uv_timer_start(&timer, on_over, 20000, 0);
    while (!heard->done && !over)
        uv_run(&rig->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&rig->loop, UV_RUN_NOWAIT);
    assert_true(heard->done);
}

static void ask(struct rig *rig, struct heard *heard, struct bytes body)
{
    *heard = (struct heard){.request = {.url = rig->url, .body = body, .done = on_done},
                            .loop = &rig->loop};
    http_send(rig->client, &heard->request);
    assert_false(heard->done);
    wait_for(rig, heard);
}

static struct rig *rig_of(struct fake_http *fake, const struct fake_request *request)
{
    struct rig *rig = fake->arg;
    rig->seen++;
    snprintf(rig->last_head, sizeof rig->last_head, "%.*s", (int)request->head.size,
             (const char *)request->head.data);
    size_t size = request->body.size < sizeof rig->body_copy ? request->body.size : 0;
    if (size)
        memcpy(rig->body_copy, request->body.data, size);
    rig->last_body = bytes_of(rig->body_copy, size);
    return rig;
}

/* ---- answers as they should be ---- */

static void reply_fine(struct fake_http *fake, const struct fake_request *request,
                       struct fake_reply *out)
{
    rig_of(fake, request);
    fake_reply_http(out, 200, NULL, "fine");
}

static struct rig *rig_new(void (*reply)(struct fake_http *, const struct fake_request *,
                                         struct fake_reply *))
{
    struct rig *rig = mem_zalloc(sizeof *rig);
    rig->fake.reply = reply;
    rig_open(rig, "gw", "pa:ss w\xc3\xb6rd");
    return rig;
}

static void rig_free(struct rig *rig)
{
    rig_close(rig);
    free(rig);
}

static void answers_come_with_status_body_and_exception_code(void **state)
{
    (void)state;
    struct rig *rig = rig_new(reply_fine);
    struct heard heard;
    ask(rig, &heard, (struct bytes){0});
    assert_int_equal(heard.end, HTTP_ANSWERED);
    assert_int_equal(heard.status, 200);
    assert_int_equal(heard.code, 0);
    assert_string_equal(heard.body, "fine");
    assert_memory_equal(rig->last_head, "GET / HTTP/1.1\r\n", 16);
    rig_free(rig);
}

static void a_body_goes_whole_with_its_length_and_without_waiting(void **state)
{
    (void)state;
    struct rig *rig = rig_new(reply_fine);
    struct heard heard;
    struct buffer body = {0};
    for (int i = 0; i < 900000; i++)
        buffer_u8(&body, (uint8_t)(i * 7));
    ask(rig, &heard, buffer_bytes(&body));
    assert_int_equal(heard.end, HTTP_ANSWERED);
    assert_true(bytes_equal(rig->last_body, buffer_bytes(&body)));
    assert_non_null(strstr(rig->last_head, "Content-Length: 900000\r\n"));
    assert_null(strstr(rig->last_head, "Expect"));
    assert_null(strstr(rig->last_head, "Transfer-Encoding"));
    buffer_fini(&body);
    rig_free(rig);
}

static void credentials_go_in_headers_only(void **state)
{
    (void)state;
    struct rig *rig = rig_new(reply_fine);
    struct heard heard;
    ask(rig, &heard, (struct bytes){0});
    assert_non_null(strstr(rig->last_head, "X-ClickHouse-User: gw\r\n"));
    assert_non_null(strstr(rig->last_head, "X-ClickHouse-Key: pa:ss w\xc3\xb6rd\r\n"));
    rig_free(rig);
}

static void a_password_with_a_line_end_is_refused(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct http_client *client = NULL;
    struct err err;
    struct http_options options = {
        .user = "gw", .password = "a\r\nX-Evil: 1", .connect_ms = 500, .stall_ms = 1000};
    uv_loop_init(&loop);
    assert_int_equal(http_client_new(&loop, &options, &client, &err), GW_EINVAL);
    assert_null(strstr(err.text, "Evil"));
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void connections_are_kept(void **state)
{
    (void)state;
    struct rig *rig = rig_new(reply_fine);
    struct heard heard;
    for (int i = 0; i < 5; i++)
        ask(rig, &heard, bytes_text("body"));
    assert_int_equal(rig->seen, 5);
    assert_int_equal(rig->fake.connections, 1);
    rig_free(rig);
}

static void many_requests_are_under_way_at_once(void **state)
{
    (void)state;
    struct rig *rig = rig_new(reply_fine);
    struct heard heard[20];
    for (int i = 0; i < 20; i++) {
        heard[i] = (struct heard){
            .request = {.url = rig->url, .body = bytes_text("body"), .done = on_done},
            .loop = &rig->loop};
        http_send(rig->client, &heard[i].request);
    }
    for (int i = 0; i < 20; i++) {
        wait_for(rig, &heard[i]);
        assert_int_equal(heard[i].end, HTTP_ANSWERED);
    }
    assert_int_equal(rig->seen, 20);
    rig_free(rig);
}

static void reply_code(struct fake_http *fake, const struct fake_request *request,
                       struct fake_reply *out)
{
    int seen = rig_of(fake, request)->seen;
    fake_reply_http(out, 200,
                    seen == 1 ? "x-clickhouse-exception-code: 252\r\n"
                              : "X-ClickHouse-Exception-Code: nonsense\r\n",
                    "");
}

static void the_exception_header_is_read_whatever_its_case(void **state)
{
    (void)state;
    struct rig *rig = rig_new(reply_code);
    struct heard heard;
    ask(rig, &heard, (struct bytes){0});
    assert_int_equal(heard.code, 252);
    ask(rig, &heard, (struct bytes){0});
    assert_int_equal(heard.code, -1); /* there is one */
    rig_free(rig);
}

/* ---- connections that break ---- */

static void reply_then_close(struct fake_http *fake, const struct fake_request *request,
                             struct fake_reply *out)
{
    rig_of(fake, request);
    fake_reply_http(out, 200, NULL, "fine");
    out->end = FAKE_CLOSE; /* but says keep-alive */
}

static void a_stale_connection_is_replaced_by_a_new_one(void **state)
{
    (void)state;
    struct rig *rig = rig_new(reply_then_close);
    struct heard heard;
    for (uint32_t i = 1; i <= 3; i++) {
        ask(rig, &heard, bytes_text("body"));
        assert_int_equal(heard.end, HTTP_ANSWERED);
        assert_int_equal(rig->fake.connections, i);
    }
    rig_free(rig);
}

/* Kept connections die when the next request is already written. */
static void reply_reset_second(struct fake_http *fake, const struct fake_request *request,
                               struct fake_reply *out)
{
    rig_of(fake, request);
    if (fake->connections == 1 && ((struct rig *)fake->arg)->seen == 2)
        out->end = FAKE_RESET;
    else
        fake_reply_http(out, 200, NULL, "fine");
}

static void a_request_that_meets_a_dying_connection_goes_on_a_new_one(void **state)
{
    (void)state;
    struct rig *rig = rig_new(reply_reset_second);
    struct heard heard;
    ask(rig, &heard, bytes_text("body"));
    ask(rig, &heard, bytes_text("body"));
    assert_int_equal(heard.end, HTTP_ANSWERED);
    assert_int_equal(rig->fake.connections, 2);
    assert_true(bytes_equal_text(rig->last_body, "body"));
    rig_free(rig);
}

static void reply_reset(struct fake_http *fake, const struct fake_request *request,
                        struct fake_reply *out)
{
    rig_of(fake, request);
    out->end = FAKE_RESET;
}

static void a_cut_after_the_body_is_of_unknown_outcome(void **state)
{
    (void)state;
    struct rig *rig = rig_new(reply_reset);
    struct heard heard;
    ask(rig, &heard, bytes_text("body"));
    assert_int_equal(heard.end, HTTP_BROKEN);
    assert_true(heard.why[0]);
    rig_free(rig);
}

static void nobody_there_is_unreachable(void **state)
{
    (void)state;
    struct rig *rig = rig_new(reply_fine);
    struct heard heard;
    char *there = rig->url;
    fake_http_stop(&rig->fake);
    ask(rig, &heard, bytes_text("body"));
    assert_int_equal(heard.end, HTTP_UNREACHABLE);
    rig->url = mem_strdup("http://no-such-name.invalid/");
    ask(rig, &heard, bytes_text("body"));
    assert_int_equal(heard.end, HTTP_UNREACHABLE);
    free(rig->url);
    rig->url = there;
    fake_http_start(&rig->fake);
    ask(rig, &heard, bytes_text("body"));
    assert_int_equal(heard.end, HTTP_ANSWERED);
    rig_free(rig);
}

static void reply_partial(struct fake_http *fake, const struct fake_request *request,
                          struct fake_reply *out)
{
    static const char *const texts[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nConten",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "garbage\r\n\r\n",
        "\x16\x03\x01\x00\x00",
        "HTTP/9.9 200 OK\r\n\r\n",
    };
    int seen = rig_of(fake, request)->seen;
    buffer_add_text(&out->text, texts[(size_t)(seen - 1) % array_count(texts)]);
    out->end = FAKE_CLOSE;
}

static void what_is_no_whole_answer_is_broken(void **state)
{
    (void)state;
    struct rig *rig = rig_new(reply_partial);
    struct heard heard;
    for (int i = 0; i < 9; i++) {
        ask(rig, &heard, bytes_text("body"));
        assert_int_equal(heard.end, HTTP_BROKEN);
    }
    rig_free(rig);
}

/* ---- before the body is read ---- */

static int early_status;
static enum fake_end early_end;

static void reply_early(struct fake_http *fake, const struct fake_request *request,
                        struct fake_reply *out)
{
    rig_of(fake, request);
    fake_reply_http(out, early_status, NULL, "");
    out->end = early_end;
}

static void an_answer_before_the_body_is_whole_confirms_nothing(void **state)
{
    (void)state;
    static const int statuses[] = {200, 401, 413, 500};
    size_t size = 32 << 20;
    uint8_t *body = mem_zalloc(size);
    for (size_t i = 0; i < array_count(statuses); i++)
        for (int end = FAKE_KEEP; end <= FAKE_RESET; end++) {
            struct rig *rig = rig_new(reply_early);
            struct heard heard;
            early_status = statuses[i];
            early_end = (enum fake_end)end;
            rig->fake.answers_early = true;
            ask(rig, &heard, bytes_of(body, size));
            /* A success before the end is none. What it refuses is told as it said it; an end with
             * bytes unread is a reset, and may take the answer along. */
            if (early_status == 200)
                assert_true(heard.end == HTTP_BROKEN || heard.end == HTTP_TIMED_OUT);
            else if (end == FAKE_KEEP || heard.end == HTTP_ANSWERED)
                assert_int_equal(heard.status, early_status);
            else
                assert_int_equal(heard.end, HTTP_BROKEN);
            rig_free(rig);
        }
    free(body);
}

/* ---- slow ---- */

static void reply_never(struct fake_http *fake, const struct fake_request *request,
                        struct fake_reply *out)
{
    rig_of(fake, request);
    out->delay_ms = 30000;
}

static void reply_drip(struct fake_http *fake, const struct fake_request *request,
                       struct fake_reply *out)
{
    rig_of(fake, request);
    fake_reply_http(out, 200, NULL,
                    "slow, very slow, and slower than that by far: 1 byte at a time");
    out->drip_ms = 100;
}

static void reply_continue(struct fake_http *fake, const struct fake_request *request,
                           struct fake_reply *out)
{
    rig_of(fake, request);
    buffer_add_text(&out->text, "HTTP/1.1 100 Continue\r\n\r\n");
    out->delay_ms = 10;
}

static void requests_without_progress_are_given_up(void **state)
{
    (void)state;
    void (*const replies[])(struct fake_http *, const struct fake_request *,
                            struct fake_reply *) = {reply_never, reply_drip, reply_continue};
    for (size_t i = 0; i < array_count(replies); i++) {
        struct rig *rig = rig_new(replies[i]);
        struct heard heard;
        int64_t start = clock_monotonic_ms();
        ask(rig, &heard, bytes_text("body"));
        assert_int_equal(heard.end, HTTP_TIMED_OUT);
        assert_true(clock_monotonic_ms() - start < 10000);
        rig_free(rig);
    }
}

/* ---- hostile ---- */

static void reply_endless(struct fake_http *fake, const struct fake_request *request,
                          struct fake_reply *out)
{
    rig_of(fake, request);
    buffer_add_text(&out->text, "HTTP/1.1 500 No\r\nContent-Length: 1073741824\r\n\r\nCode: 241, ");
    out->endless = 1 << 30;
}

static void reply_endless_headers(struct fake_http *fake, const struct fake_request *request,
                                  struct fake_reply *out)
{
    rig_of(fake, request);
    buffer_add_text(&out->text, "HTTP/1.1 500 No\r\n");
    for (int i = 0; i < 5000; i++)
        buffer_printf(&out->text, "X-Junk-%d: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", i);
    out->endless = 1 << 30;
}

static void endless_answers_are_cut(void **state)
{
    (void)state;
    struct rusage before, after;
    struct rig *rig = rig_new(reply_endless);
    struct heard heard;
    getrusage(RUSAGE_SELF, &before);
    ask(rig, &heard, bytes_text("body"));
    assert_int_equal(heard.end, HTTP_ANSWERED);
    assert_int_equal(heard.status, 500);
    assert_true(heard.body_cut);
    assert_int_equal(heard.body_size, HTTP_ANSWER_MAX);
    rig_free(rig);
    rig = rig_new(reply_endless_headers);
    ask(rig, &heard, bytes_text("body"));
    assert_int_equal(heard.end, HTTP_BROKEN);
    getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_maxrss - before.ru_maxrss < 64 * 1024);
    rig_free(rig);
}

static int other_seen;

static void reply_other(struct fake_http *fake, const struct fake_request *request,
                        struct fake_reply *out)
{
    (void)fake;
    (void)request;
    other_seen++;
    fake_reply_http(out, 200, NULL, "");
}

static void reply_redirect(struct fake_http *fake, const struct fake_request *request,
                           struct fake_reply *out)
{
    struct rig *rig = rig_of(fake, request);
    char location[100];
    snprintf(location, sizeof location, "Location: http://127.0.0.1:%d/\r\n", rig->other_port);
    fake_reply_http(out, rig->seen % 2 ? 301 : 307, location, "moved");
}

static void redirects_are_not_followed(void **state)
{
    (void)state;
    struct fake_http other = {.reply = reply_other};
    struct rig *rig = rig_new(reply_redirect);
    struct heard heard;
    fake_http_start(&other);
    rig->other_port = other.port;
    for (int i = 0; i < 2; i++) {
        ask(rig, &heard, (struct bytes){0});
        assert_int_equal(heard.end, HTTP_ANSWERED);
        assert_int_equal(heard.status / 100, 3);
    }
    assert_int_equal(other_seen, 0);
    rig_free(rig);
    fake_http_stop(&other);
}

static void the_environment_gives_no_proxy(void **state)
{
    (void)state;
    struct rig *rig = rig_new(reply_fine);
    struct heard heard;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    ask(rig, &heard, bytes_text("body"));
    unsetenv("http_proxy");
    assert_int_equal(heard.end, HTTP_ANSWERED);
    rig_free(rig);
}

static void closing_drops_what_is_under_way(void **state)
{
    (void)state;
    struct rig *rig = rig_new(reply_never);
    struct heard heard[3];
    for (int i = 0; i < 3; i++) {
        heard[i] = (struct heard){
            .request = {.url = rig->url, .body = bytes_text("body"), .done = on_done},
            .loop = &rig->loop};
        http_send(rig->client, &heard[i].request);
    }
    while (rig->fake.connections < 3)
        uv_run(&rig->loop, UV_RUN_NOWAIT);
    rig_close(rig);
    for (int i = 0; i < 3; i++)
        assert_false(heard[i].done);
    free(rig);
}

static void parameters_are_escaped(void **state)
{
    (void)state;
    struct buffer out = {0};
    http_escape(&out, bytes_text("SELECT 'a&b'=`c`\n%+/\xc3\xa4~-_."));
    buffer_u8(&out, '\0');
    assert_string_equal((char *)out.data, "SELECT%20%27a%26b%27%3D%60c%60%0A%25%2B%2F%C3%A4~-_.");
    buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_come_with_status_body_and_exception_code),
        cmocka_unit_test(a_body_goes_whole_with_its_length_and_without_waiting),
        cmocka_unit_test(credentials_go_in_headers_only),
        cmocka_unit_test(a_password_with_a_line_end_is_refused),
        cmocka_unit_test(connections_are_kept),
        cmocka_unit_test(many_requests_are_under_way_at_once),
        cmocka_unit_test(the_exception_header_is_read_whatever_its_case),
        cmocka_unit_test(a_stale_connection_is_replaced_by_a_new_one),
        cmocka_unit_test(a_request_that_meets_a_dying_connection_goes_on_a_new_one),
        cmocka_unit_test(a_cut_after_the_body_is_of_unknown_outcome),
        cmocka_unit_test(nobody_there_is_unreachable),
        cmocka_unit_test(what_is_no_whole_answer_is_broken),
        cmocka_unit_test(an_answer_before_the_body_is_whole_confirms_nothing),
        cmocka_unit_test(requests_without_progress_are_given_up),
        cmocka_unit_test(endless_answers_are_cut),
        cmocka_unit_test(redirects_are_not_followed),
        cmocka_unit_test(the_environment_gives_no_proxy),
        cmocka_unit_test(closing_drops_what_is_under_way),
        cmocka_unit_test(parameters_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
