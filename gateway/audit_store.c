/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit's window beside one store: which of what the sink confirmed it has, and why it lacks the rest.
 * Separate from audit.c, which knows nothing of stores but what cursors confirm.
 */
#include <stdlib.h>

#include "audit_state.h"

static bool is_refused(const struct audit *audit, uint64_t seq)
{
    const struct audit_refusal wanted = {seq, audit->store};
    return audit->fates[seq - audit->first_seq] & FATE_REFUSED &&
           bsearch(&wanted, audit->refusals, audit->refusal_count, sizeof wanted, audit_by_seq);
}

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
           !audit_is_parked(cursor, seq);
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
    if (!audit_holds(audit, seq) || !is_owed(audit, seq))
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
    struct audit_sink_counts *counts = &audit_row_of(audit, seq)->sinks[audit->store];
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
        audit_differ(audit, "misses", sink, seq, verdict.expected, stored + told);
    }
    if (verdict.extra)
        audit_differ(audit, "has what nobody sent", sink, seq, verdict.expected,
                     stored + verdict.extra);
    if (verdict.repeated && audit->rule.exact)
        audit_differ(audit, "has twice", sink, seq, verdict.expected,
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
            audit_row_of(audit, seq)->sinks[audit->store].absent[absent->reason] +=
                absent->readings;
            lost += absent->reason == ABSENT_LOST ? absent->readings : 0;
        }
        if (lost)
            audit_differ(audit, "misses", sink, seq, audit->absent[i].expected,
                         audit->absent[i].expected - lost);
    }
}

bool audit_store_looked_at(const struct audit *audit, size_t cursor)
{
    return audit->looked_at[cursor];
}
