/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages by number: in any order, around damage, and cheap in ascending order. And that a lane's
 * sink gets them.
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

#include "base/clock.h"
#include "journal/rawlog.h"
#include "lib/fault_disk.h"
#include "lib/lane_kit.h"
#include "raw_messages.h"

static char *raw_dir;
static struct fault_disk fault;
static struct rawlog *rawlog;
static _Atomic int chunks_done;

static void on_done(struct chunk *chunk)
{
    chunk_release(chunk->owner, chunk);
    chunks_done++;
}

/* One extent of `count` messages with payloads "m<seq>". */
static void publish(uint64_t first_seq, int count)
{
    struct chunk *chunk = chunk_acquire(rawlog);
    struct session_record session = {
        .kind = RECORD_SESSION_MADE, .vendor = bytes_text("acme"), .client = bytes_text("meter")};
    chunk_add_session(chunk, &session); /* takes no number */
    for (int i = 0; i < count; i++) {
        char payload[32];
        snprintf(payload, sizeof payload, "m%llu", (unsigned long long)first_seq + i);
        struct message message = {.topic = bytes_text("a/b"),
                                  .payload = bytes_text(payload),
                                  .client = bytes_text("meter"),
                                  .flags = 1,
                                  .protocol = 4};
        chunk_add_message(chunk, &message);
    }
    chunk->done = on_done;
    chunk->owner = rawlog;
    int before = chunks_done;
    rawlog_submit(rawlog, chunk);
    wait_until(chunks_done != before);
}

static void rawlog_make(void)
{
    struct rawlog_options options = {
        .journal = {.disk = &fault.disk, .dir = raw_dir, .segment_bytes = 1 << 20},
        .memory_bytes = 8 << 20,
        .chunk_bytes = 64 << 10,
        .extent_bytes = 256 << 10};
    struct journal_recovery found;
    struct err err;
    assert_int_equal(rawlog_open(&rawlog, &options, &found, &err), 0);
    assert_int_equal(rawlog_start(rawlog, &err), 0);
}

static void rawlog_end(void)
{
    rawlog_stop(rawlog, 5000);
    rawlog_close(rawlog);
}

/* 20 extents of 10 messages each. */
static int setup(void **state)
{
    lane_world_setup(state);
    fault_disk_init(&fault);
    raw_dir = mem_printf("%s/raw", lane_world.folder.path);
    rawlog_make();
    for (uint64_t seq = 1; seq <= 200; seq += 10)
        publish(seq, 10);
    return 0;
}

static int teardown(void **state)
{
    rawlog_end();
    free(raw_dir);
    fault_disk_fini(&fault);
    return lane_world_teardown(state);
}

static void assert_found(struct raw_messages *messages, uint64_t seq)
{
    struct message message;
    struct err err;
    char want[32];
    if (raw_messages_find(messages, seq, &message, &err))
        fail_msg("%s", err.text);
    snprintf(want, sizeof want, "m%llu", (unsigned long long)seq);
    assert_int_equal(message.seq, seq);
    assert_true(bytes_equal_text(message.payload, want));
    assert_true(bytes_equal_text(message.client, "meter"));
}

static void every_message_is_found_in_any_order(void **state)
{
    (void)state;
    struct raw_messages messages;
    raw_messages_init(&messages, rawlog_journal(rawlog));
    for (uint64_t seq = 1; seq <= 200; seq++)
        assert_found(&messages, seq);
    for (uint64_t seq = 200; seq >= 1; seq--)
        assert_found(&messages, seq);
    for (uint64_t i = 0; i < 500; i++)
        assert_found(&messages, 1 + i * 7919 % 200);
    assert_found(&messages, 55);
    assert_found(&messages, 55);
    raw_messages_fini(&messages);
}

static void ascending_numbers_read_each_extent_once(void **state)
{
    (void)state;
    struct raw_messages messages;
    raw_messages_init(&messages, rawlog_journal(rawlog));
    assert_found(&messages, 1);
    uint64_t reads = fault_disk_count(&fault, FAULT_PREAD);
    uint64_t opens = fault_disk_count(&fault, FAULT_OPEN);
    for (uint64_t seq = 2; seq <= 200; seq += 3)
        assert_found(&messages, seq);
    /* The header and the body of each of the other 19. */
    assert_in_range(fault_disk_count(&fault, FAULT_PREAD) - reads, 19, 2 * 19);
    assert_int_equal(fault_disk_count(&fault, FAULT_OPEN), opens);
    raw_messages_fini(&messages);
}

