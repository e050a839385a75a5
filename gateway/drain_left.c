/* SPDX-License-Identifier: Apache-2.0
 *
 * From the sources to the sinks, in the order in which messages go: each asks about what the one
 * before has handed on, so a message is always seen by somebody.
 */
#include "drain_left.h"

#include <inttypes.h>

#include "cursors.h"
#include "drain.h"
#include "parts.h"
#include "report_lanes.h"
#include "sources/mqtt/listener.h"

static void sources_left(const struct gateway *gateway, struct buffer *out)
{
    struct listener_stats mqtt;
    struct paho_worker_status worker;
    listener_stats(gateway->listener, &mqtt);
    if (gateway->drain.state == DRAIN_SOURCES)
        buffer_printf(out, "sources: %" PRIu64 " connections wait for their acks\n",
                      mqtt.connections);
    for (size_t i = 0; gateway->brokers && paho_status(gateway->brokers, i, &worker); i++)
        if (worker.waiting_bytes)
            buffer_printf(out,
                          "broker %s: %" PRIu64 " bytes of messages are in the intake file of "
                          "worker %u\n",
                          worker.broker, worker.waiting_bytes, worker.worker);
}

static void journal_left(const struct gateway *gateway, struct buffer *out)
{
    const struct rawlog_stats *raw = rawlog_stats(gateway->rawlog);
    uint64_t waiting = raw->chunks_waiting;
    if (waiting)
        buffer_printf(out, "journal: %" PRIu64 " chunks of messages wait for the disk\n", waiting);
    uint64_t decoded = journal_next_seq(gateway->readings);
    uint64_t end = journal_next_seq(rawlog_journal(gateway->rawlog));
    if (decoded < end)
        buffer_printf(out, "decoder: %" PRIu64 " messages are not decoded\n", end - decoded);
}

static void lane_left(const struct gateway *gateway, struct lane *lane, struct buffer *out)
{
    const struct lane_stats *stats = lane_stats(lane);
    uint64_t end = journal_next_seq(gateway->readings);
    uint64_t next = stats->next_seq, settled = stats->settled_seq;
    char why[200];
    lane_why(lane, why);
    if (next < end)
        buffer_printf(out, "sink %s: %" PRIu64 " messages are not stored%s%s\n", lane_name(lane),
                      end - next, why[0] ? ": " : "", why);
    else if (settled < end)
        buffer_printf(out,
                      "sink %s: everything is stored, but not for long enough to be safe there "
                      "(`settle`)\n",
                      lane_name(lane));
    if (stats->parked_messages)
        buffer_printf(out,
                      "sink %s: %" PRIu64 " messages were parked and never sent: replay them "
                      "(tidegate replay)\n",
                      lane_name(lane), stats->parked_messages);
}

static void replays_left(const struct gateway *gateway, struct buffer *out)
{
    struct replay_status status;
    for (size_t i = 0; replay_status(gateway->replays, i, &status); i++)
        if (status.state == REPLAY_RUNNING)
            buffer_printf(out, "replay %s: not done (tidegate replay stop ends it)\n", status.id);
}

/* A sink that was taken out of the configuration before it had everything. */
static void orphans_left(const struct gateway *gateway, struct buffer *out)
{
    struct cursor_list list;
    struct err err;
    uint64_t end = journal_next_seq(gateway->readings);
    if (cursor_list_read(&disk_real, gateway->paths.cursors, &list, &err)) {
        buffer_printf(out, "cursors: %s\n", err.text);
        return;
    }
    for (size_t i = 0; i < list.count; i++) {
        const struct cursor_file *file = &list.files[i];
        if (gateway_has_sink(gateway, file->name) ||
            (file->readable && (file->state.next_seq >= end ||
                                file->identity.bits != journal_identity(gateway->readings).bits)))
            continue;
        buffer_printf(
            out,
            "sink %s: not in the configuration, and has not got everything (tidegate lane "
            "drop %s, if it never shall)\n",
            file->name, file->name);
    }
    cursor_list_fini(&list);
}

void drain_left(struct gateway *gateway, struct buffer *out)
{
    sources_left(gateway, out);
    journal_left(gateway, out);
    for (size_t i = 0; i < gateway->lane_count; i++)
        lane_left(gateway, gateway->lanes[i], out);
    replays_left(gateway, out);
    orphans_left(gateway, out);
}
