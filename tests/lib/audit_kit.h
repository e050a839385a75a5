/* SPDX-License-Identifier: Apache-2.0
 *
 * For tests of the audit: a window of 20 messages, and the cursor of one sink that has confirmed ten.
 */
#ifndef TIDEGATE_TESTS_AUDIT_KIT_H
#define TIDEGATE_TESTS_AUDIT_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "audit.h"
#include "audit_key.h"

static struct cursor_file file;
static struct cursor_list cursors;
static struct audit *audit;
static const int64_t noon_ms = INT64_C(1700000000000) / 86400000 * 86400000 + 43200000;

static inline int setup(void **state)
{
    (void)state;
    struct err err;
    file = (struct cursor_file){.name = (char *)(uintptr_t) "parquet", .readable = true};
    file.state.next_seq = 11;
    cursors = (struct cursor_list){.files = &file, .count = 1};
    assert_int_equal(audit_new(&cursors, &audit, &err), 0);
    audit_window(audit, 1, 21);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    audit_free(audit);
    return 0;
}

/* Numbers first..last; of each third one a dead letter, of the others two readings, but for `without`. */
static inline void batch_add(uint64_t first, uint64_t last, uint64_t without)
{
    struct batch_builder *builder = batch_builder_new();
    for (uint64_t seq = first; seq <= last; seq++) {
        struct batch_row row = {.vendor = bytes_text("acme"),
                                .device = bytes_text("1"),
                                .metric = bytes_text("flow"),
                                .seq = seq,
                                .received_ms = noon_ms};
        if (seq == without)
            continue;
        if (seq % 3 == 0) {
            batch_builder_reject(builder, seq, STAGE_DECODE, bytes_text("acme"), bytes_text("json"),
                                 1, bytes_text("bad_json"), bytes_text(""));
            continue;
        }
        batch_builder_add(builder, &row);
        row.metric = bytes_text("volume.total");
        batch_builder_add(builder, &row);
    }
    struct batch *batch = batch_builder_finish(builder);
    batch->first_seq = first;
    batch->last_seq = last;
    audit_batch(audit, batch);
    batch_release(batch);
    batch_builder_free(builder);
}

static inline void messages_add(uint64_t first, uint64_t last)
{
    audit_sealed(audit);
    for (uint64_t seq = first; seq <= last; seq++) {
        struct message message = {.seq = seq, .received_ms = noon_ms};
        audit_message(audit, &message);
    }
}

static inline void on_row(void *arg, const char *vendor, int64_t day, const struct audit_row *row)
{
    struct audit_row *sum = arg;
    (void)vendor;
    assert_int_equal(day, noon_ms / 86400000);
    sum->received += row->received;
    sum->decoded += row->decoded;
    sum->dead += row->dead;
    sum->quarantined += row->quarantined;
    sum->waiting += row->waiting;
    sum->hidden += row->hidden;
    sum->unaccounted += row->unaccounted;
    sum->readings += row->readings;
    sum->sinks[0].confirmed += row->sinks[0].confirmed;
    sum->sinks[0].parked += row->sinks[0].parked;
    sum->sinks[0].waiting += row->sinks[0].waiting;
    sum->sinks[0].stored += row->sinks[0].stored;
    for (int i = 0; i < ABSENT_REASONS; i++)
        sum->sinks[0].absent[i] += row->sinks[0].absent[i];
    sum->sinks[0].repeated += row->sinks[0].repeated;
    sum->sinks[0].older += row->sinks[0].older;
}

static inline struct audit_row sums(void)
{
    struct audit_row sum = {0};
    audit_each(audit, on_row, &sum);
    assert_int_equal(sum.received, sum.decoded + sum.empty + sum.dead + sum.quarantined +
                                       sum.waiting + sum.hidden + sum.unaccounted);
    return sum;
}

static inline const struct audit_difference *differences(size_t wanted)
{
    size_t count;
    uint64_t more;
    const struct audit_difference *found = audit_differences(audit, &count, &more);
    assert_int_equal(count, wanted);
    assert_int_equal(more, 0);
    return found;
}

#endif