static void what_is_not_there_is_told(void **state)
{
    (void)state;
    struct raw_messages messages;
    struct message message;
    struct err err;
    raw_messages_init(&messages, rawlog_journal(rawlog));
    assert_int_equal(raw_messages_find(&messages, 201, &message, &err), GW_ENOENT);
    assert_found(&messages, 200);
    publish(201, 5);
    assert_found(&messages, 201);
    raw_messages_fini(&messages);
    raw_messages_init(&messages, NULL);
    assert_int_equal(raw_messages_find(&messages, 1, &message, &err), GW_ENOENT);
    raw_messages_fini(&messages);
}

static void what_retention_took_is_told(void **state)
{
    (void)state;
    rawlog_end(); /* the next start begins a new segment */
    rawlog_make();
    publish(201, 5);
    struct raw_messages messages;
    struct message message;
    struct err err;
    assert_int_equal(journal_retain(rawlog_journal(rawlog), 201, 0, 0, clock_wall_ms(), &err), 0);
    raw_messages_init(&messages, rawlog_journal(rawlog));
    assert_int_equal(raw_messages_find(&messages, 50, &message, &err), GW_ENOENT);
    assert_found(&messages, 203);
    assert_int_equal(raw_messages_find(&messages, 50, &message, &err), GW_ENOENT);
    assert_non_null(strstr(err.text, "no longer"));
    raw_messages_fini(&messages);
}

static void damage_takes_its_extent_and_no_other(void **state)
{
    (void)state;
    char *path = mem_printf("%s/00000000000000000001.log", raw_dir);
    int fd = open(path, O_RDWR);
    free(path);
    /* The snapshot takes 512 bytes behind the segment's header, as does each extent. */
    assert_int_equal(pwrite(fd, "damage", 6, 4096 + 512 + 5 * 512 + 96 + 8), 6);
    close(fd);
    struct raw_messages messages;
    raw_messages_init(&messages, rawlog_journal(rawlog));
    int missing = 0;
    for (uint64_t seq = 1; seq <= 200; seq++) {
        struct message message;
        struct err err;
        if (raw_messages_find(&messages, seq, &message, &err) == GW_ENOENT) {
            assert_non_null(strstr(err.text, "damage"));
            missing++;
        } else {
            assert_found(&messages, seq);
        }
    }
    assert_int_equal(missing, 10);
    raw_messages_fini(&messages);
}

static void a_medium_that_fails_is_asked_again(void **state)
{
    (void)state;
    struct raw_messages messages;
    struct message message;
    struct err err;
    for (uint64_t n = 1; n <= 8; n++) {
        raw_messages_init(&messages, rawlog_journal(rawlog));
        fault_disk_fail(&fault, FAULT_PREAD, n, EIO, false);
        int failed = 0;
        for (uint64_t seq = 1; seq <= 50; seq += 10) {
            int rc = raw_messages_find(&messages, seq, &message, &err);
            assert_true(rc == 0 || rc == GW_EIO);
            failed += rc != 0;
            assert_found(&messages, seq);
        }
        assert_int_equal(failed, 1);
        raw_messages_fini(&messages);
    }
}

static void the_sink_of_a_lane_gets_the_messages_of_its_units(void **state)
{
    (void)state;
    for (uint64_t seq = 1; seq <= 250; seq += 10)
        append_batch(seq, seq + 9, 1, 10);
    lane_world.options.raw = rawlog_journal(rawlog);
    lane_world.sink.ask_messages = true;
    lane_world.sink.rows_max = 10;
    struct lane *lane = lane_make();
    wait_stored(250);
    lane_end(lane, 1000);
    assert_int_equal(lane_world.sink.messages_found, 20);
    assert_int_equal(lane_world.sink.messages_missing, 5); /* the raw log ends at 200 */
    assert_string_equal(lane_world.sink.last_payload, "m191");
}

#define raw_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        raw_test(every_message_is_found_in_any_order),
        raw_test(ascending_numbers_read_each_extent_once),
        raw_test(what_is_not_there_is_told),
        raw_test(what_retention_took_is_told),
        raw_test(damage_takes_its_extent_and_no_other),
        raw_test(a_medium_that_fails_is_asked_again),
        raw_test(the_sink_of_a_lane_gets_the_messages_of_its_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
