/* SPDX-License-Identifier: Apache-2.0
 *
 * One chunk on its way to the disk and back, and what is owed when it returns: acknowledgements for
 * each connection in the order of its packets, and sessions to let go (invariants 1, 4, 11).
 *
 * A loop fills one commit while earlier ones are with the journal. What must come after earlier
 * acknowledgements but stores nothing (a duplicate of QoS 2, a refusal) rides on a commit too; one
 * without records never goes to the journal and is done when those before it are.
 */
#ifndef TIDEGATE_SOURCES_MQTT_COMMIT_H
#define TIDEGATE_SOURCES_MQTT_COMMIT_H

#include "journal/rawlog.h"
#include "sources/mqtt/mailbox.h"
#include "sources/mqtt/packet.h"

struct conn;

struct commit_entry {
    uint32_t next; /* of the same connection; COMMIT_END: none */
    uint16_t packet_id;
    uint8_t type; /* PACKET_PUBACK, PUBREC, PUBCOMP, or PACKET_CONNACK */
    uint8_t reason;
};
enum { COMMIT_END = 0xffffffff };

/* What one connection has in this commit. */
struct commit_slot {
    struct conn *conn;
    uint32_t first, last; /* entries; COMMIT_END: none */
    uint32_t bytes;       /* that wait for the disk */
};

struct commit {
    struct commit *next;      /* in the loop's row */
    struct commit *next_mail; /* in the mailbox */
    struct mailbox *mailbox;
    struct rawlog *rawlog;
    struct chunk *chunk; /* null while it has no records */
    int64_t submitted_ns;
    bool durable;
    struct commit_slot *slots;
    size_t slot_count, slot_capacity;
    struct commit_entry *entries;
    size_t entry_count, entry_capacity;
    struct session **releases;
    size_t release_count, release_capacity;
};

struct commit *commit_new(struct mailbox *mailbox, struct rawlog *rawlog);
void commit_free(struct commit *commit); /* gives its chunk back; accepts null */
/* Empty again, chunk given back, memory kept. */
void commit_reset(struct commit *commit);
/* Has anything to do when it is done? */
bool commit_empty(const struct commit *commit);
/* Makes sure that records can be added; false: the journal has no chunk now. */
bool commit_open_chunk(struct commit *commit);
/* The slot of a connection, known by the caller to have none yet. */
uint32_t commit_add_slot(struct commit *commit, struct conn *conn);
void commit_add_entry(struct commit *commit, uint32_t slot, enum packet_type type,
                      uint16_t packet_id, uint8_t reason);
/* session_release when all of this is durable. */
void commit_add_release(struct commit *commit, struct session *session);
/* Hand over; the mailbox gets it back. Only with a chunk. */
void commit_submit(struct commit *commit);

#endif
