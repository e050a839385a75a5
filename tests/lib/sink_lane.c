/* SPDX-License-Identifier: Apache-2.0
 *
 * The lane for tests of sinks. One thread.
 */
#include "lib/sink_lane.h"

#include <stdio.h>
#include <stdlib.h>

static void on_answer(struct sink_host *host, struct unit *unit, const struct sink_result *result)
{
    struct sink_lane *lane = container_of(host, struct sink_lane, host);
    gw_assert(!lane->inside_write);
    if (lane->answer_count == SINK_LANE_ANSWERS_MAX) {
        fprintf(stderr, "too many answers: %s\n", result->why ? result->why : "");
        abort();
    }
    size_t at = lane->answer_count++;
    lane->answers[at].unit = unit;
    lane->answers[at].answer = result->answer;
    lane->answers[at].reason = result->reason;
    lane->answers[at].refusals = result->refusal_count;
    if (result->refusal_count)
        lane->answers[at].first_refusal = result->refusals[0];
    snprintf(lane->answers[at].why, sizeof lane->answers[at].why, "%s",
             result->why ? result->why : "");
    uv_stop(&lane->loop);
}

void sink_lane_init(struct sink_lane *lane, const struct sink_type *type, const struct disk *disk,
                    const char *data_dir)
{
    *lane = (struct sink_lane){.type = type};
    gw_assert(uv_loop_init(&lane->loop) == 0);
    lane->host = (struct sink_host){
        .loop = &lane->loop,
        .disk = disk,
        .identity = {0x0123456789abcdef},
        .name = type->name,
        .data_dir = data_dir,
        .answer = on_answer,
    };
    lane->options = mem_zalloc(type->options_size);
    option_defaults(type->options, lane->options);
}

int sink_lane_start(struct sink_lane *lane, uint64_t cursor, struct err *err)
{
    if (lane->sink == NULL) {
        int result = lane->type->init(&lane->sink, lane->options, &lane->host, err);
        if (result < 0)
            return result;
    }
    return lane->type->start(lane->sink, &cursor, err);
}

void sink_lane_write(struct sink_lane *lane, struct unit *unit)
{
    lane->inside_write = true;
    lane->type->write(lane->sink, unit);
    lane->inside_write = false;
}

static void on_timeout(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
    uv_stop(timer->loop);
}

bool sink_lane_wait(struct sink_lane *lane, size_t answers)
{
    uv_timer_t timer;
    bool over = false;
    uv_timer_init(&lane->loop, &timer);
    timer.data = &over;
    uv_timer_start(&timer, on_timeout, 10000, 0);
    while (lane->answer_count < answers && !over)
        uv_run(&lane->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&lane->loop, UV_RUN_NOWAIT);
    return lane->answer_count >= answers;
}

enum sink_answer sink_lane_put(struct sink_lane *lane, struct unit *unit)
{
    size_t before = lane->answer_count;
    sink_lane_write(lane, unit);
    gw_assert(sink_lane_wait(lane, before + 1));
    return lane->answers[before].answer;
}

static void on_closed(void *arg)
{
    ((struct sink_lane *)arg)->closed = true;
}

void sink_lane_fini(struct sink_lane *lane)
{
    if (lane->sink) {
        lane->type->close(lane->sink, on_closed, lane);
        gw_assert(!lane->closed);
        while (!lane->closed)
            uv_run(&lane->loop, UV_RUN_ONCE);
        lane->type->fini(lane->sink);
    }
    uv_run(&lane->loop, UV_RUN_NOWAIT);
    gw_assert(uv_loop_close(&lane->loop) == 0);
    option_fini(lane->type->options, lane->options);
    free(lane->options);
}

/* ---- units ---- */

static void add_row(struct batch_builder *builder, uint64_t seq, uint32_t number, int64_t ts_ms)
{
    char device[24];
    bool counter = number % 2;
    snprintf(device, sizeof device, "%08u", number * 7919 % 50);
    struct batch_row row = {
        .vendor = bytes_text(number % 3 ? "acme" : "zenith"),
        .device = bytes_text(device),
        .metric = bytes_text(counter ? "volume.total" : "pressure"),
        .unit = bytes_text(counter ? "m3" : "kPa"),
        .ts_ms = ts_ms,
        .unscaled = counter ? (int64_t)seq * 1000 + number : 3000 + number % 40,
        .scale = counter ? 3 : 1,
        .has_value = number % 17 != 0,
        .quality = number % 17 ? QUALITY_GOOD : QUALITY_BAD,
        .flags = number % 29 == 0 ? FLAG_LATE | FLAG_CLOCK : 0,
        .seq = seq,
        .received_ms = ts_ms + 1500,
    };
    batch_builder_add(builder, &row);
}

struct unit *test_unit(uint64_t first, uint64_t last, uint32_t rows, int64_t start_ms,
                       int64_t step_ms)
{
    struct batch_builder *builder = batch_builder_new();
    for (uint32_t i = 0; i < rows; i++)
        add_row(builder, first + (last - first + 1) * i / rows, i, start_ms + step_ms * i);
    struct unit *unit = mem_zalloc(sizeof *unit);
    unit->batches = mem_alloc(sizeof(struct batch *));
    unit->batches[0] = batch_builder_finish(builder);
    unit->batches[0]->first_seq = unit->first_seq = first;
    unit->batches[0]->last_seq = unit->last_seq = last;
    unit->batches[0]->generation = unit->generation = 1;
    unit->batch_count = 1;
    unit->rows = rows;
    batch_builder_free(builder);
    return unit;
}

void test_unit_free(struct unit *unit)
{
    for (uint32_t i = 0; i < unit->batch_count; i++)
        batch_release(unit->batches[i]);
    free(unit->batches);
    free(unit);
}
