/* SPDX-License-Identifier: Apache-2.0
 *
 * Passwords and the lines and files that hold them. The scrypt vectors are those of RFC 7914, section
 * 12, put into the PHC form by Python's base64.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fault_disk.h"
#include "lib/temp_dir.h"
#include "sources/access.h"
#include "sources/credential.h"

/* ---- passwords ---- */

static void scrypt_gives_what_rfc_7914_says(void **state)
{
    /* "SodiumChloride" as salt: N = 16384, r = 8, p = 1, password "pleaseletmein". */
    static const char sodium[] = "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/"
                                 "2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUk"
                                 "Kpr55h6F3A1lHkDfzwF7RVdYhw";
    struct password password;
    struct err err;
    (void)state;
    if (password_parse(bytes_text(sodium), &password, &err))
        fail_msg("%s", err.text);
    assert_true(password_matches(&password, bytes_text("pleaseletmein")));
    assert_false(password_matches(&password, bytes_text("pleaseletmeim")));
}

static void hostile_parameters_are_refused_before_they_cost_anything(void **state)
{
    static const char *const cases[] = {
        "$scrypt$ln=20,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$scrypt$ln=99,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$scrypt$ln=15,r=32,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$scrypt$ln=15,r=8,p=16$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$scrypt$ln=15,r=8,p=999999999$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$scrypt$ln=15,r=0,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$scrypt$ln=0,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$scrypt$ln=-1,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$scrypt$ln=15,p=1,r=8$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$scrypt$ln=15,r=8,p=1,x=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$scrypt$ln=15,r=8$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$scrypt$$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$scrypt$ln=15,r=8,p=1$c2Fs$aGFzaGhhc2hoYXNoaGFzaA",
        "$scrypt$ln=15,r=8,p=1$c2FsdHNhbHQ=$aGFzaGhhc2hoYXNoaGFzaA",
        "$scrypt$ln=15,r=8,p=1$c2FsdHNhbHQ$aGFzaA",
        "$scrypt$ln=15,r=8,p=1$c2FsdHNhbHQ$",
        "$scrypt$ln=15,r=8,p=1$c2FsdHNhbHQ",
        "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$7$1000001$c2FsdHNhbHQ=$aGFzaA==",
        "secret",
    };
    (void)state;
    for (size_t i = 0; i < array_count(cases); i++) {
        struct password password;
        struct err err;
        assert_int_equal(password_parse(bytes_text(cases[i]), &password, &err), GW_EINVAL);
        assert_null(strstr(err.text, "c2Fsd"));
        assert_null(strstr(err.text, "secret"));
    }
}

static void made_password_matches_itself_alone(void **state)
{
    (void)state;
    for (int cost = PASSWORD_CHOSEN; cost <= PASSWORD_GENERATED; cost++) {
        struct buffer one = {0}, other = {0};
        struct password password;
        struct err err;
        assert_int_equal(password_make(bytes_text("corr\xc3\xa9"
                                                  "ct"),
                                       cost, &one, &err),
                         0);
        assert_int_equal(password_make(bytes_text("corr\xc3\xa9"
                                                  "ct"),
                                       cost, &other, &err),
                         0);
        assert_false(bytes_equal(buffer_bytes(&one), buffer_bytes(&other))); /* salt */
        assert_int_equal(password_parse(buffer_bytes(&one), &password, &err), 0);
        assert_true(password_memory(&password) >= 1 << 20);
        assert_true(password_memory(&password) <= PASSWORD_MEMORY_MAX);
        assert_true(password_matches(&password, bytes_text("corr\xc3\xa9"
                                                           "ct")));
        assert_false(password_matches(&password, bytes_text("corr\xc3\xa9"
                                                            "cT")));
        assert_false(password_matches(&password, bytes_text("")));
        assert_false(password_matches(&password, bytes_of("corr\xc3\xa9"
                                                          "ct\0",
                                                          9)));
        buffer_fini(&one);
        buffer_fini(&other);
    }
}

