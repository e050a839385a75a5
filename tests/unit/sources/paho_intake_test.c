/* SPDX-License-Identifier: Apache-2.0
 *
 * The intake file: what is in it survives, nothing comes twice, full means wait (invariants 1, 7).
 * Worker and gateway are two mappings of one file; where a kill matters, two processes.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/fault_disk.h"
#include "lib/temp_dir.h"
#include "sources/paho/intake.h"

enum { RING = 65536 };

static const struct identity ours = {0x1234};
static struct temp_dir dir;
static char path[300];
static struct intake *gateway, *worker;

static int setup(void **state)
{
    (void)state;
    temp_dir_make(&dir);
    snprintf(path, sizeof path, "%s/emqx-0.intake", dir.path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    intake_close(gateway);
    intake_close(worker);
    gateway = worker = NULL;
    temp_dir_remove(&dir);
    return 0;
}

static void open_both(uint64_t durable)
{
    struct err err;
    assert_int_equal(intake_open(&gateway, &disk_real, path, ours, RING, durable, &err), 0);
    assert_int_equal(intake_attach(&worker, &disk_real, path, ours, &err), 0);
}

static void close_both(void)
{
    intake_close(gateway);
    intake_close(worker);
    gateway = worker = NULL;
}

static bool yes(void *arg)
{
    (void)arg;
    return true;
}

static bool no(void *arg)
{
    (void)arg;
    return false;
}

static bool put(const char *topic, const char *payload, bool (*alive)(void *arg))
{
    bool wake;
    struct message message = {.topic = bytes_text(topic),
                              .payload = bytes_text(payload),
                              .properties = bytes_text("props"),
                              .flags = 1 | MESSAGE_RETAIN,
                              .protocol = 5,
                              .packet_id = 777};
    return intake_put(worker, &message, alive, NULL, &wake);
}

static uint64_t take(const char *payload)
{
    struct message message;
    uint64_t end = 0;
    assert_int_equal(intake_take(gateway, &message, &end), INTAKE_MESSAGE);
    assert_true(bytes_equal_text(message.payload, payload));
    return end;
}

static void assert_empty(void)
{
    struct message message;
    uint64_t end;
    assert_int_equal(intake_take(gateway, &message, &end), INTAKE_EMPTY);
}

static void a_message_comes_out_as_it_went_in(void **state)
{
    (void)state;
    struct message message;
    uint64_t end;
    open_both(0);
    assert_true(put("v1/acme/json", "{\"device\":\"7\"}", yes));
    assert_int_equal(intake_take(gateway, &message, &end), INTAKE_MESSAGE);
    assert_true(bytes_equal_text(message.topic, "v1/acme/json"));
    assert_true(bytes_equal_text(message.payload, "{\"device\":\"7\"}"));
    assert_true(bytes_equal_text(message.properties, "props"));
    assert_int_equal(message.flags, 1 | MESSAGE_RETAIN);
    assert_int_equal(message.protocol, 5);
    assert_int_equal(message.packet_id, 777);
    assert_int_equal(end % 8, 0);
    assert_empty();
}

static void what_was_not_released_comes_again_after_a_restart(void **state)
{
    (void)state;
    open_both(0);
    put("t", "one", yes);
    put("t", "two", yes);
    uint64_t end = take("one");
    take("two");
    intake_release(gateway, end);
    close_both();
    open_both(0);
    take("two");
    assert_empty();
}

static void what_the_raw_log_has_never_comes_again(void **state)
{
    (void)state;
    open_both(0);
    put("t", "one", yes);
    put("t", "two", yes);
    uint64_t end = take("one"); /* durable, and then the process died before release */
    close_both();
    open_both(end);
    take("two");
    assert_empty();
}

static void positions_go_on_when_the_file_is_lost(void **state)
{
    (void)state;
    open_both(4096);
    put("t", "one", yes);
    assert_true(take("one") > 4096);
}

static void a_file_older_than_the_raw_log_gives_nothing_and_goes_on_behind_it(void **state)
{
    (void)state;
    open_both(0);
    put("t", "old", yes);
    close_both();
    open_both(1 << 20); /* as after a power cut that took the newer pages */
    assert_empty();
    put("t", "new", yes);
    assert_true(take("new") > 1 << 20);
}

/* Many times round, with every size of the end of the ring. */
static void records_cross_the_end_of_the_ring_whole(void **state)
{
    (void)state;
    char text[1200];
    open_both(0);
    for (int i = 0; i < 3000; i++) {
        int size = 1 + i * 37 % 1100;
        memset(text, 'a' + i % 26, (size_t)size);
        text[size] = '\0';
        assert_true(put("topic", text, no)); /* there is room: nobody has to wait */
        intake_release(gateway, take(text));
    }
    assert_int_equal(intake_waiting_bytes(gateway), 0);
    assert_int_equal(intake_worker(gateway)->messages, 3000);
}

static void a_full_file_takes_nothing_until_there_is_room(void **state)
{
    (void)state;
    char text[8001];
    int count = 0;
    memset(text, 'x', 8000);
    text[8000] = '\0';
    open_both(0);
    while (put("t", text, no))
        assert_true(++count < 100);
    assert_int_equal(count, RING / 8024);
    assert_int_equal(intake_worker(gateway)->holds, 1);
    intake_release(gateway, take(text));
    assert_true(put("t", text, no));
    assert_false(put("t", text, no));
}

