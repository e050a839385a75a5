/* SPDX-License-Identifier: Apache-2.0
 *
 * A vendor as the listener sees it: what it may send, what it sent, and which of its connections wait
 * for that. It is the unit of isolation: one that passes its limits is held alone.
 *
 * Vendors stay for the life of the listener, as many as configurations ever named, and one without
 * name for all who come without a login. A struct vendor is shared by the loops (atomics); of its
 * seats, one for each loop, that loop alone writes the counters and uses the rest.
 *
 * The share of the journal is measured in bytes of topics and payloads received. Marks remember how
 * many each vendor had sent when the log ended at some sequence number; when the logs are needed only
 * from there on, those no longer count.
 */
#ifndef TIDEGATE_SOURCES_MQTT_VENDOR_H
#define TIDEGATE_SOURCES_MQTT_VENDOR_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "sources/access.h"
#include "sources/mqtt/bucket.h"
#include "sources/mqtt/hold.h"

struct conn;

/* What one loop knows of a vendor. */
struct vendor_seat {
    /* Any thread reads. */
    _Atomic uint64_t connections, held; /* now */
    _Atomic uint64_t messages, bytes;   /* taken over into chunks */
    _Atomic uint64_t dropped;           /* QoS 0, by its policy */
    _Atomic uint64_t unacked_bytes;     /* wait for the disk */
    /* The loop's. */
    struct vendor_seat *next; /* of those with somebody waiting */
    struct vendor *vendor;
    struct conn **waiting; /* in their order, null where one went; loop_quota.c */
    size_t first, end, capacity;
    uint64_t tail_bytes; /* kept of held connections */
    bool listed, serving;
};

enum { VENDOR_MARKS = 64 };

struct vendor {
    struct vendor *next;
    char name[ACCESS_VENDOR_SIZE];
    uint64_t generation; /* of the rules that the limits are from; under the table's lock */
    /* Limits; 0: none. */
    _Atomic int64_t message_ns, message_burst_ns; /* cost of one, and how much at once */
    _Atomic uint64_t byte_rate;
    _Atomic int64_t rate, share; /* as configured */
    _Atomic bool qos0_drop;
    struct bucket messages, bytes;
    _Atomic uint64_t settled_bytes; /* of those sent, these are needed no more */
    _Atomic uint64_t share_bytes;   /* so many may be needed; UINT64_MAX: no limit */
    uint64_t marks[VENDOR_MARKS];   /* bytes at the table's marks; main thread */
    struct vendor_seat *seats[];    /* by loop */
};

struct vendor_table {
    pthread_mutex_t lock; /* of the list */
    struct vendor *first;
    unsigned loop_count;
    uint64_t memory_max; /* bytes of one vendor that may wait for the disk, in one loop */
    uint64_t capacity;   /* of the logs, as last told; 0: not yet */
    uint64_t mark_seqs[VENDOR_MARKS]; /* main thread */
    size_t mark_count;
};

/* `memory_bytes` is what may wait for the disk in all. */
void vendor_table_init(struct vendor_table *table, unsigned loop_count, uint64_t memory_bytes);
void vendor_table_fini(struct vendor_table *table);
/* The vendor of that grant, with the limits of the newest rules seen. Any loop. */
struct vendor *vendor_table_find(struct vendor_table *table, const struct access_grant *grant);

/* May `size` bytes in one message come in now? Loop thread. */
enum hold vendor_holds(const struct vendor_table *table, const struct vendor *vendor,
                       const struct vendor_seat *seat, size_t size, int64_t now_ns);
/* They came in; counts them. Loop thread. */
void vendor_take(struct vendor *vendor, struct vendor_seat *seat, size_t size, int64_t now_ns);

/* Where the logs stand. Main thread. */
struct vendor_water {
    uint64_t next_seq;   /* of the raw log */
    uint64_t needed_seq; /* the first that somebody still needs */
    /* Bytes of messages that fill a log of its full size, as they compress at present. */
    uint64_t capacity;
};
void vendor_table_mark(struct vendor_table *table, const struct vendor_water *water);

/* Sums over its loops; any thread. */
struct vendor_sums {
    uint64_t connections, held, messages, bytes, dropped, unacked_bytes;
    uint64_t needed_bytes; /* received and still needed in the logs */
};
void vendor_sums(const struct vendor *vendor, unsigned loop_count, struct vendor_sums *out);

#endif
