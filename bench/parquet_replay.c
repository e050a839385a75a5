/* SPDX-License-Identifier: Apache-2.0
 *
 * A day of meters replayed into the Parquet sink, readings a second from the first unit given to the
 * last reading seen by readers. Three shapes of what is there already: one file a unit, as after a
 * day of load; many small ones, as a quiet gateway has of today; one merged file, as of last week.
 * `-v` changes each value, as after a mended mapping. One thread, and the sink's workers.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "sinks/parquet/parquet.h"

enum { SLOTS = 96, SLOT_MS = 900000 };
static const int64_t START_MS = 1763683200000; /* 2025-11-21 */

struct bench {
    uv_loop_t loop;
    struct sink_host host;
    struct parquet_sink_options options;
    struct sink *sink;
    const char *folder;
    bool answered, closed;
};

static void must(int result, const struct err *err)
{
    if (result < 0) {
        fprintf(stderr, "%s\n", err->text);
        exit(1);
    }
}

static double seconds_since(int64_t start_ns)
{
    return (double)(clock_monotonic_ns() - start_ns) / 1e9;
}

/* ---- the lane ---- */

static void on_answer(struct sink_host *host, struct unit *unit, const struct sink_result *result)
{
    struct bench *bench = container_of(host, struct bench, host);
    (void)unit;
    if (result->answer != SINK_STORED) {
        fprintf(stderr, "not stored: %s\n", result->why);
        exit(1);
    }
    bench->answered = true;
    uv_stop(&bench->loop);
}

static void on_closed(void *arg)
{
    ((struct bench *)arg)->closed = true;
}

static void start(struct bench *bench, uint64_t cursor, bool compact)
{
    struct err err;
    bench->options.compact = compact;
    must(sink_parquet.init(&bench->sink, &bench->options, &bench->host, &err), &err);
    must(sink_parquet.start(bench->sink, &cursor, &err), &err);
}

static void stop(struct bench *bench)
{
    bench->closed = false;
    sink_parquet.close(bench->sink, on_closed, bench);
    while (!bench->closed)
        uv_run(&bench->loop, UV_RUN_ONCE);
    sink_parquet.fini(bench->sink);
}

static uint64_t metric(struct bench *bench, const char *name)
{
    struct buffer text = {0};
    sink_parquet.metrics(bench->sink, &text);
    buffer_u8(&text, 0);
    char *line = mem_printf("\ntidegate_sink_parquet_%s{", name);
    const char *found = strstr((const char *)text.data, line);
    uint64_t value = found ? strtoull(strchr(found, '}') + 1, NULL, 10) : 0;
    free(line);
    buffer_fini(&text);
    return value;
}

/* ---- the day ---- */

struct day {
    uint32_t meters;
    int64_t change; /* added to each value */
};

/* Readings [first, last) in the order of arrival, two a message. */
static struct batch *batch_of(const struct day *day, uint64_t first, uint64_t last)
{
    struct batch_builder *builder = batch_builder_new();
    for (uint64_t i = first; i < last; i++) {
        uint64_t message = i / 2, slot = message / day->meters;
        uint64_t meter = message * 7919 % day->meters;
        bool volume = i % 2;
        char device[24];
        snprintf(device, sizeof device, "%08" PRIu64, meter);
        int64_t value = volume ? (int64_t)(meter * 1000 + slot * 17 + meter % 7)
                               : 2800 + (int64_t)(message * 2654435761U % 61);
        struct batch_row row = {
            .vendor = bytes_text("acme"),
            .device = bytes_text(device),
            .metric = bytes_text(volume ? "volume.total" : "pressure"),
            .unit = bytes_text(volume ? "m3" : "kPa"),
            .ts_ms = START_MS + (int64_t)slot * SLOT_MS + (int64_t)(meter % 900) * 1000,
            .unscaled = value + day->change,
            .scale = volume ? 3 : 1,
            .has_value = true,
            .seq = message + 1,
            .received_ms = START_MS + (int64_t)slot * SLOT_MS + (int64_t)(meter % 900) * 1000 + 900,
        };
        batch_builder_add(builder, &row);
    }
    struct batch *batch = batch_builder_finish(builder);
    batch->first_seq = first / 2 + 1;
    batch->last_seq = (last - 1) / 2 + 1;
    batch->generation = 1;
    batch_builder_free(builder);
    return batch;
}

static void put(struct bench *bench, struct batch *batch, bool replay)
{
    struct unit unit = {
        .first_seq = batch->first_seq,
        .last_seq = batch->last_seq,
        .generation = 1,
        .replay = replay,
        .batches = &batch,
        .batch_count = 1,
        .rows = batch->count,
    };
    bench->answered = false;
    sink_parquet.write(bench->sink, &unit);
    while (!bench->answered)
        uv_run(&bench->loop, UV_RUN_DEFAULT);
}

