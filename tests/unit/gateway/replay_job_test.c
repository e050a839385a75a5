/* SPDX-License-Identifier: Apache-2.0
 *
 * The file of a replay: the same job back, never half of one, and nothing begun that cannot be
 * written.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/fault_disk.h"
#include "lib/replay_kit.h"
#include "replay_job.h"

static struct replay_job job_made(uint64_t next_seq)
{
    struct replay_job job = {
        .request = {.source = REPLAY_AGAIN,
                    .sink = mem_strdup("kafka-1"),
                    .from_ms = 1763712000123,
                    .to_ms = INT64_MAX,
                    .vendor = mem_strdup("acme"),
                    .device = mem_strdup("a device # with = blanks"),
                    .topic = mem_strdup("v1/+/json"),
                    .rate = 5000},
        .gateway = "0123456789abcdef",
        .status = {.id = "20261122-081500-1",
                   .state = REPLAY_STOPPED,
                   .source = REPLAY_AGAIN,
                   .sink = "kafka-1",
                   .started_ms = 1763712000999,
                   .first_seq = 17,
                   .last_seq = 900,
                   .next_seq = next_seq,
                   .messages = 1,
                   .readings = 2,
                   .withdrawn = 3,
                   .changed = 4,
                   .damaged = 5,
                   .failed = 6,
                   .why = "line\nbreak"},
    };
    buffer_add_text(&job.examples, "seq=1 a -> b\nseq=2 c -> d\n");
    return job;
}

static void assert_text(struct buffer *text, const char *expected)
{
    buffer_u8(text, 0);
    assert_string_equal((const char *)text->data, expected);
}

static void a_file_gives_the_same_job_back(void **state)
{
    (void)state;
    struct replay_job job = job_made(500), back;
    struct buffer text = {0};
    struct err err;
    replay_job_encode(&job, &text);
    assert_int_equal(replay_job_decode(buffer_bytes(&text), &back, &err), 0);
    assert_string_equal(back.request.device, job.request.device);
    assert_string_equal(back.request.topic, job.request.topic);
    assert_null(back.request.reason);
    assert_int_equal(back.request.from_ms, job.request.from_ms);
    assert_true(back.request.to_ms == INT64_MAX);
    assert_int_equal(back.request.rate, 5000);
    assert_string_equal(back.status.id, job.status.id);
    assert_string_equal(back.gateway, job.gateway);
    assert_string_equal(back.status.sink, "kafka-1");
    assert_int_equal(back.status.source, REPLAY_AGAIN);
    assert_int_equal(back.status.state, REPLAY_STOPPED);
    assert_string_equal(back.status.why, "line break");
    assert_memory_equal(&back.status.first_seq, &job.status.first_seq, 9 * sizeof(uint64_t));
    assert_text(&back.examples, "seq=1 a -> b\nseq=2 c -> d\n");
    replay_job_fini(&job);
    replay_job_fini(&back);
    buffer_fini(&text);
}

static void no_part_of_a_file_is_a_job(void **state)
{
    (void)state;
    struct replay_job job = job_made(500), back;
    struct buffer text = {0};
    struct err err;
    replay_job_encode(&job, &text);
    /* Without its last line break it is whole. */
    for (size_t size = 0; size + 1 < text.size; size++)
        if (replay_job_decode(bytes_of(text.data, size), &back, &err) != GW_ECORRUPT)
            fail_msg("%zu of %zu bytes are taken for a job", size, text.size);
    for (size_t i = 0; i < text.size; i++) {
        uint8_t was = text.data[i];
        text.data[i] = 0;
        assert_int_equal(replay_job_decode(buffer_bytes(&text), &back, &err), GW_ECORRUPT);
        text.data[i] = was;
    }
    replay_job_fini(&job);
    buffer_fini(&text);
}

static void a_newer_form_is_told_apart_from_damage(void **state)
{
    (void)state;
    struct replay_job back;
    struct err err;
    assert_int_equal(replay_job_decode(bytes_text("tidegate-replay 2\nwhole\n"), &back, &err),
                     GW_EVERSION);
    assert_int_equal(replay_job_decode(bytes_text("tidegate-replay 1\nwhole\n"), &back, &err),
                     GW_ECORRUPT);
    assert_int_equal(
        replay_job_decode(bytes_text("tidegate-replay 1\nnext_seq -1\nwhole\n"), &back, &err),
        GW_ECORRUPT);
    assert_non_null(strstr(err.text, "line 2"));
}

