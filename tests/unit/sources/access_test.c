/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may connect and publish. The password lines were made with mosquitto_passwd of mosquitto
 * 2.0.11, so the form is that program's and not ours.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "sources/access.h"
#include "sources/password.h"

static const char acme_line[] =
    "acme:$7$101$a/uI//KGmchNCHHF$PzfRioFnhJRzYgKjyrUjvTXbQD1/MeYH0VjQWFZ854A3mJXfkIbMyCm783ltGFZn"
    "5dU0dIRIp6dbRpvgUJS52g==\n"; /* correct horse */
static const char empty_line[] =
    "borealis:$7$101$m8cb7YFJ5gze0Zvh$eVK1v+uZosXbyPE2eMFqrVuLmo1CrxgKvLPkFpUBTDfOhbIiaNEmuAFmvU+0"
    "K0nK+KvZ4DkdjFlAcJ2oJSrhoA==\n"; /* the empty password */
static const char utf8_line[] =
    "\xc3\xbcn\xc3\xaf:$7$101$J3gZUIf15Wh5vAZi$g78q2Et0mUPLDM8eZ25LFuHR9Rt/zNr8d64R4wmWppZpeftbx297"
    "RoblGmQFlF5EsH1F3LU/3XBZhBOSF1Nz0w==\n"; /* pä55 */

struct fixture {
    char folder[64];
    char one[96], two[96]; /* password files */
    struct access *access;
};

static bool may_publish(struct access *access, const struct access_grant *grant, struct bytes topic)
{
    struct access_view view = {0};
    bool may = access_publish(access, &view, grant, topic);
    access_view_fini(&view);
    return may;
}

static void file_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    struct fixture *fixture = mem_zalloc(sizeof *fixture);
    snprintf(fixture->folder, sizeof fixture->folder, "/tmp/access_test.XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->one, sizeof fixture->one, "%s/one", fixture->folder);
    snprintf(fixture->two, sizeof fixture->two, "%s/two", fixture->folder);
    fixture->access = access_new();
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    access_free(fixture->access);
    unlink(fixture->one);
    unlink(fixture->two);
    rmdir(fixture->folder);
    free(fixture);
    return 0;
}

static const char *const acme_topics[] = {"acme/+/up", "shared/#"};

/* Vendor acme with file one, vendor borealis with file two. */
static int load(struct fixture *fixture, enum access_anonymous anonymous, struct err *err)
{
    struct access_vendor vendors[] = {
        {.name = "acme", .passwords = fixture->one, .topics = acme_topics, .topic_count = 2},
        {.name = "borealis", .passwords = fixture->two, .subscribe_accept = true},
    };
    struct access_rules rules = {.anonymous = anonymous, .vendors = vendors, .vendor_count = 2};
    return access_load(fixture->access, &disk_real, &rules, err);
}

static void load_good(struct fixture *fixture, enum access_anonymous anonymous)
{
    struct err err;
    char *text = mem_printf("# made by mosquitto_passwd\n\n%s%s", acme_line, utf8_line);
    file_write(fixture->one, text);
    file_write(fixture->two, empty_line);
    free(text);
    if (load(fixture, anonymous, &err))
        fail_msg("%s", err.text);
}

static enum access_answer connect_as(struct fixture *fixture, const char *user,
                                     const char *password, struct access_grant *grant)
{
    struct access_request request = {
        .has_user = user != NULL,
        .has_password = password != NULL,
        .user = bytes_text(user ? user : ""),
        .password = bytes_text(password ? password : ""),
    };
    return access_connect(fixture->access, &request, grant);
}

/* ---- logging in ---- */

static void right_password_of_mosquitto_passwd_logs_in(void **state)
{
    struct access_grant grant;
    load_good(*state, ANONYMOUS_REFUSE);
    assert_int_equal(connect_as(*state, "acme", "correct horse", &grant), ACCESS_OK);
    assert_string_equal(grant.vendor, "acme");
    assert_false(grant.subscribe_accept);
    assert_int_equal(connect_as(*state, "\xc3\xbcn\xc3\xaf",
                                "p\xc3\xa4"
                                "55",
                                &grant),
                     ACCESS_OK);
    assert_string_equal(grant.vendor, "acme");
    assert_int_equal(connect_as(*state, "borealis", "", &grant), ACCESS_OK);
    assert_string_equal(grant.vendor, "borealis");
    assert_true(grant.subscribe_accept);
}

