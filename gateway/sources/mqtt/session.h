/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions by vendor and client id, shared by the loops of one listener.
 *
 * At any time a session has at most one owner: a connection, or a record on its way to the log. A second
 * connection for the same id waits in a row, and the owner's loop is asked to let go; it does so only
 * when what it said about the session is durable, so records of one session are in the log in their
 * order although they come from different loops. Only the owner touches the packet ids.
 *
 * The table's functions may be called on any loop; one lock guards them all.
 */
#ifndef TIDEGATE_SOURCES_MQTT_SESSION_H
#define TIDEGATE_SOURCES_MQTT_SESSION_H

#include "journal/rawlog.h"
#include "sources/mqtt/will.h"

struct conn;
struct mailbox;
struct session_table;

/* QoS 2 packet ids, ascending. A zeroed object is empty. */
struct id_set {
    uint16_t *ids;
    uint32_t count, capacity;
};
bool id_set_has(const struct id_set *set, uint16_t id);
void id_set_add(struct id_set *set, uint16_t id);  /* not there before */
bool id_set_drop(struct id_set *set, uint16_t id); /* false: it was not there */
void id_set_fini(struct id_set *set);

struct session {
    struct session *next;          /* in its bucket */
    struct session *older, *newer; /* among those without owner, by when they were left */
    struct conn *owner;
    struct conn *waiters;   /* in the order they came, linked by conn.next_waiter */
    struct id_set received; /* QoS 2: stored and not released; the owner's */
    struct will *will;      /* its delay runs; under the lock */
    int64_t left_ms;        /* wall clock */
    uint32_t hash;
    uint32_t expiry_s;
    uint32_t mails; /* letters under way that name it */
    bool recorded;  /* the log knows it; the owner's */
    bool settling;  /* no connection's: its last record is on the way to the log */
    bool listed;
    uint8_t vendor_size;
    uint16_t client_size;
    uint8_t names[]; /* vendor, client */
};

static inline struct bytes session_vendor(const struct session *session)
{
    return bytes_of(session->names, session->vendor_size);
}
static inline struct bytes session_client(const struct session *session)
{
    return bytes_of(session->names + session->vendor_size, session->client_size);
}
/* Is it over at this time, having been left? */
static inline bool session_expired(const struct session *session, int64_t now_ms)
{
    return session->expiry_s != UINT32_MAX &&
           now_ms - session->left_ms >= (int64_t)session->expiry_s * 1000;
}

struct session_table *session_table_new(int64_t sessions_max);
void session_table_free(struct session_table *table); /* accepts null */
/* What the log recovered. Sessions that were connected count as left now. */
void session_table_load(struct session_table *table, const struct sessions *recovered,
                        int64_t now_ms);
uint64_t session_table_count(struct session_table *table);

/* `conn` wants the session of that name. True: it is the owner. False: it waits, and its loop hears
 * loop_session_granted later. *out is set in both cases. */
bool session_claim(struct session_table *table, struct conn *conn, struct bytes vendor,
                   struct bytes client, struct session **out);
/* It no longer waits, or lets go what it was granted and did not use. */
void session_cancel(struct session_table *table, struct session *session, struct conn *conn,
                    int64_t now_ms);
/* The owner goes now, and session_release follows when its last record is durable. */
void session_settle(struct session_table *table, struct session *session);
/* The owner lets go. What is not recorded is forgotten unless somebody waits. */
void session_release(struct session_table *table, struct session *session, int64_t now_ms);
/* A letter that named the session arrived at the loop of that mailbox. Letters can be late: returns
 * the owner if it is of this loop, else null, and whether somebody waits. The session may be gone
 * after. */
struct conn *session_mail_arrived(struct session_table *table, struct session *session,
                                  const struct mailbox *mailbox, bool *wanted);

/* A will whose delay runs, due at `due_ms` (monotonic). */
void session_leave_will(struct session_table *table, struct session *session, struct will *will,
                        int64_t due_ms);
/* Takes the will back, or null. */
struct will *session_take_will(struct session_table *table, struct session *session);

/* One session that nobody owns and that is over, or too many: it is owned by the caller until
 * session_release; null when there is none in the next `look` of them. *dropped: it was too many. */
struct session *session_sweep(struct session_table *table, int64_t now_ms, size_t look,
                              bool *dropped);
/* A will that is due at now_ms (monotonic), now the caller's, and in `client` whose it is; null when
 * there is none. */
struct will *session_will_due(struct session_table *table, int64_t now_ms, struct buffer *client);

#endif
