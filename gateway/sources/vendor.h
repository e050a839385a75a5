/* SPDX-License-Identifier: Apache-2.0
 *
 * A vendor as the sources see it: what it may send, what it sent, and who of it waits for that. It is
 * the unit of isolation: one that passes its limits is held alone, whichever way it comes.
 *
 * Vendors stay for the life of the gateway, as many as configurations ever named, and one without
 * name for all who come without a login. A struct vendor is shared by the threads that take messages
 * in (atomics); of its seats, one for each of them, that thread alone writes the counters and uses the
 * rest.
 *
 * The share of the journal is measured in bytes of topics and payloads received. Marks remember how
 * many each vendor had sent when the log ended at some sequence number; when the logs are needed only
 * from there on, those no longer count.
 */
#ifndef TIDEGATE_SOURCES_VENDOR_H
#define TIDEGATE_SOURCES_VENDOR_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "sources/access.h"
#include "sources/bucket.h"
#include "sources/hold.h"

struct conn;

/* What one thread that takes messages in, a loop of the listener or that of the brokers, knows of a
 * vendor. */
struct vendor_seat {
    /* Any thread reads. */
    _Atomic uint64_t connections, held; /* now */
    _Atomic uint64_t messages, bytes;   /* taken over into chunks */
    _Atomic uint64_t dropped;           /* QoS 0, by its policy */
    _Atomic uint64_t unacked_bytes;     /* wait for the disk */
    /* The seat's thread's: of loops of the listener. */
    struct vendor_seat *next; /* of those with somebody waiting */
    struct vendor *vendor;
    struct conn **waiting; /* in their order, null where one went; mqtt/loop_quota.c */
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
    _Atomic uint64_t connections; /* of the listener, now */
    struct bucket messages, bytes;
    _Atomic uint64_t settled_bytes; /* of those sent, these are needed no more */
    _Atomic uint64_t share_bytes;   /* so many may be needed; UINT64_MAX: no limit */
    uint64_t marks[VENDOR_MARKS];   /* bytes at the table's marks; main thread */
    struct vendor_seat *seats[];    /* by thread */
};

struct vendor_table {
    pthread_mutex_t lock; /* of the list */
    struct vendor *first;
    unsigned seat_count;
    uint64_t memory_bytes;            /* for what waits for the disk in all */
    uint64_t memory_max;              /* of it, of one vendor in one seat */
    uint64_t capacity;                /* of the logs, as last told; 0: not yet */
    uint64_t mark_seqs[VENDOR_MARKS]; /* main thread */
    size_t mark_count;
};

/* `memory_bytes` is what may wait for the disk in all. */
void vendor_table_init(struct vendor_table *table, uint64_t memory_bytes);
/* So many threads more will take messages in: the first of their seats. Before any vendor is asked
 * for. */
unsigned vendor_table_seats(struct vendor_table *table, unsigned count);
void vendor_table_fini(struct vendor_table *table);
/* The vendor of that grant, with the limits of the newest rules seen. Any thread. */
struct vendor *vendor_table_find(struct vendor_table *table, const struct access_grant *grant);

/* May `size` bytes in one message come in now? The seat's thread. */
enum hold vendor_holds(const struct vendor_table *table, const struct vendor *vendor,
                       const struct vendor_seat *seat, size_t size, int64_t now_ns);
/* They came in; counts them. The seat's thread. */
void vendor_take(struct vendor *vendor, struct vendor_seat *seat, size_t size, int64_t now_ns);

/* Where the logs stand. Main thread. */
struct vendor_water {
    uint64_t next_seq;   /* of the raw log */
    uint64_t needed_seq; /* the first that somebody still needs */
    /* Bytes of messages that fill a log of its full size, as they compress at present. */
    uint64_t capacity;
};
void vendor_table_mark(struct vendor_table *table, const struct vendor_water *water);

/* One vendor since start: by login, and those without together as "". */
struct vendor_sums { /* over its seats */
    uint64_t connections, held, messages, bytes, dropped, unacked_bytes;
    uint64_t needed_bytes; /* received and still needed in the logs */
};
struct vendor_figures {
    const char *name;
    struct vendor_sums sums;
    int64_t rate; /* limits; 0: none */
    uint64_t byte_rate;
    uint64_t share_bytes; /* of needed_bytes; 0: none */
};
/* `each` must be quick, and must not call the table. Any thread. */
void vendor_table_each(struct vendor_table *table,
                       void (*each)(void *arg, const struct vendor_figures *figures), void *arg);
/* The same as Prometheus text, appended. Any thread. */
void vendor_table_metrics(struct vendor_table *table, struct buffer *out);

#endif
