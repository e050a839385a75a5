/* SPDX-License-Identifier: Apache-2.0
 *
 * Readings a second into ClickHouse: the sink, against a bare client in the same run.
 *
 *   bench_clickhouse [-u URL] [-n UNITS] [-r ROWS] [-c CONNECTIONS] [-k ROUNDS]
 *
 * Both insert the same units into a table of their own, which the program makes and removes
 * (bench_readings). The bare client's blocks are made before the clock starts: it does nothing but
 * send prepared bytes and read answers. The sink splits, sorts, encodes and compresses while the
 * server works. Rounds alternate, so that what else runs on the machine meets both alike; the
 * medians and their ratio are printed, one JSON object.
 *
 * The data: meters of two metrics every 15 minutes, a counter of litres and a pressure, in the order
 * in which meters publish. The seed is fixed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "sinks/clickhouse/block.h"
#include "sinks/clickhouse/clickhouse.h"
#include "sinks/clickhouse/ddl.h"
#include "sinks/clickhouse/probe.h"

enum { METERS = 10000, OPEN_MAX = 4, ROUNDS_MAX = 32, SLOT_MS = 900000 };
static const char table_name[] = "bench_readings";
static const int64_t START_MS = 1763683200000; /* 2025-11-21, midnight */

struct bench {
    const char *url;
    uint32_t units, rows, connections, rounds;
    struct unit *unit;
    struct block *blocks;
    uint32_t block_count;
    struct ch_hosts hosts;
    struct table_shape shape;
    uv_loop_t loop;
    struct http_client *client;
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_clickhouse: %s: %s\n", what, why);
    exit(1);
}

/* ---- units ---- */

/* SplitMix64 by Sebastiano Vigna, public domain. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

/* Reading `number` of all: meters in turn, two metrics each, a slot after the other. */
static void add_reading(struct batch_builder *builder, uint64_t number, uint64_t *random)
{
    uint64_t meter = number / 2 % METERS, slot = number / 2 / METERS;
    bool counter = number % 2 == 0;
    char device[24];
    snprintf(device, sizeof device, "%012" PRIu64, meter * 7919 + 31000000);
    struct batch_row row = {
        .vendor = bytes_text(meter % 4 ? "acme" : "zenith"),
        .device = bytes_text(device),
        .metric = bytes_text(counter ? "volume.total" : "pressure"),
        .unit = bytes_text(counter ? "m3" : "kPa"),
        .ts_ms = START_MS + (int64_t)slot * SLOT_MS + (int64_t)(next_random(random) % 2000),
        .unscaled = counter ? (int64_t)(meter * 1000 + slot * 13 + next_random(random) % 7)
                            : 3000 + (int64_t)(next_random(random) % 80),
        .scale = counter ? 3 : 1,
        .has_value = true,
        .quality = next_random(random) % 200 ? QUALITY_GOOD : QUALITY_UNCERTAIN,
        .seq = number / 2 + 1,
    };
    row.received_ms = row.ts_ms + 1500;
    batch_builder_add(builder, &row);
}

static void make_unit(struct bench *bench, uint32_t index, uint64_t *random)
{
    struct batch_builder *builder = batch_builder_new();
    struct unit *unit = &bench->unit[index];
    uint64_t first = (uint64_t)index * bench->rows;
    for (uint64_t i = 0; i < bench->rows; i++)
        add_reading(builder, first + i, random);
    struct batch *batch = batch_builder_finish(builder);
    batch->first_seq = first / 2 + 1;
    batch->last_seq = (first + bench->rows - 1) / 2 + 1;
    batch->generation = 1;
    *unit = (struct unit){
        .first_seq = batch->first_seq,
        .last_seq = batch->last_seq,
        .generation = 1,
        .batches = mem_alloc(sizeof *unit->batches),
        .batch_count = 1,
        .rows = bench->rows,
    };
    unit->batches[0] = batch;
    batch_builder_free(builder);
}

static void make_blocks(struct bench *bench)
{
    struct split_limits limits = {1, 1000000, 64 << 20, bench->shape.ts_min_ms,
                                  bench->shape.ts_max_ms};
    struct block_encoder *encoder = block_encoder_new((struct identity){1});
    for (uint32_t i = 0; i < bench->units; i++) {
        struct split split;
        split_init(&split, &bench->unit[i], &limits);
        size_t count = bench->block_count + split.part_count;
        bench->blocks = mem_realloc(bench->blocks, count * sizeof *bench->blocks);
        for (uint32_t part = 0; part < split.part_count; part++) {
            struct block *block = &bench->blocks[bench->block_count++];
            *block = (struct block){0};
            block_encode(encoder, &bench->shape, &split, split.parts[part].first,
                         split.parts[part].count, block);
        }
        split_fini(&split);
    }
    block_encoder_free(encoder);
}

/* ---- the bare client ---- */

struct send {
    struct http_request request;
    struct bare *bare;
};

struct bare {
    struct bench *bench;
    struct buffer url;
    struct send *sends;
    uint32_t next, done;
};

static void send_next(struct send *send);

