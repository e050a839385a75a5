/* SPDX-License-Identifier: Apache-2.0
 *
 * Raw log to reading log with the embedded default: readings, dead letters, totals (invariant 9),
 * and a memory that a restart does not change.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "config/config.h"
#include "deadletter.h"
#include "decoder.h"
#include "journal/rawlog.h"
#include "lib/fault_disk.h"
#include "lib/temp_dir.h"
#include "model/batch.h"
#include "model/metric.h"

/* ---- a gateway without listener and lanes ---- */

struct bench {
    struct temp_dir folder;
    char *raw_dir, *readings_dir, *dead_dir, *state_dir;
    struct config *config;
    struct rawlog *rawlog;
    struct journal *readings, *dead;
    struct decoder *decoder;
    const struct disk *readings_disk;
};

static struct bench bench;
static _Atomic int chunks_done;

static void on_done(struct chunk *chunk)
{
    chunk_release(chunk->owner, chunk);
    chunks_done++;
}

static void logs_open(void)
{
    struct journal_recovery found;
    struct err err = {{0}};
    struct rawlog_options raw = {
        .journal = {.disk = &disk_real, .dir = bench.raw_dir, .segment_bytes = 1 << 20},
        .memory_bytes = 8 << 20,
        .chunk_bytes = 64 << 10,
        .extent_bytes = 256 << 10,
    };
    if (rawlog_open(&bench.rawlog, &raw, &found, &err))
        fail_msg("%s", err.text);
    struct journal_options options = {.disk = bench.readings_disk,
                                      .dir = bench.readings_dir,
                                      .kind = JOURNAL_READINGS,
                                      .identity = journal_identity(rawlog_journal(bench.rawlog)),
                                      .segment_bytes = 1 << 20,
                                      .compression_level = 1};
    assert_int_equal(journal_open(&bench.readings, &options, &found, &err), 0);
    options.disk = &disk_real;
    options.dir = bench.dead_dir;
    options.kind = JOURNAL_DEAD;
    assert_int_equal(journal_open(&bench.dead, &options, &found, &err), 0);
    assert_int_equal(rawlog_start(bench.rawlog, &err), 0);
}

static void decoder_open(void)
{
    struct err err = {{0}};
    struct decoder_options options = {.disk = &disk_real,
                                      .state_dir = bench.state_dir,
                                      .raw = rawlog_journal(bench.rawlog),
                                      .readings = bench.readings,
                                      .dead = bench.dead,
                                      .save_bytes = 1 << 20};
    if (decoder_new(&options, bench.config, &bench.decoder, &err))
        fail_msg("%s", err.text);
    assert_int_equal(decoder_start(bench.decoder, &err), 0);
}

static void bench_open(void)
{
    logs_open();
    decoder_open();
}

static void bench_close(void)
{
    assert_true(rawlog_stop(bench.rawlog, 5000));
    decoder_stop(bench.decoder, 5000);
    decoder_free(bench.decoder);
    journal_close(bench.dead);
    journal_close(bench.readings);
    rawlog_close(bench.rawlog);
}

static int setup(void **state)
{
    (void)state;
    temp_dir_make(&bench.folder);
    bench.raw_dir = mem_printf("%s/raw", bench.folder.path);
    bench.readings_dir = mem_printf("%s/readings", bench.folder.path);
    bench.dead_dir = mem_printf("%s/dead", bench.folder.path);
    bench.state_dir = mem_printf("%s/state", bench.folder.path);
    assert_int_equal(disk_make_dirs(&disk_real, bench.state_dir), 0);
    struct buffer errors = {0};
    if (config_embedded(&(struct config_places){.data = bench.folder.path}, &bench.config, &errors))
        fail_msg("%.*s", (int)errors.size, (const char *)errors.data);
    buffer_fini(&errors);
    bench.readings_disk = &disk_real;
    chunks_done = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    config_free(bench.config);
    free(bench.raw_dir);
    free(bench.readings_dir);
    free(bench.dead_dir);
    free(bench.state_dir);
    temp_dir_remove(&bench.folder);
    return 0;
}

/* ---- messages in ---- */

static void publish(const char *topic, const char *payload)
{
    struct chunk *chunk = chunk_acquire(bench.rawlog);
    assert_non_null(chunk);
    struct message message = {.topic = bytes_text(topic),
                              .client = bytes_text("test"),
                              .payload = bytes_text(payload),
                              .flags = 1,
                              .protocol = 4,
                              .packet_id = 1};
    chunk->done = on_done;
    chunk->owner = bench.rawlog;
    int before = chunks_done;
    chunk_add_message(chunk, &message);
    rawlog_submit(bench.rawlog, chunk);
    int64_t until = clock_monotonic_ms() + 10000;
    while (chunks_done == before) {
        assert_true(clock_monotonic_ms() < until);
        usleep(200);
    }
}

