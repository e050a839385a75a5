/* SPDX-License-Identifier: Apache-2.0
 *
 * The fake sink runs on its lane's thread, everything else on the test's.
 */
#include "lib/lane_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

struct lane_world lane_world;

/* ---- the sink ---- */

struct sink {
    struct sink_host *host;
    struct fake_sink *fake;
    uv_timer_t timer;
    struct unit *open[CURSOR_UNITS_MAX];
    uint32_t open_count;
    void (*closed)(void *arg);
    void *closed_arg;
};

static const struct fake_sink *fake_of(const void *options)
{
    return options;
}

static uint64_t fake_rows_max(const void *options)
{
    return fake_of(options)->rows_max;
}

static int64_t fake_age_max(const void *options)
{
    return fake_of(options)->age_ms;
}

static uint32_t fake_open_units(const void *options)
{
    return fake_of(options)->open_max;
}

static int64_t fake_settle(const void *options)
{
    return fake_of(options)->settle_ms;
}

static bool answers(const struct sink *sink, uint32_t index)
{
    const struct fake_sink *fake = sink->fake;
    const struct unit *unit = sink->open[index];
    uint64_t hold = fake->hold_seq;
    if (fake->silent || (hold >= unit->first_seq && hold <= unit->last_seq))
        return false;
    return !fake->newest_first || sink->open_count == fake->open_max || fake->answered > 0;
}

static struct unit *take_one(struct sink *sink)
{
    for (uint32_t n = 0; n < sink->open_count; n++) {
        uint32_t index = sink->fake->newest_first ? sink->open_count - 1 - n : n;
        if (!answers(sink, index))
            continue;
        struct unit *unit = sink->open[index];
        memmove(&sink->open[index], &sink->open[index + 1],
                (--sink->open_count - index) * sizeof sink->open[0]);
        return unit;
    }
    return NULL;
}

static void unit_answer(struct sink *sink, struct unit *unit)
{
    struct fake_sink *fake = sink->fake;
    if (fake->retries > 0) {
        fake->retries--;
        sink_retry(sink->host, unit, (enum sink_reason)fake->retry_reason, "told so");
        return;
    }
    uint64_t last = unit->last_seq;
    struct sink_refusal refusal = {.seq = fake->refuse_seq, .reason = "too_long"};
    sink->host->answer(sink->host, unit,
                       &(struct sink_result){.answer = SINK_STORED,
                                             .refusals = &refusal,
                                             .refusal_count = fake->refuse_seq ? 1 : 0});
    fake->answered++;
    if (last > fake->stored_last_seq)
        fake->stored_last_seq = last;
}

static void fake_on_timer(uv_timer_t *timer)
{
    struct sink *sink = timer->data;
    struct unit *unit;
    if (atomic_exchange(&sink->fake->rewind, false))
        sink->host->rewind(sink->host, "it restarted");
    while ((unit = take_one(sink)))
        unit_answer(sink, unit);
}

static int fake_init(struct sink **out, const void *options, struct sink_host *host,
                     struct err *err)
{
    (void)err;
    struct sink *sink = mem_zalloc(sizeof *sink);
    sink->host = host;
    sink->fake = (struct fake_sink *)(uintptr_t)options;
    gw_assert(uv_timer_init(host->loop, &sink->timer) == 0);
    sink->timer.data = sink;
    *out = sink;
    return 0;
}

static int fake_start(struct sink *sink, uint64_t *cursor, struct err *err)
{
    struct fake_sink *fake = sink->fake;
    int rc = fake->start_rc;
    usleep((useconds_t)fake->start_ms * 1000);
    if (fake->rewind_at_start && fake->starts == 0)
        sink->host->rewind(sink->host, "it restarted while we were away");
    fake->starts++;
    fake->given_through = sink->host->given_through;
    if (rc)
        return err_set(err, rc, "told so at start");
    if (fake->at_sink)
        *cursor = fake->at_sink;
    return 0;
}