static void wrong_and_missing_are_refused_alike(void **state)
{
    static const char *const cases[][2] = {
        {"acme", "correct hors"},
        {"acme", "correct horse "},
        {"acme", ""},
        {"acme", NULL},
        {"nobody", "correct horse"},
        {"nobody", NULL},
        {"", "correct horse"},
        {"", NULL},
        {"borealis", NULL},
        {NULL, "correct horse"},
        {"ACME", "correct horse"},
        {"acm", "correct horse"},
    };
    struct access_grant grant;
    load_good(*state, ANONYMOUS_ALLOW); /* a failed login must not fall back to anonymous */
    for (size_t i = 0; i < array_count(cases); i++)
        assert_int_equal(connect_as(*state, cases[i][0], cases[i][1], &grant),
                         ACCESS_BAD_CREDENTIALS);
}

static void password_with_nul_is_another_password(void **state)
{
    static const char password[] = "correct horse\0x";
    struct access_grant grant;
    struct access_request request = {
        .has_user = true,
        .has_password = true,
        .user = bytes_text("acme"),
        .password = bytes_of(password, sizeof password - 1),
    };
    load_good(*state, ANONYMOUS_REFUSE);
    struct fixture *fixture = *state;
    assert_int_equal(access_connect(fixture->access, &request, &grant), ACCESS_BAD_CREDENTIALS);
}

static void remembered_login_is_fast_and_still_exact(void **state)
{
    struct access_grant grant;
    load_good(*state, ANONYMOUS_REFUSE);
    assert_int_equal(connect_as(*state, "acme", "correct horse", &grant), ACCESS_OK);
    int64_t start = clock_monotonic_ns();
    for (int i = 0; i < 200; i++)
        assert_int_equal(connect_as(*state, "acme", "correct horse", &grant), ACCESS_OK);
    int64_t right_ns = clock_monotonic_ns() - start;
    start = clock_monotonic_ns();
    for (int i = 0; i < 200; i++)
        assert_int_equal(connect_as(*state, "acme", "correct hors3", &grant),
                         ACCESS_BAD_CREDENTIALS);
    int64_t wrong_ns = clock_monotonic_ns() - start;
    print_message("remembered %.1f us, computed %.1f us\n", (double)right_ns / 200e3,
                  (double)wrong_ns / 200e3);
    assert_true(right_ns * 3 < wrong_ns);
}

static void unknown_user_takes_as_long_as_wrong_password(void **state)
{
    struct access_grant grant;
    int64_t best[2] = {INT64_MAX, INT64_MAX};
    load_good(*state, ANONYMOUS_REFUSE);
    for (int round = 0; round < 200; round++) {
        for (int unknown = 0; unknown < 2; unknown++) {
            int64_t start = clock_monotonic_ns();
            connect_as(*state, unknown ? "nobody" : "acme", "guess", &grant);
            int64_t took = clock_monotonic_ns() - start;
            best[unknown] = took < best[unknown] ? took : best[unknown];
        }
    }
    assert_true(best[1] * 2 > best[0] && best[0] * 2 > best[1]);
}

static void anonymous_follows_the_rule(void **state)
{
    struct fixture *fixture = *state;
    struct access_request local = {.loopback = true}, remote = {.loopback = false};
    struct access_grant grant;
    assert_int_equal(access_connect(fixture->access, &local, &grant), ACCESS_NOT_AUTHORISED);
    load_good(fixture, ANONYMOUS_REFUSE);
    assert_int_equal(access_connect(fixture->access, &local, &grant), ACCESS_NOT_AUTHORISED);
    load_good(fixture, ANONYMOUS_LOOPBACK);
    assert_int_equal(access_connect(fixture->access, &remote, &grant), ACCESS_NOT_AUTHORISED);
    assert_int_equal(access_connect(fixture->access, &local, &grant), ACCESS_OK);
    assert_string_equal(grant.vendor, "");
    load_good(fixture, ANONYMOUS_ALLOW);
    assert_int_equal(access_connect(fixture->access, &remote, &grant), ACCESS_OK);
}

