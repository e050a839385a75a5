/* SPDX-License-Identifier: Apache-2.0
 *
 * The sink: takes a unit from the lane, has it written by a worker thread, answers when it is durable.
 * The lane's loop never waits for the disk but in start(). Separate from the store, which knows files
 * and no threads.
 *
 * Everything runs on the lane's thread, but for the job, which has the store to itself until on_job_done,
 * and metrics(), which reads atomics.
 */
#include "sinks/parquet/parquet.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "sinks/parquet/options.h"
#include "sinks/parquet/store.h"
#include "sinks/parquet/unit.h"

enum { PAGE_ROWS = 20000, FRESH_LEVEL = 1 };

struct sink {
    struct sink_host *host;
    const struct parquet_sink_options *options;
    char *path;
    struct store store;
    bool started;

    struct unit *unit; /* written and not answered; at most one */
    uv_work_t work;
    int status; /* of the job */
    struct unit_result result;
    struct err err;

    uv_timer_t tick;
    bool tick_is_open;
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;

    _Atomic uint64_t rows, files, bytes, refused, failures;
    _Atomic uint64_t files_now, bytes_now;
};

/* ---- life ---- */

static uint64_t parquet_unit_rows_max(const void *options)
{
    return (uint64_t)((const struct parquet_sink_options *)options)->unit_rows;
}

static int64_t parquet_unit_age_max_ms(const void *options)
{
    return ((const struct parquet_sink_options *)options)->flush_age_ms;
}

static int parquet_init(struct sink **out, const void *options, struct sink_host *host,
                        struct err *err)
{
    const struct parquet_sink_options *parquet = options;
    if (parquet->path == NULL || parquet->path[0] == '\0')
        return err_set(err, GW_EINVAL, "sink %s: `path` is empty", host->name);
    struct sink *sink = mem_zalloc(sizeof *sink);
    sink->host = host;
    sink->options = parquet;
    sink->path = parquet->path[0] == '/' ? mem_strdup(parquet->path)
                                         : mem_printf("%s/%s", host->data_dir, parquet->path);
    *out = sink;
    return 0;
}

static void show_store(struct sink *sink)
{
    atomic_store_explicit(&sink->files_now, sink->store.file_count, memory_order_relaxed);
    atomic_store_explicit(&sink->bytes_now, sink->store.bytes, memory_order_relaxed);
}

static int parquet_start(struct sink *sink, uint64_t cursor, struct err *err)
{
    if (!sink->tick_is_open) {
        gw_assert(uv_timer_init(sink->host->loop, &sink->tick) == 0);
        sink->tick_is_open = true;
    }
    int result =
        store_open(&sink->store, sink->host->disk, sink->path, sink->host->identity, cursor, err);
    if (result < 0)
        return err_wrap(err, result, "sink %s", sink->host->name);
    sink->started = true;
    show_store(sink);
    return 0;
}

/* ---- a unit ---- */

static int check_space(const struct sink *sink, struct err *err)
{
    struct disk_space space = {0};
    const struct disk *disk = sink->host->disk;
    int result = disk->space(disk, sink->path, &space);
    if (result < 0)
        return store_error(err, result, "look at the free space of", sink->path);
    if (space.available < sink->options->min_free_bytes)
        return err_set(err, GW_EFULL,
                       "%s: %" PRIu64 " MiB are free and min_free is %" PRIu64
                       " MiB; make room, or set `keep` or `keep_bytes`",
                       sink->path, space.available >> 20, sink->options->min_free_bytes >> 20);
    return 0;
}

/* On a worker thread. */
static void do_unit(uv_work_t *work)
{
    struct sink *sink = container_of(work, struct sink, work);
    struct parquet_options options = {
        .scaled = sink->options->value == PARQUET_VALUE_SCALED,
        .zstd_level = FRESH_LEVEL,
        .row_group_rows = (uint32_t)sink->options->row_group_rows,
        .page_rows = PAGE_ROWS,
    };
    sink->status = check_space(sink, &sink->err);
    if (sink->status == 0)
        sink->status = unit_store(&sink->store, sink->unit, &options, &sink->result, &sink->err);
}

static void finish_closing(struct sink *sink);

