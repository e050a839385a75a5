/* SPDX-License-Identifier: Apache-2.0
 *
 * What a sink refuses for good becomes a dead letter with the message whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "deadletter.h"
#include "journal/rawlog.h"
#include "lib/temp_dir.h"
#include "refused.h"

static struct temp_dir folder;
static char *raw_dir, *refused_dir;
static struct rawlog *rawlog;
static _Atomic int chunks_done;

static void on_done(struct chunk *chunk)
{
    chunk_release(chunk->owner, chunk);
    chunks_done++;
}

static void publish(const char *topic, const char *payload)
{
    struct chunk *chunk = chunk_acquire(rawlog);
    struct message message = {.topic = bytes_text(topic),
                              .payload = bytes_text(payload),
                              .client = bytes_text("meter"),
                              .flags = 1,
                              .protocol = 4};
    chunk->done = on_done;
    chunk->owner = rawlog;
    int before = chunks_done;
    chunk_add_message(chunk, &message);
    rawlog_submit(rawlog, chunk);
    int64_t until = clock_monotonic_ms() + 10000;
    while (chunks_done == before) {
        assert_true(clock_monotonic_ms() < until);
        usleep(200);
    }
}

static int setup(void **state)
{
    (void)state;
    temp_dir_make(&folder);
    raw_dir = mem_printf("%s/raw", folder.path);
    refused_dir = mem_printf("%s/refused", folder.path);
    struct rawlog_options options = {
        .journal = {.disk = &disk_real, .dir = raw_dir, .segment_bytes = 1 << 20},
        .memory_bytes = 8 << 20,
        .chunk_bytes = 64 << 10,
        .extent_bytes = 256 << 10};
    struct journal_recovery found;
    struct err err;
    assert_int_equal(rawlog_open(&rawlog, &options, &found, &err), 0);
    assert_int_equal(rawlog_start(rawlog, &err), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rawlog_stop(rawlog, 5000);
    rawlog_close(rawlog);
    free(raw_dir);
    free(refused_dir);
    temp_dir_remove(&folder);
    return 0;
}

/* A unit of one batch with a row for each of the first `rows` messages. */
static struct batch *batch_of(uint64_t rows)
{
    struct batch_builder *builder = batch_builder_new();
    for (uint64_t seq = 1; seq <= rows; seq++) {
        struct batch_row row = {.vendor = bytes_text("acme"),
                                .device = bytes_text("1"),
                                .metric = bytes_text("flow"),
                                .unit = bytes_text("m3/h"),
                                .seq = seq};
        batch_builder_add(builder, &row);
    }
    struct batch *batch = batch_builder_finish(builder);
    batch_builder_free(builder);
    batch->first_seq = 1;
    batch->last_seq = rows;
    return batch;
}

static void store(const struct sink_refusal *rows, size_t count, uint64_t last_seq)
{
    struct refused *refused = refused_new(&disk_real, refused_dir, rawlog_journal(rawlog));
    struct batch *batch = batch_of(last_seq);
    struct unit unit = {.first_seq = 1, .last_seq = last_seq, .batches = &batch, .batch_count = 1};
    struct err err = {{0}};
    if (refused_store(refused, "store", &unit, rows, count, &err))
        fail_msg("%s", err.text);
    batch_release(batch);
    refused_free(refused);
}

/* Calls `each` for every letter on disk; returns how many. */
static int letters_each(void (*each)(const struct deadletter *letter))
{
    struct journal_options options = {
        .disk = &disk_real, .dir = refused_dir, .kind = JOURNAL_DEAD, .segment_bytes = 4 << 20};
    struct journal_recovery found;
    struct journal *journal;
    struct journal_reader *reader;
    struct extent extent;
    struct err err;
    int count = 0;
    assert_int_equal(journal_open(&journal, &options, &found, &err), 0);
    assert_int_equal(journal_reader_new(journal, 1, &reader, &err), 0);
    while (journal_reader_next(reader, &extent, &err) == JOURNAL_EXTENT) {
        struct deadletter_reader letters;
        struct deadletter letter;
        deadletter_reader_init(&letters, &extent);
        while (deadletter_reader_next(&letters, &letter) == 1) {
            each(&letter);
            count++;
        }
    }
    journal_reader_free(reader);
    journal_close(journal);
    return count;
}

static void assert_second_message(const struct deadletter *letter)
{
    assert_int_equal(letter->message.seq, 2);
    assert_int_equal(letter->stage, STAGE_SINK);
    assert_true(bytes_equal_text(letter->reason, "too_long"));
    assert_true(bytes_equal_text(letter->detail, "sink store: device"));
    assert_true(bytes_equal_text(letter->message.vendor, "acme"));
    assert_true(bytes_equal_text(letter->message.topic, "b"));
    assert_true(bytes_equal_text(letter->message.payload, "second"));
    assert_true(bytes_equal_text(letter->message.client, "meter"));
}

static void any_letter(const struct deadletter *letter)
{
    assert_int_equal(letter->stage, STAGE_SINK);
}

static void nothing_refused_makes_no_folder(void **state)
{
    (void)state;
    store(NULL, 0, 1);
    assert_int_equal(access(refused_dir, F_OK), -1);
}

static void a_refused_row_is_its_message_whole(void **state)
{
    (void)state;
    publish("a", "first");
    publish("b", "second");
    publish("c", "third");
    struct sink_refusal rows[] = {{.seq = 2, .reason = "too_long", .detail = "device"}};
    store(rows, 1, 3);
    assert_int_equal(letters_each(assert_second_message), 1);
}

static void rows_of_one_message_are_one_letter(void **state)
{
    (void)state;
    publish("a", "first");
    publish("b", "second");
    struct sink_refusal rows[] = {{.seq = 2, .reason = "too_long", .detail = "device"},
                                  {.seq = 2, .reason = "too_long", .detail = "metric"}};
    store(rows, 2, 2);
    assert_int_equal(letters_each(assert_second_message), 1);
}

static void letters_of_later_calls_and_of_older_messages_are_added(void **state)
{
    (void)state;
    publish("a", "first");
    publish("b", "second");
    struct sink_refusal second[] = {{.seq = 2, .reason = "too_long", .detail = "device"}};
    struct sink_refusal first[] = {{.seq = 1, .reason = "too_long", .detail = "device"}};
    store(second, 1, 2);
    store(first, 1, 2);
    assert_int_equal(letters_each(any_letter), 2);
}

static void a_message_that_is_gone_still_leaves_its_letter(void **state)
{
    (void)state;
    publish("a", "first");
    struct sink_refusal rows[] = {{.seq = 9, .reason = "too_long", .detail = "device"}};
    store(rows, 1, 1);
    assert_int_equal(letters_each(any_letter), 1);
}

#define refused_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        refused_test(nothing_refused_makes_no_folder),
        refused_test(a_refused_row_is_its_message_whole),
        refused_test(rows_of_one_message_are_one_letter),
        refused_test(letters_of_later_calls_and_of_older_messages_are_added),
        refused_test(a_message_that_is_gone_still_leaves_its_letter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