/* ---- publishing ---- */

static void vendor_publishes_only_where_its_filters_say(void **state)
{
    static const char *const good[] = {"acme/17/up", "acme//up", "shared", "shared/a/b"};
    static const char *const bad[] = {
        "acme/17/down", "acme/17/up/x", "acme/up",     "borealis/17/up", "acmeX/17/up",
        "Acme/17/up",   "/acme/17/up",  "acme/17/up/", "$SYS/x",         "$share/acme/17/up"};
    struct fixture *fixture = *state;
    struct access_grant grant;
    load_good(fixture, ANONYMOUS_ALLOW);
    assert_int_equal(connect_as(fixture, "acme", "correct horse", &grant), ACCESS_OK);
    for (size_t i = 0; i < array_count(good); i++)
        assert_true(may_publish(fixture->access, &grant, bytes_text(good[i])));
    for (size_t i = 0; i < array_count(bad); i++)
        assert_false(may_publish(fixture->access, &grant, bytes_text(bad[i])));
    /* no topics at all: nothing may be published */
    assert_int_equal(connect_as(fixture, "borealis", "", &grant), ACCESS_OK);
    assert_false(may_publish(fixture->access, &grant, bytes_text("acme/17/up")));
}

static void anonymous_may_not_publish_to_dollar(void **state)
{
    struct fixture *fixture = *state;
    struct access_request local = {.loopback = true};
    struct access_grant grant;
    load_good(fixture, ANONYMOUS_LOOPBACK);
    assert_int_equal(access_connect(fixture->access, &local, &grant), ACCESS_OK);
    assert_true(may_publish(fixture->access, &grant, bytes_text("v1/acme/json")));
    assert_false(may_publish(fixture->access, &grant, bytes_text("$SYS/x")));
    assert_false(may_publish(fixture->access, &grant, bytes_text("")));
}

/* MQTT 5.0, 4.7.1 and 4.7.2, with the examples that stand there. */
static void topic_filters_match_as_the_standard_says(void **state)
{
    static const struct {
        const char *filter, *topic;
        bool matches;
    } cases[] = {
        {"sport/tennis/player1/#", "sport/tennis/player1", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
        {"sport/#", "sport", true},
        {"#", "a/b", true},
        {"#", "/", true},
        {"sport/tennis/+", "sport/tennis/player1", true},
        {"sport/tennis/+", "sport/tennis/player1/ranking", false},
        {"sport/+", "sport", false},
        {"sport/+", "sport/", true},
        {"+/+", "/finance", true},
        {"/+", "/finance", true},
        {"+", "/finance", false},
        {"+", "finance", true},
        {"+/tennis/#", "x/tennis", true},
        {"#", "$SYS/broker", false},
        {"+/monitor/Clients", "$SYS/monitor/Clients", false},
        {"$SYS/#", "$SYS/broker", true},
        {"$SYS/monitor/+", "$SYS/monitor/Clients", true},
        {"ACCOUNTS", "accounts", false},
        {"a", "ab", false},
        {"ab", "a", false},
        {"a/", "a", false},
        {"a", "a/", false},
        {"", "a", false},
        {"a", "", false},
        {"#/a", "x/a", false},
    };
    (void)state;
    for (size_t i = 0; i < array_count(cases); i++)
        if (access_topic_matches(bytes_text(cases[i].filter), bytes_text(cases[i].topic)) !=
            cases[i].matches)
            fail_msg("%s against %s", cases[i].filter, cases[i].topic);
}

/* ---- loading ---- */

static void doubtful_files_are_errors_and_keep_the_old_rules(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "holds no user"},
        {"# nothing\n\n", "holds no user"},
        {"acme\n", ":1: a line is USER:HASH"},
        {":$7$101$a$b\n", ":1: a line is USER:HASH"},
        {"acme:secret\n", "neither a $scrypt$ nor a $7$ hash"},
        {"acme:$6$a/uI//KGmchNCHHF$PzfRioFn\n", "neither a $scrypt$ nor a $7$ hash"},
        {"acme:\n", "neither a $scrypt$ nor a $7$ hash"},
        {"acme:$7$0$a/uI//KGmchNCHHF$xx\n", "iterations"},
        {"acme:$7$-1$a/uI//KGmchNCHHF$xx\n", "iterations"},
        {"acme:$7$999999999$a/uI//KGmchNCHHF$xx\n", "iterations"},
        {"acme:$7$101$a/uI$\n", "hash is not base64"},
        {"acme:$7$101$$xx\n", "salt"},
        {"acme:$7$101$a/uI/$PzfR\n", "salt"},
        {"acme:$7$101$a/=I$PzfR\n", "salt"},
        {"acme:$7$101$a/uI$Pzf!\n", "hash is not base64"},
        {"\x01:$7$101$a/uI$PzfR\n", "a line is"},
    };
    struct fixture *fixture = *state;
    struct access_grant grant;
    struct err err;
    load_good(fixture, ANONYMOUS_REFUSE);
    uint64_t generation = access_generation(fixture->access);
    for (size_t i = 0; i < array_count(cases); i++) {
        file_write(fixture->one, cases[i].text);
        assert_int_equal(load(fixture, ANONYMOUS_ALLOW, &err), GW_EINVAL);
        if (strstr(err.text, cases[i].says) == NULL || strstr(err.text, fixture->one) == NULL)
            fail_msg("case %zu: %s", i, err.text);
        assert_null(strstr(err.text, "secret"));
    }
    unlink(fixture->one);
    assert_int_equal(load(fixture, ANONYMOUS_ALLOW, &err), GW_EINVAL);
    assert_int_equal(access_generation(fixture->access), generation);
    assert_int_equal(connect_as(fixture, "acme", "correct horse", &grant), ACCESS_OK);
    assert_int_equal(connect_as(fixture, NULL, NULL, &grant), ACCESS_NOT_AUTHORISED);
}