static void count(struct sink *sink)
{
    const struct unit_result *result = &sink->result;
    atomic_fetch_add_explicit(&sink->rows, result->rows, memory_order_relaxed);
    atomic_fetch_add_explicit(&sink->files, result->files, memory_order_relaxed);
    atomic_fetch_add_explicit(&sink->bytes, result->bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&sink->refused, result->refusal_count, memory_order_relaxed);
    if (sink->status < 0)
        atomic_fetch_add_explicit(&sink->failures, 1, memory_order_relaxed);
    show_store(sink);
}

static void on_unit_done(uv_work_t *work, int status)
{
    struct sink *sink = container_of(work, struct sink, work);
    struct unit *unit = sink->unit;
    struct unit_result result = sink->result;
    gw_assert(status == 0);
    count(sink);
    sink->unit = NULL;
    sink->result = (struct unit_result){0};
    if (sink->status == 0)
        sink->host->answer(sink->host, unit, SINK_STORED, result.refusals, result.refusal_count,
                           NULL);
    else
        sink->host->answer(sink->host, unit, SINK_RETRY, NULL, 0, sink->err.text);
    unit_result_fini(&result);
    if (sink->closing)
        finish_closing(sink);
}

static void parquet_write(struct sink *sink, struct unit *unit)
{
    gw_assert(sink->unit == NULL && sink->started && !sink->closing);
    sink->unit = unit;
    gw_assert(uv_queue_work(sink->host->loop, &sink->work, do_unit, on_unit_done) == 0);
}

/* ---- closing ---- */

static void on_tick_closed(uv_handle_t *handle)
{
    struct sink *sink = container_of((uv_timer_t *)handle, struct sink, tick);
    sink->closed(sink->closed_arg);
}

static void finish_closing(struct sink *sink)
{
    store_close(&sink->store);
    sink->started = false;
    uv_close((uv_handle_t *)&sink->tick, on_tick_closed);
}

static void parquet_close(struct sink *sink, void (*closed)(void *arg), void *arg)
{
    gw_assert(!sink->closing);
    sink->closing = true;
    sink->closed = closed;
    sink->closed_arg = arg;
    if (!sink->tick_is_open)
        gw_assert(uv_timer_init(sink->host->loop, &sink->tick) == 0);
    /* A unit under way is soon durable or not, and is then answered truly. */
    if (sink->unit == NULL)
        finish_closing(sink);
}

static void parquet_fini(struct sink *sink)
{
    if (sink == NULL)
        return;
    gw_assert(sink->unit == NULL);
    store_close(&sink->store);
    free(sink->path);
    free(sink);
}

/* ---- metrics ---- */

static void put_metric(struct buffer *out, const char *sink, const char *name, const char *type,
                       const char *help, _Atomic uint64_t *value)
{
    buffer_printf(out,
                  "# HELP tidegate_sink_parquet_%s %s\n# TYPE tidegate_sink_parquet_%s %s\n"
                  "tidegate_sink_parquet_%s{sink=\"%s\"} %" PRIu64 "\n",
                  name, help, name, type, name, sink,
                  atomic_load_explicit(value, memory_order_relaxed));
}

static void parquet_metrics(struct sink *sink, struct buffer *out)
{
    const char *name = sink->host->name;
    put_metric(out, name, "rows_total", "counter", "Readings written.", &sink->rows);
    put_metric(out, name, "files_total", "counter", "Files written from units.", &sink->files);
    put_metric(out, name, "written_bytes_total", "counter", "Bytes of files written from units.",
               &sink->bytes);
    put_metric(out, name, "refused_rows_total", "counter", "Readings refused for good.",
               &sink->refused);
    put_metric(out, name, "failures_total", "counter", "Units that could not be written yet.",
               &sink->failures);
    put_metric(out, name, "files", "gauge", "Files in the folder.", &sink->files_now);
    put_metric(out, name, "bytes", "gauge", "Bytes of all files in the folder.", &sink->bytes_now);
}

const struct sink_type sink_parquet = {
    .name = "parquet",
    .summary = "columnar files by day, for DuckDB, pandas, Spark, ClickHouse",
    .options = parquet_option_rows,
    .options_size = sizeof(struct parquet_sink_options),
    .unit_rows_max = parquet_unit_rows_max,
    .unit_age_max_ms = parquet_unit_age_max_ms,
    .open_units_max = 1,
    .init = parquet_init,
    .start = parquet_start,
    .write = parquet_write,
    .close = parquet_close,
    .fini = parquet_fini,
    .metrics = parquet_metrics,
};