static void passwords_that_could_never_be_right_are_not_made(void **state)
{
    char large[PASSWORD_BYTES_MAX + 1];
    struct buffer out = {0};
    struct err err;
    (void)state;
    memset(large, 'x', sizeof large);
    assert_int_equal(password_make(bytes_text(""), PASSWORD_CHOSEN, &out, &err), GW_EINVAL);
    assert_int_equal(password_make(bytes_of("a\0", 2), PASSWORD_CHOSEN, &out, &err), GW_EINVAL);
    assert_int_equal(password_make(bytes_of(large, sizeof large), PASSWORD_CHOSEN, &out, &err),
                     GW_EINVAL);
    assert_int_equal(out.size, 0);
}

static void generated_passwords_differ_and_are_letters_and_digits(void **state)
{
    struct buffer one = {0}, other = {0};
    (void)state;
    password_generate(&one);
    password_generate(&other);
    assert_int_equal(one.size, 32);
    assert_false(bytes_equal(buffer_bytes(&one), buffer_bytes(&other)));
    for (size_t i = 0; i < one.size; i++)
        assert_true((one.data[i] | 0x20) >= 'a' ? (one.data[i] | 0x20) <= 'z'
                                                : one.data[i] >= '0' && one.data[i] <= '9');
    buffer_fini(&one);
    buffer_fini(&other);
}

/* ---- lines ---- */

static const char hash[] =
    "$scrypt$ln=1,r=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";

static void line_holds_what_a_user_is_bound_to(void **state)
{
    struct credential user;
    struct err err;
    struct buffer out = {0};
    (void)state;
    char *line =
        mem_printf("me & you:%s disabled client=m-*%%25%%20x topic=a/+/up topic=b%%20c/#", hash);
    if (credential_parse(bytes_text(line), &user, &err))
        fail_msg("%s", err.text);
    assert_true(bytes_equal_text(user.name, "me & you"));
    assert_string_equal(user.client, "m-*% x");
    assert_int_equal(user.topic_count, 2);
    assert_string_equal(user.topics[1], "b c/#");
    assert_true(user.disabled);
    credential_write(&user, &out);
    assert_int_equal(out.data[out.size - 1], '\n');
    assert_true(bytes_equal_text(bytes_of(out.data, out.size - 1), line));
    credential_fini(&user);
    buffer_fini(&out);
    free(line);
}

static void doubtful_words_behind_the_hash_are_errors(void **state)
{
    static const char *const words[] = {
        "x",
        "Disabled",
        "topic=",
        "topic=a#",
        "topic=#/a",
        "client=",
        "topic=a+/b",
        "client=%00",
        "client=%0",
        "client=%zz",
        "topic=%00",
        "client=a%0ab",
        "client=a client=b",
        "password=x",
        "topic",
    };
    (void)state;
    for (size_t i = 0; i < array_count(words); i++) {
        struct credential user;
        struct err err;
        char *line = mem_printf("u:%s %s", hash, words[i]);
        if (credential_parse(bytes_text(line), &user, &err) != GW_EINVAL)
            fail_msg("%s", words[i]);
        credential_fini(&user);
        free(line);
    }
}

static void pattern_matches_like_a_file_name(void **state)
{
    static const struct {
        const char *pattern, *client;
        bool matches;
    } cases[] = {
        {"*", "", true},
        {"*", "a/+/#", true},
        {"m-*", "m-", true},
        {"m-*", "m", false},
        {"m-*", "M-1", false},
        {"*-m", "x-m-m", true},
        {"a*b*c", "axxbxxc", true},
        {"a*b*c", "axxbxx", false},
        {"abc", "abc", true},
        {"abc", "abcd", false},
        {"abc", "ab", false},
        {"**", "x", true},
        {"vendorA*", "vendorAB", true},
        {"vendorA-*", "vendorAB-1", false},
        {"?", "x", false},
        {"+", "x", false},
        {"#", "x", false},
        {"%c", "x", false},
        {"%u", "u", false},
    };
    (void)state;
    for (size_t i = 0; i < array_count(cases); i++)
        if (credential_pattern_matches(cases[i].pattern, bytes_text(cases[i].client)) !=
            cases[i].matches)
            fail_msg("%s against %s", cases[i].pattern, cases[i].client);
    /* Not exponential: many stars and a text that nearly fits. */
    char pattern[CREDENTIAL_PATTERN_MAX + 1], client[1024];
    for (size_t i = 0; i < CREDENTIAL_PATTERN_MAX; i++)
        pattern[i] = i % 2 ? 'a' : '*';
    pattern[CREDENTIAL_PATTERN_MAX] = '\0';
    memset(client, 'a', sizeof client - 1);
    client[sizeof client - 1] = 'b';
    assert_false(credential_pattern_matches(pattern, bytes_of(client, sizeof client)));
}

