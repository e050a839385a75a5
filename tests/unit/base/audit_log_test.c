/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit log: what a line holds, the day's files, what repeats, and a disk that refuses.
 */
#include "base/audit_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/audit_file.h"
#include "base/audit_limit.h"
#include "base/clock.h"
#include "lib/fault_disk.h"
#include "lib/temp_dir.h"

enum { DAY = 86400000 };

static const int64_t noon = 1795305600000 + DAY / 2; /* 2026-11-22T12:00Z */

struct fixture {
    struct temp_dir dir;
    struct fault_disk fault;
    struct audit_log_options options;
    struct err err;
};

static int set_up(void **state)
{
    struct fixture *fixture = mem_zalloc(sizeof *fixture);
    temp_dir_make(&fixture->dir);
    fault_disk_init(&fixture->fault);
    fixture->options = (struct audit_log_options){&fixture->fault.disk, fixture->dir.path, 0};
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    fault_disk_fini(&fixture->fault);
    temp_dir_remove(&fixture->dir);
    free(fixture);
    return 0;
}

/* All files of the folder in the order of their names, as text; the caller frees. */
static char *all_text(const struct fixture *fixture)
{
    struct disk_names names;
    struct buffer out = {0};
    assert_int_equal(disk_real.list(&disk_real, fixture->dir.path, &names), 0);
    for (size_t i = 0; i < names.count; i++) {
        char *path = mem_printf("%s/%s", fixture->dir.path, names.names[i]);
        assert_int_equal(disk_read_file(&disk_real, path, 1 << 24, &out), 0);
        free(path);
    }
    disk_names_fini(&names);
    buffer_u8(&out, 0);
    return (char *)out.data;
}

static size_t count_of(const char *text, const char *word)
{
    size_t count = 0;
    while ((text = strstr(text, word)) != NULL) {
        count++;
        text += strlen(word);
    }
    return count;
}

static bool file_exists(const struct fixture *fixture, const char *name)
{
    char *path = mem_printf("%s/%s", fixture->dir.path, name);
    bool exists = access(path, F_OK) == 0;
    free(path);
    return exists;
}

static void put_file(const struct fixture *fixture, const char *name, const char *text)
{
    char *path = mem_printf("%s/%s", fixture->dir.path, name);
    assert_int_equal(disk_replace_file(&disk_real, path, bytes_text(text)), 0);
    free(path);
}

static struct audit_entry sign_in(const char *who, uint8_t host)
{
    uint8_t four[4] = {192, 0, 2, host};
    return (struct audit_entry){
        .what = AUDIT_SIGN_IN,
        .result = AUDIT_REFUSED,
        .who = bytes_text(who),
        .client = bytes_text("meter-1"),
        .from = address_of_v4(four),
        .why = "wrong password",
    };
}

/* ---- lines ---- */

static void a_line_tells_who_what_when_from_where_and_the_result(void **state)
{
    struct fixture *fixture = *state;
    struct audit_entry entry = sign_in("acme/north", 7);
    entry.object = bytes_text("v1/acme/\"json\"\n");
    assert_int_equal(audit_log_append(&fixture->options, &entry, &fixture->err), 0);
    char *text = all_text(fixture);
    assert_non_null(strstr(text,
                           ",\"what\":\"sign_in\",\"result\":\"refused\",\"who\":\"acme/north\","
                           "\"client\":\"meter-1\",\"from\":\"192.0.2.7\","
                           "\"object\":\"v1/acme/\\\"json\\\"\\n\",\"why\":\"wrong "
                           "password\"}\n"));
    assert_memory_equal(text, "{\"time\":\"20", 11);
    free(text);
}

static void what_is_empty_is_left_out_and_what_is_long_is_cut(void **state)
{
    struct fixture *fixture = *state;
    char name[4000];
    memset(name, '\x01', sizeof name);
    struct audit_entry entry = {.what = AUDIT_START, .who = bytes_of(name, sizeof name)};
    assert_int_equal(audit_log_append(&fixture->options, &entry, &fixture->err), 0);
    char *text = all_text(fixture);
    assert_int_equal(count_of(text, "\\u0001"), 512);
    assert_non_null(strstr(text, "\\u0001~\"}\n"));
    assert_null(strstr(text, "client"));
    assert_null(strstr(text, "from"));
    free(text);
}

