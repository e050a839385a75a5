/* SPDX-License-Identifier: Apache-2.0
 *
 * A raw log of six segments that fills: what goes, what stays, who is parked (invariant 6). The parts
 * are those of a gateway, without its listener.
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
#include "lib/lane_kit.h"
#include "missed.h"
#include "parts.h"

enum { SEGMENT_BYTES = 1 << 20, LOG_BYTES = 6 << 20, PAYLOAD_BYTES = 50000 };

static struct gateway gateway;
static struct config *config;
static struct lane *lanes[2];
static struct fake_sink second_sink;
static struct config_sink sinks[2];
static _Atomic int chunks_done;

static void on_done(struct chunk *chunk)
{
    chunk_release(chunk->owner, chunk);
    chunks_done++;
}

/* Bytes that do not compress, to a topic without a route: a dead letter each. */
static void submit(void)
{
    static uint64_t random = 1;
    static uint8_t payload[PAYLOAD_BYTES];
    for (size_t i = 0; i < sizeof payload; i++) {
        random = random * 6364136223846793005 + 1442695040888963407;
        payload[i] = (uint8_t)(random >> 56);
    }
    struct chunk *chunk = chunk_acquire(gateway.rawlog);
    assert_non_null(chunk);
    struct message message = {.topic = bytes_text("x"),
                              .payload = bytes_of(payload, sizeof payload),
                              .flags = 1,
                              .protocol = 4};
    chunk_add_message(chunk, &message);
    chunk->done = on_done;
    chunk->owner = gateway.rawlog;
    rawlog_submit(gateway.rawlog, chunk);
}

/* Publish so much, while retention runs. False when the log has no room for a second. */
static bool publish(uint64_t bytes)
{
    for (uint64_t sent = 0; sent < bytes; sent += PAYLOAD_BYTES) {
        int before = chunks_done;
        int64_t until = clock_monotonic_ms() + 1000;
        submit();
        while (chunks_done == before) {
            retention_run(&gateway);
            usleep(2000);
            if (clock_monotonic_ms() > until)
                return false;
        }
    }
    return true;
}

static void logs_open(void)
{
    struct journal_recovery found;
    struct err err = {{0}};
    struct journal_options options = {.disk = &disk_real,
                                      .dir = gateway.paths.raw,
                                      .segment_bytes = SEGMENT_BYTES,
                                      .max_bytes = LOG_BYTES};
    struct rawlog_options raw = {.journal = options,
                                 .memory_bytes = 8 << 20,
                                 .chunk_bytes = 64 << 10,
                                 .extent_bytes = 256 << 10};
    if (rawlog_open(&gateway.rawlog, &raw, &found, &err))
        fail_msg("%s", err.text);
    options.identity = journal_identity(rawlog_journal(gateway.rawlog));
    options.dir = gateway.paths.readings;
    options.kind = JOURNAL_READINGS;
    assert_int_equal(journal_open(&gateway.readings, &options, &found, &err), 0);
    options.dir = gateway.paths.dead;
    options.kind = JOURNAL_DEAD;
    options.max_bytes = 0;
    assert_int_equal(journal_open(&gateway.dead, &options, &found, &err), 0);
    assert_int_equal(rawlog_start(gateway.rawlog, &err), 0);
}

static void config_make(void)
{
    struct buffer errors = {0};
    const struct config_places places = {.data = lane_world.folder.path};
    assert_int_equal(config_embedded(&places, &config, &errors), 0);
    buffer_fini(&errors);
    config->journal.segment_bytes = SEGMENT_BYTES;
    config->journal.max_bytes = LOG_BYTES;
    config->journal.reserve_bytes = 0;
    for (size_t i = 0; i < 2; i++)
        sinks[i] = (struct config_sink){.type = &fake_sink_type,
                                        .options = i ? &second_sink : &lane_world.sink,
                                        .name = (char *)(uintptr_t)(i ? "second" : "first")};
}

static void paths_make(void)
{
    const char *dir = lane_world.folder.path;
    gateway.paths = (struct gateway_paths){
        .data = mem_strdup(dir),
        .raw = mem_printf("%s/raw", dir),
        .readings = mem_printf("%s/batches", dir),
        .dead = mem_printf("%s/dead", dir),
        .refused = mem_printf("%s/refused", dir),
        .cursors = mem_printf("%s/cursors", dir),
        .state = mem_printf("%s/state", dir),
    };
    assert_int_equal(disk_make_dirs(&disk_real, gateway.paths.cursors), 0);
    assert_int_equal(disk_make_dirs(&disk_real, gateway.paths.state), 0);
}

