/* SPDX-License-Identifier: Apache-2.0
 *
 * What is masked in lines that are printed, and what is not.
 */
#include "base/mask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void assert_masked(const char *text, bool keys, const char *want)
{
    char line[256];
    snprintf(line, sizeof line, "%s", text);
    mask_secrets(line, strlen(line), keys);
    assert_string_equal(line, want);
}

static void a_url_keeps_its_host(void **state)
{
    (void)state;
    assert_masked("url: http://bob:pa@ss@host:1/x, ok", false,
                  "url: http://*********@host:1/x, ok");
    assert_masked("`mqtt://bob:x@h:1883` and mqtts://b@i", false,
                  "`mqtt://*****@h:1883` and mqtts://*@i");
    assert_masked("http://host/path", false, "http://host/path");
    assert_masked("mail me@host", false, "mail me@host");
    assert_masked("://", false, "://");
    assert_masked("://@", false, "://@");
}

static void a_value_behind_a_secret_name_is_masked(void **state)
{
    (void)state;
    assert_masked("  password: hunter2", true, "  password: *******");
    assert_masked("  sasl.Password: \"hun\\\"ter2\" # x", true,
                  "  sasl.Password: **********\" # x");
    assert_masked("{user: bob, password: hun,ter2, url: x}", true,
                  "{user: bob, password: ********, url: x}");
    assert_masked("{\"token\": 'a b', b: 1}", true, "{\"token\": ****', b: 1}");
    assert_masked("ssl.key.pem: |", true, "ssl.key.pem: *");
    assert_masked("passwrod=x", true, "passwrod=*");
    assert_masked("password:", true, "password:");
    assert_masked("password", true, "password");
}

static void paths_and_sentences_stay(void **state)
{
    (void)state;
    assert_masked("password_file: /run/secrets/x", true, "password_file: /run/secrets/x");
    assert_masked("ssl.keystore.location: x", true, "ssl.keystore.location: x");
    assert_masked("name or password: they stand in `user`", false,
                  "name or password: they stand in `user`");
    assert_masked("user: bob", true, "user: bob");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_keeps_its_host),
        cmocka_unit_test(a_value_behind_a_secret_name_is_masked),
        cmocka_unit_test(paths_and_sentences_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