static void on_block(struct http_request *request, const struct http_answer *answer)
{
    struct send *send = container_of(request, struct send, request);
    struct bare *bare = send->bare;
    struct ch_verdict verdict;
    ch_judge_insert(answer, bare->bench->url, &verdict);
    if (verdict.outcome != CH_STORED)
        die("insert", verdict.why);
    bare->done++;
    uv_stop(&bare->bench->loop);
    if (bare->next < bare->bench->block_count)
        send_next(send);
}

static void send_next(struct send *send)
{
    struct bare *bare = send->bare;
    const struct block *block = &bare->bench->blocks[bare->next++];
    send->request = (struct http_request){
        .url = (const char *)bare->url.data, .body = buffer_bytes(&block->body), .done = on_block};
    http_send(bare->bench->client, &send->request);
}

static void run_bare(struct bench *bench)
{
    struct bare bare = {.bench = bench};
    struct buffer query = {0};
    const struct ch_host *host = &bench->hosts.hosts[0];
    table_insert_query(&bench->shape, host->database, table_name, &query);
    buffer_printf(&bare.url, "%s/?query=", host->base);
    http_escape(&bare.url, buffer_bytes(&query));
    table_insert_settings(&bench->shape, "bare", true, &bare.url);
    buffer_u8(&bare.url, '\0');
    bare.sends = mem_zalloc(bench->connections * sizeof *bare.sends);
    for (uint32_t i = 0; i < bench->connections && bare.next < bench->block_count; i++) {
        bare.sends[i].bare = &bare;
        send_next(&bare.sends[i]);
    }
    while (bare.done < bench->block_count)
        uv_run(&bench->loop, UV_RUN_ONCE);
    free(bare.sends);
    buffer_fini(&bare.url);
    buffer_fini(&query);
}

/* ---- the sink ---- */

struct lane {
    struct sink_host host;
    struct bench *bench;
    uint32_t stored;
    bool closed;
};

static void on_answer(struct sink_host *host, struct unit *unit, const struct sink_result *result)
{
    (void)unit;
    struct lane *lane = container_of(host, struct lane, host);
    if (result->answer != SINK_STORED || result->refusal_count)
        die("sink", result->why ? result->why : "rows were refused");
    lane->stored++;
    uv_stop(host->loop);
}

static void on_closed(void *arg)
{
    ((struct lane *)arg)->closed = true;
}

static double run_sink(struct bench *bench)
{
    struct err err;
    struct sink *sink;
    struct clickhouse_options options = {0};
    struct lane lane = {.bench = bench,
                        .host = {.loop = &bench->loop,
                                 .disk = &disk_real,
                                 .identity = {1},
                                 .name = "bench",
                                 .data_dir = ".",
                                 .answer = on_answer}};
    uint64_t cursor = 1;
    option_defaults(sink_clickhouse.options, &options);
    free(options.table);
    options.url = mem_strdup(bench->url);
    options.table = mem_strdup(table_name);
    options.connections = bench->connections;
    options.block_rows = 1000000;
    if (sink_clickhouse.init(&sink, &options, &lane.host, &err) ||
        sink_clickhouse.start(sink, &cursor, &err))
        die("sink", err.text);
    int64_t start = clock_monotonic_ns();
    for (uint32_t next = 0; lane.stored < bench->units; uv_run(&bench->loop, UV_RUN_ONCE))
        for (; next < bench->units && next - lane.stored < OPEN_MAX; next++)
            sink_clickhouse.write(sink, &bench->unit[next]);
    int64_t took = clock_monotonic_ns() - start;
    sink_clickhouse.close(sink, on_closed, &lane);
    while (!lane.closed)
        uv_run(&bench->loop, UV_RUN_ONCE);
    sink_clickhouse.fini(sink);
    option_fini(sink_clickhouse.options, &options);
    unlink("bench.servers"); /* the sink's memory of the server */
    return (double)took * 1e-9;
}

/* ---- the table ---- */

struct statement {
    struct http_request request;
    uv_loop_t *loop;
    bool done;
};

static void on_statement(struct http_request *request, const struct http_answer *answer)
{
    struct statement *statement = container_of(request, struct statement, request);
    struct ch_verdict verdict;
    ch_judge_query(answer, "statement", &verdict);
    if (verdict.outcome != CH_STORED)
        die("statement", verdict.why);
    statement->done = true;
    uv_stop(statement->loop);
}

static void execute(struct bench *bench, const char *text)
{
    struct statement statement = {.request = {.url = bench->hosts.hosts[0].base,
                                              .body = bytes_text(text),
                                              .done = on_statement},
                                  .loop = &bench->loop};
    http_send(bench->client, &statement.request);
    while (!statement.done)
        uv_run(&bench->loop, UV_RUN_ONCE);
}

static void drop_table(struct bench *bench)
{
    char *text =
        mem_printf("DROP TABLE IF EXISTS %s.%s", bench->hosts.hosts[0].database, table_name);
    execute(bench, text);
    free(text);
}

static void on_probe(struct ch_probe *probe)
{
    uv_stop(probe->arg);
}