static int setup(void **state)
{
    struct err err = {{0}};
    lane_world_setup(state);
    memset(&gateway, 0, sizeof gateway);
    config_make();
    gateway.config = gateway.config_started = config;
    paths_make();
    logs_open();
    gateway.refused =
        refused_new(&disk_real, gateway.paths.refused, rawlog_journal(gateway.rawlog));
    struct decoder_options options = {.disk = &disk_real,
                                      .state_dir = gateway.paths.state,
                                      .raw = rawlog_journal(gateway.rawlog),
                                      .readings = gateway.readings,
                                      .dead = gateway.dead,
                                      .save_bytes = SEGMENT_BYTES};
    assert_int_equal(decoder_new(&options, config, &gateway.decoder, &err), 0);
    assert_int_equal(decoder_start(gateway.decoder, &err), 0);
    second_sink = lane_world.sink;
    return 0;
}

/* The configuration's own sink, Parquet, gives way to these. */
static void lanes_make(void)
{
    struct config_sink *own = config->sinks;
    free(own[0].name);
    option_fini(own[0].type->options, own[0].options);
    free(own[0].options);
    free(own);
    config->sinks = sinks;
    config->sink_count = 2;
    gateway.lanes = lanes;
    struct err err;
    for (size_t i = 0; i < 2; i++) {
        char *path = mem_printf("%s/%s.cursor", gateway.paths.cursors, sinks[i].name);
        struct lane_options options = {.disk = &disk_real,
                                       .sink = &sinks[i],
                                       .readings = gateway.readings,
                                       .refused = gateway.refused,
                                       .received_end = 1,
                                       .cursor_path = path,
                                       .data_dir = gateway.paths.data};
        assert_int_equal(lane_new(&options, &lanes[i], &err), 0);
        assert_int_equal(lane_start(lanes[i], &err), 0);
        assert_int_equal(lane_wait_started(lanes[i], clock_monotonic_ms() + 5000, &err), 0);
        gateway.lane_count++;
        free(path);
    }
}

static int teardown(void **state)
{
    if (!rawlog_stop(gateway.rawlog, 100)) /* what was held is not stored; the thread ends */
        rawlog_stop(gateway.rawlog, 5000);
    decoder_stop(gateway.decoder, 100);
    for (size_t i = 0; i < gateway.lane_count; i++)
        lane_end(lanes[i], 0);
    decoder_free(gateway.decoder);
    refused_free(gateway.refused);
    journal_close(gateway.dead);
    journal_close(gateway.readings);
    rawlog_close(gateway.rawlog);
    char *paths[] = {gateway.paths.data, gateway.paths.raw,     gateway.paths.readings,
                     gateway.paths.dead, gateway.paths.refused, gateway.paths.cursors,
                     gateway.paths.state};
    for (size_t i = 0; i < array_count(paths); i++)
        free(paths[i]);
    if (config->sinks == sinks) {
        config->sinks = NULL;
        config->sink_count = 0;
    }
    config_free(config);
    return lane_world_teardown(state);
}

static uint64_t raw_first(void)
{
    return journal_first_seq(rawlog_journal(gateway.rawlog));
}

static void wait_followed(void)
{
    struct journal *raw = rawlog_journal(gateway.rawlog);
    for (size_t i = 0; i < 2; i++)
        wait_until(lane_stats(lanes[i])->next_seq == journal_next_seq(raw));
}

/* No faster than the lanes take it. */
static void publish_followed(int megabytes)
{
    for (int i = 0; i < megabytes; i++) {
        assert_true(publish(1 << 20));
        wait_followed();
    }
}

/* ---- who holds, who is passed ---- */

static void while_all_lanes_keep_up_the_log_never_fills(void **state)
{
    (void)state;
    sinks[0].when_full = WHEN_FULL_PARK;
    lanes_make();
    publish_followed(20);
    assert_true(raw_first() > 1);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(lane_stats(lanes[i])->parked_messages, 0);
}

