/* SPDX-License-Identifier: Apache-2.0
 *
 * See audit.h. What is known of each message of the window stands in arrays by its number, so the order
 * in which stores hold their rows does not matter.
 */
#include "audit.h"

#include <stdlib.h>

#include "audit_key.h"

enum { DIFFERENCES_MAX = 1000, DAY_MS = 86400000, ABSENT_MAX = 1 << 20 };

enum fate {
    FATE_NONE,
    FATE_COVERED, /* a batch covers it and says nothing of it: right only when damage took it */
    FATE_READINGS,
    FATE_EMPTY,
    FATE_DEAD,
    FATE_HIDDEN,
    FATE_MASK = 0x0f,
    FATE_REFUSED = 0x10, /* bits beside */
    FATE_AGAIN = 0x20,
};

struct vendor {
    char *name;
    struct audit_row *days[AUDIT_DAYS_MAX]; /* from the first day on */
};

struct refusal {
    uint64_t seq;
    size_t cursor;
};

struct audit {
    const struct cursor_list *cursors;
    uint64_t first_seq, end_seq, decoded_to; /* of the window */
    uint64_t confirmed_to;                   /* by whichever sink is furthest */
    uint8_t *fates;
    uint16_t *vendor_of, *day_of;
    struct owed *owed;
    struct refusal *refusals;
    size_t refusal_count, refusal_capacity;

    size_t store; /* the cursor whose store is being compared */
    struct audit_rule rule;
    bool looked_at[AUDIT_SINKS_MAX];
    uint64_t first_found[AUDIT_SINKS_MAX]; /* the lowest number in its store; 0: none yet */
    bool began_later;
    struct audit_absent *absent;
    size_t absent_count;

    struct vendor *vendors;
    size_t vendor_count;
    int64_t first_day, last_day; /* last: of the message before */
    struct audit_difference differences[DIFFERENCES_MAX];
    size_t difference_count;
    uint64_t differences_more;
};

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
    audit->first_day = INT64_MIN;
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

static bool holds(const struct audit *audit, uint64_t seq)
{
    return seq >= audit->first_seq && seq < audit->end_seq;
}

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

/* The place of a day; days far off share the first and the last one. */
static uint16_t day_index(struct audit *audit, int64_t day)
{
    if (audit->first_day == INT64_MIN)
        audit->first_day = day;
    int64_t index = day - audit->first_day;
    return (uint16_t)(index < 0 ? 0 : index >= AUDIT_DAYS_MAX ? AUDIT_DAYS_MAX - 1 : index);
}

static struct audit_row *row_of(struct audit *audit, uint64_t seq)
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

static void differ(struct audit *audit, const char *what, const char *sink, uint64_t seq,
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

static void fate_set(struct audit *audit, uint64_t seq, enum fate fate)
{
    uint8_t *at = &audit->fates[seq - audit->first_seq];
    if (*at == FATE_COVERED)
        *at = (uint8_t)fate;
    else if (*at != FATE_READINGS || fate != FATE_READINGS)
        differ(audit, "has two fates", NULL, seq, 1, 2);
}

static void batch_cover(struct audit *audit, const struct batch *batch)
{
    for (uint64_t seq = batch->first_seq; seq <= batch->last_seq; seq++) {
        if (!holds(audit, seq))
            continue;
        if (audit->fates[seq - audit->first_seq] != FATE_NONE)
            differ(audit, "is in two batches", NULL, seq, 1, 2);
        audit->fates[seq - audit->first_seq] = FATE_COVERED;
    }
}

static void batch_readings(struct audit *audit, const struct batch *batch)
{
    uint32_t known = UINT32_MAX;
    uint16_t vendor = 0;
    for (uint32_t row = 0; row < batch->count; row++) {
        uint64_t seq = batch->seq[row];
        if (!holds(audit, seq))
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
        if (!holds(audit, reject->seq))
            continue;
        fate_set(audit, reject->seq, reject->stage == STAGE_EMPTY ? FATE_EMPTY : FATE_DEAD);
        audit->vendor_of[reject->seq - audit->first_seq] =
            vendor_index(audit, batch->strings[reject->vendor]);
    }
}

void audit_hidden(struct audit *audit, uint64_t first_seq, uint64_t count)
{
    for (uint64_t seq = first_seq; seq - first_seq < count; seq++)
        if (holds(audit, seq))
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
        if (!holds(audit, key.seq))
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
    if (!holds(audit, seq))
        return;
    if (audit->refusal_count == audit->refusal_capacity) {
        audit->refusal_capacity = audit->refusal_capacity ? 2 * audit->refusal_capacity : 256;
        audit->refusals =
            mem_realloc(audit->refusals, audit->refusal_capacity * sizeof *audit->refusals);
    }
    audit->fates[seq - audit->first_seq] |= FATE_REFUSED;
    audit->refusals[audit->refusal_count++] = (struct refusal){seq, cursor};
}

static int by_seq(const void *a, const void *b)
{
    const struct refusal *left = a, *right = b;
    if (left->seq != right->seq)
        return left->seq < right->seq ? -1 : 1;
    return (left->cursor > right->cursor) - (left->cursor < right->cursor);
}

static bool is_refused(const struct audit *audit, uint64_t seq)
{
    const struct refusal wanted = {seq, audit->store};
    return audit->fates[seq - audit->first_seq] & FATE_REFUSED &&
           bsearch(&wanted, audit->refusals, audit->refusal_count, sizeof wanted, by_seq);
}

void audit_sealed(struct audit *audit)
{
    owed_seal(audit->owed, (uint32_t)(audit->end_seq - audit->first_seq));
    if (audit->refusal_count)
        qsort(audit->refusals, audit->refusal_count, sizeof *audit->refusals, by_seq);
}

/* ---- sinks ---- */

static bool is_parked(const struct cursor_file *cursor, uint64_t seq)
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
        if (is_parked(cursor, seq))
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
    struct audit_row *row = row_of(audit, seq);
    uint32_t readings = owed_readings(audit->owed, (uint32_t)at);
    row->received++;
    switch ((enum fate)(audit->fates[at] & FATE_MASK)) {
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
        differ(audit, "was received and has no fate", NULL, seq, 1, 0);
    }
}

