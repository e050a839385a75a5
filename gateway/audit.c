/* SPDX-License-Identifier: Apache-2.0
 *
 * See audit.h; stores are in audit_store.c. What is known of each message of the window stands in arrays by its number, so the order
 * in which stores hold their rows does not matter.
 */
#include "audit.h"

#include <stdlib.h>

#include "audit_key.h"
#include "audit_state.h"

enum { DAY_MS = 86400000 };

int audit_new(const struct cursor_list *cursors, struct audit **out, struct err *err)
{
    if (cursors->count > AUDIT_SINKS_MAX)
        return err_set(err, GW_ELIMIT, "more than %d cursors", AUDIT_SINKS_MAX);
    struct audit *audit = mem_zalloc(sizeof *audit);
    audit->cursors = cursors;
    for (size_t i = 0; i < cursors->count; i++)
        if (cursors->files[i].state.next_seq > audit->confirmed_to)
            audit->confirmed_to = cursors->files[i].state.next_seq;
    audit->owed = owed_new();
    audit->absent = mem_alloc(ABSENT_MAX * sizeof *audit->absent);
    audit->vendors = mem_zalloc(AUDIT_VENDORS_MAX * sizeof *audit->vendors);
    audit->vendors[0].name = mem_strdup("");
    audit->vendor_count = 1;
    *out = audit;
    return 0;
}

static void window_free(struct audit *audit)
{
    free(audit->fates);
    free(audit->vendor_of);
    free(audit->day_of);
}

void audit_free(struct audit *audit)
{
    if (audit == NULL)
        return;
    for (size_t i = 0; i < audit->vendor_count; i++) {
        for (size_t day = 0; day < AUDIT_DAYS_MAX; day++)
            free(audit->vendors[i].days[day]);
        free(audit->vendors[i].name);
    }
    free(audit->vendors);
    window_free(audit);
    owed_free(audit->owed);
    free(audit->refusals);
    free(audit->absent);
    free(audit);
}

/* ---- the window ---- */

void audit_window(struct audit *audit, uint64_t first_seq, uint64_t end_seq)
{
    size_t count = end_seq - first_seq;
    gw_assert(count <= AUDIT_WINDOW_MAX);
    window_free(audit);
    audit->first_seq = first_seq;
    audit->end_seq = audit->decoded_to = end_seq;
    audit->fates = mem_zalloc(count + 1);
    audit->vendor_of = mem_zalloc((count + 1) * sizeof *audit->vendor_of);
    audit->day_of = mem_zalloc((count + 1) * sizeof *audit->day_of);
    audit->refusal_count = 0;
    owed_begin(audit->owed);
}

size_t audit_bytes(const struct audit *audit)
{
    return owed_bytes(audit->owed);
}

void audit_cut(struct audit *audit, uint64_t end_seq)
{
    gw_assert(end_seq > audit->first_seq && end_seq <= audit->end_seq);
    audit->end_seq = end_seq;
}

uint64_t audit_first(const struct audit *audit)
{
    return audit->first_seq;
}

uint64_t audit_end(const struct audit *audit)
{
    return audit->end_seq;
}

/* ---- places ---- */

/* Vendors beyond the limit are counted without a name. */
static uint16_t vendor_index(struct audit *audit, struct bytes name)
{
    for (size_t i = 0; i < audit->vendor_count; i++)
        if (bytes_equal_text(name, audit->vendors[i].name))
            return (uint16_t)i;
    if (audit->vendor_count == AUDIT_VENDORS_MAX)
        return 0;
    audit->vendors[audit->vendor_count].name = bytes_strdup(name);
    return (uint16_t)audit->vendor_count++;
}

/* The place of a day; clocks go wrong, so they may be far apart. Beyond the limit they share the last. */
static uint16_t day_index(struct audit *audit, int64_t day)
{
    for (size_t i = audit->day_count; i > 0; i--)
        if (audit->days[i - 1] == day)
            return (uint16_t)(i - 1);
    if (audit->day_count == AUDIT_DAYS_MAX)
        return AUDIT_DAYS_MAX - 1;
    audit->days[audit->day_count] = day;
    return (uint16_t)audit->day_count++;
}

struct audit_row *audit_row_of(struct audit *audit, uint64_t seq)
{
    uint64_t at = seq - audit->first_seq;
    struct audit_row **row = &audit->vendors[audit->vendor_of[at]].days[audit->day_of[at]];
    if (*row == NULL)
        *row = mem_zalloc(sizeof **row);
    return *row;
}

static int64_t day_of(int64_t ms)
{
    return ms / DAY_MS - (ms % DAY_MS < 0);
}

