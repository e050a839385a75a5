/* SPDX-License-Identifier: Apache-2.0
 *
 * A unit on its way: which of its records were given to the producer, which are confirmed, which have
 * to go again. It outlives an answer of RETRY, so that a unit that comes again sends only what the
 * brokers do not have. One thread.
 *
 * A record is named by its kind and its number in the unit: the row for readings and events, the
 * place among the rejects for letters, the place among the refusals for those. The token of a report
 * adds the flight's slot, so nothing is allocated for a record.
 */
#ifndef TIDEGATE_SINKS_KAFKA_FLIGHT_H
#define TIDEGATE_SINKS_KAFKA_FLIGHT_H

#include "sinks/sink.h"

enum record_kind { RECORD_READING, RECORD_EVENT, RECORD_LETTER, RECORD_REFUSED, RECORD_POSITION };

static inline uint64_t record_ref(enum record_kind kind, uint32_t index)
{
    return (uint64_t)kind << 32 | index;
}

static inline enum record_kind record_kind_of(uint64_t ref)
{
    return (enum record_kind)(ref >> 32 & 7);
}

static inline uint32_t record_index_of(uint64_t ref)
{
    return (uint32_t)ref;
}

/* A letter that goes without its payload. */
#define RECORD_BARE (UINT64_C(1) << 35)

enum { TOKEN_SLOT_SHIFT = 40 };

/* A growing list of records. */
struct ref_list {
    uint64_t *items;
    size_t count, capacity;
};
void ref_list_add(struct ref_list *list, uint64_t ref);

/* Which kinds are sent at all. */
struct flight_plan {
    bool readings, events, letters;
    const struct vocabulary *vocabulary; /* says which rows are events */
};

struct flight {
    struct unit *unit; /* null: the lane has it, and will give it again */
    bool used;
    uint32_t slot;
    uint64_t first_seq, last_seq;
    uint64_t order; /* ascending, of all flights: live ones by first_seq, a replay behind those that
                       were there before it */
    uint32_t generation;
    bool replay;
    int64_t written_ms; /* monotonic: when the lane gave it */

    uint64_t outstanding;      /* records given and not reported */
    struct ref_list failed;    /* to be given again */
    struct ref_list too_large; /* refused for their size or form, maybe because of a neighbour */

    /* The walk over all records, then over those to be given again. */
    bool walked;
    enum record_kind kind;
    uint32_t next;
    struct ref_list again;
    size_t again_at;
    /* Not 0: records that share a refused batch go in lots of so many, each waiting for the one
     * before, to find out which of them it was. In order: at_least_once sends nothing behind a lot
     * that failed before it is resolved. */
    uint32_t lot;
    /* exactly_once, where a refused batch costs the whole transaction: those that shared one, and
     * those that were refused alone; both ascending. */
    struct ref_list suspects, condemned;
    bool suspects_out;            /* what is under way are suspects */
    const char *too_large_reason; /* fixed word */

    struct sink_refusal *refusals;
    size_t refusal_count;
};

/* A new unit, or one that comes again. `newest_seq`: first_seq of the newest live unit; sets where a
 * new one of a replay stands. */
void flight_begin(struct flight *flight, struct unit *unit, uint64_t newest_seq);
/* This flight, and the lane gives its unit again? */
bool flight_awaits(const struct flight *flight, const struct unit *unit);
void flight_fini(struct flight *flight); /* and empty again */
/* All records from the first on: nothing that was sent counts. Condemned ones are refused. */
void flight_restart(struct flight *flight, const struct flight_plan *plan);
/* The next records, all of one kind, at most `max`, in order; 0: none are left for now. */
uint32_t flight_take(struct flight *flight, const struct flight_plan *plan, uint64_t *refs,
                     uint32_t max);
/* Everything was given, as far as is known. */
bool flight_given(const struct flight *flight);
/* Give what failed once more, in order. */
void flight_repeat(struct flight *flight);
/* Give what was too large once more, in smaller lots; with nothing else of anybody under way. A
 * record that was refused alone is out: letters go again without payload, readings are refused and
 * become letters. */
void flight_bisect(struct flight *flight, const struct flight_plan *plan);
/* The same for a transaction that was aborted: it begins anew with flight_restart. */
void flight_suspect(struct flight *flight);
/* The batch and row of a reading or event; of a letter the place in batch->rejects. */
const struct batch *flight_row(const struct flight *flight, uint64_t ref, uint32_t *row);

#endif