void audit_message(struct audit *audit, const struct message *message)
{
    if (!holds(audit, message->seq))
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
        if (!holds(audit, seq))
            continue;
        audit->day_of[seq - audit->first_seq] = day_index(audit, audit->last_day);
        fate_count(audit, seq, true);
    }
}

/* ---- a store ---- */

void audit_store_begin(struct audit *audit, size_t cursor, const struct audit_rule *rule)
{
    audit->store = cursor;
    audit->rule = *rule;
    audit->looked_at[cursor] = true;
    audit->began_later = false;
    owed_store_begin(audit->owed);
}

void audit_store_began_later(struct audit *audit)
{
    audit->began_later = true;
}

static void found_at(struct audit *audit, uint64_t seq)
{
    uint64_t *first = &audit->first_found[audit->store];
    if (*first == 0 || seq < *first)
        *first = seq;
}

/* Without a row in the last window, either, the store is empty, and that is a loss. */
static bool is_before_start(const struct audit *audit, uint64_t seq)
{
    uint64_t first = audit->first_found[audit->store];
    bool last = audit->cursors->files[audit->store].state.next_seq <= audit->end_seq;
    return audit->began_later && (first ? seq < first : !last);
}

/* What the sink confirmed and has to have. */
static bool is_owed(const struct audit *audit, uint64_t seq)
{
    const struct cursor_file *cursor = &audit->cursors->files[audit->store];
    uint8_t fate = audit->fates[seq - audit->first_seq] & FATE_MASK;
    return seq < cursor->state.next_seq && fate != FATE_HIDDEN && fate != FATE_NONE &&
           !is_parked(cursor, seq);
}

uint64_t audit_store_end(const struct audit *audit)
{
    uint64_t next = audit->cursors->files[audit->store].state.next_seq;
    return next < audit->first_seq ? audit->first_seq
           : next < audit->end_seq ? next
                                   : audit->end_seq;
}

void audit_store_row(struct audit *audit, uint64_t seq, const struct owed_row *row)
{
    if (!holds(audit, seq) || !is_owed(audit, seq))
        return;
    if (!row->replay)
        found_at(audit, seq);
    owed_found(audit->owed, (uint32_t)(seq - audit->first_seq), row);
}

bool audit_store_sum(const struct audit *audit, uint64_t first_seq, uint64_t count, uint64_t *rows,
                     uint64_t *sum)
{
    for (uint64_t seq = first_seq; seq - first_seq < count; seq++)
        if (!is_owed(audit, seq))
            return false;
    return audit->rule.one_a_key && owed_sum(audit->owed, (uint32_t)(first_seq - audit->first_seq),
                                             (uint32_t)count, rows, sum);
}