static void user_of_two_vendors_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    file_write(fixture->one, acme_line);
    file_write(fixture->two, acme_line);
    assert_int_equal(load(fixture, ANONYMOUS_REFUSE, &err), GW_EINVAL);
    assert_non_null(strstr(err.text, "`acme` stands twice"));
}

static void line_ends_and_links_do_not_matter(void **state)
{
    struct fixture *fixture = *state;
    struct access_grant grant;
    struct err err;
    char *real = mem_printf("%s.real", fixture->one);
    char *text = mem_printf("%.*s\r\n", (int)strlen(acme_line) - 1, acme_line);
    file_write(real, text);
    assert_int_equal(symlink(real, fixture->one), 0); /* as mounted secrets are */
    file_write(fixture->two, empty_line);
    assert_int_equal(load(fixture, ANONYMOUS_REFUSE, &err), 0);
    assert_int_equal(connect_as(fixture, "acme", "correct horse", &grant), ACCESS_OK);
    unlink(real);
    free(real);
    free(text);
}

/* ---- reloading ---- */

static void reload_withdraws_users_vendors_and_changed_passwords(void **state)
{
    static const char other_line[] =
        "acme:$7$101$m8cb7YFJ5gze0Zvh$eVK1v+uZosXbyPE2eMFqrVuLmo1CrxgKvLPkFpUBTDfOhbIiaNEmuAFmvU+"
        "0K0nK+KvZ4DkdjFlAcJ2oJSrhoA==\n";
    struct fixture *fixture = *state;
    struct access_grant grant, borealis;
    struct err err;
    load_good(fixture, ANONYMOUS_REFUSE);
    assert_int_equal(connect_as(fixture, "acme", "correct horse", &grant), ACCESS_OK);
    assert_int_equal(connect_as(fixture, "borealis", "", &borealis), ACCESS_OK);
    load_good(fixture, ANONYMOUS_REFUSE);
    assert_true(access_generation(fixture->access) > grant.generation);
    assert_true(access_renew(fixture->access, &grant, bytes_text("acme"), bytes_text("c")));
    assert_true(may_publish(fixture->access, &grant, bytes_text("acme/1/up")));
    file_write(fixture->one, other_line);
    assert_int_equal(load(fixture, ANONYMOUS_REFUSE, &err), 0);
    assert_false(access_renew(fixture->access, &grant, bytes_text("acme"), bytes_text("c")));
    assert_int_equal(connect_as(fixture, "acme", "correct horse", &grant), ACCESS_BAD_CREDENTIALS);
    file_write(fixture->one, utf8_line);
    assert_int_equal(load(fixture, ANONYMOUS_REFUSE, &err), 0);
    assert_false(access_renew(fixture->access, &grant, bytes_text("acme"), bytes_text("c")));
    assert_true(access_renew(fixture->access, &borealis, bytes_text("borealis"), bytes_text("c")));
    struct access_rules none = {.anonymous = ANONYMOUS_REFUSE, .vendors = NULL, .vendor_count = 0};
    assert_int_equal(access_load(fixture->access, &disk_real, &none, &err), 0);
    assert_false(access_renew(fixture->access, &borealis, bytes_text("borealis"), bytes_text("c")));
    assert_false(may_publish(fixture->access, &grant, bytes_text("acme/1/up")));
}