/* ---- the file ---- */

struct place {
    struct temp_dir dir;
    char path[440];
};

static void place_make(struct place *place)
{
    temp_dir_make(&place->dir);
    snprintf(place->path, sizeof place->path, "%s/acme", place->dir.path);
}

static struct credential_edit edit_of(enum credential_change change, const char *name)
{
    return (struct credential_edit){
        .change = change, .name = bytes_text(name), .hash = bytes_text(hash)};
}

static int apply(const struct place *place, struct credential_edit edit, struct err *err)
{
    return credential_file_edit(&disk_real, place->path, &edit, err);
}

static char *text_of(const struct place *place)
{
    struct buffer text = {0};
    struct err err;
    int rc = credential_file_read(&disk_real, place->path, &text, &err);
    assert_true(rc == 0 || rc == GW_ENOENT);
    char *out = rc == 0 ? bytes_strdup(buffer_bytes(&text)) : mem_strdup("");
    buffer_fini(&text);
    return out;
}

static void expect_text(const struct place *place, const char *wanted)
{
    char *text = text_of(place);
    assert_string_equal(text, wanted);
    free(text);
}

static void edits_change_their_user_and_keep_every_other_byte(void **state)
{
    struct place place;
    struct err err;
    char filter[] = "a/+";
    char *topics[] = {filter};
    char wanted[1024];
    (void)state;
    place_make(&place);
    assert_int_equal(apply(&place, edit_of(CREDENTIAL_ADD, "one"), &err), 0);
    assert_int_equal(apply(&place, edit_of(CREDENTIAL_ADD, "one"), &err), GW_EEXIST);
    struct credential_edit add = edit_of(CREDENTIAL_ADD, "two");
    add.client = "c*";
    add.topics = topics;
    add.topic_count = 1;
    assert_int_equal(apply(&place, add, &err), 0);
    FILE *file = fopen(place.path, "ae");
    fprintf(file, "# a word\n\nthree:%s  topic=x\r\n", hash); /* as somebody's editor left it */
    fclose(file);
    assert_int_equal(apply(&place, edit_of(CREDENTIAL_DISABLE, "two"), &err), 0);
    snprintf(wanted, sizeof wanted,
             "one:%s\ntwo:%s disabled client=c* topic=a/+\n# a word\n\nthree:%s  topic=x\r\n", hash,
             hash, hash);
    expect_text(&place, wanted);
    assert_int_equal(apply(&place, edit_of(CREDENTIAL_ENABLE, "two"), &err), 0);
    assert_int_equal(apply(&place, edit_of(CREDENTIAL_BIND, "two"), &err), 0);
    assert_int_equal(apply(&place, edit_of(CREDENTIAL_REMOVE, "one"), &err), 0);
    struct credential_edit passwd = edit_of(CREDENTIAL_HASH, "three");
    passwd.hash = bytes_text("$scrypt$ln=10,r=8,p=16$TmFDbA$/bq+HJ00cgB4VucZDQHp/g");
    assert_int_equal(apply(&place, passwd, &err), GW_EINVAL); /* nobody would read it again */
    passwd.hash = bytes_text(hash);
    assert_int_equal(apply(&place, passwd, &err), 0);
    assert_int_equal(apply(&place, edit_of(CREDENTIAL_REMOVE, "nobody"), &err), GW_ENOENT);
    snprintf(wanted, sizeof wanted, "two:%s\n# a word\n\nthree:%s topic=x\n", hash, hash);
    expect_text(&place, wanted);
    temp_dir_remove(&place.dir);
}