static uint64_t fill(struct bench *bench, const struct day *day, uint64_t unit_rows, bool merged)
{
    uint64_t rows = (uint64_t)day->meters * SLOTS * 2, last = 0;
    start(bench, 1, false);
    for (uint64_t at = 0; at < rows; at += unit_rows) {
        struct batch *batch = batch_of(day, at, at + unit_rows < rows ? at + unit_rows : rows);
        last = batch->last_seq;
        put(bench, batch, false);
        batch_release(batch);
    }
    stop(bench);
    if (merged) {
        start(bench, last + 1, true);
        while (metric(bench, "files") > 1)
            uv_run(&bench->loop, UV_RUN_ONCE);
        stop(bench);
    }
    return last + 1;
}

/* All of the day again; the batches are made beforehand. */
static void replay(struct bench *bench, const struct day *day, uint64_t unit_rows, uint64_t cursor,
                   const char *name)
{
    uint64_t rows = (uint64_t)day->meters * SLOTS * 2;
    size_t count = 0;
    struct batch **batches = mem_alloc((rows / unit_rows + 1) * sizeof *batches);
    for (uint64_t at = 0; at < rows; at += unit_rows)
        batches[count++] = batch_of(day, at, at + unit_rows < rows ? at + unit_rows : rows);
    start(bench, cursor, true);
    uint64_t files = metric(bench, "files");
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    int64_t begin = clock_monotonic_ns();
    for (size_t i = 0; i < count; i++)
        put(bench, batches[i], true);
    double stored = seconds_since(begin);
    while (metric(bench, "replay_waiting_rows"))
        uv_run(&bench->loop, UV_RUN_ONCE);
    double seen = seconds_since(begin);
    getrusage(RUSAGE_SELF, &after);
    double cpu = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
                 (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec) / 1e6 +
                 (double)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
                 (double)(after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e6;
    printf("| %s | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %.2f | %.2f | %.0f | %.2f | %ld |\n",
           name, rows, files, metric(bench, "files_total"), stored, seen, (double)rows / seen,
           cpu * 1e6 / (double)rows, after.ru_maxrss / 1024);
    fflush(stdout);
    stop(bench);
    for (size_t i = 0; i < count; i++)
        batch_release(batches[i]);
    free(batches);
}

static void remove_tree(const char *folder)
{
    char *path = mem_printf("%s/parquet/dt=2025-11-21", folder);
    struct disk_names names = {0};
    disk_real.list(&disk_real, path, &names);
    for (size_t i = 0; i < names.count; i++) {
        char *file = mem_printf("%s/%s", path, names.names[i]);
        unlink(file);
        free(file);
    }
    disk_names_fini(&names);
    free(path);
}

static _Noreturn void usage(void)
{
    fprintf(stderr,
            "usage: bench_parquet_replay [-m METERS] [-u UNIT_ROWS] [-s SHAPE] [-v] FOLDER\n"
            "  -m  meters, 10000          -u  readings in a unit, 250000\n"
            "  -s  units, small, merged   -v  each value is another one\n");
    exit(2);
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    struct day day = {.meters = 10000};
    uint64_t unit_rows = 250000;
    const char *shape = NULL;
    bool change = false;
    int letter;
    while ((letter = getopt(argc, argv, "m:u:s:v")) != -1) {
        switch (letter) {
        case 'm': day.meters = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'u': unit_rows = strtoull(optarg, NULL, 10); break;
        case 's': shape = optarg; break;
        case 'v': change = true; break;
        default: usage();
        }
    }
    if (optind + 1 != argc || day.meters == 0 || unit_rows == 0)
        usage();
    bench.folder = argv[optind];
    uv_loop_init(&bench.loop);
    bench.host = (struct sink_host){
        .loop = &bench.loop,
        .disk = &disk_real,
        .identity = {0x0123456789abcdef},
        .name = "parquet",
        .data_dir = bench.folder,
        .answer = on_answer,
    };
    option_defaults(sink_parquet.options, &bench.options);
    bench.options.min_free_bytes = 0;
    printf("| shape | readings | files | written | s until stored | s until seen | readings/s | us "
           "CPU | MiB "
           "at most |\n|---|---|---|---|---|---|---|---|---|\n");
    static const char *const shapes[] = {"units", "small", "merged"};
    for (size_t i = 0; i < array_count(shapes); i++) {
        if (shape && strcmp(shape, shapes[i]) != 0)
            continue;
        day.change = 0;
        uint64_t cursor = fill(&bench, &day, i == 1 ? unit_rows / 24 * 2 : unit_rows, i == 2);
        day.change = change;
        replay(&bench, &day, unit_rows, cursor, shapes[i]);
        remove_tree(bench.folder);
    }
    option_fini(sink_parquet.options, &bench.options);
    uv_loop_close(&bench.loop);
    return 0;
}
