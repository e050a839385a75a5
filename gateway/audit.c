/* SPDX-License-Identifier: Apache-2.0
 *
 * See audit.h. What is known of each message stands in arrays by its number, so the order in which
 * stores hold their rows does not matter.
 */
#include "audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIFFERENCES_MAX = 1000, DAY_MS = 86400000, MESSAGES_MAX = 1 << 28 };

enum fate {
    FATE_NONE,
    FATE_COVERED, /* a batch covers it and says nothing of it: right only when damage took it */
    FATE_READINGS,
    FATE_EMPTY,
    FATE_DEAD,
    FATE_HIDDEN,
    FATE_MASK = 0x0f,
    FATE_EXCUSED = 0x10, /* a bit beside */
};

struct vendor {
    char *name;
    struct audit_row *days[AUDIT_DAYS_MAX]; /* from the first day on */
};

struct audit {
    uint64_t first_seq, end_seq, decoded_to;
    const struct cursor_list *cursors;
    uint8_t *fates;
    uint16_t *vendor_of, *readings, *found;
    size_t store; /* the cursor whose store is being compared */
    bool looked_at[AUDIT_SINKS_MAX];
    struct vendor *vendors;
    size_t vendor_count;
    int64_t first_day, last_day; /* last: of the message before */
    struct audit_difference differences[DIFFERENCES_MAX];
    size_t difference_count;
    uint64_t differences_more;
};

int audit_new(uint64_t first_seq, uint64_t end_seq, const struct cursor_list *cursors,
              struct audit **out, struct err *err)
{
    uint64_t count = end_seq - first_seq;
    if (count > MESSAGES_MAX)
        return err_set(err, GW_ELIMIT,
                       "%" PRIu64 " messages are too many for one audit: take fewer --days", count);
    if (cursors->count > AUDIT_SINKS_MAX)
        return err_set(err, GW_ELIMIT, "more than %d cursors", AUDIT_SINKS_MAX);
    struct audit *audit = mem_zalloc(sizeof *audit);
    audit->first_seq = first_seq;
    audit->end_seq = audit->decoded_to = end_seq;
    audit->cursors = cursors;
    audit->fates = mem_zalloc(count + 1);
    audit->vendor_of = mem_zalloc((count + 1) * sizeof *audit->vendor_of);
    audit->readings = mem_zalloc((count + 1) * sizeof *audit->readings);
    audit->found = mem_zalloc((count + 1) * sizeof *audit->found);
    audit->vendors = mem_zalloc(AUDIT_VENDORS_MAX * sizeof *audit->vendors);
    audit->vendors[0].name = mem_strdup("");
    audit->vendor_count = 1;
    audit->first_day = INT64_MIN;
    *out = audit;
    return 0;
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
    free(audit->fates);
    free(audit->vendor_of);
    free(audit->readings);
    free(audit->found);
    free(audit);
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

static struct audit_row *row_at(struct audit *audit, uint16_t vendor, int64_t day)
{
    if (audit->first_day == INT64_MIN)
        audit->first_day = day;
    int64_t index = day - audit->first_day;
    index = index < 0 ? 0 : index >= AUDIT_DAYS_MAX ? AUDIT_DAYS_MAX - 1 : index;
    struct audit_row **row = &audit->vendors[vendor].days[index];
    if (*row == NULL)
        *row = mem_zalloc(sizeof **row);
    return *row;
}

static int64_t day_of(int64_t ms)
{
    return ms / DAY_MS - (ms % DAY_MS < 0);
}

static void differ(struct audit *audit, const char *what, const char *sink, uint64_t seq,
                   uint64_t expected, uint64_t found)
{
    struct audit_difference *last =
        audit->difference_count ? &audit->differences[audit->difference_count - 1] : NULL;
    if (last && last->what == what && last->sink == sink && last->last_seq + 1 == seq &&
        (last->found > last->expected) == (found > expected)) {
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
        if (audit->readings[seq - audit->first_seq] < UINT16_MAX)
            audit->readings[seq - audit->first_seq]++;
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

void audit_excuse(struct audit *audit, uint64_t first_seq, uint64_t last_seq)
{
    uint64_t from = first_seq > audit->first_seq ? first_seq : audit->first_seq;
    for (uint64_t seq = from; seq <= last_seq && seq < audit->end_seq; seq++)
        audit->fates[seq - audit->first_seq] |= FATE_EXCUSED;
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

static void fate_count(struct audit *audit, struct audit_row *row, uint64_t seq, bool lost)
{
    uint64_t at = seq - audit->first_seq;
    row->received++;
    switch ((enum fate)(audit->fates[at] & FATE_MASK)) {
    case FATE_READINGS:
        row->decoded++;
        row->readings += audit->readings[at];
        sinks_count(audit, row, seq, audit->readings[at]);
        return;
    case FATE_EMPTY: row->empty++; return;
    case FATE_DEAD: row->dead++; return;
    case FATE_HIDDEN: row->hidden++; return;
    default: break;
    }
    if (lost) {
        row->quarantined++;
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
    fate_count(audit, row_at(audit, audit->vendor_of[at], audit->last_day), message->seq, false);
}

void audit_lost(struct audit *audit, uint64_t first_seq, uint64_t count)
{
    for (uint64_t seq = first_seq; seq - first_seq < count; seq++)
        if (holds(audit, seq))
            fate_count(audit,
                       row_at(audit, audit->vendor_of[seq - audit->first_seq], audit->last_day),
                       seq, true);
}

/* ---- a store ---- */

void audit_store_begin(struct audit *audit, size_t cursor)
{
    audit->store = cursor;
    audit->looked_at[cursor] = true;
    memset(audit->found, 0, (audit->end_seq - audit->first_seq) * sizeof *audit->found);
}

/* What the sink confirmed and has to have as the reading log has it. */
static bool is_owed(const struct audit *audit, uint64_t seq)
{
    const struct cursor_file *cursor = &audit->cursors->files[audit->store];
    uint8_t fate = audit->fates[seq - audit->first_seq];
    return seq < cursor->state.next_seq && (fate & FATE_MASK) != FATE_HIDDEN &&
           !(fate & FATE_EXCUSED) && !is_parked(cursor, seq);
}

void audit_store_row(struct audit *audit, uint64_t seq, struct bytes vendor, int64_t received_ms)
{
    if (!holds(audit, seq) || !is_owed(audit, seq))
        return;
    if (audit->found[seq - audit->first_seq] < UINT16_MAX)
        audit->found[seq - audit->first_seq]++;
    struct audit_row *row = row_at(audit, vendor_index(audit, vendor), day_of(received_ms));
    row->sinks[audit->store].stored++;
}

void audit_store_compare(struct audit *audit)
{
    const char *sink = audit->cursors->files[audit->store].name;
    for (uint64_t seq = audit->first_seq; seq < audit->end_seq; seq++) {
        uint64_t at = seq - audit->first_seq;
        if (is_owed(audit, seq) && audit->found[at] != audit->readings[at])
            differ(audit, "differs in the store", sink, seq, audit->readings[at], audit->found[at]);
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
