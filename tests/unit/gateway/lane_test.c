/* SPDX-License-Identifier: Apache-2.0
 *
 * A lane with a sink that answers as the test says: units, bounds, retries, cursor (invariant 6).
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
#include "journal/cursor.h"
#include "lane.h"
#include "lib/fault_disk.h"
#include "lib/temp_dir.h"

/* ---- a sink that does as it is told ---- */

enum { UNITS_MAX = 64 };

struct fake {
    struct sink_host *host;
    uv_timer_t timer;
    struct unit *open;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* What the test wants, and what the sink saw. Set before the lane runs, read after it stopped. */
static struct {
    bool silent;         /* never answer before close */
    int retries;         /* answer RETRY so often first */
    uint64_t refuse_seq; /* this row is refused for good */
    uint64_t rows_max;
    int64_t age_ms;
    uint32_t written;
    struct unit units[UNITS_MAX]; /* copies; the batches are gone */
    _Atomic uint64_t stored_last_seq;
} world;

static uint64_t fake_rows_max(const void *options)
{
    (void)options;
    return world.rows_max;
}

static int64_t fake_age_max(const void *options)
{
    (void)options;
    return world.age_ms;
}

static uint32_t fake_open_units(const void *options)
{
    (void)options;
    return 1;
}

static void fake_on_timer(uv_timer_t *timer)
{
    struct fake *fake = timer->data;
    struct unit *unit = fake->open;
    fake->open = NULL;
    if (world.retries > 0) {
        world.retries--;
        sink_retry(fake->host, unit, SINK_REASON_OTHER, "told so");
        return;
    }
    uint64_t last = unit->last_seq;
    struct sink_refusal refusal = {.seq = world.refuse_seq, .reason = "too_long"};
    fake->host->answer(fake->host, unit,
                       &(struct sink_result){.answer = SINK_STORED,
                                             .refusals = &refusal,
                                             .refusal_count = world.refuse_seq ? 1 : 0});
    world.stored_last_seq = last;
}

static int fake_init(struct sink **out, const void *options, struct sink_host *host,
                     struct err *err)
{
    (void)options;
    (void)err;
    struct fake *fake = mem_zalloc(sizeof *fake);
    fake->host = host;
    uv_timer_init(host->loop, &fake->timer);
    fake->timer.data = fake;
    *out = (struct sink *)(void *)fake;
    return 0;
}

static int fake_start(struct sink *sink, uint64_t *cursor, struct err *err)
{
    (void)sink;
    (void)cursor;
    (void)err;
    return 0;
}

static void fake_write(struct sink *sink, struct unit *unit)
{
    struct fake *fake = (struct fake *)(void *)sink;
    assert_null(fake->open);
    assert_true(world.written < UNITS_MAX);
    world.units[world.written++] = *unit;
    fake->open = unit;
    if (!world.silent)
        uv_timer_start(&fake->timer, fake_on_timer, 1, 0);
}

static void fake_on_closed(uv_handle_t *handle)
{
    struct fake *fake = handle->data;
    fake->closed(fake->closed_arg);
}

static void fake_close(struct sink *sink, void (*closed)(void *arg), void *arg)
{
    struct fake *fake = (struct fake *)(void *)sink;
    if (fake->open)
        sink_closed(fake->host, fake->open);
    fake->closed = closed;
    fake->closed_arg = arg;
    uv_close((uv_handle_t *)&fake->timer, fake_on_closed);
}

static void fake_fini(struct sink *sink)
{
    free(sink);
}

static const struct option no_options[] = {{0}};
static const struct sink_type fake_type = {
    .name = "fake",
    .options = no_options,
    .unit_rows_max = fake_rows_max,
    .unit_age_max_ms = fake_age_max,
    .open_units_max = fake_open_units,
    .init = fake_init,
    .start = fake_start,
    .write = fake_write,
    .close = fake_close,
    .fini = fake_fini,
};

/* ---- a reading log ---- */

static struct temp_dir folder;
static char *cursor_path;
static struct journal *journal;

static const struct disk *lane_disk = &disk_real;
static const struct disk *journal_disk = &disk_real;

/* Ends the builder. */
static void append_built(struct batch_builder *builder, uint64_t first, uint64_t last,
                         uint32_t generation)
{
    struct batch *batch = batch_builder_finish(builder);
    batch_builder_free(builder);
    batch->first_seq = first;
    batch->last_seq = last;
    batch->generation = generation;
    batch->received_min_ms = batch->received_max_ms = 1000;
    struct buffer body = {0};
    batch_encode(batch, &body);
    batch_release(batch);
    struct extent extent = {.first_seq = first,
                            .seq_count = (uint32_t)(last - first + 1),
                            .generation = generation,
                            .kind = EXTENT_BATCH,
                            .received_min_ms = 1000,
                            .received_max_ms = 1000,
                            .body = buffer_bytes(&body)};
    struct err err;
    assert_int_equal(journal_append(journal, &extent, &err), 0);
    buffer_fini(&body);
}

static void append_batch(uint64_t first, uint64_t last, uint32_t generation, uint32_t rows)
{
    struct batch_builder *builder = batch_builder_new();
    for (uint32_t i = 0; i < rows; i++) {
        struct batch_row row = {.vendor = bytes_text("acme"),
                                .device = bytes_text("1"),
                                .metric = bytes_text("flow"),
                                .unit = bytes_text("m3/h"),
                                .has_value = true,
                                .unscaled = i,
                                .seq = first,
                                .received_ms = 1000,
                                .ts_ms = 1000};
        batch_builder_add(builder, &row);
    }
    append_built(builder, first, last, generation);
}

static void append_rejects(uint64_t first, uint32_t count)
{
    struct batch_builder *builder = batch_builder_new();
    for (uint32_t i = 0; i < count; i++)
        batch_builder_reject(builder, first + i, STAGE_ROUTE, bytes_text(""), 0,
                             bytes_text("no_route"), bytes_text("no route fits this topic"));
    append_built(builder, first, first + count - 1, 1);
}

static void journal_start(void)
{
    char *dir = mem_printf("%s/readings", folder.path);
    struct journal_options options = {.disk = journal_disk,
                                      .dir = dir,
                                      .kind = JOURNAL_READINGS,
                                      .segment_bytes = 1 << 20,
                                      .compression_level = 1};
    struct journal_recovery found;
    struct err err;
    assert_int_equal(journal_open(&journal, &options, &found, &err), 0);
    free(dir);
}

static int setup(void **state)
{
    (void)state;
    temp_dir_make(&folder);
    cursor_path = mem_printf("%s/fake.cursor", folder.path);
    journal_start();
    memset(&world, 0, sizeof world);
    world.rows_max = 100;
    world.age_ms = 20;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    journal_close(journal);
    free(cursor_path);
    temp_dir_remove(&folder);
    return 0;
}

static struct refused *refused; /* null where nothing is refused */

static struct lane *lane_make(void)
{
    static struct config_sink sink = {.type = &fake_type};
    sink.name = (char *)(uintptr_t) "fake";
    struct lane_options options = {.disk = lane_disk,
                                   .sink = &sink,
                                   .readings = journal,
                                   .refused = refused,
                                   .cursor_path = cursor_path,
                                   .data_dir = folder.path};
    struct lane *lane = NULL;
    struct err err = {{0}};
    if (lane_new(&options, &lane, &err))
        fail_msg("%s", err.text);
    assert_int_equal(lane_start(lane, &err), 0);
    assert_int_equal(lane_wait_started(lane, clock_monotonic_ms() + 10000, &err), 0);
    return lane;
}

static void wait_stored(uint64_t last_seq)
{
    int64_t until = clock_monotonic_ms() + 10000;
    while (world.stored_last_seq < last_seq) {
        assert_true(clock_monotonic_ms() < until);
        usleep(1000);
    }
}

static void lane_end(struct lane *lane, int64_t timeout_ms)
{
    lane_stop(lane, timeout_ms);
    lane_free(lane);
}

static struct cursor_state cursor_now(void)
{
    struct cursor_state state;
    struct identity identity;
    struct err err;
    assert_int_equal(cursor_peek(&disk_real, cursor_path, &state, &identity, &err), 0);
    return state;
}

/* ---- tests ---- */

static void every_batch_is_sent_once_and_the_cursor_follows(void **state)
{
    (void)state;
    struct lane *lane = lane_make();
    for (uint64_t seq = 1; seq <= 50; seq += 10)
        append_batch(seq, seq + 9, 1, 10);
    wait_stored(50);
    lane_end(lane, 1000);
    uint64_t next = 1;
    uint64_t rows = 0;
    for (uint32_t i = 0; i < world.written; i++) {
        assert_int_equal(world.units[i].first_seq, next);
        next = world.units[i].last_seq + 1;
        rows += world.units[i].rows;
    }
    assert_int_equal(next, 51);
    assert_int_equal(rows, 50);
    assert_int_equal(cursor_now().next_seq, 51);
    assert_int_equal(cursor_now().unit_count, 0);
}

static void bounds_are_the_same_after_a_restart(void **state)
{
    (void)state;
    world.silent = true;
    append_batch(1, 10, 1, 10);
    append_batch(11, 20, 1, 10);
    struct lane *lane = lane_make();
    int64_t until = clock_monotonic_ms() + 10000;
    while (lane_stats(lane)->open_units == 0 || cursor_now().unit_count == 0) {
        assert_true(clock_monotonic_ms() < until);
        usleep(1000);
    }
    lane_end(lane, 0);
    assert_int_equal(world.written, 1);
    struct unit first = world.units[0];
    assert_int_equal(cursor_now().next_seq, 1);

    /* More has come meanwhile, and would fit: the unit must not grow. */
    journal_close(journal);
    journal_start();
    append_batch(21, 30, 1, 10);
    world.silent = false;
    world.age_ms = 1;
    lane = lane_make();
    wait_stored(30);
    lane_end(lane, 1000);
    assert_int_equal(world.units[1].first_seq, first.first_seq);
    assert_int_equal(world.units[1].last_seq, first.last_seq);
    assert_int_equal(world.units[1].rows, first.rows);
    assert_int_equal(cursor_now().next_seq, 31);
}

static void a_retried_unit_is_the_same_unit(void **state)
{
    (void)state;
    world.retries = 2;
    append_batch(1, 10, 1, 10);
    struct lane *lane = lane_make();
    wait_stored(10);
    assert_int_equal(lane_stats(lane)->retries, 2);
    assert_int_equal(lane_stats(lane)->health, LANE_OK);
    lane_end(lane, 1000);
    assert_int_equal(world.written, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(world.units[i].first_seq, 1);
        assert_int_equal(world.units[i].last_seq, 10);
    }
}

static void the_cursor_stays_while_the_sink_says_retry(void **state)
{
    (void)state;
    world.retries = 1000;
    append_batch(1, 10, 1, 10);
    struct lane *lane = lane_make();
    int64_t until = clock_monotonic_ms() + 10000;
    while (lane_stats(lane)->retries == 0) {
        assert_true(clock_monotonic_ms() < until);
        usleep(1000);
    }
    char why[200];
    lane_why(lane, why);
    assert_string_equal(why, "told so");
    assert_int_equal(lane_stats(lane)->health, LANE_RETRYING);
    assert_int_equal(lane_stats(lane)->waiting_received_ms, 1000); /* as append_batch says */
    lane_end(lane, 0);
    assert_int_equal(cursor_now().next_seq, 1);
    assert_int_equal(cursor_now().unit_count, 1);
}

static void a_refused_row_is_a_dead_letter_and_the_rest_is_stored(void **state)
{
    (void)state;
    char *dir = mem_printf("%s/refused", folder.path);
    char *raw_dir = mem_printf("%s/raw", folder.path);
    struct journal_options options = {
        .disk = &disk_real, .dir = raw_dir, .kind = JOURNAL_RAW, .segment_bytes = 1 << 20};
    struct journal_recovery found;
    struct journal *raw;
    struct err err;
    assert_int_equal(journal_open(&raw, &options, &found, &err), 0);
    refused = refused_new(&disk_real, dir, raw);
    world.refuse_seq = 1;
    append_batch(1, 10, 1, 10);
    struct lane *lane = lane_make();
    wait_stored(10);
    assert_int_equal(lane_stats(lane)->refused_rows, 1);
    lane_end(lane, 1000);
    assert_int_equal(cursor_now().next_seq, 11);
    assert_int_equal(access(dir, F_OK), 0);
    refused_free(refused);
    refused = NULL;
    journal_close(raw);
    free(raw_dir);
    free(dir);
}

static void a_unit_is_of_one_generation(void **state)
{
    (void)state;
    append_batch(1, 10, 1, 5);
    append_batch(11, 20, 2, 5);
    append_batch(21, 30, 2, 5);
    struct lane *lane = lane_make();
    wait_stored(30);
    lane_end(lane, 1000);
    assert_int_equal(world.units[0].last_seq, 10);
    assert_int_equal(world.units[0].generation, 1);
    assert_int_equal(world.units[1].first_seq, 11);
    assert_int_equal(world.units[1].generation, 2);
}

static void a_unit_is_at_most_rows_max_unless_one_batch_is_larger(void **state)
{
    (void)state;
    world.rows_max = 10;
    append_batch(1, 1, 1, 6);
    append_batch(2, 2, 1, 6);
    append_batch(3, 3, 1, 25);
    struct lane *lane = lane_make();
    wait_stored(3);
    lane_end(lane, 1000);
    assert_int_equal(world.written, 3);
    assert_int_equal(world.units[0].rows, 6);
    assert_int_equal(world.units[1].rows, 6);
    assert_int_equal(world.units[2].rows, 25);
}

static void stopping_sends_what_is_there(void **state)
{
    (void)state;
    world.age_ms = 60000;
    append_batch(1, 10, 1, 10);
    struct lane *lane = lane_make();
    lane_end(lane, 5000);
    assert_int_equal(world.stored_last_seq, 10);
    assert_int_equal(cursor_now().next_seq, 11);
}

static void a_cursor_ahead_of_the_journal_is_a_refusal_to_start(void **state)
{
    (void)state;
    struct cursor *cursor;
    struct err err = {{0}};
    assert_int_equal(cursor_open(&cursor, &disk_real, cursor_path, journal_identity(journal), &err),
                     0);
    struct cursor_state ahead = {.next_seq = 100, .settled_seq = 100};
    assert_int_equal(cursor_save(cursor, &ahead, &err), 0);
    cursor_close(cursor);
    struct config_sink sink = {.name = (char *)(uintptr_t) "fake", .type = &fake_type};
    struct lane_options options = {.disk = &disk_real,
                                   .sink = &sink,
                                   .readings = journal,
                                   .cursor_path = cursor_path,
                                   .data_dir = folder.path};
    struct lane *lane = NULL;
    assert_int_equal(lane_new(&options, &lane, &err), GW_EINVAL);
    assert_non_null(strstr(err.text, "new-identity"));
}

/* A sink that takes several units had three under way when the gateway was killed. Until they are
 * stored their bounds stay in the cursor file, however often it is killed again. */
static void bounds_outlive_a_second_kill(void **state)
{
    (void)state;
    append_batch(1, 10, 1, 10);
    append_batch(11, 20, 1, 10);
    append_batch(21, 30, 1, 10);
    struct cursor *cursor;
    struct err err = {{0}};
    assert_int_equal(cursor_open(&cursor, &disk_real, cursor_path, journal_identity(journal), &err),
                     0);
    const struct cursor_state killed = {
        .next_seq = 1, .settled_seq = 1, .unit_count = 3, .units = {{1, 10}, {11, 20}, {21, 30}}};
    assert_int_equal(cursor_save(cursor, &killed, &err), 0);
    cursor_close(cursor);
    world.silent = true;
    struct lane *lane = lane_make();
    int64_t until = clock_monotonic_ms() + 10000;
    while (lane_stats(lane)->open_units == 0) {
        assert_true(clock_monotonic_ms() < until);
        usleep(1000);
    }
    usleep(50000);
    lane_end(lane, 0);
    assert_int_equal(world.written, 1);
    struct cursor_state left = cursor_now();
    assert_int_equal(left.unit_count, 3);
    assert_memory_equal(left.units, killed.units, 3 * sizeof left.units[0]);
}

static void a_cursor_that_was_not_saved_once_is_saved_again(void **state)
{
    (void)state;
    struct fault_disk fault;
    fault_disk_init(&fault);
    lane_disk = &fault.disk;
    append_batch(1, 10, 1, 10);
    world.retries = 1;
    struct lane *lane = lane_make();
    int64_t until = clock_monotonic_ms() + 10000;
    while (lane_stats(lane)->retries == 0) {
        assert_true(clock_monotonic_ms() < until);
        usleep(1000);
    }
    /* The next sync is that of the cursor which passes the unit; nothing comes behind it. */
    fault_disk_fail(&fault, FAULT_DATASYNC, 1, EIO, false);
    wait_stored(10);
    while (cursor_now().next_seq != 11 || lane_stats(lane)->health != LANE_OK) {
        assert_true(clock_monotonic_ms() < until);
        usleep(1000);
    }
    lane_end(lane, 1000);
    lane_disk = &disk_real;
    fault_disk_fini(&fault);
}

static void a_log_that_cannot_be_read_is_told_and_tried_again(void **state)
{
    (void)state;
    append_batch(1, 10, 1, 10);
    journal_close(journal);
    struct fault_disk fault;
    fault_disk_init(&fault);
    journal_disk = &fault.disk;
    journal_start();
    fault_disk_fail(&fault, FAULT_PREAD, 1, EIO, true);
    struct lane *lane = lane_make();
    int64_t until = clock_monotonic_ms() + 10000;
    while (lane_stats(lane)->health != LANE_RETRYING) {
        assert_true(clock_monotonic_ms() < until);
        usleep(1000);
    }
    char why[200];
    lane_why(lane, why);
    assert_non_null(strstr(why, "segment 1"));
    fault_disk_fail(&fault, FAULT_PREAD, 0, 0, false);
    wait_stored(10);
    assert_int_equal(lane_stats(lane)->health, LANE_OK);
    lane_end(lane, 1000);
    journal_close(journal);
    fault_disk_fini(&fault);
    journal_disk = &disk_real;
    journal_start();
}

static void damage_to_the_reading_log_is_counted(void **state)
{
    (void)state;
    append_batch(1, 10, 1, 10);
    append_batch(11, 30, 1, 10);
    append_batch(31, 40, 1, 10);
    char *path = mem_printf("%s/readings/00000000000000000001.log", folder.path);
    int fd = open(path, O_RDWR);
    free(path);
    /* The second extent: 4096 of segment header, 512 of the first extent, 96 of its own header. */
    assert_int_equal(pwrite(fd, "damage", 6, 4096 + 512 + 96 + 8), 6);
    close(fd);
    struct lane *lane = lane_make();
    wait_stored(40);
    assert_int_equal(lane_stats(lane)->lost_seqs, 20);
    lane_end(lane, 1000);
    assert_int_equal(cursor_now().next_seq, 41);
}

/* Dead letters make batches without rows: a lane far behind must not gather them without end. */
static void batches_without_rows_fill_a_unit_too(void **state)
{
    (void)state;
    world.rows_max = 10;
    world.age_ms = 60000;
    for (uint64_t seq = 1; seq <= 40; seq += 4)
        append_rejects(seq, 4);
    struct lane *lane = lane_make();
    wait_stored(32);
    lane_end(lane, 1000);
    for (uint32_t i = 0; i < world.written; i++)
        assert_in_range(world.units[i].batch_count, 1, 3);
}

#define lane_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        lane_test(every_batch_is_sent_once_and_the_cursor_follows),
        lane_test(bounds_are_the_same_after_a_restart),
        lane_test(a_retried_unit_is_the_same_unit),
        lane_test(the_cursor_stays_while_the_sink_says_retry),
        lane_test(a_refused_row_is_a_dead_letter_and_the_rest_is_stored),
        lane_test(a_unit_is_of_one_generation),
        lane_test(a_unit_is_at_most_rows_max_unless_one_batch_is_larger),
        lane_test(stopping_sends_what_is_there),
        lane_test(bounds_outlive_a_second_kill),
        lane_test(a_cursor_that_was_not_saved_once_is_saved_again),
        lane_test(a_log_that_cannot_be_read_is_told_and_tried_again),
        lane_test(damage_to_the_reading_log_is_counted),
        lane_test(batches_without_rows_fill_a_unit_too),
        lane_test(a_cursor_ahead_of_the_journal_is_a_refusal_to_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