static void files_are_for_their_owner_only(void **state)
{
    struct fixture *fixture = *state;
    struct stat info;
    char *dir = mem_printf("%s/audit", fixture->dir.path);
    fixture->options.dir = dir;
    struct audit_entry entry = sign_in("a", 1);
    assert_int_equal(audit_log_append(&fixture->options, &entry, &fixture->err), 0);
    assert_int_equal(stat(dir, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    struct disk_names names;
    assert_int_equal(disk_real.list(&disk_real, dir, &names), 0);
    assert_int_equal(names.count, 1);
    char *path = mem_printf("%s/%s", dir, names.names[0]);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    free(path);
    free(dir);
    disk_names_fini(&names);
}

/* ---- files ---- */

static void a_day_has_its_file_and_old_ones_go(void **state)
{
    struct fixture *fixture = *state;
    struct audit_file file;
    put_file(fixture, "audit-2026-11-19.jsonl", "{}\n");
    put_file(fixture, "audit-2026-11-20-2.jsonl", "{}\n");
    put_file(fixture, "audit-2026-11-21.jsonl", "{}\n");
    put_file(fixture, "audit-2026-11-01.jsonl.bak", "not ours\n");
    put_file(fixture, "audit-2026-11-xx.jsonl", "not ours\n");
    fixture->options.keep_ms = 36 * 3600 * 1000; /* at noon: back to the midnight of the 21st */
    assert_int_equal(audit_file_init(&file, &fixture->options, &fixture->err), 0);
    assert_int_equal(audit_file_append(&file, noon, bytes_text("{1}\n"), &fixture->err), 0);
    assert_false(file_exists(fixture, "audit-2026-11-19.jsonl"));
    assert_false(file_exists(fixture, "audit-2026-11-20-2.jsonl"));
    assert_true(file_exists(fixture, "audit-2026-11-21.jsonl"));
    assert_true(file_exists(fixture, "audit-2026-11-22.jsonl"));
    assert_true(file_exists(fixture, "audit-2026-11-01.jsonl.bak"));
    assert_true(file_exists(fixture, "audit-2026-11-xx.jsonl"));
    assert_int_equal(audit_file_append(&file, noon + DAY, bytes_text("{2}\n"), &fixture->err), 0);
    assert_true(file_exists(fixture, "audit-2026-11-23.jsonl"));
    assert_false(file_exists(fixture, "audit-2026-11-21.jsonl"));
    audit_file_fini(&file);
}

static void half_a_line_is_kept_and_the_next_begins_on_a_new_one(void **state)
{
    struct fixture *fixture = *state;
    struct audit_file file;
    put_file(fixture, "audit-2026-11-22.jsonl", "{\"whole\":1}\n{\"half");
    assert_int_equal(audit_file_init(&file, &fixture->options, &fixture->err), 0);
    assert_int_equal(audit_file_append(&file, noon, bytes_text("{\"next\":1}\n"), &fixture->err),
                     0);
    audit_file_fini(&file);
    char *text = all_text(fixture);
    assert_string_equal(text, "{\"whole\":1}\n{\"half\n{\"next\":1}\n");
    free(text);
}

static void a_failed_sync_ends_a_file_and_its_lines_stand_in_the_next(void **state)
{
    struct fixture *fixture = *state;
    struct audit_file file;
    assert_int_equal(audit_file_init(&file, &fixture->options, &fixture->err), 0);
    assert_int_equal(audit_file_append(&file, noon, bytes_text("{1}\n"), &fixture->err), 0);
    for (int i = 0; i < 200; i++) { /* however often: the day's files are not used up */
        fault_disk_fail(&fixture->fault, FAULT_DATASYNC, 1, EIO, false);
        assert_int_equal(audit_file_append(&file, noon, bytes_text("{2}\n"), &fixture->err),
                         GW_EIO);
    }
    assert_int_equal(audit_file_append(&file, noon, bytes_text("{2}\n"), &fixture->err), 0);
    assert_true(file_exists(fixture, "audit-2026-11-22-2.jsonl"));
    assert_false(file_exists(fixture, "audit-2026-11-22-3.jsonl"));
    audit_file_fini(&file);
    assert_int_equal(audit_file_init(&file, &fixture->options, &fixture->err), 0);
    assert_int_equal(audit_file_append(&file, noon, bytes_text("{3}\n"), &fixture->err), 0);
    audit_file_fini(&file);
    char *text = all_text(fixture); /* -2 sorts before .jsonl */
    assert_string_equal(text, "{2}\n{3}\n{1}\n{2}\n");
    free(text);
}

static void a_full_disk_leaves_whole_lines_behind_half_a_one(void **state)
{
    struct fixture *fixture = *state;
    struct audit_file file;
    assert_int_equal(audit_file_init(&file, &fixture->options, &fixture->err), 0);
    fixture->fault.write_then_fail = true;
    fault_disk_fail(&fixture->fault, FAULT_PWRITE, 1, ENOSPC, false);
    assert_int_equal(audit_file_append(&file, noon, bytes_text("{12345}\n"), &fixture->err),
                     GW_EFULL);
    assert_non_null(strstr(fixture->err.text, "No space left on device"));
    assert_int_equal(audit_file_append(&file, noon, bytes_text("{12345}\n"), &fixture->err), 0);
    audit_file_fini(&file);
    char *text = all_text(fixture);
    assert_string_equal(text, "{123\n{12345}\n");
    free(text);
}

static void every_disk_call_may_fail_once_and_no_line_is_lost(void **state)
{
    struct fixture *fixture = *state;
    for (uint64_t n = 1;; n++) {
        struct audit_file file;
        uint64_t before = fixture->fault.failed;
        temp_dir_clear(fixture->dir.path);
        fault_disk_fail(&fixture->fault, FAULT_ANY, n, EIO, false);
        int rc = audit_file_init(&file, &fixture->options, &fixture->err);
        if (rc) {
            audit_file_fini(&file);
            assert_int_equal(audit_file_init(&file, &fixture->options, &fixture->err), 0);
        }
        for (int line = 0; line < 3; line++) {
            char text[16];
            snprintf(text, sizeof text, "{%d}\n", line);
            int64_t now = noon + line / 2 * DAY;
            if (audit_file_append(&file, now, bytes_text(text), &fixture->err))
                assert_int_equal(audit_file_append(&file, now, bytes_text(text), &fixture->err), 0);
        }
        audit_file_fini(&file);
        bool failed = fixture->fault.failed > before;
        fault_disk_fail(&fixture->fault, FAULT_ANY, 0, 0, false);
        char *text = all_text(fixture);
        for (int line = 0; line < 3; line++) {
            char want[16];
            snprintf(want, sizeof want, "{%d}\n", line);
            assert_non_null(strstr(text, want));
        }
        free(text);
        if (!failed)
            return;
        assert_in_range(n, 1, 100);
    }
}

static void a_file_of_another_user_is_passed_over(void **state)
{
    struct fixture *fixture = *state;
    struct audit_file file;
    assert_int_equal(audit_file_init(&file, &fixture->options, &fixture->err), 0);
    fault_disk_fail(&fixture->fault, FAULT_OPEN, 1, EACCES, false);
    assert_int_equal(audit_file_append(&file, noon, bytes_text("{1}\n"), &fixture->err), 0);
    assert_true(file_exists(fixture, "audit-2026-11-22-2.jsonl"));
    audit_file_fini(&file);
}

/* ---- what repeats ---- */

static bool passes(struct audit_limit *limit, const struct audit_entry *entry)
{
    struct buffer members = {0};
    buffer_printf(&members, ",\"who\":\"%.*s\",\"object\":\"%.*s\"", (int)entry->who.size,
                  (const char *)entry->who.data, (int)entry->object.size,
                  entry->object.size ? (const char *)entry->object.data : "");
    bool pass = audit_limit_pass(limit, entry, buffer_bytes(&members));
    buffer_fini(&members);
    return pass;
}

static void refusals_that_repeat_stand_once_a_minute_with_their_count(void **state)
{
    (void)state;
    struct audit_limit limit = {0};
    struct buffer out = {0};
    struct audit_entry entry = sign_in("guessed", 1);
    assert_true(passes(&limit, &entry));
    for (int i = 0; i < 1000; i++) {
        entry.object = i % 2 ? bytes_text("one") : bytes_text("two");
        assert_false(passes(&limit, &entry));
    }
    assert_int_equal(audit_limit_tell(&limit, 59999, noon, false, &out), 0);
    assert_int_equal(audit_limit_tell(&limit, 60000, noon, false, &out), 1);
    buffer_u8(&out, 0);
    assert_non_null(
        strstr((char *)out.data, "\"who\":\"guessed\",\"object\":\"\",\"repeated\":1000}\n"));
    assert_true(passes(&limit, &entry)); /* a new minute */
    buffer_fini(&out);
    audit_limit_fini(&limit);
}

static void one_address_guessing_many_names_gets_thirty_lines(void **state)
{
    (void)state;
    struct audit_limit limit = {0};
    struct buffer out = {0};
    size_t passed = 0;
    for (int i = 0; i < 5000; i++) {
        char name[16];
        snprintf(name, sizeof name, "user-%d", i);
        struct audit_entry entry = sign_in(name, 1);
        passed += passes(&limit, &entry);
    }
    assert_int_equal(passed, AUDIT_ADDRESS_MAX);
    struct audit_entry other = sign_in("user-1", 2);
    assert_true(passes(&limit, &other)); /* another address is seen all the same */
    assert_int_equal(audit_limit_tell(&limit, 0, noon, true, &out), 1);
    buffer_u8(&out, 0);
    assert_non_null(strstr((char *)out.data, "\"from\":\"192.0.2.1\""));
    assert_non_null(strstr((char *)out.data, "\"not_written\":4970}"));
    buffer_fini(&out);
    audit_limit_fini(&limit);
}

static void many_addresses_guessing_get_a_hundred_and_twenty_lines(void **state)
{
    (void)state;
    struct audit_limit limit = {0};
    struct buffer out = {0};
    size_t passed = 0;
    for (int i = 0; i < 100000; i++) {
        char name[16];
        snprintf(name, sizeof name, "user-%d", i);
        struct audit_entry entry = sign_in(name, 1);
        memcpy(entry.from.bytes + 12, &i, sizeof i);
        passed += passes(&limit, &entry);
    }
    assert_int_equal(passed, AUDIT_REFUSED_MAX);
    struct audit_entry done = {.what = AUDIT_REPLAY, .who = bytes_text("ops")};
    for (int i = 0; i < 600; i++) { /* what succeeded is never held back for that */
        char object[16];
        snprintf(object, sizeof object, "job-%d", i);
        done.object = bytes_text(object);
        assert_true(passes(&limit, &done));
    }
    assert_int_equal(audit_limit_tell(&limit, 0, noon, true, &out), 1);
    buffer_u8(&out, 0);
    assert_non_null(strstr((char *)out.data, "\"not_written\":99880}"));
    buffer_fini(&out);
    audit_limit_fini(&limit);
}

/* ---- the whole ---- */

static void *add_many(void *arg)
{
    for (int i = 0; i < 100; i++) {
        char object[32];
        snprintf(object, sizeof object, "job-%d-%p", i, (void *)&object);
        struct audit_entry entry = {.what = AUDIT_REPLAY, .object = bytes_text(object)};
        audit_log_add(arg, &entry);
    }
    return NULL;
}

static void many_threads_add_and_close_writes_all(void **state)
{
    struct fixture *fixture = *state;
    struct audit_log *log;
    pthread_t threads[4];
    assert_int_equal(audit_log_open(&log, &fixture->options, &fixture->err), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, log), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(audit_log_lost(log), 0);
    audit_log_close(log);
    char *text = all_text(fixture);
    assert_int_equal(count_of(text, "\"what\":\"replay\""), 400);
    free(text);
}

static void a_count_of_repeats_is_told_at_the_end(void **state)
{
    struct fixture *fixture = *state;
    struct audit_log *log;
    assert_int_equal(audit_log_open(&log, &fixture->options, &fixture->err), 0);
    struct audit_entry entry = sign_in("guessed", 1);
    uint64_t told = 0;
    for (int i = 0; i < 50; i++)
        audit_log_add(log, &entry);
    audit_log_close(log);
    char *text = all_text(fixture);
    for (const char *at = text; (at = strstr(at, "\"repeated\":")) != NULL; at++)
        told += strtoul(at + 11, NULL, 10);
    /* The minute may have turned in between. */
    assert_int_equal(told + count_of(text, "wrong password\"}"), 50);
    free(text);
}

static void nobody_waits_for_a_disk_that_hangs_and_what_is_lost_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct audit_log *log;
    assert_int_equal(audit_log_open(&log, &fixture->options, &fixture->err), 0);
    fault_disk_hold_syncs(&fixture->fault, true);
    struct audit_entry first = {.what = AUDIT_START};
    audit_log_add(log, &first);
    assert_true(fault_disk_wait_held(&fixture->fault));
    for (int i = 0; i < 20000; i++) {
        char object[32];
        snprintf(object, sizeof object, "job-%d", i);
        struct audit_entry entry = {.what = AUDIT_REPLAY, .object = bytes_text(object)};
        audit_log_add(log, &entry);
    }
    uint64_t lost = audit_log_lost(log);
    assert_in_range(lost, 1, 20000);
    fault_disk_hold_syncs(&fixture->fault, false);
    audit_log_close(log);
    char want[64];
    snprintf(want, sizeof want, "\"lost\":%llu}", (unsigned long long)lost);
    char *text = all_text(fixture);
    assert_non_null(strstr(text, want));
    assert_int_equal(count_of(text, "\"replay\""), 20000 - lost);
    free(text);
}

static void a_full_disk_is_no_reason_not_to_start_and_an_unusable_folder_is(void **state)
{
    struct fixture *fixture = *state;
    struct audit_log *log;
    fault_disk_fail(&fixture->fault, FAULT_OPEN, 1, ENOSPC, false);
    assert_int_equal(audit_log_open(&log, &fixture->options, &fixture->err), 0);
    audit_log_close(log);
    fault_disk_fail(&fixture->fault, FAULT_OPEN, 1, EROFS, true);
    assert_int_equal(audit_log_open(&log, &fixture->options, &fixture->err), GW_EIO);
    assert_non_null(strstr(fixture->err.text, "Read-only file system"));
}

static void without_a_log_nothing_happens(void **state)
{
    (void)state;
    struct audit_entry entry = {.what = AUDIT_START};
    audit_log_add(NULL, &entry);
    assert_int_equal(audit_log_lost(NULL), 0);
    audit_log_close(NULL);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        test(a_line_tells_who_what_when_from_where_and_the_result),
        test(what_is_empty_is_left_out_and_what_is_long_is_cut),
        test(files_are_for_their_owner_only),
        test(a_day_has_its_file_and_old_ones_go),
        test(half_a_line_is_kept_and_the_next_begins_on_a_new_one),
        test(a_failed_sync_ends_a_file_and_its_lines_stand_in_the_next),
        test(a_full_disk_leaves_whole_lines_behind_half_a_one),
        test(every_disk_call_may_fail_once_and_no_line_is_lost),
        test(a_file_of_another_user_is_passed_over),
        test(refusals_that_repeat_stand_once_a_minute_with_their_count),
        test(one_address_guessing_many_names_gets_thirty_lines),
        test(many_addresses_guessing_get_a_hundred_and_twenty_lines),
        test(many_threads_add_and_close_writes_all),
        test(a_count_of_repeats_is_told_at_the_end),
        test(nobody_waits_for_a_disk_that_hangs_and_what_is_lost_is_told),
        test(a_full_disk_is_no_reason_not_to_start_and_an_unusable_folder_is),
        test(without_a_log_nothing_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