static void message_ask(struct sink *sink, uint64_t seq)
{
    struct fake_sink *fake = sink->fake;
    struct message message;
    struct err err;
    if (sink->host->message(sink->host, seq, &message, &err)) {
        fake->messages_missing++;
        return;
    }
    fake->messages_found += message.seq == seq;
    snprintf(fake->last_payload, sizeof fake->last_payload, "%.*s", (int)message.payload.size,
             (const char *)message.payload.data);
}

static void fake_write(struct sink *sink, struct unit *unit)
{
    struct fake_sink *fake = sink->fake;
    assert_true(sink->open_count < fake->open_max);
    assert_true(fake->written < LANE_KIT_UNITS_MAX);
    if (fake->ask_messages)
        message_ask(sink, unit->first_seq);
    fake->units[fake->written++] = *unit;
    sink->open[sink->open_count++] = unit;
    uv_timer_start(&sink->timer, fake_on_timer, 1, 1);
}

static void fake_on_closed(uv_handle_t *handle)
{
    struct sink *sink = handle->data;
    sink->closed(sink->closed_arg);
}

static void fake_close(struct sink *sink, void (*closed)(void *arg), void *arg)
{
    for (uint32_t i = 0; i < sink->open_count; i++)
        sink_closed(sink->host, sink->open[i]);
    sink->closed = closed;
    sink->closed_arg = arg;
    uv_close((uv_handle_t *)&sink->timer, fake_on_closed);
}

static void fake_fini(struct sink *sink)
{
    free(sink);
}

static const struct option no_options[] = {{0}};
const struct sink_type fake_sink_type = {
    .name = "fake",
    .options = no_options,
    .unit_rows_max = fake_rows_max,
    .unit_age_max_ms = fake_age_max,
    .open_units_max = fake_open_units,
    .settle_ms = fake_settle,
    .init = fake_init,
    .start = fake_start,
    .write = fake_write,
    .close = fake_close,
    .fini = fake_fini,
};

/* ---- the reading log ---- */

static uint64_t readings_total; /* as the decoder counts */

/* Ends the builder. */
static void append_built(struct batch_builder *builder, uint64_t first, uint64_t last,
                         uint32_t generation, int64_t received_ms)
{
    struct batch *batch = batch_builder_finish(builder);
    batch_builder_free(builder);
    batch->first_seq = first;
    batch->last_seq = last;
    batch->generation = generation;
    batch->received_min_ms = batch->received_max_ms = received_ms;
    batch->totals.readings = readings_total += batch->count;
    struct buffer body = {0};
    batch_encode(batch, &body);
    struct extent extent = {.first_seq = first,
                            .seq_count = (uint32_t)(last - first + 1),
                            .generation = generation,
                            .kind = EXTENT_BATCH,
                            .received_min_ms = received_ms,
                            .received_max_ms = received_ms,
                            .body = buffer_bytes(&body)};
    struct err err;
    /* Before the lane hears of it: a test of what is read must not depend on who is faster. */
    if (lane_world.options.recent)
        recent_add(lane_world.options.recent, batch);
    assert_int_equal(journal_append(lane_world.readings, &extent, &err), 0);
    buffer_fini(&body);
    batch_release(batch);
}

static void append_rows(uint64_t first, uint64_t last, uint32_t generation, uint32_t rows,
                        int64_t received_ms)
{
    struct batch_builder *builder = batch_builder_new();
    for (uint32_t i = 0; i < rows; i++) {
        struct batch_row row = {.vendor = bytes_text("acme"),
                                .device = bytes_text("1"),
                                .metric = bytes_text("flow"),
                                .unit = bytes_text("m3/h"),
                                .has_value = true,
                                .unscaled = i,
                                .seq = first + (last - first + 1) * i / rows,
                                .received_ms = received_ms,
                                .ts_ms = 1000};
        batch_builder_add(builder, &row);
    }
    append_built(builder, first, last, generation, received_ms);
}

void append_batch(uint64_t first, uint64_t last, uint32_t generation, uint32_t rows)
{
    append_rows(first, last, generation, rows, 1000 + (int64_t)first);
}

