/* SPDX-License-Identifier: Apache-2.0
 *
 * A lane for tests of sinks: a loop, a host that writes down the answers, and units made by hand. One
 * thread.
 */
#ifndef TIDEGATE_TESTS_SINK_LANE_H
#define TIDEGATE_TESTS_SINK_LANE_H

#include "sinks/sink.h"

enum { SINK_LANE_ANSWERS_MAX = 64 };

struct sink_lane {
    uv_loop_t loop;
    struct sink_host host;
    const struct sink_type *type;
    struct sink *sink;
    void *options; /* at their defaults; change before sink_lane_start */
    bool inside_write, closed;
    struct {
        struct unit *unit;
        enum sink_answer answer;
        enum sink_reason reason;
        size_t refusals;
        struct sink_refusal first_refusal;
        char why[512];
    } answers[SINK_LANE_ANSWERS_MAX];
    size_t answer_count;
};

void sink_lane_init(struct sink_lane *lane, const struct sink_type *type, const struct disk *disk,
                    const char *data_dir);
int sink_lane_start(struct sink_lane *lane, uint64_t cursor, struct err *err);
void sink_lane_write(struct sink_lane *lane, struct unit *unit);
/* Run the loop until there are so many answers, at most ten seconds; false: they did not come. */
bool sink_lane_wait(struct sink_lane *lane, size_t answers);
/* write, wait, and the answer. */
enum sink_answer sink_lane_put(struct sink_lane *lane, struct unit *unit);
/* Close, wait, fini; asserts that nothing is left on the loop. */
void sink_lane_fini(struct sink_lane *lane);

/* A unit of one batch with `rows` readings, seq first..last evenly, from `start_ms` on in steps of
 * `step_ms`. What it holds depends on the arguments only. */
struct unit *test_unit(uint64_t first, uint64_t last, uint32_t rows, int64_t start_ms,
                       int64_t step_ms);
void test_unit_free(struct unit *unit);

#endif