static void a_worker_that_waits_goes_on_when_room_is_released(void **state)
{
    (void)state;
    char text[8001];
    memset(text, 'x', 8000);
    text[8000] = '\0';
    open_both(0);
    while (put("t", text, no))
        ;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(put("t", text, yes) ? 0 : 1);
    while (intake_worker(gateway)->holds < 2)
        usleep(1000);
    intake_release(gateway, take(text));
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void the_sleeper_is_told_of_the_first_message_only(void **state)
{
    (void)state;
    bool wake;
    struct message message = {.topic = bytes_text("t")};
    open_both(0);
    assert_true(intake_sleep(gateway));
    assert_true(intake_put(worker, &message, yes, NULL, &wake));
    assert_true(wake);
    assert_true(intake_put(worker, &message, yes, NULL, &wake));
    assert_false(wake);
    assert_false(intake_sleep(gateway)); /* there is something to take */
}

/* The twenty digits that the payload begins with. */
static uint64_t number_of(const struct message *message)
{
    char digits[21] = "";
    assert_true(message->payload.size >= 20);
    memcpy(digits, message->payload.data, 20);
    return strtoull(digits, NULL, 10);
}

/* A child puts messages as fast as it can and is killed at any moment: each message that comes out
 * is whole, in order, and none that it had finished is missing. */
static void kill_leaves_only_whole_messages(void **state)
{
    (void)state;
    for (int cycle = 0; cycle < 30; cycle++) {
        open_both(0);
        uint64_t before = intake_worker(gateway)->messages;
        int told[2];
        assert_int_equal(pipe(told), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            char text[400];
            for (uint64_t i = 0;; i++) {
                snprintf(text, sizeof text, "%020llu%0*d", (unsigned long long)i, (int)(i % 300),
                         0);
                if (!put("t", text, yes) || write(told[1], &i, sizeof i) < 0)
                    _exit(1);
            }
        }
        close(told[1]);
        usleep((useconds_t)(200 + cycle * 300));
        struct message message;
        uint64_t end, next = 0, finished = 0, number;
        for (int i = 0; i < 50 + cycle; i++)
            if (intake_take(gateway, &message, &end) == INTAKE_MESSAGE) {
                assert_int_equal(number_of(&message), next++);
                intake_release(gateway, end);
            }
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(told[0], &number, sizeof number) == sizeof number)
            finished = number + 1;
        close(told[0]);
        while (intake_take(gateway, &message, &end) == INTAKE_MESSAGE) {
            assert_int_equal(number_of(&message), next++);
            intake_release(gateway, end);
        }
        assert_true(next >= finished);
        assert_true(next <= finished + 1);
        assert_true(intake_worker(gateway)->messages - before <= next);
        close_both();
    }
}

static void a_torn_record_is_told_and_passed_over(void **state)
{
    (void)state;
    struct message message;
    uint64_t end;
    open_both(0);
    put("t", "whole", yes);
    put("t", "torn-by-a-power-cut", yes);
    close_both();
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, 8192 + 40 + 12, SEEK_SET); /* in the second record */
    fputc(0x55, file);
    fclose(file);
    open_both(0);
    take("whole");
    assert_int_equal(intake_take(gateway, &message, &end), INTAKE_DAMAGED);
    intake_release(gateway, end);
    put("t", "next", yes);
    take("next");
}

static void a_file_of_another_journal_is_refused(void **state)
{
    (void)state;
    struct err err;
    struct intake *other = NULL;
    open_both(0);
    close_both();
    assert_int_equal(intake_open(&other, &disk_real, path, (struct identity){7}, RING, 0, &err),
                     GW_EINVAL);
    assert_non_null(strstr(err.text, "belongs to the journal 0000000000001234"));
    assert_null(other);
}

static void damage_to_the_header_is_refused(void **state)
{
    (void)state;
    struct err err;
    open_both(0);
    close_both();
    for (long at = 0; at < 32; at++) {
        FILE *file = fopen(path, "r+b");
        fseek(file, at, SEEK_SET);
        int was = fgetc(file);
        fseek(file, at, SEEK_SET);
        fputc(was ^ 1, file);
        fflush(file);
        assert_true(intake_open(&gateway, &disk_real, path, ours, RING, 0, &err) < 0);
        fseek(file, at, SEEK_SET);
        fputc(was, file);
        fclose(file);
    }
    open_both(0);
}

/* The n-th disk call fails, for every n: an error and no half-made file, or a good one. */
static void every_failing_disk_call_is_told_and_leaves_nothing_half_made(void **state)
{
    (void)state;
    struct err err;
    for (unsigned n = 1;; n++) {
        struct fault_disk fault;
        fault_disk_init(&fault);
        fault_disk_fail(&fault, FAULT_ANY, n, EIO, false);
        struct intake *made = NULL;
        int rc = intake_open(&made, &fault.disk, path, ours, RING, 0, &err);
        bool all_passed = !fault.failed;
        assert_true(rc == 0 ? made != NULL : err.text[0] != '\0');
        intake_close(made);
        fault_disk_fini(&fault);
        if (all_passed)
            break;
        open_both(0);
        put("t", "works", yes);
        take("works");
        close_both();
        unlink(path);
        assert_true(n < 100);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_message_comes_out_as_it_went_in),
        TEST(what_was_not_released_comes_again_after_a_restart),
        TEST(what_the_raw_log_has_never_comes_again),
        TEST(positions_go_on_when_the_file_is_lost),
        TEST(a_file_older_than_the_raw_log_gives_nothing_and_goes_on_behind_it),
        TEST(records_cross_the_end_of_the_ring_whole),
        TEST(a_full_file_takes_nothing_until_there_is_room),
        TEST(a_worker_that_waits_goes_on_when_room_is_released),
        TEST(the_sleeper_is_told_of_the_first_message_only),
        TEST(kill_leaves_only_whole_messages),
        TEST(a_torn_record_is_told_and_passed_over),
        TEST(a_file_of_another_journal_is_refused),
        TEST(damage_to_the_header_is_refused),
        TEST(every_failing_disk_call_is_told_and_leaves_nothing_half_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
