/* SPDX-License-Identifier: Apache-2.0
 *
 * Takes units and forgets them: the reference implementation of sinks/sink.h, and useful to measure
 * a gateway without a destination. Copy this file to begin a new sink.
 *
 * Everything runs on the lane's thread, in callbacks of host->loop, but for metrics(), which any
 * thread may call and which therefore reads nothing but atomics.
 *
 * What a sink has to get right, and where it stands here:
 *
 *   1. write() returns at once and is answered exactly once, later, never from inside write():
 *      units wait in a queue and a timer answers them, even when the delay is 0.
 *   2. close() may come at any moment, with units open. Each of them is still answered (CLOSED: the
 *      lane's cursor stays, the unit comes again after a restart), then the handles are closed, and
 *      only when libuv has let go of the last one `closed` is called. Nothing is touched after that.
 *   3. fini() runs after closed(), or after an init() that nobody started.
 *   4. answer() may call write() again before it returns: take the unit off the queue first.
 */
#include "sinks/discard/discard.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { OPEN_UNITS_MAX = 4 };

struct sink {
    struct sink_host *host;
    const struct discard_options *options;

    /* One purpose: it fires when the oldest open unit is due. Being embedded, it is found from a
     * callback by container_of, never by handle->data. */
    uv_timer_t due;
    bool due_is_open; /* uv_timer_init was called: close() must close it */

    /* Units that were written and not answered, oldest first. The lane never has more open than
     * open_units_max says, so the memory of this queue is fixed. */
    struct open_unit {
        struct unit *unit;
        uint64_t due_at; /* in uv_now's milliseconds */
    } open[OPEN_UNITS_MAX];
    unsigned open_count;

    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;

    _Atomic uint64_t units, rows;
};

/* ---- options ---- */

/* One row is parser, default, range, help and reference of an option at once. */
static const struct option discard_option_rows[] = {
    {
        .name = "delay",
        .type = OPTION_DURATION,
        .offset = offsetof(struct discard_options, delay_ms),
        .def = "0ms",
        .min = 0,
        .max = 3600 * 1000,
        .help = "Time between taking a unit and confirming it, to try a slow destination.",
    },
    {
        .name = "unit_rows",
        .type = OPTION_INT,
        .offset = offsetof(struct discard_options, unit_rows),
        .def = "100000",
        .min = 1,
        .max = 10 * 1000 * 1000,
        .help = "Readings in one unit, at most.",
    },
    {
        .name = "flush_age",
        .type = OPTION_DURATION,
        .offset = offsetof(struct discard_options, unit_age_ms),
        .def = "1s",
        .min = 1,
        .max = 3600 * 1000,
        .help = "A reading waits at most so long for others before its unit is closed.",
    },
    {0},
};

static uint64_t discard_unit_rows_max(const void *options)
{
    return (uint64_t)((const struct discard_options *)options)->unit_rows;
}

static int64_t discard_unit_age_max_ms(const void *options)
{
    return ((const struct discard_options *)options)->unit_age_ms;
}

static uint32_t discard_open_units_max(const void *options)
{
    (void)options;
    return OPEN_UNITS_MAX;
}

/* ---- life ---- */

/* Only checks and allocates: a lane may init and fini a sink without ever starting it. */
static int discard_init(struct sink **out, const void *options, struct sink_host *host,
                        struct err *err)
{
    (void)err;
    struct sink *sink = mem_zalloc(sizeof *sink);
    sink->host = host;
    sink->options = options;
    *out = sink;
    return 0;
}

/* A destination with a memory of its own compares it with `cursor` here: whatever it holds from
 * there on must be what the lane is about to send again. This one remembers nothing. May be called
 * again after it failed, so it must not open anything twice. */
static int discard_start(struct sink *sink, uint64_t *cursor, struct err *err)
{
    (void)cursor;
    (void)err;
    if (!sink->due_is_open) {
        gw_assert(uv_timer_init(sink->host->loop, &sink->due) == 0);
        sink->due_is_open = true;
    }
    return 0;
}

/* ---- units ---- */

static void on_due(uv_timer_t *timer);