void audit_store_all(struct audit *audit, uint64_t first_seq, uint64_t count)
{
    for (uint64_t seq = first_seq; seq - first_seq < count; seq++)
        if (owed_readings(audit->owed, (uint32_t)(seq - audit->first_seq))) {
            found_at(audit, seq);
            break;
        }
    owed_found_all(audit->owed, (uint32_t)(first_seq - audit->first_seq), (uint32_t)count);
}

struct judging {
    struct audit *audit;
    uint64_t seq;
    enum absent_reason reason;
};

static void on_missing(void *arg, uint32_t hash, uint32_t readings)
{
    const struct judging *judging = arg;
    struct audit *audit = judging->audit;
    if (audit->absent_count == ABSENT_MAX)
        return;
    audit->absent[audit->absent_count++] = (struct audit_absent){
        .seq = judging->seq,
        .hash = hash,
        .readings = readings,
        .reason = judging->reason,
    };
}

static void message_judge(struct audit *audit, uint64_t seq)
{
    struct owed_verdict verdict;
    struct judging judging = {audit, seq, ABSENT_LOST};
    if (is_refused(audit, seq))
        judging.reason = ABSENT_REFUSED;
    else if (is_before_start(audit, seq))
        judging.reason = ABSENT_BEFORE;
    const char *sink = audit->cursors->files[audit->store].name;
    size_t before = audit->absent_count;
    owed_judge(audit->owed, (uint32_t)(seq - audit->first_seq), &audit->rule, &verdict, on_missing,
               &judging);
    struct audit_sink_counts *counts = &row_of(audit, seq)->sinks[audit->store];
    uint64_t stored = verdict.expected - verdict.missing, told = 0;
    counts->stored += stored;
    counts->extra += verdict.extra;
    counts->repeated += verdict.repeated;
    counts->older += verdict.older ? stored : 0;
    for (size_t i = before; i < audit->absent_count; i++) {
        audit->absent[i].expected = verdict.expected;
        told += audit->absent[i].readings;
    }
    if (told < verdict.missing) { /* beyond what is looked at one by one */
        counts->absent[ABSENT_LOST] += verdict.missing - told;
        differ(audit, "misses", sink, seq, verdict.expected, stored + told);
    }
    if (verdict.extra)
        differ(audit, "has what nobody sent", sink, seq, verdict.expected, stored + verdict.extra);
    if (verdict.repeated && audit->rule.exact)
        differ(audit, "has twice", sink, seq, verdict.expected,
               verdict.expected + verdict.repeated);
}

struct audit_absent *audit_store_judge(struct audit *audit, size_t *count)
{
    audit->absent_count = 0;
    owed_store_seal(audit->owed);
    for (uint64_t seq = audit->first_seq; seq < audit_store_end(audit); seq++)
        if (is_owed(audit, seq))
            message_judge(audit, seq);
    *count = audit->absent_count;
    return audit->absent;
}

void audit_store_finish(struct audit *audit)
{
    const char *sink = audit->cursors->files[audit->store].name;
    for (size_t i = 0, end; i < audit->absent_count; i = end) {
        uint64_t seq = audit->absent[i].seq, lost = 0;
        for (end = i; end < audit->absent_count && audit->absent[end].seq == seq; end++) {
            const struct audit_absent *absent = &audit->absent[end];
            row_of(audit, seq)->sinks[audit->store].absent[absent->reason] += absent->readings;
            lost += absent->reason == ABSENT_LOST ? absent->readings : 0;
        }
        if (lost)
            differ(audit, "misses", sink, seq, audit->absent[i].expected,
                   audit->absent[i].expected - lost);
    }
}

bool audit_store_looked_at(const struct audit *audit, size_t cursor)
{
    return audit->looked_at[cursor];
}

/* ---- telling ---- */

void audit_each(const struct audit *audit,
                void (*each)(void *arg, const char *vendor, int64_t day,
                             const struct audit_row *row),
                void *arg)
{
    for (size_t i = 0; i < audit->vendor_count; i++)
        for (int64_t day = 0; day < AUDIT_DAYS_MAX; day++)
            if (audit->vendors[i].days[day])
                each(arg, audit->vendors[i].name, audit->first_day + day,
                     audit->vendors[i].days[day]);
}

const struct audit_difference *audit_differences(const struct audit *audit, size_t *count,
                                                 uint64_t *more)
{
    *count = audit->difference_count;
    *more = audit->differences_more;
    return audit->differences;
}
