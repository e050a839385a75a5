/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes per reading in Parquet, and readings a second into it.
 *
 * The data: meters of two metrics every 15 minutes. `volume.total` counts litres (m3 with three
 * decimals) in bursts that follow the day, one meter in ten is large and never stands still;
 * `pressure` is kPa with one decimal, sigma 2 kPa; one reading in 200 has another quality. Aligned:
 * times on the quarter hour. Jittered: each meter has a phase of 0..899 s, each reading 0, 1 or 2 s more.
 * The seed is fixed, so two runs write the same bytes. `-l` keeps the counter in whole litres.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "sinks/parquet/file.h"
#include "sinks/parquet/merge.h"

enum { SLOTS = 96, GROUP_ROWS = 120000, PAGE_ROWS = 20000, UNIT_ROWS = 250000, SLOT_MS = 900000 };
static const int64_t START_MS = 1763683200000; /* 2025-11-21 */

struct world {
    uint32_t meters, days;
    bool jitter, litres;
    uint64_t random;
    uint32_t *volume; /* litres, [meter][slot] */
    int16_t *pressure;
    int32_t *delay; /* ms after the slot's beginning */
    uint8_t *quality;
    uint32_t *arrival; /* of each meter within a slot */
};

/* SplitMix64 by Sebastiano Vigna, public domain. */
static uint64_t next_random(struct world *world)
{
    uint64_t z = world->random += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

static double uniform(struct world *world)
{
    return (double)(next_random(world) >> 11) * 0x1p-53;
}

static double normal(struct world *world)
{
    return sqrt(-2 * log(1 - uniform(world))) * cos(2 * M_PI * uniform(world));
}

/* Chance of use in a quarter of an hour: little at night, peaks in the morning and the evening. */
static double demand(uint32_t slot)
{
    double hour = (slot % SLOTS) / 4.0;
    return 0.03 + 0.35 * exp(-(hour - 7.5) * (hour - 7.5) / 3) +
           0.30 * exp(-(hour - 19) * (hour - 19) / 8) + 0.08 * (hour > 8 && hour < 22);
}

static void simulate_meter(struct world *world, uint32_t meter)
{
    uint32_t slots = world->days * SLOTS;
    size_t base = (size_t)meter * slots;
    bool large = meter % 10 == 0;
    uint32_t litres = 1000 + (uint32_t)(next_random(world) % 2000000);
    double level = 280 + 80 * uniform(world);
    int32_t phase = 1000 * (int32_t)(next_random(world) % 900);
    for (uint32_t slot = 0; slot < slots; slot++) {
        if (large)
            litres += 200 + (uint32_t)(600 * demand(slot) + 50 * uniform(world));
        else if (uniform(world) < demand(slot))
            litres += 2 + (uint32_t)(60 * uniform(world) * uniform(world));
        world->volume[base + slot] = litres;
        world->pressure[base + slot] = (int16_t)lround(10 * (level + 2 * normal(world)));
        world->delay[base + slot] =
            world->jitter ? phase + 1000 * (int32_t)(next_random(world) % 3) : 0;
        world->quality[base + slot] = next_random(world) % 200 == 0;
    }
}

static const int32_t *delays; /* for compare_arrival; this program has one thread */

static int compare_arrival(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return delays[x] != delays[y] ? (delays[x] > delays[y]) - (delays[x] < delays[y])
                                  : (x > y) - (x < y);
}

static void simulate(struct world *world)
{
    size_t points = (size_t)world->meters * world->days * SLOTS;
    world->random = 42;
    world->volume = mem_alloc(points * sizeof *world->volume);
    world->pressure = mem_alloc(points * sizeof *world->pressure);
    world->delay = mem_alloc(points * sizeof *world->delay);
    world->quality = mem_alloc(points);
    world->arrival = mem_alloc(world->meters * sizeof *world->arrival);
    for (uint32_t meter = 0; meter < world->meters; meter++)
        simulate_meter(world, meter);
    uint32_t *order = mem_alloc(world->meters * sizeof *order);
    int32_t *first = mem_alloc(world->meters * sizeof *first);
    for (uint32_t meter = 0; meter < world->meters; meter++) {
        order[meter] = meter;
        /* Aligned meters do not send in the order of their numbers either. */
        first[meter] = world->jitter ? world->delay[(size_t)meter * world->days * SLOTS]
                                     : (int32_t)(next_random(world) % 900000);
    }
    delays = first;
    qsort(order, world->meters, sizeof *order, compare_arrival);
    for (uint32_t i = 0; i < world->meters; i++)
        world->arrival[order[i]] = i;
    free(order);
    free(first);
}

static void world_fini(struct world *world)
{
    free(world->volume);
    free(world->pressure);
    free(world->delay);
    free(world->quality);
    free(world->arrival);
}

static struct batch_row reading(const struct world *world, uint32_t meter, uint32_t slot,
                                bool volume, char device[16])
{
    size_t at = (size_t)meter * world->days * SLOTS + slot;
    int64_t ts = START_MS + (int64_t)slot * SLOT_MS + world->delay[at];
    snprintf(device, 16, "%08u", meter);
    return (struct batch_row){
        .vendor = bytes_text("acme"),
        .device = bytes_text(device),
        .metric = bytes_text(volume ? "volume.total" : "pressure"),
        .unit = bytes_text(!volume         ? "kPa"
                           : world->litres ? "L"
                                           : "m3"),
        .ts_ms = ts,
        .unscaled = volume ? (int64_t)world->volume[at] : world->pressure[at],
        .scale = (uint8_t)(!volume         ? 1
                           : world->litres ? 0
                                           : 3),
        .has_value = true,
        .quality = world->quality[at] ? QUALITY_UNCERTAIN : QUALITY_GOOD,
        .seq = (uint64_t)slot * world->meters + world->arrival[meter] + 1,
        .received_ms = ts + 500 + (int64_t)(at * 2654435761U % 1500),
    };
}

/* ---- writing ---- */

static void must(int result, const struct err *err)
{
    if (result < 0) {
        fprintf(stderr, "%s\n", err->text);
        exit(1);
    }
}

struct target {
    const char *dir;
    struct rows rows;
    struct parquet_options options;
    struct parquet_file *file;
    struct batch_builder *builder;
};

static struct bytes gateway_text(void)
{
    return bytes_text("0123456789abcdef");
}

/* What waits in the builder, all days of it, goes to the rows. */
static void take_batch(struct target *target, uint32_t days)
{
    struct batch *batch = batch_builder_finish(target->builder);
    for (uint32_t day = 0; day <= days; day++)
        rows_add_batch(&target->rows, batch, day_of_ms(START_MS) + day, 4096, gateway_text());
    batch_release(batch);
}

static void put_group(struct target *target, uint32_t days)
{
    struct err err;
    take_batch(target, days);
    if (target->rows.count == 0)
        return;
    uint32_t *order = mem_alloc(target->rows.count * sizeof *order);
    rows_rank(&target->rows);
    rows_sort(&target->rows, order);
    must(parquet_file_add(target->file, &target->rows, order, target->rows.count, &err), &err);
    free(order);
    rows_clear(&target->rows);
}

static char *begin_file(struct target *target, const char *name)
{
    struct err err;
    struct file_range range = {1, 2, 1, 3, false};
    char *path = mem_printf("%s/%s", target->dir, name);
    unlink(path);
    must(parquet_file_new(&target->file, &disk_real, path, &target->options, &range, &err), &err);
    return path;
}

/* Slots [from, to) of all meters in one file, as a merge leaves them. */
static void write_file(struct target *target, const struct world *world, uint32_t from, uint32_t to)
{
    uint32_t in_group = 0;
    char device[16];
    char *path = begin_file(target, "bench.parquet");
    for (uint32_t meter = 0; meter < world->meters; meter++) {
        if (in_group + 2 * (to - from) > GROUP_ROWS) {
            put_group(target, world->days);
            in_group = 0;
        }
        for (uint32_t slot = from; slot < to; slot++) {
            for (int volume = 0; volume < 2; volume++) {
                struct batch_row row = reading(world, meter, slot, volume, device);
                batch_builder_add(target->builder, &row);
            }
        }
        in_group += 2 * (to - from);
    }
    put_group(target, world->days);
    struct err err;
    must(parquet_file_finish(target->file, &err), &err);
    free(path);
}

static void report(const struct target *target, const char *name, const char *value)
{
    double rows = (double)parquet_file_rows(target->file);
    double seq = (double)parquet_file_column_bytes(target->file, 10) / rows;
    double received = (double)parquet_file_column_bytes(target->file, 11) / rows;
    double all = (double)parquet_file_bytes(target->file) / rows;
    printf("| %s | %s | %.0f | %.3f | %.3f | %.3f |", name, value, rows, all - seq - received, seq,
           received);
    static const int shown[] = {1, 3, 4, 7};
    for (size_t i = 0; i < array_count(shown); i++)
        printf(" %.3f |", (double)parquet_file_column_bytes(target->file, shown[i]) / rows);
    printf("\n");
}

static void sizes(const char *dir, struct world *world, bool scaled, int level)
{
    struct target target = {
        .dir = dir,
        .options = {scaled, level, GROUP_ROWS * 2, PAGE_ROWS, NULL},
        .builder = batch_builder_new(),
    };
    const char *value = scaled ? "scaled" : "double";
    rows_init(&target.rows, scaled);
    write_file(&target, world, 0, SLOTS);
    report(&target, world->jitter ? "jittered, day file" : "aligned, day file", value);
    parquet_file_free(target.file);
    write_file(&target, world, 0, world->days * SLOTS);
    report(&target, world->jitter ? "jittered, one file" : "aligned, one file", value);
    parquet_file_free(target.file);
    rows_fini(&target.rows);
    batch_builder_free(target.builder);
}

/* ---- speed ---- */

static double seconds_since(int64_t start_ns)
{
    return (double)(clock_monotonic_ns() - start_ns) / 1e9;
}

static struct batch *arrival_batch(const struct world *world, uint32_t rows)
{
    struct batch_builder *builder = batch_builder_new();
    uint32_t *by_arrival = mem_alloc(world->meters * sizeof *by_arrival);
    char device[16];
    for (uint32_t meter = 0; meter < world->meters; meter++)
        by_arrival[world->arrival[meter]] = meter;
    for (uint32_t i = 0; i < rows / 2; i++) {
        uint32_t meter = by_arrival[i % world->meters], slot = i / world->meters;
        for (int volume = 0; volume < 2; volume++) {
            struct batch_row row = reading(world, meter, slot, volume, device);
            batch_builder_add(builder, &row);
        }
    }
    free(by_arrival);
    struct batch *batch = batch_builder_finish(builder);
    batch_builder_free(builder);
    return batch;
}

static void speed_of_batch(const struct batch *batch)
{
    struct buffer bytes = {0};
    struct batch *back = NULL;
    struct err err;
    batch_encode(batch, &bytes); /* once to warm up */
    buffer_clear(&bytes);
    int64_t start = clock_monotonic_ns();
    batch_encode(batch, &bytes);
    double encode = seconds_since(start);
    start = clock_monotonic_ns();
    must(batch_decode(buffer_bytes(&bytes), &back, &err), &err);
    double decode = seconds_since(start);
    size_t bound = ZSTD_compressBound(bytes.size);
    void *compressed = mem_alloc(bound);
    size_t size = ZSTD_compress(compressed, bound, bytes.data, bytes.size, 1);
    printf("batch of %u readings: encode %.1f ns, decode %.1f ns a reading; %.2f bytes, %.2f after "
           "zstd level 1\n",
           batch->count, encode * 1e9 / batch->count, decode * 1e9 / batch->count,
           (double)bytes.size / batch->count, (double)size / batch->count);
    free(compressed);
    batch_release(back);
    buffer_fini(&bytes);
}

static void speed_of_unit(const char *dir, const struct batch *batch)
{
    struct err err;
    struct target target = {
        .dir = dir,
        .options = {false, 1, GROUP_ROWS, PAGE_ROWS, NULL},
    };
    int64_t start = clock_monotonic_ns();
    rows_init(&target.rows, false);
    rows_add_batch(&target.rows, batch, day_of_ms(START_MS), 4096, gateway_text());
    uint32_t *order = mem_alloc(target.rows.count * sizeof *order);
    rows_rank(&target.rows);
    rows_sort(&target.rows, order);
    double sorted = seconds_since(start);
    char *path = begin_file(&target, "unit.parquet");
    uint32_t rows = target.rows.count;
    for (uint32_t at = 0; at < rows; at += GROUP_ROWS)
        must(parquet_file_add(target.file, &target.rows, order + at,
                              rows - at < GROUP_ROWS ? rows - at : GROUP_ROWS, &err),
             &err);
    must(parquet_file_finish(target.file, &err), &err);
    double all = seconds_since(start);
    printf("unit of %u readings in order of arrival: %.0f readings/s with sort, encoding and sync "
           "(sort alone %.1f ns a reading)\n",
           rows, rows / all, sorted * 1e9 / rows);
    parquet_file_free(target.file);
    rows_fini(&target.rows);
    free(order);
    char *inputs[4] = {path, path, path, path};
    char *out = mem_printf("%s/merged.parquet", dir);
    struct file_range range = {1, 2, 1, 3, false};
    struct merge_result result;
    unlink(out);
    start = clock_monotonic_ns();
    must(merge_files(&disk_real, inputs, 4, out, &target.options, &range, &result, &err), &err);
    printf("merge of 4 such files: %.0f readings/s\n", (double)result.rows / seconds_since(start));
    unlink(out);
    unlink(path);
    free(out);
    free(path);
}

static void machine(const char *commit)
{
    char model[128] = "unknown";
    char line[256];
    FILE *cpu = fopen("/proc/cpuinfo", "re");
    while (cpu && fgets(line, sizeof line, cpu))
        if (sscanf(line, "model name : %127[^\n]", model) == 1)
            break;
    if (cpu)
        fclose(cpu);
    printf("machine: %ld processors, %s\ncommit: %s\n\n", sysconf(_SC_NPROCESSORS_ONLN), model,
           commit);
}

static _Noreturn void usage(void)
{
    fprintf(stderr,
            "usage: bench_parquet [-m METERS] [-d DAYS] [-z LEVEL] [-l] [-c COMMIT] FOLDER\n"
            "  -m  meters, 10000      -d  days of the one file, 7\n"
            "  -z  zstd level, 3      -l  counters in whole litres instead of m3\n"
            "  -c  what to print as commit\n");
    exit(2);
}

int main(int argc, char **argv)
{
    struct world world = {.meters = 10000, .days = 7};
    const char *commit = "not given";
    int level = 3, letter;
    while ((letter = getopt(argc, argv, "m:d:z:c:l")) != -1) {
        switch (letter) {
        case 'm': world.meters = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'd': world.days = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'z': level = atoi(optarg); break;
        case 'c': commit = optarg; break;
        case 'l': world.litres = true; break;
        default: usage();
        }
    }
    if (optind + 1 != argc || world.meters == 0 || world.days == 0 || world.days > 366)
        usage();
    machine(commit);
    printf(
        "%u meters x %u days x %d x 2 metrics, zstd level %d, counters in %s; bytes a reading\n\n"
        "| data | value | readings | all but seq, received | seq | received | device | ts | value "
        "| quality |\n|---|---|---|---|---|---|---|---|---|---|\n",
        world.meters, world.days, SLOTS, level, world.litres ? "litres" : "m3, three decimals");
    for (int jitter = 0; jitter < 2; jitter++) {
        world.jitter = jitter;
        simulate(&world);
        for (int scaled = 0; scaled < 2; scaled++)
            sizes(argv[optind], &world, scaled, level);
        if (jitter) {
            struct batch *batch = arrival_batch(&world, UNIT_ROWS);
            printf("\n");
            speed_of_batch(batch);
            speed_of_unit(argv[optind], batch);
            batch_release(batch);
        }
        world_fini(&world);
    }
    return 0;
}