static void wait_for_oldest(struct sink *sink)
{
    if (sink->open_count == 0)
        return;
    uint64_t now = uv_now(sink->host->loop);
    uint64_t due_at = sink->open[0].due_at;
    uv_timer_start(&sink->due, on_due, due_at > now ? due_at - now : 0, 0);
}

/* The unit leaves the queue before the answer goes out: from inside answer() the lane may write the
 * next one. */
static struct unit *take_oldest(struct sink *sink)
{
    struct unit *unit = sink->open[0].unit;
    sink->open_count--;
    memmove(&sink->open[0], &sink->open[1], sink->open_count * sizeof sink->open[0]);
    return unit;
}

static void on_due(uv_timer_t *timer)
{
    struct sink *sink = container_of(timer, struct sink, due);
    uint64_t now = uv_now(sink->host->loop);
    while (sink->open_count && sink->open[0].due_at <= now && !sink->closing) {
        struct unit *unit = take_oldest(sink);
        atomic_fetch_add_explicit(&sink->units, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&sink->rows, unit->rows, memory_order_relaxed);
        /* A real sink says STORED only after its destination said so. Answers go out in any order;
         * the lane sorts them. */
        sink_stored(sink->host, unit);
    }
    if (!sink->closing)
        wait_for_oldest(sink);
}

static void discard_write(struct sink *sink, struct unit *unit)
{
    gw_assert(sink->open_count < OPEN_UNITS_MAX && sink->due_is_open && !sink->closing);
    uint64_t due_at = uv_now(sink->host->loop) + (uint64_t)sink->options->delay_ms;
    sink->open[sink->open_count++] = (struct open_unit){unit, due_at};
    if (sink->open_count == 1)
        wait_for_oldest(sink);
}

/* ---- closing ---- */

static void on_due_closed(uv_handle_t *handle)
{
    struct sink *sink = container_of((uv_timer_t *)handle, struct sink, due);
    /* Last: the lane may call fini() from inside closed(). */
    sink->closed(sink->closed_arg);
}

static void discard_close(struct sink *sink, void (*closed)(void *arg), void *arg)
{
    gw_assert(!sink->closing);
    sink->closing = true;
    sink->closed = closed;
    sink->closed_arg = arg;
    while (sink->open_count) {
        struct unit *unit = take_oldest(sink);
        sink_closed(sink->host, unit);
    }
    /* A sink that was never started still answers later, never from inside close(). */
    if (!sink->due_is_open)
        gw_assert(uv_timer_init(sink->host->loop, &sink->due) == 0);
    uv_close((uv_handle_t *)&sink->due, on_due_closed);
}

static void discard_fini(struct sink *sink)
{
    if (sink)
        gw_assert(sink->open_count == 0);
    free(sink);
}

/* ---- metrics ---- */

static void discard_metrics(struct sink *sink, struct buffer *out)
{
    const char *name = sink->host->name;
    buffer_add_text(out, "# HELP tidegate_sink_discard_units_total Units taken and forgotten.\n"
                         "# TYPE tidegate_sink_discard_units_total counter\n");
    buffer_printf(out, "tidegate_sink_discard_units_total{sink=\"%s\"} %" PRIu64 "\n", name,
                  atomic_load_explicit(&sink->units, memory_order_relaxed));
    buffer_add_text(out, "# HELP tidegate_sink_discard_rows_total Readings taken and forgotten.\n"
                         "# TYPE tidegate_sink_discard_rows_total counter\n");
    buffer_printf(out, "tidegate_sink_discard_rows_total{sink=\"%s\"} %" PRIu64 "\n", name,
                  atomic_load_explicit(&sink->rows, memory_order_relaxed));
}

const struct sink_type sink_discard = {
    .name = "discard",
    .summary = "stores nothing; for measuring, and as an example",
    .options = discard_option_rows,
    .options_size = sizeof(struct discard_options),
    .unit_rows_max = discard_unit_rows_max,
    .unit_age_max_ms = discard_unit_age_max_ms,
    .open_units_max = discard_open_units_max,
    .init = discard_init,
    .start = discard_start,
    .write = discard_write,
    .close = discard_close,
    .fini = discard_fini,
    .metrics = discard_metrics,
};
