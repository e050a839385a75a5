/* SPDX-License-Identifier: Apache-2.0
 *
 * What a connection leaves behind: its will, and its session for the next one. Runs again until the
 * journal has taken what must be written. Loop thread.
 */
#include "base/clock.h"
#include "sources/mqtt/conn.h"

/* 3.1.3.2.2: the delay runs unless the session ends first. A will that its vendor may no longer
 * publish is dropped and counted. */
static bool will_waits(const struct conn *conn)
{
    return conn->will->delay_s > 0 && conn->session_expiry_s > 0 && !conn->loop->closing;
}

static void publish_will(struct conn *conn)
{
    struct loop *loop = conn->loop;
    struct will *will = conn->will;
    enum publish_rejected why;
    if (conn_topic_allowed(loop, &will->grant, will_topic(will), &why)) {
        struct message message = will_message(will, session_client(conn->session));
        chunk_add_message(loop->filling->chunk, &message);
        stat_add(&loop->stats.wills, 1);
    } else {
        stat_add(&loop->stats.rejected[why], 1);
    }
    will_free(will);
    conn->will = NULL;
}

static void leave_will(struct conn *conn)
{
    struct will *will = conn->will;
    uint32_t wait_s =
        will->delay_s < conn->session_expiry_s ? will->delay_s : conn->session_expiry_s;
    session_leave_will(conn->loop->shared->sessions, conn->session, will,
                       clock_monotonic_ms() + (int64_t)wait_s * 1000);
    conn->will = NULL;
}

/* The session passes on only when its last record is durable, so that whoever has it next, on
 * whatever loop, writes behind that. */
static void leave_session(struct conn *conn)
{
    struct loop *loop = conn->loop;
    struct session *session = conn->session;
    session->expiry_s = conn->session_expiry_s;
    session->left_ms = clock_wall_ms();
    if (!session->recorded) {
        session_release(loop->shared->sessions, session, session->left_ms);
        return;
    }
    bool ends = conn->session_expiry_s == 0;
    struct session_record record = {.kind = ends ? RECORD_SESSION_ENDED : RECORD_SESSION_LEFT,
                                    .vendor = session_vendor(session),
                                    .client = session_client(session),
                                    .expiry_s = conn->session_expiry_s,
                                    .at_ms = session->left_ms};
    chunk_add_session(loop->filling->chunk, &record);
    if (ends) {
        session->recorded = false;
        id_set_fini(&session->received);
    }
    session_settle(loop->shared->sessions, session);
    commit_add_release(loop->filling, session);
}

void conn_leave(struct conn *conn)
{
    struct loop *loop = conn->loop;
    struct session *session = conn->session;
    if (conn->finished)
        return;
    if (session && conn->state >= CONN_CLOSING) {
        if (!conn->owner || !conn->opened) {
            session_cancel(loop->shared->sessions, session, conn, clock_wall_ms());
        } else {
            bool will_now = conn->will && !will_waits(conn);
            if ((will_now || session->recorded) && !loop_open_chunk(loop)) {
                loop_retry_later(loop, conn);
                return;
            }
            if (will_now)
                publish_will(conn);
            else if (conn->will)
                leave_will(conn);
            leave_session(conn);
        }
    }
    conn->session = NULL;
    conn->finished = true;
    loop_submit(loop);
}