static void probe_server(struct bench *bench, struct ch_probe *probe)
{
    *probe = (struct ch_probe){.client = bench->client,
                               .host = &bench->hosts.hosts[0],
                               .table = table_name,
                               .done = on_probe,
                               .arg = &bench->loop};
    ch_probe_begin(probe, CH_PROBE_TABLE);
    while (probe->busy)
        uv_run(&bench->loop, UV_RUN_ONCE);
}

/* The first statement of the operator's DDL: the table. */
static void make_table(struct bench *bench)
{
    struct ch_probe probe;
    struct err err;
    struct buffer ddl = {0};
    drop_table(bench);
    probe_server(bench, &probe); /* finds no table, but tells the version */
    if (probe.uptime_s < 0)
        die(bench->url, probe.err.text);
    struct ddl_options options = {.database = bench->hosts.hosts[0].database, .table = table_name};
    if (ddl_write(&probe.shape, &options, &ddl, &err))
        die("ddl", err.text);
    buffer_u8(&ddl, '\0');
    char *begin = strstr((char *)ddl.data, "CREATE TABLE"), *end = strchr(begin, ';');
    *end = '\0';
    execute(bench, begin);
    buffer_fini(&ddl);
    probe_server(bench, &probe);
    if (probe.result < 0)
        die("table", probe.err.text);
    bench->shape = probe.shape;
}

/* ---- rounds ---- */

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(double *values, uint32_t count)
{
    qsort(values, count, sizeof *values, compare_doubles);
    return values[count / 2];
}

static double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static void compare(struct bench *bench)
{
    double bare[ROUNDS_MAX], sink[ROUNDS_MAX], cpu[ROUNDS_MAX];
    double rows = (double)bench->units * bench->rows, bytes = 0;
    for (uint32_t i = 0; i < bench->block_count; i++)
        bytes += (double)bench->blocks[i].body.size;
    for (uint32_t round = 0; round < bench->rounds; round++) {
        make_table(bench);
        int64_t start = clock_monotonic_ns();
        run_bare(bench);
        bare[round] = rows / ((double)(clock_monotonic_ns() - start) * 1e-9);
        make_table(bench);
        double before = cpu_s();
        sink[round] = rows / run_sink(bench);
        cpu[round] = (cpu_s() - before) / rows * 1e6;
    }
    double bare_median = median(bare, bench->rounds), sink_median = median(sink, bench->rounds);
    printf("{\"server\": \"%u.%u\", \"rows\": %.0f, \"blocks\": %u, \"bytes_per_row\": %.2f, "
           "\"bare_rows_s\": %.0f, \"sink_rows_s\": %.0f, \"ratio\": %.3f, "
           "\"sink_cpu_s_per_million\": %.3f}\n",
           bench->shape.major, bench->shape.minor, rows, bench->block_count, bytes / rows,
           bare_median, sink_median, sink_median / bare_median, median(cpu, bench->rounds));
}

static bool client_closed;

static void on_client_closed(void *arg)
{
    (void)arg;
    client_closed = true;
}

static uint32_t number(const char *text, uint32_t max)
{
    long value = strtol(text, NULL, 10);
    if (value < 1 || value > (long)max)
        die("not a number within its range", text);
    return (uint32_t)value;
}

static void read_arguments(struct bench *bench, int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "u:n:r:c:k:")) >= 0) {
        switch (option) {
        case 'u': bench->url = optarg; break;
        case 'n': bench->units = number(optarg, 1000); break;
        case 'r': bench->rows = number(optarg, 1000000); break;
        case 'c': bench->connections = number(optarg, 16); break;
        case 'k': bench->rounds = number(optarg, ROUNDS_MAX); break;
        default: exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    struct bench bench = {.url = "http://127.0.0.1:8123/default",
                          .units = 20,
                          .rows = 200000,
                          .connections = 3,
                          .rounds = 5};
    struct http_options http = {.connect_ms = 3000, .stall_ms = 60000};
    uint64_t random = 1;
    struct err err;
    read_arguments(&bench, argc, argv);
    if (ch_hosts_init(&bench.hosts, bench.url, &err) || uv_loop_init(&bench.loop) ||
        http_client_new(&bench.loop, &http, &bench.client, &err))
        die(bench.url, err.text);
    make_table(&bench);
    bench.unit = mem_zalloc(bench.units * sizeof *bench.unit);
    for (uint32_t i = 0; i < bench.units; i++)
        make_unit(&bench, i, &random);
    make_blocks(&bench);
    compare(&bench);
    drop_table(&bench);
    http_client_close(bench.client, on_client_closed, NULL);
    while (!client_closed)
        uv_run(&bench.loop, UV_RUN_ONCE);
    http_client_free(bench.client);
    uv_loop_close(&bench.loop);
    for (uint32_t i = 0; i < bench.units; i++) {
        batch_release(bench.unit[i].batches[0]);
        free(bench.unit[i].batches);
    }
    for (uint32_t i = 0; i < bench.block_count; i++)
        block_fini(&bench.blocks[i]);
    free(bench.blocks);
    free(bench.unit);
    ch_hosts_fini(&bench.hosts);
    return 0;
}