static void wait_decoded(void)
{
    uint64_t end = journal_next_seq(rawlog_journal(bench.rawlog));
    int64_t until = clock_monotonic_ms() + 10000;
    while (journal_next_seq(bench.readings) < end) {
        assert_true(clock_monotonic_ms() < until);
        usleep(1000);
    }
}

/* ---- what came out ---- */

/* Calls `each` for every batch of the reading log. */
static void batches_each(void (*each)(void *arg, const struct batch *batch), void *arg)
{
    struct journal_reader *reader;
    struct extent extent;
    struct err err;
    assert_int_equal(journal_reader_new(bench.readings, 1, &reader, &err), 0);
    uint64_t next = 1;
    while (journal_reader_next(reader, &extent, &err) == JOURNAL_EXTENT) {
        struct batch *batch;
        assert_int_equal(batch_decode(extent.body, &batch, &err), 0);
        assert_int_equal(batch->first_seq, next);
        next = batch->last_seq + 1;
        each(arg, batch);
        batch_release(batch);
    }
    journal_reader_free(reader);
}

struct last_row {
    uint64_t rows;
    uint32_t flags, generation;
};

static void row_last(void *arg, const struct batch *batch)
{
    struct last_row *last = arg;
    last->generation = batch->generation;
    for (uint32_t i = 0; i < batch->count; i++) {
        last->rows++;
        last->flags = batch->flags[i];
    }
}

static struct last_row last_row(void)
{
    struct last_row last = {0};
    batches_each(row_last, &last);
    return last;
}

static void assert_identity(void)
{
    const struct decoder_stats *stats = decoder_stats(bench.decoder);
    uint64_t received = journal_next_seq(rawlog_journal(bench.rawlog)) - 1;
    assert_int_equal(received, stats->decoded + stats->dead + stats->quarantined);
}

static const char good[] = "{\"device\":\"0001\",\"time\":\"2026-01-01T00:00:00Z\",\"flow\":1.5}";

/* ---- tests ---- */

static void messages_become_readings_and_dead_letters(void **state)
{
    (void)state;
    bench_open();
    publish("v1/acme/json", good);
    publish("v1/acme/json", "{\"device\":");
    publish("elsewhere", "x");
    publish("v1/acme/7/json", "{\"flow\":2,\"pressure\":300}");
    wait_decoded();
    assert_int_equal(last_row().rows, 3);
    assert_int_equal(decoder_stats(bench.decoder)->decoded, 2);
    assert_int_equal(decoder_stats(bench.decoder)->dead, 2);
    assert_identity();
    bench_close();
}

static void a_dead_letter_holds_the_message_whole(void **state)
{
    (void)state;
    bench_open();
    publish("v1/acme/json", good);
    publish("elsewhere", "some bytes");
    wait_decoded();
    struct journal_reader *reader;
    struct extent extent;
    struct err err;
    assert_int_equal(journal_reader_new(bench.dead, 1, &reader, &err), 0);
    int got;
    while ((got = journal_reader_next(reader, &extent, &err)) == JOURNAL_DAMAGED)
        ; /* sequence numbers without dead letters */
    assert_int_equal(got, JOURNAL_EXTENT);
    struct deadletter_reader letters;
    struct deadletter letter;
    deadletter_reader_init(&letters, &extent);
    assert_int_equal(deadletter_reader_next(&letters, &letter), 1);
    assert_int_equal(letter.message.seq, 2);
    assert_int_equal(letter.stage, STAGE_ROUTE);
    assert_true(bytes_equal_text(letter.reason, "no_route"));
    assert_true(bytes_equal_text(letter.message.topic, "elsewhere"));
    assert_true(bytes_equal_text(letter.message.payload, "some bytes"));
    assert_true(bytes_equal_text(letter.message.client, "test"));
    assert_int_equal(deadletter_reader_next(&letters, &letter), 0);
    journal_reader_free(reader);
    bench_close();
}

static void a_restart_decodes_nothing_twice(void **state)
{
    (void)state;
    bench_open();
    publish("v1/acme/json", good);
    publish("elsewhere", "x");
    wait_decoded();
    bench_close();
    bench_open();
    assert_int_equal(decoder_stats(bench.decoder)->decoded, 1);
    assert_int_equal(decoder_stats(bench.decoder)->dead, 1);
    publish("v1/acme/8/json", "{\"flow\":2}");
    wait_decoded();
    assert_int_equal(last_row().rows, 2);
    assert_identity();
    bench_close();
}

static void what_was_not_decoded_before_a_stop_is_decoded_after(void **state)
{
    (void)state;
    logs_open();
    publish("v1/acme/json", good);
    publish("v1/acme/8/json", "{\"flow\":2}");
    decoder_open();
    wait_decoded();
    assert_int_equal(last_row().rows, 2);
    assert_identity();
    bench_close();
}