static void a_lane_that_holds_is_never_passed(void **state)
{
    (void)state;
    lane_world.sink.silent = true;
    sinks[1].when_full = WHEN_FULL_PARK;
    second_sink.silent = true;
    lanes_make();
    assert_false(publish(20 << 20));
    assert_int_equal(raw_first(), 1);
    assert_int_equal(lane_stats(lanes[0])->settled_seq, 1);
    /* Parking the other one would make no room. */
    assert_int_equal(lane_stats(lanes[1])->settled_seq, 1);
    lane_world.sink.silent = false;
    int before = chunks_done;
    int64_t until = clock_monotonic_ms() + 5000;
    while (chunks_done == before) { /* what was held is taken now */
        retention_run(&gateway);
        usleep(2000);
        assert_true(clock_monotonic_ms() < until);
    }
}

static void a_lane_that_may_be_parked_makes_room(void **state)
{
    (void)state;
    lane_world.sink.silent = true;
    sinks[0].when_full = WHEN_FULL_PARK;
    lanes_make();
    assert_true(publish(20 << 20));
    const struct lane_stats *stats = lane_stats(lanes[0]);
    assert_true(stats->parked_messages > 0);
    assert_int_equal(stats->parked_first_seq, 1);
    assert_true(raw_first() > 1);
    /* All that went is written down. */
    assert_true(stats->parked_last_seq + 1 >= raw_first());
    struct missed_range *ranges;
    struct err err;
    size_t count;
    char *path = mem_printf("%s/first.missed", gateway.paths.cursors);
    assert_int_equal(missed_load(&disk_real, path, &ranges, &count, &err), 0);
    assert_int_equal(count, 1);
    assert_int_equal(ranges[0].first_seq, 1);
    assert_true(ranges[0].last_seq + 1 >= raw_first());
    free(ranges);
    free(path);
    /* The other lane got everything. */
    wait_until(lane_stats(lanes[1])->next_seq == journal_next_seq(rawlog_journal(gateway.rawlog)));
    assert_int_equal(lane_stats(lanes[1])->parked_messages, 0);
}

static void parking_ends_when_the_destination_is_back(void **state)
{
    (void)state;
    lane_world.sink.silent = true;
    sinks[0].when_full = WHEN_FULL_PARK;
    lanes_make();
    assert_true(publish(15 << 20));
    lane_world.sink.silent = false;
    wait_followed();
    uint64_t parked = lane_stats(lanes[0])->parked_messages;
    publish_followed(10);
    assert_int_equal(lane_stats(lanes[0])->parked_messages, parked);
}

/* ---- cursors without a sink ---- */

static void orphan_put(const char *name, struct identity identity)
{
    char *path = mem_printf("%s/%s.cursor", gateway.paths.cursors, name);
    const struct cursor_state at = {.next_seq = 3, .settled_seq = 2};
    struct cursor *cursor;
    struct err err;
    assert_int_equal(cursor_open_from(&cursor, &disk_real, path, identity, &at, &err), 0);
    cursor_close(cursor);
    free(path);
}

static void a_cursor_without_a_sink_holds_the_log_until_it_is_dropped(void **state)
{
    (void)state;
    lanes_make();
    orphan_put("gone", journal_identity(gateway.readings));
    assert_false(publish(20 << 20));
    assert_int_equal(raw_first(), 1);
    assert_int_equal(gateway.retention.orphans, 1);
    char *path = mem_printf("%s/gone.cursor", gateway.paths.cursors);
    unlink(path);
    free(path);
    assert_true(publish(5 << 20));
    assert_true(raw_first() > 1);
    assert_int_equal(gateway.retention.orphans, 0);
}

static void a_cursor_of_another_journal_holds_nothing(void **state)
{
    (void)state;
    lanes_make();
    orphan_put("other", (struct identity){77});
    assert_true(publish(15 << 20));
    assert_int_equal(gateway.retention.orphans, 0);
}

static void a_cursor_that_cannot_be_read_may_need_all(void **state)
{
    (void)state;
    lanes_make();
    char *path = mem_printf("%s/torn.cursor", gateway.paths.cursors);
    FILE *file = fopen(path, "w");
    fputs("nonsense", file);
    fclose(file);
    free(path);
    assert_false(publish(20 << 20));
    assert_int_equal(raw_first(), 1);
    assert_int_equal(gateway.retention.orphans, 1);
}

#define retention_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        retention_test(while_all_lanes_keep_up_the_log_never_fills),
        retention_test(a_lane_that_holds_is_never_passed),
        retention_test(a_lane_that_may_be_parked_makes_room),
        retention_test(parking_ends_when_the_destination_is_back),
        retention_test(a_cursor_without_a_sink_holds_the_log_until_it_is_dropped),
        retention_test(a_cursor_of_another_journal_holds_nothing),
        retention_test(a_cursor_that_cannot_be_read_may_need_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
