/* SPDX-License-Identifier: Apache-2.0
 *
 * Questions to a ClickHouse server that answers as no real one can be made to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/clickhouse_ask.h"
#include "lib/fake_http.h"

static struct fake_http fake;
static struct clickhouse_ask *ask;
static int status;
static const char *body;
static bool cut;

static void on_request(struct fake_http *server, const struct fake_request *request,
                       struct fake_reply *out)
{
    (void)server;
    assert_non_null(strstr(request->target, "wait_end_of_query=1"));
    fake_reply_http(out, status, NULL, body);
    if (cut) {
        out->text.size -= 3;
        out->end = FAKE_CLOSE;
    }
}

static int setup(void **state)
{
    (void)state;
    struct err err;
    const struct clickhouse_login login = {.user = "u", .password = "p", .connect_ms = 5000};
    fake = (struct fake_http){.reply = on_request};
    fake_http_start(&fake);
    cut = false;
    char *base = mem_printf("http://127.0.0.1:%d", fake.port);
    assert_int_equal(clickhouse_ask_new(base, &login, &ask, &err), 0);
    free(base);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    clickhouse_ask_free(ask);
    fake_http_stop(&fake);
    return 0;
}

static void an_answer_is_whole_or_an_error(void **state)
{
    (void)state;
    struct buffer out = {0};
    struct err err;
    status = 200;
    body = "26.7.1\n";
    assert_int_equal(clickhouse_ask_text(ask, "SELECT version()", &out, &err), 0);
    assert_int_equal(out.size, strlen(body));
    assert_memory_equal(out.data, body, out.size);
    cut = true;
    assert_int_equal(clickhouse_ask_text(ask, "SELECT version()", &out, &err), GW_EIO);
    buffer_fini(&out);
}

/* It is printed at a terminal. */
static void what_a_server_says_moves_no_cursor(void **state)
{
    (void)state;
    struct buffer out = {0};
    struct err err;
    status = 500;
    body = "Code: 60. \x1b[2J\x07gone\x7f\nsecond line";
    assert_int_equal(clickhouse_ask_text(ask, "SELECT 1", &out, &err), GW_EINVAL);
    assert_non_null(strstr(err.text, "status 500: Code: 60."));
    assert_non_null(strstr(err.text, "gone"));
    assert_null(strstr(err.text, "second line"));
    for (const char *at = err.text; *at; at++)
        assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
    buffer_fini(&out);
}

static void who_may_not_ask_is_told_of_another_user(void **state)
{
    (void)state;
    struct buffer out = {0};
    struct err err;
    status = 403;
    body = "Code: 497. DB::Exception: u: Not enough privileges. (ACCESS_DENIED)";
    assert_int_equal(clickhouse_ask_text(ask, "SELECT 1", &out, &err), GW_EINVAL);
    assert_non_null(strstr(err.text, "--clickhouse-user"));
    buffer_fini(&out);
}

int main(void)
{
#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_answer_is_whole_or_an_error),
        TEST(what_a_server_says_moves_no_cursor),
        TEST(who_may_not_ask_is_told_of_another_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