static void a_wrong_request_is_told_why(void **state)
{
    (void)state;
    static const struct {
        struct replay_request request;
        const char *why;
    } rows[] = {
        {{.from_ms = 1, .to_ms = 2}, "name the sink"},
        {{.sink = (char *)(uintptr_t) "s", .from_ms = 2, .to_ms = 2}, "span is empty"},
        {{.sink = (char *)(uintptr_t) "", .to_ms = 2}, "sink must have"},
        {{.sink = (char *)(uintptr_t) "s", .to_ms = 2, .rate = -1}, "rate"},
        {{.sink = (char *)(uintptr_t) "s", .to_ms = 2, .vendor = (char *)(uintptr_t) "a\nb"},
         "vendor holds a control character"},
        {{.sink = (char *)(uintptr_t) "s", .to_ms = 2, .topic = (char *)(uintptr_t) "a/#/b"},
         "no MQTT topic filter"},
        {{.sink = (char *)(uintptr_t) "s", .to_ms = 2, .reason = (char *)(uintptr_t) "checksum"},
         "only dead letters"},
        {{.source = (enum replay_source)7, .to_ms = 2, .dry_run = true}, "unknown source"},
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        struct err err = {{0}};
        assert_int_equal(replay_request_check(&rows[i].request, &err), GW_EINVAL);
        if (strstr(err.text, rows[i].why) == NULL)
            fail_msg("\"%s\" instead of \"%s\"", err.text, rows[i].why);
    }
}

static void a_save_that_fails_leaves_the_old_job_or_the_new(void **state)
{
    (void)state;
    struct temp_dir dir;
    struct fault_disk fault;
    struct err err;
    temp_dir_make(&dir);
    fault_disk_init(&fault);
    struct replay_job old = job_made(100), new = job_made(200), back;
    int rc = -1;
    for (uint64_t n = 1; rc; n++) {
        assert_int_equal(replay_job_save(&disk_real, dir.path, &old, &err), 0);
        fault_disk_fail(&fault, FAULT_ANY, n, n % 2 ? EIO : ENOSPC, false);
        rc = replay_job_save(&fault.disk, dir.path, &new, &err);
        fault_disk_fail(&fault, FAULT_ANY, 0, 0, false);
        assert_true(rc == 0 || rc == (n % 2 ? GW_EIO : GW_EFULL));
        assert_int_equal(replay_job_load(&disk_real, dir.path, old.status.id, &back, &err), 0);
        assert_true(back.status.next_seq == 200 || (rc && back.status.next_seq == 100));
        replay_job_fini(&back);
        assert_true(n < 50);
    }
    replay_job_fini(&old);
    replay_job_fini(&new);
    fault_disk_fini(&fault);
    temp_dir_remove(&dir);
}

static void a_replay_whose_file_cannot_be_written_does_not_begin(void **state)
{
    struct replay_kit *kit = *state;
    struct fault_disk fault;
    struct err err;
    char id[REPLAY_ID_SIZE];
    struct replay_status status;
    fault_disk_init(&fault);
    rkit_close(kit);
    kit->disk = &fault.disk;
    rkit_open(kit);
    rkit_batches(kit, 1, 3, 1000);
    struct replay_request request = rkit_request(REPLAY_READINGS);
    fault_disk_fail(&fault, FAULT_PWRITE, 1, EIO, false);
    assert_int_equal(replay_begin(kit->replays, &request, id, &err), GW_EIO);
    assert_false(replay_status(kit->replays, 0, &status));
    assert_int_equal(kit->attached, 0);
    rkit_replay(kit, &request);
    assert_int_equal(kit->sink.rows, 3 * KIT_ROWS);
    fault_disk_fail(&fault, FAULT_UNLINK, 1, EIO, false);
    assert_int_equal(replay_forget(kit->replays, kit->status.id, &err), GW_EIO);
    assert_int_equal(replay_forget(kit->replays, kit->status.id, &err), 0);
    assert_false(replay_status(kit->replays, 0, &status));
    rkit_close(kit);
    kit->disk = &disk_real;
    rkit_open(kit);
    fault_disk_fini(&fault);
}