void append_batch_at(uint64_t first, uint64_t last, uint32_t rows, int64_t received_ms)
{
    append_rows(first, last, 1, rows, received_ms);
}

void append_rejects(uint64_t first, uint32_t count)
{
    struct batch_builder *builder = batch_builder_new();
    for (uint32_t i = 0; i < count; i++)
        batch_builder_reject(builder, first + i, STAGE_ROUTE, bytes_text("acme"), bytes_text(""), 0,
                             bytes_text("no_route"), bytes_text("no route fits this topic"));
    append_built(builder, first, first + count - 1, 1, 1000 + (int64_t)first);
}

static void readings_open(void)
{
    char *dir = mem_printf("%s/readings", lane_world.folder.path);
    struct journal_options options = {.disk = lane_world.journal_disk,
                                      .dir = dir,
                                      .kind = JOURNAL_READINGS,
                                      .segment_bytes = 1 << 20,
                                      .compression_level = 1};
    struct journal_recovery found;
    struct err err;
    if (journal_open(&lane_world.readings, &options, &found, &err))
        fail_msg("%s", err.text);
    lane_world.options.readings = lane_world.readings;
    free(dir);
}

void lane_world_reopen(void)
{
    journal_close(lane_world.readings);
    readings_open();
}

int lane_world_setup(void **state)
{
    (void)state;
    struct lane_world *world = &lane_world;
    memset(world, 0, sizeof *world);
    readings_total = 0;
    temp_dir_make(&world->folder);
    world->cursor_path = mem_printf("%s/fake.cursor", world->folder.path);
    world->journal_disk = &disk_real;
    world->sink.open_max = 1;
    world->sink.rows_max = 100;
    world->sink.age_ms = 20;
    world->config = (struct config_sink){
        .name = (char *)(uintptr_t) "fake", .type = &fake_sink_type, .options = &world->sink};
    world->options = (struct lane_options){.disk = &disk_real,
                                           .sink = &world->config,
                                           .cursor_path = world->cursor_path,
                                           .data_dir = world->folder.path};
    readings_open();
    return 0;
}

int lane_world_teardown(void **state)
{
    (void)state;
    journal_close(lane_world.readings);
    free(lane_world.cursor_path);
    temp_dir_remove(&lane_world.folder);
    return 0;
}

/* ---- lanes ---- */

struct lane *lane_make(void)
{
    struct lane *lane = NULL;
    struct err err = {{0}};
    if (lane_new(&lane_world.options, &lane, &err))
        fail_msg("%s", err.text);
    if (lane_start(lane, &err) || lane_wait_started(lane, clock_monotonic_ms() + 10000, &err))
        fail_msg("%s", err.text);
    return lane;
}

void lane_end(struct lane *lane, int64_t timeout_ms)
{
    lane_stop(lane, timeout_ms);
    lane_free(lane);
}

void wait_stored(uint64_t last_seq)
{
    wait_until(lane_world.sink.stored_last_seq >= last_seq);
}

struct cursor_state cursor_now(void)
{
    struct cursor_state state;
    struct identity identity;
    struct err err;
    if (cursor_peek(&disk_real, lane_world.cursor_path, &state, &identity, &err))
        fail_msg("%s", err.text);
    return state;
}

void cursor_put(const struct cursor_state *state)
{
    struct cursor *cursor;
    struct err err;
    if (cursor_open(&cursor, &disk_real, lane_world.cursor_path,
                    journal_identity(lane_world.readings), &err) ||
        cursor_save(cursor, state, &err))
        fail_msg("%s", err.text);
    cursor_close(cursor);
}

uint64_t assert_units_cover(uint32_t from_unit, uint64_t first, uint64_t last)
{
    uint64_t next = first, rows = 0;
    for (uint32_t i = from_unit; i < lane_world.sink.written; i++) {
        const struct unit *unit = &lane_world.sink.units[i];
        assert_int_equal(unit->first_seq, next);
        next = unit->last_seq + 1;
        rows += unit->rows;
    }
    assert_int_equal(next, last + 1);
    return rows;
}