/* Nothing of a store can differ between them: dead letters and the like. */
static bool adjoins(const struct audit *audit, const struct audit_difference *last, uint64_t seq)
{
    uint64_t next = last->last_seq + 1;
    if (last->sink && next >= audit->first_seq)
        while (next < seq && owed_readings(audit->owed, (uint32_t)(next - audit->first_seq)) == 0)
            next++;
    return next == seq;
}

void audit_differ(struct audit *audit, const char *what, const char *sink, uint64_t seq,
                  uint64_t expected, uint64_t found)
{
    struct audit_difference *last =
        audit->difference_count ? &audit->differences[audit->difference_count - 1] : NULL;
    if (last && last->what == what && last->sink == sink && adjoins(audit, last, seq)) {
        last->last_seq = seq;
        last->expected += expected;
        last->found += found;
    } else if (audit->difference_count == DIFFERENCES_MAX) {
        audit->differences_more++;
    } else {
        audit->differences[audit->difference_count++] =
            (struct audit_difference){what, sink, seq, seq, expected, found};
    }
}

/* ---- the reading log ---- */

static void fate_set(struct audit *audit, uint64_t seq, enum audit_fate fate)
{
    uint8_t *at = &audit->fates[seq - audit->first_seq];
    if (*at == FATE_COVERED)
        *at = (uint8_t)fate;
    else if (*at != FATE_READINGS || fate != FATE_READINGS)
        audit_differ(audit, "has two fates", NULL, seq, 1, 2);
}

static void batch_cover(struct audit *audit, const struct batch *batch)
{
    for (uint64_t seq = batch->first_seq; seq <= batch->last_seq; seq++) {
        if (!audit_holds(audit, seq))
            continue;
        if (audit->fates[seq - audit->first_seq] != FATE_NONE)
            audit_differ(audit, "is in two batches", NULL, seq, 1, 2);
        audit->fates[seq - audit->first_seq] = FATE_COVERED;
    }
}

static void batch_readings(struct audit *audit, const struct batch *batch)
{
    uint32_t known = UINT32_MAX;
    uint16_t vendor = 0;
    for (uint32_t row = 0; row < batch->count; row++) {
        uint64_t seq = batch->seq[row];
        if (!audit_holds(audit, seq))
            continue;
        if (batch->vendor[row] != known) {
            known = batch->vendor[row];
            vendor = vendor_index(audit, batch->strings[known]);
        }
        fate_set(audit, seq, FATE_READINGS);
        audit->vendor_of[seq - audit->first_seq] = vendor;
        const struct audit_key key = audit_key_of(batch, row);
        owed_add(audit->owed, (uint32_t)(seq - audit->first_seq), (uint32_t)audit_key_hash(&key));
    }
}

void audit_batch(struct audit *audit, const struct batch *batch)
{
    batch_cover(audit, batch);
    batch_readings(audit, batch);
    for (uint32_t i = 0; i < batch->reject_count; i++) {
        const struct reject *reject = &batch->rejects[i];
        if (!audit_holds(audit, reject->seq))
            continue;
        fate_set(audit, reject->seq, reject->stage == STAGE_EMPTY ? FATE_EMPTY : FATE_DEAD);
        audit->vendor_of[reject->seq - audit->first_seq] =
            vendor_index(audit, batch->strings[reject->vendor]);
    }
}

void audit_hidden(struct audit *audit, uint64_t first_seq, uint64_t count)
{
    for (uint64_t seq = first_seq; seq - first_seq < count; seq++)
        if (audit_holds(audit, seq))
            audit->fates[seq - audit->first_seq] = FATE_HIDDEN;
}

void audit_decoded_to(struct audit *audit, uint64_t next_seq)
{
    audit->decoded_to = next_seq;
}

uint64_t audit_again(struct audit *audit, const struct batch *batch)
{
    uint64_t more = 0;
    for (uint32_t row = 0; row < batch->count; row++) {
        const struct audit_key key = audit_key_of(batch, row);
        if (!audit_holds(audit, key.seq))
            continue;
        uint64_t at = key.seq - audit->first_seq;
        more += !(audit->fates[at] & FATE_AGAIN);
        audit->fates[at] |= FATE_AGAIN;
        owed_add_again(audit->owed, (uint32_t)at, batch->generation, (uint32_t)audit_key_hash(&key),
                       batch->flags[row] & FLAG_WITHDRAWN);
    }
    return more;
}

void audit_refused(struct audit *audit, uint64_t seq, size_t cursor)
{
    if (!audit_holds(audit, seq))
        return;
    if (audit->refusal_count == audit->refusal_capacity) {
        audit->refusal_capacity = audit->refusal_capacity ? 2 * audit->refusal_capacity : 256;
        audit->refusals =
            mem_realloc(audit->refusals, audit->refusal_capacity * sizeof *audit->refusals);
    }
    audit->fates[seq - audit->first_seq] |= FATE_REFUSED;
    audit->refusals[audit->refusal_count++] = (struct audit_refusal){seq, cursor};
}

