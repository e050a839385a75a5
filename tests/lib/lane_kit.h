/* SPDX-License-Identifier: Apache-2.0
 *
 * For tests of lanes: a reading log made by hand, and a sink that answers as the test says and writes
 * down what it saw. One world at a time; the sink runs on its lane's thread, so what the test changes
 * while a lane runs is atomic, and the rest is set before and read after.
 */
#ifndef TIDEGATE_TESTS_LANE_KIT_H
#define TIDEGATE_TESTS_LANE_KIT_H

#include "config/config.h"
#include "journal/cursor.h"
#include "lane.h"
#include "lib/temp_dir.h"
#include "sinks/sink.h"

enum { LANE_KIT_UNITS_MAX = 256 };

/* What one sink does, and what it saw. */
struct fake_sink {
    /* before the lane starts */
    uint32_t open_max; /* units at a time; 1 */
    uint64_t rows_max;
    int64_t age_ms, settle_ms;
    uint64_t refuse_seq; /* this row is refused for good; 0: none */
    uint64_t at_sink;    /* the position it says at start; 0: it keeps none */
    bool rewind_at_start;
    bool ask_messages; /* host->message for the first number of each unit */

    /* while it runs */
    _Atomic bool silent;       /* answers nothing */
    _Atomic bool newest_first; /* answers when open_max units are open, the newest first */
    _Atomic uint64_t hold_seq; /* the unit with this number is not answered */
    _Atomic int retries;       /* says RETRY so often first */
    _Atomic int retry_reason;
    _Atomic int start_rc; /* of start; GW_EINVAL, GW_EIO */
    _Atomic int start_ms; /* it takes so long */
    _Atomic bool rewind;  /* calls host->rewind once, before it answers */

    /* what it saw */
    _Atomic int starts;
    uint64_t given_through;   /* of the host, at start */
    _Atomic uint32_t written; /* `units` are copies; their batches are gone */
    struct unit units[LANE_KIT_UNITS_MAX];
    _Atomic uint32_t answered;
    _Atomic uint64_t stored_last_seq; /* the highest */
    int messages_found, messages_missing;
    char last_payload[64];
};

struct lane_world {
    struct temp_dir folder;
    char *cursor_path;
    struct journal *readings;
    struct fake_sink sink;
    struct config_sink config; /* of the lane; its options are the fake_sink */
    struct lane_options options;
    const struct disk *journal_disk;
};
extern struct lane_world lane_world;

int lane_world_setup(void **state);
int lane_world_teardown(void **state);
/* Close and open the reading log, as a new start of the program does. */
void lane_world_reopen(void);

/* Rows first..last evenly over the numbers; received at 1000 + first. */
void append_batch(uint64_t first, uint64_t last, uint32_t generation, uint32_t rows);
void append_rejects(uint64_t first, uint32_t count);
/* The same, received then. */
void append_batch_at(uint64_t first, uint64_t last, uint32_t rows, int64_t received_ms);

/* A lane of lane_world.options, started; fails the test when it does not start. */
struct lane *lane_make(void);
void lane_end(struct lane *lane, int64_t timeout_ms);
void wait_stored(uint64_t last_seq);
/* Wait until a condition holds, at most ten seconds. */
#define wait_until(condition)                                                                      \
    do {                                                                                           \
        int64_t until_ms = clock_monotonic_ms() + 10000;                                           \
        while (!(condition)) {                                                                     \
            if (clock_monotonic_ms() > until_ms)                                                   \
                fail_msg("never: %s", #condition);                                                 \
            usleep(1000);                                                                          \
        }                                                                                          \
    } while (0)

struct cursor_state cursor_now(void);
/* Make the cursor file say that. */
void cursor_put(const struct cursor_state *state);
/* Every number from first to last was written, in units without overlap, in order; from the n-th unit
 * on. Returns the rows. */
uint64_t assert_units_cover(uint32_t from_unit, uint64_t first, uint64_t last);

extern const struct sink_type fake_sink_type;

#endif