static void view_follows_a_reload(void **state)
{
    struct fixture *fixture = *state;
    struct access_request local = {.loopback = true};
    struct access_grant grant;
    struct access_view view = {0};
    struct bytes topic = bytes_text("v1/acme/json");
    load_good(fixture, ANONYMOUS_LOOPBACK);
    assert_int_equal(access_connect(fixture->access, &local, &grant), ACCESS_OK);
    assert_true(access_publish(fixture->access, &view, &grant, topic));
    load_good(fixture, ANONYMOUS_REFUSE);
    assert_false(access_publish(fixture->access, &view, &grant, topic));
    load_good(fixture, ANONYMOUS_LOOPBACK);
    assert_true(access_publish(fixture->access, &view, &grant, topic));
    access_view_fini(&view);
}

static void reload_withdraws_anonymous(void **state)
{
    struct fixture *fixture = *state;
    struct access_request local = {.loopback = true};
    struct access_grant grant;
    load_good(fixture, ANONYMOUS_LOOPBACK);
    assert_int_equal(access_connect(fixture->access, &local, &grant), ACCESS_OK);
    assert_true(access_renew(fixture->access, &grant, bytes_text(""), bytes_text("c")));
    load_good(fixture, ANONYMOUS_REFUSE);
    assert_false(access_renew(fixture->access, &grant, bytes_text(""), bytes_text("c")));
    assert_false(may_publish(fixture->access, &grant, bytes_text("v1/acme/json")));
}

static enum access_answer connect_certified(struct fixture *fixture, const char *certificate,
                                            const char *user, const char *password,
                                            struct access_grant *grant)
{
    struct access_request request = {
        .has_user = user != NULL,
        .has_password = password != NULL,
        .user = bytes_text(user ? user : ""),
        .password = bytes_text(password ? password : ""),
        .certificate = certificate,
    };
    return access_connect(fixture->access, &request, grant);
}

static void certificate_stands_for_its_vendor_and_what_else_is_given_must_agree(void **state)
{
    static const struct {
        const char *certificate, *user, *password;
        enum access_answer answer;
    } cases[] = {
        {"acme", NULL, NULL, ACCESS_OK},
        {"acme", "acme", NULL, ACCESS_OK},
        {"acme", "acme", "correct horse", ACCESS_OK},
        {"borealis", NULL, NULL, ACCESS_OK},
        {"acme", "acme", "wrong", ACCESS_BAD_CREDENTIALS},
        {"acme", "borealis", NULL, ACCESS_NOT_AUTHORISED},
        {"acme", "Acme", NULL, ACCESS_NOT_AUTHORISED},
        {"acme", "", NULL, ACCESS_NOT_AUTHORISED},
        {"acme", NULL, "correct horse", ACCESS_NOT_AUTHORISED},
        {"borealis", "acme", "correct horse", ACCESS_NOT_AUTHORISED},
        {"nobody", NULL, NULL, ACCESS_NOT_AUTHORISED},
        {"acm", NULL, NULL, ACCESS_NOT_AUTHORISED},
        {"", NULL, NULL, ACCESS_NOT_AUTHORISED},
    };
    struct access_grant grant;
    load_good(*state, ANONYMOUS_ALLOW);
    for (size_t i = 0; i < array_count(cases); i++) {
        enum access_answer answer = connect_certified(*state, cases[i].certificate, cases[i].user,
                                                      cases[i].password, &grant);
        if (answer != cases[i].answer)
            fail_msg("case %zu: %d", i, (int)answer);
        if (answer == ACCESS_OK) {
            assert_string_equal(grant.vendor, cases[i].certificate);
            assert_int_equal(grant.by_certificate, cases[i].password == NULL);
        }
    }
}

