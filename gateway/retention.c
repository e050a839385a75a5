/* SPDX-License-Identifier: Apache-2.0
 *
 * Both logs are kept equally long; dead letters have limits of their own. Main thread.
 */
#include "retention.h"

#include "base/clock.h"
#include "base/log.h"
#include "parts.h"

enum { ROUNDS_MAX = 16 };

/* The first sequence number that is not safe at some lane's destination. */
static uint64_t lanes_need(const struct gateway *gateway)
{
    uint64_t needed = journal_next_seq(gateway->readings);
    for (size_t i = 0; i < gateway->lane_count; i++) {
        uint64_t settled = lane_stats(gateway->lanes[i])->settled_seq;
        needed = settled < needed ? settled : needed;
    }
    return needed;
}

static bool room_is_short(const struct gateway *gateway)
{
    /* As the logs were opened: a reload does not change them. */
    const struct config_journal *limits = &gateway->config_started->journal;
    struct journal *raw = rawlog_journal(gateway->rawlog);
    uint64_t ahead = 2 * limits->segment_bytes;
    struct disk_space space;
    if (disk_real.space(&disk_real, gateway->paths.data, &space) == 0 &&
        space.available < limits->reserve_bytes + ahead)
        return true;
    return limits->max_bytes && (journal_bytes(raw) + ahead > limits->max_bytes ||
                                 journal_bytes(gateway->readings) + ahead > limits->max_bytes);
}

static void retain(struct journal *journal, uint64_t needed, int64_t keep_ms, uint64_t keep_bytes)
{
    struct err err;
    if (journal_retain(journal, needed, keep_ms, keep_bytes, clock_wall_ms(), &err))
        log_event(LOG_WARN, "retention_failed", "why=\"%s\"", err.text);
}

/* Two segments less than now. */
static uint64_t shrunk(struct journal *journal, uint64_t segment_bytes)
{
    uint64_t bytes = journal_bytes(journal);
    return bytes > 2 * segment_bytes ? bytes - 2 * segment_bytes : 1;
}

void retention_run(const struct gateway *gateway)
{
    const struct config_journal *limits = &gateway->config->journal;
    struct journal *raw = rawlog_journal(gateway->rawlog);
    uint64_t segment_bytes = gateway->config_started->journal.segment_bytes;
    uint64_t needed = lanes_need(gateway);
    uint64_t saved = decoder_stats(gateway->decoder)->saved_seq;
    uint64_t raw_needed = saved && saved < needed ? saved : needed;
    retain(gateway->readings, needed, limits->keep_ms, limits->keep_bytes);
    retain(raw, raw_needed, limits->keep_ms, limits->keep_bytes);
    retain(gateway->dead, journal_next_seq(gateway->dead), limits->dead_keep_ms,
           limits->dead_bytes);
    refused_retain(gateway->refused, limits->dead_keep_ms, limits->dead_bytes);
    if (room_is_short(gateway))
        decoder_save_soon(
            gateway->decoder); /* for the next time: it is what the raw log waits for */
    for (int round = 0; round < ROUNDS_MAX && room_is_short(gateway); round++) {
        uint64_t before = journal_bytes(raw) + journal_bytes(gateway->readings);
        retain(gateway->readings, needed, limits->keep_ms,
               shrunk(gateway->readings, segment_bytes));
        retain(raw, raw_needed, limits->keep_ms, shrunk(raw, segment_bytes));
        if (journal_bytes(raw) + journal_bytes(gateway->readings) == before)
            return; /* the rest is needed */
    }
}
