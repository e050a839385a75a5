/* SPDX-License-Identifier: Apache-2.0
 *
 * What happens by time. A timer for each connection would cost more memory than the rest of it, so
 * all are looked at in turn, each about once a second; the first loop also ends sessions and
 * publishes wills that are due. Loop thread.
 */
#include "base/clock.h"
#include "sources/mqtt/conn.h"
#include "sources/mqtt/session.h"

enum {
    SLICES = 4,                /* of all connections, one each quarter of a second */
    SESSIONS_LOOKED_AT = 4096, /* at a time; one that is over is also seen when its client comes */
    SESSIONS_ENDED = 1024,
};

/* From the end to the front: who leaves is replaced by the last (loop_remove_conn), which was looked at
 * already. The size of a slice stays for the whole way, however many leave on it. */
static void sweep_conns(struct loop *loop)
{
    if (loop->unswept == 0) {
        loop->unswept = loop->conn_count;
        loop->slice = loop->conn_count / SLICES + 1;
    }
    for (size_t i = 0; i < loop->slice && loop->unswept; i++) {
        if (loop->unswept > loop->conn_count)
            loop->unswept = loop->conn_count;
        if (loop->unswept)
            conn_sweep(loop->conns[--loop->unswept]);
    }
}

static void sweep_wills(struct loop *loop)
{
    struct session_table *table = loop->shared->sessions;
    int64_t now_ms = loop->closing ? INT64_MAX : clock_monotonic_ms();
    enum publish_rejected why;
    struct will *will;
    while (loop_open_chunk(loop) && (will = session_will_due(table, now_ms, &loop->scratch))) {
        if (conn_topic_allowed(loop, &will->grant, will_topic(will), &why)) {
            struct message message = will_message(will, buffer_bytes(&loop->scratch));
            chunk_add_message(loop->filling->chunk, &message);
            stat_add(&loop->stats.wills, 1);
        } else {
            stat_add(&loop->stats.rejected[why], 1);
        }
        will_free(will);
        loop_submit_full(loop); /* ten thousand wills of 64 KiB are no single chunk */
    }
}

static void sweep_sessions(struct loop *loop)
{
    struct session_table *table = loop->shared->sessions;
    bool dropped;
    struct session *session;
    for (int i = 0; i < SESSIONS_ENDED && loop_open_chunk(loop); i++) {
        session = session_sweep(table, clock_wall_ms(), SESSIONS_LOOKED_AT, &dropped);
        if (session == NULL)
            return;
        struct session_record record = {.kind = RECORD_SESSION_ENDED,
                                        .vendor = session_vendor(session),
                                        .client = session_client(session)};
        chunk_add_session(loop->filling->chunk, &record);
        session->recorded = false;
        id_set_fini(&session->received);
        commit_add_release(loop->filling, session);
        stat_add(&loop->stats.sessions_dropped, dropped);
    }
}

void loop_sweep(struct loop *loop)
{
    sweep_conns(loop);
    if (loop->index == 0) {
        sweep_wills(loop);
        sweep_sessions(loop);
    }
}