static void memory_survives_with_and_without_its_save(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        bench_open();
        publish("v1/acme/json", good);
        wait_decoded();
        bench_close();
        if (round == 1) { /* without the save the raw log is decoded again, in silence */
            char *command = mem_printf("rm -f '%s'/*.state", bench.state_dir);
            assert_int_equal(system(command), 0);
            free(command);
        }
        bench_open();
        uint64_t rows = last_row().rows;
        publish("v1/acme/json", good);
        wait_decoded();
        assert_int_equal(last_row().rows, rows + 1);
        assert_true(last_row().flags & FLAG_DUPLICATE);
        bench_close();
    }
}

static void a_new_configuration_is_a_new_generation(void **state)
{
    (void)state;
    bench_open();
    publish("v1/acme/json", good);
    wait_decoded();
    uint32_t first = last_row().generation;
    assert_int_equal(first, 1);
    struct err err;
    bench.config->digest ^= 1;
    assert_int_equal(decoder_reload(bench.decoder, bench.config, &err), 0);
    publish("v1/acme/8/json", "{\"flow\":2}");
    wait_decoded();
    assert_int_equal(last_row().generation, 2);
    bench_close();
    bench_open(); /* and is remembered */
    assert_int_equal(decoder_stats(bench.decoder)->generation, 2);
    bench_close();
}

/* A message of `size` bytes that no route fits. */
static void publish_large(size_t size)
{
    char *payload = mem_alloc(size + 1);
    memset(payload, 'x', size);
    payload[size] = '\0';
    publish("elsewhere", payload);
    free(payload);
}

static void raw_retention_follows_the_saves(void **state)
{
    (void)state;
    bench_open();
    struct journal *raw = rawlog_journal(bench.rawlog);
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < 3; j++)
            publish_large(400 << 10);
        wait_decoded();
    }
    /* As the gateway does it, with a log that may hold next to nothing. */
    uint64_t needed = decoder_stats(bench.decoder)->saved_seq;
    struct err err;
    assert_in_range(needed, 20, 25);
    assert_int_equal(journal_retain(raw, needed, 0, 1, clock_wall_ms(), &err), 0);
    assert_true(journal_bytes(raw) < 6 << 20);
    bench_close();
}

/* The reading log has no room, and a message waits for it. */
static void bench_open_full(struct fault_disk *fault)
{
    fault_disk_init(fault);
    bench.readings_disk = &fault->disk;
    bench_open();
    fault_disk_fail(fault, FAULT_ALLOCATE, 1, ENOSPC, true);
    publish("v1/acme/json", good);
    int64_t until = clock_monotonic_ms() + 10000;
    while (decoder_stats(bench.decoder)->health != DECODER_WAITING) {
        assert_true(clock_monotonic_ms() < until);
        usleep(1000);
    }
}

/* Were it to wait, the thread that makes room would wait for room. */
static void a_reload_does_not_wait_for_a_log_that_is_full(void **state)
{
    (void)state;
    struct fault_disk fault;
    bench_open_full(&fault);
    struct err err;
    bench.config->digest ^= 1;
    alarm(10);
    assert_int_equal(decoder_reload(bench.decoder, bench.config, &err), 0);
    alarm(0);
    fault_disk_fail(&fault, FAULT_ALLOCATE, 0, 0, false);
    wait_decoded();
    assert_int_equal(last_row().generation, 1); /* what was decoded before is of before */
    publish("v1/acme/json", good);
    wait_decoded();
    assert_int_equal(last_row().generation, 2);
    bench_close();
    fault_disk_fini(&fault);
}

static void a_stop_while_a_log_is_full_keeps_its_time(void **state)
{
    (void)state;
    struct fault_disk fault;
    bench_open_full(&fault);
    usleep(2200000); /* the waits between two tries have grown to seconds */
    int64_t begun = clock_monotonic_ms();
    decoder_stop(bench.decoder, 100);
    /* The wait under way would have lasted about 950 ms more. */
    assert_in_range(clock_monotonic_ms() - begun, 0, 900);
    fault_disk_fail(&fault, FAULT_ALLOCATE, 0, 0, false);
    bench_close();
    bench_open();
    wait_decoded();
    assert_int_equal(last_row().rows, 1);
    assert_identity();
    bench_close();
    fault_disk_fini(&fault);
}

