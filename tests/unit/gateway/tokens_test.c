/* SPDX-License-Identifier: Apache-2.0
 *
 * The file of tokens: what is taken, what is refused with its place, and that no text holds a token.
 */
#include "admin/tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/temp_dir.h"

#define LONG "0123456789abcdef01234567"

struct fixture {
    struct temp_dir dir;
    char *path;
    struct tokens tokens;
    struct err err;
};

static int set_up(void **state)
{
    struct fixture *fixture = mem_zalloc(sizeof *fixture);
    temp_dir_make(&fixture->dir);
    fixture->path = mem_printf("%s/tokens", fixture->dir.path);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    tokens_fini(&fixture->tokens);
    temp_dir_remove(&fixture->dir);
    free(fixture->path);
    free(fixture);
    return 0;
}

static int reads(struct fixture *fixture, struct bytes text)
{
    tokens_fini(&fixture->tokens);
    assert_int_equal(disk_replace_file(&disk_real, fixture->path, text), 0);
    return tokens_read(&fixture->tokens, &disk_real, fixture->path, &fixture->err);
}

static const struct token *found(const struct fixture *fixture, const char *text)
{
    return tokens_find(&fixture->tokens, bytes_text(text));
}

static void lines_are_names_with_role_and_token(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(
        reads(fixture, bytes_text("# who\n\n \t\r\nops operate " LONG "\r\n  prom\tmetrics  " LONG
                                  "-2\nops read " LONG "-3")),
        0);
    assert_int_equal(fixture->tokens.count, 3);
    assert_string_equal(found(fixture, LONG)->name, "ops");
    assert_int_equal(found(fixture, LONG)->role, TOKEN_OPERATE);
    assert_int_equal(found(fixture, LONG "-2")->role, TOKEN_METRICS);
    assert_int_equal(found(fixture, LONG "-3")->role, TOKEN_READ);
    assert_null(found(fixture, ""));
    assert_null(found(fixture, LONG "-"));
    assert_null(found(fixture, "ops"));
}

static void a_token_alone_may_do_all(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(reads(fixture, bytes_text(LONG "\n")), 0);
    assert_int_equal(found(fixture, LONG)->role, TOKEN_OPERATE);
    assert_string_equal(found(fixture, LONG)->name, "token");
}

static void what_is_wrong_is_told_with_its_line_and_without_the_token(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *text, *why;
    } wrong[] = {
        {"", "no token in it"},
        {"# nothing\n", "no token in it"},
        {"\nops operate secret\n", ":2: a token is 24"},
        {"ops operate " LONG "\"\n", ":1: a token is 24"},
        {"ops owner " LONG "\n", ":1: the second word"},
        {"op/s operate " LONG "\n", ":1: a name is"},
        {"ops operate " LONG " more\n", ":1: a line is"},
        {"ops operate " LONG "\nnew read " LONG "\n", ":2: that token stands above"},
    };
    for (size_t i = 0; i < array_count(wrong); i++) {
        assert_int_equal(reads(fixture, bytes_text(wrong[i].text)), GW_EINVAL);
        if (strstr(fixture->err.text, wrong[i].why) == NULL)
            fail_msg("%s, not: %s", fixture->err.text, wrong[i].why);
        assert_null(strstr(fixture->err.text, LONG));
        assert_null(strstr(fixture->err.text, "secret"));
        assert_int_equal(fixture->tokens.count, 0);
    }
    assert_int_equal(reads(fixture, bytes_of("ops operate " LONG "\0\n", 38)), GW_EINVAL);
}

static void limits_hold(void **state)
{
    struct fixture *fixture = *state;
    struct buffer text = {0};
    for (int i = 0; i <= TOKENS_MAX; i++)
        buffer_printf(&text, "n read %s%06d\n", LONG, i);
    assert_int_equal(reads(fixture, buffer_bytes(&text)), GW_EINVAL);
    assert_non_null(strstr(fixture->err.text, "more than 256"));
    buffer_clear(&text);
    buffer_printf(&text, "n read %0*d\n", TOKEN_BYTES_MAX, 1);
    assert_int_equal(reads(fixture, buffer_bytes(&text)), 0);
    buffer_clear(&text);
    buffer_printf(&text, "n read %0*d\n", TOKEN_BYTES_MAX + 1, 1);
    assert_int_equal(reads(fixture, buffer_bytes(&text)), GW_EINVAL);
    buffer_fini(&text);
}

static void a_file_that_others_read_is_refused_and_a_link_is_followed(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(reads(fixture, bytes_text(LONG "\n")), 0);
    tokens_fini(&fixture->tokens);
    assert_int_equal(chmod(fixture->path, 0604), 0);
    assert_int_equal(tokens_read(&fixture->tokens, &disk_real, fixture->path, &fixture->err),
                     GW_EINVAL);
    assert_non_null(strstr(fixture->err.text, "chmod 640"));
    assert_int_equal(chmod(fixture->path, 0640), 0);
    char *link = mem_printf("%s/link", fixture->dir.path);
    assert_int_equal(symlink(fixture->path, link), 0); /* as mounted secrets are */
    assert_int_equal(tokens_read(&fixture->tokens, &disk_real, link, &fixture->err), 0);
    free(link);
    tokens_fini(&fixture->tokens);
    assert_int_equal(tokens_read(&fixture->tokens, &disk_real, "/no/such/file", &fixture->err),
                     GW_EINVAL);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        test(lines_are_names_with_role_and_token),
        test(a_token_alone_may_do_all),
        test(what_is_wrong_is_told_with_its_line_and_without_the_token),
        test(limits_hold),
        test(a_file_that_others_read_is_refused_and_a_link_is_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