void audit_received_about(struct audit *audit, int64_t received_ms)
{
    if (audit->day_count == 0)
        audit->last_day = day_of(received_ms);
}

int audit_by_seq(const void *a, const void *b)
{
    const struct audit_refusal *left = a, *right = b;
    if (left->seq != right->seq)
        return left->seq < right->seq ? -1 : 1;
    return (left->cursor > right->cursor) - (left->cursor < right->cursor);
}

void audit_sealed(struct audit *audit)
{
    owed_seal(audit->owed, (uint32_t)(audit->end_seq - audit->first_seq));
    if (audit->refusal_count)
        qsort(audit->refusals, audit->refusal_count, sizeof *audit->refusals, audit_by_seq);
}

/* ---- sinks ---- */

bool audit_is_parked(const struct cursor_file *cursor, uint64_t seq)
{
    for (size_t i = 0; i < cursor->missed_count; i++)
        if (seq >= cursor->missed[i].first_seq && seq <= cursor->missed[i].last_seq)
            return true;
    return false;
}

static void sinks_count(const struct audit *audit, struct audit_row *row, uint64_t seq,
                        uint64_t readings)
{
    for (size_t i = 0; i < audit->cursors->count; i++) {
        const struct cursor_file *cursor = &audit->cursors->files[i];
        if (audit_is_parked(cursor, seq))
            row->sinks[i].parked += readings;
        else if (seq < cursor->state.next_seq)
            row->sinks[i].confirmed += readings;
        else
            row->sinks[i].waiting += readings;
    }
}

/* ---- the raw log ---- */

static void fate_count(struct audit *audit, uint64_t seq, bool lost)
{
    uint64_t at = seq - audit->first_seq;
    struct audit_row *row = audit_row_of(audit, seq);
    uint32_t readings = owed_readings(audit->owed, (uint32_t)at);
    row->received++;
    switch ((enum audit_fate)(audit->fates[at] & FATE_MASK)) {
    case FATE_READINGS:
        row->decoded++;
        row->readings += readings;
        sinks_count(audit, row, seq, readings);
        return;
    case FATE_EMPTY: row->empty++; return;
    case FATE_DEAD: row->dead++; return;
    case FATE_HIDDEN: row->hidden++; return;
    default: break;
    }
    if (lost) {
        row->quarantined++;
    } else if (seq >= audit->decoded_to && seq < audit->confirmed_to) {
        row->hidden++; /* it was decoded, or no sink had it: the end of the reading log is gone */
    } else if (seq >= audit->decoded_to) {
        row->waiting++;
    } else {
        row->unaccounted++;
        audit_differ(audit, "was received and has no fate", NULL, seq, 1, 0);
    }
}

void audit_message(struct audit *audit, const struct message *message)
{
    if (!audit_holds(audit, message->seq))
        return;
    uint64_t at = message->seq - audit->first_seq;
    if (audit->vendor_of[at] == 0) /* not decoded yet, or no route: the login may tell */
        audit->vendor_of[at] = vendor_index(audit, message->vendor);
    audit->last_day = day_of(message->received_ms);
    audit->day_of[at] = day_index(audit, audit->last_day);
    fate_count(audit, message->seq, false);
}

void audit_lost(struct audit *audit, uint64_t first_seq, uint64_t count)
{
    for (uint64_t seq = first_seq; seq - first_seq < count; seq++) {
        if (!audit_holds(audit, seq))
            continue;
        audit->day_of[seq - audit->first_seq] = day_index(audit, audit->last_day);
        fate_count(audit, seq, true);
    }
}

/* ---- telling ---- */

struct day_place {
    int64_t day;
    size_t index;
};

static int by_day(const void *a, const void *b)
{
    const struct day_place *left = a, *right = b;
    return (left->day > right->day) - (left->day < right->day);
}

void audit_each(const struct audit *audit,
                void (*each)(void *arg, const char *vendor, int64_t day,
                             const struct audit_row *row),
                void *arg)
{
    struct day_place *places = mem_alloc((audit->day_count + 1) * sizeof *places);
    for (size_t i = 0; i < audit->day_count; i++)
        places[i] = (struct day_place){audit->days[i], i};
    qsort(places, audit->day_count, sizeof *places, by_day);
    for (size_t i = 0; i < audit->vendor_count; i++)
        for (size_t at = 0; at < audit->day_count; at++)
            if (audit->vendors[i].days[places[at].index])
                each(arg, audit->vendors[i].name, places[at].day,
                     audit->vendors[i].days[places[at].index]);
    free(places);
}

const struct audit_difference *audit_differences(const struct audit *audit, size_t *count,
                                                 uint64_t *more)
{
    *count = audit->difference_count;
    *more = audit->differences_more;
    return audit->differences;
}