static void a_reload_takes_metrics_that_were_added(void **state)
{
    (void)state;
    struct config *next;
    struct buffer errors = {0};
    struct err err;
    assert_int_equal(
        config_embedded(&(struct config_places){.data = bench.folder.path}, &next, &errors), 0);
    struct metric nitrate = {.name = "nitrate", .unit = "mg/L", .help = ""};
    assert_int_equal(vocabulary_add(next->vocabulary, &nitrate, &err), 0);
    next->digest ^= 1;
    bench_open();
    publish("v1/acme/7/json", "{\"nitrate\":2}");
    wait_decoded();
    assert_true(last_row().flags & FLAG_METRIC_UNKNOWN);
    assert_int_equal(decoder_reload(bench.decoder, next, &err), 0);
    publish("v1/acme/8/json", "{\"nitrate\":2}");
    wait_decoded();
    assert_false(last_row().flags & FLAG_METRIC_UNKNOWN);
    bench_close();
    config_free(next);
}

static void publish_long_topics(int count, size_t topic_size)
{
    char *topic = mem_alloc(topic_size + 1);
    memset(topic, 't', topic_size);
    topic[topic_size] = '\0';
    struct chunk *chunk = chunk_acquire(bench.rawlog);
    assert_non_null(chunk);
    struct message message = {.topic = bytes_text(topic), .flags = 1, .protocol = 5};
    for (int i = 0; i < count; i++)
        chunk_add_message(chunk, &message);
    chunk->done = on_done;
    chunk->owner = bench.rawlog;
    rawlog_submit(bench.rawlog, chunk);
    while (chunks_done == 0)
        usleep(200);
    free(topic);
}

/* A topic alias makes a message of five bytes out of one with a topic of 60,000. */
static void dead_letters_of_one_extent_are_stored_in_pieces(void **state)
{
    (void)state;
    bench_open();
    publish_long_topics(1000, 60000);
    wait_decoded();
    struct journal_reader *reader;
    struct extent extent;
    struct err err;
    assert_int_equal(journal_reader_new(bench.dead, 1, &reader, &err), 0);
    uint64_t next = 1;
    while (journal_reader_next(reader, &extent, &err) == JOURNAL_EXTENT) {
        struct deadletter_reader letters;
        struct deadletter letter;
        assert_in_range(extent.body.size, 1, (16 << 20) + 100000);
        deadletter_reader_init(&letters, &extent);
        while (deadletter_reader_next(&letters, &letter) == 1)
            assert_int_equal(letter.message.seq, next++);
    }
    assert_int_equal(next, 1001);
    journal_reader_free(reader);
    assert_identity();
    bench_close();
}

/* Change one byte of the raw log where `text` stands. */
static void damage_raw(const char *text)
{
    char *command = mem_printf("f=$(grep -l '%s' '%s'/*.log) && sed -i 's/%s/X%s/' $f", text,
                               bench.raw_dir, text, text + 1);
    assert_int_equal(system(command), 0);
    free(command);
}

/* The journal finds the damage as one range, and it begins before the end of the reading log. */
static void damage_over_the_end_of_the_reading_log_is_counted(void **state)
{
    (void)state;
    bench_open();
    publish("v1/acme/1/json", "{\"flow\":1,\"mark-one\":1}");
    publish("v1/acme/2/json", "{\"flow\":1,\"mark-two\":1}");
    wait_decoded();
    bench_close();
    logs_open();
    publish("v1/acme/3/json", "{\"flow\":1,\"mark-three\":1}");
    publish("v1/acme/4/json", "{\"flow\":1,\"mark-four\":1}");
    assert_true(rawlog_stop(bench.rawlog, 5000));
    journal_close(bench.dead);
    journal_close(bench.readings);
    rawlog_close(bench.rawlog);
    damage_raw("mark-two");
    damage_raw("mark-three");
    char *command = mem_printf("rm -f '%s'/*.state", bench.state_dir);
    assert_int_equal(system(command), 0);
    free(command);
    for (int round = 0; round < 2; round++) {
        bench_open();
        wait_decoded();
        assert_int_equal(decoder_stats(bench.decoder)->decoded, 3);
        assert_int_equal(decoder_stats(bench.decoder)->quarantined, 1);
        assert_identity();
        bench_close();
    }
}

#define decoder_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        decoder_test(messages_become_readings_and_dead_letters),
        decoder_test(a_dead_letter_holds_the_message_whole),
        decoder_test(a_restart_decodes_nothing_twice),
        decoder_test(what_was_not_decoded_before_a_stop_is_decoded_after),
        decoder_test(memory_survives_with_and_without_its_save),
        decoder_test(a_new_configuration_is_a_new_generation),
        decoder_test(raw_retention_follows_the_saves),
        decoder_test(a_reload_does_not_wait_for_a_log_that_is_full),
        decoder_test(a_stop_while_a_log_is_full_keeps_its_time),
        decoder_test(a_reload_takes_metrics_that_were_added),
        decoder_test(dead_letters_of_one_extent_are_stored_in_pieces),
        decoder_test(damage_over_the_end_of_the_reading_log_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
