/* SPDX-License-Identifier: Apache-2.0
 *
 * The raw log: group commit of messages from many loops into one journal.
 *
 * A source's loop fills a `struct chunk` with encoded records and submits it whole; the journal
 * thread takes all chunks that wait, gives sequence numbers in that order, makes them one extent,
 * syncs, and hands each chunk back through its `done`. Group commit forms by itself: while one
 * extent is being synced, the next chunks fill. While the disk is full or failing, chunks are
 * simply kept until it is better (invariant 2); the number of chunks is bounded, so the sources
 * feel it by chunk_acquire returning null, and stop reading.
 *
 * Session records travel the same way and take no sequence number (invariant 11). The journal
 * thread applies them to a `struct sessions`, which is what the snapshot at the start of every
 * segment holds and what recovery gives back.
 */
#ifndef TIDEGATE_JOURNAL_RAWLOG_H
#define TIDEGATE_JOURNAL_RAWLOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "journal/journal.h"
#include "model/message.h"

/* ---- records ---- */

enum record_kind {
    RECORD_MESSAGE = 1,
    RECORD_SESSION_MADE = 2,     /* or its expiry changed */
    RECORD_SESSION_ENDED = 3,
    RECORD_SESSION_LEFT = 4,     /* the client went away; expiry counts from `at_ms` */
    RECORD_ID_RECEIVED = 5,      /* QoS 2: PUBLISH stored, PUBREC may go out; always directly behind
                                    its message, in the same chunk */
    RECORD_ID_RELEASED = 6,      /* QoS 2: PUBREL came, PUBCOMP may go out */
    RECORD_INTAKE = 7,           /* the messages before it in this chunk were taken from an intake
                                    file up to `position` (sources/paho): never taken again */
};

/* `vendor` and `client` name the session together; of an INTAKE, `client` names the file. */
struct session_record {
    enum record_kind kind;
    struct bytes vendor, client;
    uint32_t expiry_s;  /* MADE, LEFT: 0xffffffff never expires */
    int64_t at_ms;      /* LEFT */
    uint16_t packet_id; /* ID_RECEIVED, ID_RELEASED */
    uint64_t position;  /* INTAKE */
};

/* ---- chunk ---- */

struct rawlog;

/* Records in their form on disk, filled by one loop. Fields are read-only for users. */
struct chunk {
    struct buffer body;
    uint32_t message_count; /* sequence numbers it will take */
    uint32_t record_count;
    uint64_t message_bytes; /* payload and topic bytes of its messages, for the figures */
    int64_t received_ms;    /* of all its messages: wall clock when the first was added */
    uint64_t first_seq;     /* set before done(): the seq of its first message */
    void (*done)(struct chunk *chunk); /* journal thread, after the sync */
    void *owner;            /* the source's, for done */
    struct chunk *next;     /* a link for whoever owns the chunk at the moment */
    /* what the record encoder remembers: repeated vendor, client and topic cost no bytes */
    struct buffer last_vendor, last_client, last_topic;
};

/* An empty chunk, or null when rawlog_options.memory_bytes are all in chunks. Any thread. */
struct chunk *chunk_acquire(struct rawlog *rawlog);
/* Give a chunk back unsubmitted or after done(). Any thread. */
void chunk_release(struct rawlog *rawlog, struct chunk *chunk);
/* Bytes are copied. The caller submits when body.size passes rawlog_chunk_bytes(). */
void chunk_add_message(struct chunk *chunk, const struct message *message);
void chunk_add_session(struct chunk *chunk, const struct session_record *record);
/* Hand it over; done() is called exactly once, when all of it is durable, in the order of
 * submission for one source; or never, if the gateway stops before. Any thread. */
void rawlog_submit(struct rawlog *rawlog, struct chunk *chunk);

/* ---- sessions ---- */

struct session_state {
    struct bytes vendor, client;
    uint32_t expiry_s;
    int64_t left_ms; /* 0: connected when last heard of */
    const uint16_t *ids; /* QoS 2 ids received and not released, ascending */
    uint32_t id_count;
};
struct sessions;
struct sessions *sessions_new(void);
void sessions_free(struct sessions *sessions);
void sessions_apply(struct sessions *sessions, const struct session_record *record);
void sessions_each(const struct sessions *sessions,
                   void (*each)(void *arg, const struct session_state *state), void *arg);
uint64_t sessions_count(const struct sessions *sessions);
/* How far the intake file of that name was taken into the log; 0: never heard of. */
uint64_t sessions_intake(const struct sessions *sessions, struct bytes name);

/* ---- the log ---- */

struct rawlog_options {
    struct journal_options journal; /* kind and snapshot are set by rawlog_open */
    uint64_t memory_bytes;          /* all chunks together */
    uint64_t chunk_bytes;           /* a full chunk, about */
    uint64_t extent_bytes;          /* at most so much in one extent, before compression */
};

enum rawlog_health { RAWLOG_OK = 0, RAWLOG_FULL = 1, RAWLOG_FAILING = 2 };

struct rawlog_stats { /* since start; read with atomics, any thread */
    _Atomic uint64_t messages, message_bytes; /* stored; payload and topic bytes */
    _Atomic uint64_t extents, extent_bytes, disk_bytes, syncs, failures;
    _Atomic uint64_t commit_ns_sum;
    _Atomic uint64_t commit_us_bucket[24];    /* i: below 2^i us; the last: all above */
    _Atomic uint64_t chunks_waiting, bytes_waiting;
};

/* Opens the journal, rebuilds the sessions, does not start the thread. */
int rawlog_open(struct rawlog **out, const struct rawlog_options *options,
                struct journal_recovery *recovery, struct err *err);
/* The sessions as recovered, for the listener; only before rawlog_start. */
const struct sessions *rawlog_sessions(const struct rawlog *rawlog);
int rawlog_start(struct rawlog *rawlog, struct err *err);
/* Finish what was submitted, as far as the disk lets us within timeout_ms, and end the thread.
 * Returns true when everything submitted is durable. */
bool rawlog_stop(struct rawlog *rawlog, int64_t timeout_ms);
void rawlog_close(struct rawlog *rawlog); /* after stop; closes the journal; accepts null */
struct journal *rawlog_journal(struct rawlog *rawlog);
enum rawlog_health rawlog_health(const struct rawlog *rawlog); /* any thread */
struct rawlog_stats *rawlog_stats(struct rawlog *rawlog);
uint64_t rawlog_chunk_bytes(const struct rawlog *rawlog);
uint64_t rawlog_memory_bytes(const struct rawlog *rawlog); /* of all chunks together */

/* ---- reading it ---- */

/* Walks the records of one extent of the raw log. */
struct record_reader {
    struct reader in;
    struct reader chunk;
    uint64_t seq;
    uint64_t chunk_end_seq; /* what the frame of this chunk says it ends with */
    uint64_t end_seq;       /* what the extent says */
    int64_t received_ms;
    struct bytes vendor, client, topic; /* of the record before, in this chunk */
};
void record_reader_init(struct record_reader *reader, const struct extent *extent);
/* 1 and the kind's object filled (`message` or `session`, *kind tells), 0 at the end, GW_ECORRUPT.
 * Bytes are borrowed from the extent. Unknown record kinds are passed over. */
int record_reader_next(struct record_reader *reader, enum record_kind *kind,
                       struct message *message, struct session_record *session);

#endif