static void last_user_goes_only_when_the_file_may(void **state)
{
    struct place place;
    struct err err;
    struct credential_edit edit = edit_of(CREDENTIAL_REMOVE, "one");
    (void)state;
    place_make(&place);
    assert_int_equal(apply(&place, edit, &err), GW_ENOENT);
    assert_int_equal(apply(&place, edit_of(CREDENTIAL_ADD, "one"), &err), 0);
    assert_int_equal(apply(&place, edit, &err), GW_EINVAL);
    edit.may_be_last = true;
    assert_int_equal(apply(&place, edit, &err), 0);
    assert_int_equal(access(place.path, F_OK), -1);
    temp_dir_remove(&place.dir);
}

static void mode_stays_and_a_new_file_is_closed_to_others(void **state)
{
    struct place place;
    struct stat info;
    struct err err;
    (void)state;
    place_make(&place);
    assert_int_equal(apply(&place, edit_of(CREDENTIAL_ADD, "one"), &err), 0);
    assert_int_equal(stat(place.path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    assert_int_equal(chmod(place.path, 0600), 0);
    assert_int_equal(apply(&place, edit_of(CREDENTIAL_DISABLE, "one"), &err), 0);
    assert_int_equal(stat(place.path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    temp_dir_remove(&place.dir);
}

static void links_are_followed_and_stay(void **state)
{
    struct place place;
    struct stat info;
    struct err err;
    (void)state;
    place_make(&place);
    assert_int_equal(symlink("acme.real", place.path), 0);
    struct place there = {.dir = place.dir};
    snprintf(there.path, sizeof there.path, "%s/acme.real", place.dir.path);
    assert_int_equal(apply(&there, edit_of(CREDENTIAL_ADD, "one"), &err), 0);
    assert_int_equal(apply(&place, edit_of(CREDENTIAL_ADD, "two"), &err), 0);
    assert_int_equal(lstat(place.path, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    bool has;
    assert_int_equal(credential_file_has(&disk_real, there.path, bytes_text("two"), &has, &err), 0);
    assert_true(has);
    temp_dir_remove(&place.dir);
}

/* Every call to the disk fails once, the first to begin with. */
static void failing_disk_leaves_the_old_file_or_the_new(void **state)
{
    struct place place;
    struct err err;
    char wanted[2][512];
    uint64_t failed = 1;
    (void)state;
    place_make(&place);
    snprintf(wanted[0], sizeof wanted[0], "one:%s\n", hash);
    snprintf(wanted[1], sizeof wanted[1], "one:%s disabled\n", hash);
    for (uint64_t nth = 1; failed; nth++) {
        unlink(place.path);
        assert_int_equal(apply(&place, edit_of(CREDENTIAL_ADD, "one"), &err), 0);
        struct fault_disk faults;
        fault_disk_init(&faults);
        fault_disk_fail(&faults, FAULT_ANY, nth, EIO, false);
        struct credential_edit edit = edit_of(CREDENTIAL_DISABLE, "one");
        int rc = credential_file_edit(&faults.disk, place.path, &edit, &err);
        failed = faults.failed;
        fault_disk_fini(&faults);
        char *text = text_of(&place);
        assert_true(strcmp(text, wanted[0]) == 0 || strcmp(text, wanted[1]) == 0);
        if (rc == 0)
            assert_string_equal(text, wanted[1]);
        free(text);
    }
    temp_dir_remove(&place.dir);
}

int main(void)
{
#define TEST(name) cmocka_unit_test(name)
    const struct CMUnitTest tests[] = {
        TEST(scrypt_gives_what_rfc_7914_says),
        TEST(hostile_parameters_are_refused_before_they_cost_anything),
        TEST(made_password_matches_itself_alone),
        TEST(passwords_that_could_never_be_right_are_not_made),
        TEST(generated_passwords_differ_and_are_letters_and_digits),
        TEST(line_holds_what_a_user_is_bound_to),
        TEST(doubtful_words_behind_the_hash_are_errors),
        TEST(pattern_matches_like_a_file_name),
        TEST(edits_change_their_user_and_keep_every_other_byte),
        TEST(last_user_goes_only_when_the_file_may),
        TEST(mode_stays_and_a_new_file_is_closed_to_others),
        TEST(links_are_followed_and_stay),
        TEST(failing_disk_leaves_the_old_file_or_the_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