static void certificate_grant_holds_while_its_vendor_is_there(void **state)
{
    struct fixture *fixture = *state;
    struct access_rules none = {.anonymous = ANONYMOUS_ALLOW};
    struct access_grant grant;
    struct err err;
    load_good(fixture, ANONYMOUS_REFUSE);
    assert_int_equal(connect_certified(fixture, "acme", NULL, NULL, &grant), ACCESS_OK);
    load_good(fixture, ANONYMOUS_REFUSE);
    assert_true(access_renew(fixture->access, &grant, bytes_text(""), bytes_text("c")));
    assert_true(grant.by_certificate);
    assert_true(may_publish(fixture->access, &grant, bytes_text("acme/1/up")));
    assert_int_equal(access_load(fixture->access, &disk_real, &none, &err), 0);
    assert_false(access_renew(fixture->access, &grant, bytes_text(""), bytes_text("c")));
}

struct asker {
    struct fixture *fixture;
    _Atomic bool *stop;
    uint64_t refused; /* of questions that every version of the rules allows */
};

static void *ask_thread(void *arg)
{
    struct asker *asker = arg;
    struct access *access = asker->fixture->access;
    struct access_view view = {0};
    struct access_grant grant;
    while (!atomic_load(asker->stop)) {
        asker->refused += connect_as(asker->fixture, "acme", "correct horse", &grant) != ACCESS_OK;
        asker->refused += !access_publish(access, &view, &grant, bytes_text("acme/1/up"));
        asker->refused += access_publish(access, &view, &grant, bytes_text("other"));
        asker->refused += !access_renew(access, &grant, bytes_text("acme"), bytes_text("c"));
    }
    access_view_fini(&view);
    return NULL;
}

static void questions_during_reloads_get_right_answers(void **state)
{
    enum { ASKERS = 3, RELOADS = 50 };
    struct fixture *fixture = *state;
    _Atomic bool stop = false;
    struct asker askers[ASKERS];
    pthread_t threads[ASKERS];
    load_good(fixture, ANONYMOUS_REFUSE);
    for (int i = 0; i < ASKERS; i++) {
        askers[i] = (struct asker){fixture, &stop, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_thread, &askers[i]), 0);
    }
    uint64_t generation = access_generation(fixture->access);
    for (int i = 0; i < RELOADS; i++)
        load_good(fixture, i % 2 ? ANONYMOUS_ALLOW : ANONYMOUS_REFUSE);
    atomic_store(&stop, true);
    for (int i = 0; i < ASKERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(askers[i].refused, 0);
    }
    assert_int_equal(access_generation(fixture->access), generation + RELOADS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(right_password_of_mosquitto_passwd_logs_in),
        TEST(wrong_and_missing_are_refused_alike),
        TEST(password_with_nul_is_another_password),
        TEST(remembered_login_is_fast_and_still_exact),
        TEST(unknown_user_takes_as_long_as_wrong_password),
        TEST(anonymous_follows_the_rule),
        TEST(vendor_publishes_only_where_its_filters_say),
        TEST(anonymous_may_not_publish_to_dollar),
        TEST(topic_filters_match_as_the_standard_says),
        TEST(doubtful_files_are_errors_and_keep_the_old_rules),
        TEST(user_of_two_vendors_is_an_error),
        TEST(line_ends_and_links_do_not_matter),
        TEST(reload_withdraws_users_vendors_and_changed_passwords),
        TEST(reload_withdraws_anonymous),
        TEST(certificate_stands_for_its_vendor_and_what_else_is_given_must_agree),
        TEST(certificate_grant_holds_while_its_vendor_is_there),
        TEST(view_follows_a_reload),
        TEST(questions_during_reloads_get_right_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
