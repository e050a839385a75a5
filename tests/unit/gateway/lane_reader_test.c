/* SPDX-License-Identifier: Apache-2.0
 *
 * What a lane reads is the same whether it comes from memory or from the log, whole or in part, and
 * around damage.
 */
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
#include "lane_begin.h"
#include "lane_reader.h"
#include "lib/lane_kit.h"

/* The bytes of all that is read from `seq` on. */
static uint64_t read_all(struct recent *recent, uint64_t seq, struct buffer *out)
{
    struct lane_reader reader;
    struct batch *batch;
    struct err err;
    lane_reader_init(&reader, lane_world.readings, recent);
    lane_reader_seek(&reader, seq);
    buffer_clear(out);
    int got;
    while ((got = lane_reader_next(&reader, &batch, &err)) == LANE_READ_BATCH) {
        batch_encode(batch, out);
        batch_release(batch);
    }
    assert_int_equal(got, LANE_READ_END);
    uint64_t next = reader.next_seq;
    lane_reader_fini(&reader);
    return next;
}

/* A retry after a restart comes from the log and must be byte for byte what came from memory. */
static void memory_and_log_give_the_same_bytes(void **state)
{
    (void)state;
    struct recent *recent = recent_new(1 << 20);
    lane_world.options.recent = recent;
    for (uint64_t seq = 1; seq <= 100; seq += 10)
        append_batch(seq, seq + 9, 1, 20);
    append_rejects(101, 10);
    struct buffer memory = {0}, log = {0};
    static const uint64_t from[] = {1, 11, 15, 100, 105, 111};
    for (size_t i = 0; i < array_count(from); i++) {
        assert_int_equal(read_all(recent, from[i], &memory), 111);
        assert_int_equal(read_all(NULL, from[i], &log), 111);
        assert_true(bytes_equal(buffer_bytes(&memory), buffer_bytes(&log)));
        assert_int_equal(log.size == 0, from[i] == 111);
    }
    buffer_fini(&memory);
    buffer_fini(&log);
    recent_free(recent);
}

static void a_part_of_a_batch_keeps_its_rows_rejects_and_totals(void **state)
{
    (void)state;
    append_batch(1, 10, 3, 20);
    append_rejects(11, 10);
    struct lane_reader reader;
    struct batch *batch;
    struct err err;
    lane_reader_init(&reader, lane_world.readings, NULL);
    lane_reader_seek(&reader, 4);
    assert_int_equal(lane_reader_next(&reader, &batch, &err), LANE_READ_BATCH);
    assert_int_equal(batch->first_seq, 4);
    assert_int_equal(batch->last_seq, 10);
    assert_int_equal(batch->count, 14);
    assert_int_equal(batch->seq[0], 4);
    assert_int_equal(batch->unscaled[0], 6);
    assert_int_equal(batch->generation, 3);
    assert_int_equal(batch->totals.readings, 20);
    assert_int_equal(batch->received_max_ms, 1001);
    batch_release(batch);
    lane_reader_seek(&reader, 17);
    assert_int_equal(lane_reader_next(&reader, &batch, &err), LANE_READ_BATCH);
    assert_int_equal(batch->reject_count, 4);
    assert_int_equal(batch->rejects[0].seq, 17);
    assert_true(bytes_equal_text(batch->strings[batch->rejects[0].reason], "no_route"));
    batch_release(batch);
    assert_int_equal(lane_reader_next(&reader, &batch, &err), LANE_READ_END);
    lane_reader_fini(&reader);
}

static void reading_back_and_forth_finds_the_place(void **state)
{
    (void)state;
    for (uint64_t seq = 1; seq <= 100; seq += 10)
        append_batch(seq, seq + 9, 1, 10);
    struct lane_reader reader;
    struct batch *batch;
    struct err err;
    lane_reader_init(&reader, lane_world.readings, NULL);
    for (uint64_t i = 0; i < 100; i++) {
        uint64_t seq = 1 + i * 37 % 100;
        lane_reader_seek(&reader, seq);
        assert_int_equal(lane_reader_next(&reader, &batch, &err), LANE_READ_BATCH);
        assert_int_equal(batch->first_seq, seq);
        batch_release(batch);
    }
    lane_reader_fini(&reader);
}

static void damage_is_told_with_its_range(void **state)
{
    (void)state;
    for (uint64_t seq = 1; seq <= 50; seq += 10)
        append_batch(seq, seq + 9, 1, 10);
    char *path = mem_printf("%s/readings/00000000000000000001.log", lane_world.folder.path);
    int fd = open(path, O_RDWR);
    free(path);
    assert_int_equal(pwrite(fd, "damage", 6, 4096 + 2 * 512 + 96 + 8), 6);
    close(fd);
    struct lane_reader reader;
    struct batch *batch;
    struct err err;
    lane_reader_init(&reader, lane_world.readings, NULL);
    lane_reader_seek(&reader, 11);
    assert_int_equal(lane_reader_next(&reader, &batch, &err), LANE_READ_BATCH);
    batch_release(batch);
    assert_int_equal(lane_reader_next(&reader, &batch, &err), LANE_READ_LOST);
    assert_int_equal(reader.lost_first, 21);
    assert_int_equal(reader.lost_count, 10);
    assert_int_equal(lane_reader_next(&reader, &batch, &err), LANE_READ_BATCH);
    assert_int_equal(batch->first_seq, 31);
    batch_release(batch);
    lane_reader_fini(&reader);
}

static void bytes_that_are_no_batch_are_lost_with_a_reason(void **state)
{
    (void)state;
    struct extent extent = {
        .first_seq = 1, .seq_count = 7, .kind = EXTENT_BATCH, .body = bytes_text("nonsense")};
    struct err err;
    assert_int_equal(journal_append(lane_world.readings, &extent, &err), 0);
    append_batch(8, 10, 1, 3);
    struct lane_reader reader;
    struct batch *batch;
    lane_reader_init(&reader, lane_world.readings, NULL);
    lane_reader_seek(&reader, 1);
    assert_int_equal(lane_reader_next(&reader, &batch, &err), LANE_READ_LOST);
    assert_int_equal(reader.lost_count, 7);
    assert_non_null(strstr(err.text, "batch"));
    assert_int_equal(lane_reader_next(&reader, &batch, &err), LANE_READ_BATCH);
    assert_int_equal(batch->first_seq, 8);
    batch_release(batch);
    lane_reader_fini(&reader);
}

static void readings_below_a_number_are_known_anywhere(void **state)
{
    (void)state;
    for (uint64_t seq = 1; seq <= 50; seq += 10)
        append_batch(seq, seq + 9, 1, 20);
    for (uint64_t seq = 1; seq <= 51; seq++)
        assert_int_equal(lane_readings_at(lane_world.readings, seq), 2 * (seq - 1));
    assert_int_equal(lane_readings_at(lane_world.readings, 1000), 0);
}

#define reader_test(name)                                                                          \
    cmocka_unit_test_setup_teardown(name, lane_world_setup, lane_world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        reader_test(memory_and_log_give_the_same_bytes),
        reader_test(a_part_of_a_batch_keeps_its_rows_rejects_and_totals),
        reader_test(reading_back_and_forth_finds_the_place),
        reader_test(damage_is_told_with_its_range),
        reader_test(bytes_that_are_no_batch_are_lost_with_a_reason),
        reader_test(readings_below_a_number_are_known_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