static void a_replay_goes_on_while_its_position_cannot_be_saved(void **state)
{
    struct replay_kit *kit = *state;
    struct fault_disk fault;
    struct err err;
    char id[REPLAY_ID_SIZE];
    fault_disk_init(&fault);
    rkit_close(kit);
    kit->disk = &fault.disk;
    rkit_open(kit);
    rkit_batches(kit, 1, 20, 1000);
    struct replay_request request = rkit_request(REPLAY_READINGS);
    kit->sink.pause_after = 1;
    assert_int_equal(replay_begin(kit->replays, &request, id, &err), 0);
    fault_disk_fail(&fault, FAULT_DATASYNC, 1, ENOSPC, true);
    kit->sink.pause_after = 0;
    rkit_wait_state(kit, id, REPLAY_DONE);
    assert_int_equal(kit->sink.rows, 20 * KIT_ROWS);
    rkit_close(kit); /* its last save comes after it says that it is done */
    fault_disk_fail(&fault, FAULT_ANY, 0, 0, false);
    /* On disk it still runs from the start: it goes out again, which does no harm. */
    rkit_open(kit);
    rkit_wait_state(kit, id, REPLAY_DONE);
    assert_int_equal(kit->sink.rows, 2 * 20 * KIT_ROWS);
    rkit_close(kit);
    kit->disk = &disk_real;
    rkit_open(kit);
    fault_disk_fini(&fault);
}

static void a_file_that_is_no_job_stays_and_hides_no_other(void **state)
{
    struct replay_kit *kit = *state;
    struct replay_status status;
    rkit_batches(kit, 1, 3, 1000);
    struct replay_request request = rkit_request(REPLAY_READINGS);
    rkit_replay(kit, &request);
    char *path = mem_printf("%s/20200101-000000-1.replay", kit->jobs_dir);
    assert_int_equal(disk_replace_file(&disk_real, path, bytes_text("tidegate-replay 1\n")), 0);
    rkit_restart(kit, 0);
    assert_true(replay_status(kit->replays, 0, &status));
    assert_int_equal(status.state, REPLAY_DONE);
    assert_int_equal(status.readings, 3 * KIT_ROWS);
    assert_false(replay_status(kit->replays, 1, &status));
    assert_int_equal(access(path, F_OK), 0);
    free(path);
}

static void a_job_of_another_journal_does_not_go_on(void **state)
{
    struct replay_kit *kit = *state;
    struct err err;
    rkit_batches(kit, 1, 3, 1000);
    struct replay_job job = {.gateway = "00000000000000ff",
                             .request = rkit_request(REPLAY_READINGS),
                             .status = {.id = "20200101-000000-1", .next_seq = 17}};
    assert_int_equal(replay_job_save(&disk_real, kit->jobs_dir, &job, &err), 0);
    rkit_restart(kit, 0);
    struct replay_status status;
    assert_true(replay_status(kit->replays, 0, &status));
    assert_int_equal(status.state, REPLAY_FAILED);
    assert_non_null(strstr(status.why, "which was set aside"));
    assert_int_equal(replay_resume(kit->replays, status.id, &err), GW_EINVAL);
    assert_int_equal(kit->sink.rows, 0);
    assert_int_equal(replay_forget(kit->replays, status.id, &err), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, replay_kit_setup, replay_kit_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_gives_the_same_job_back),
        cmocka_unit_test(no_part_of_a_file_is_a_job),
        cmocka_unit_test(a_newer_form_is_told_apart_from_damage),
        cmocka_unit_test(a_wrong_request_is_told_why),
        cmocka_unit_test(a_save_that_fails_leaves_the_old_job_or_the_new),
        TEST(a_replay_whose_file_cannot_be_written_does_not_begin),
        TEST(a_replay_goes_on_while_its_position_cannot_be_saved),
        TEST(a_job_of_another_journal_does_not_go_on),
        TEST(a_file_that_is_no_job_stays_and_hides_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
