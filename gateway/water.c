/* SPDX-License-Identifier: Apache-2.0
 *
 * See water.h. The logs count bytes on disk, compressed; the sources count what they take in. What
 * the faster growing log has grown since start, for each byte taken in, translates one to the other.
 */
#include "water.h"

#include "parts.h"

enum {
    TELLING_BYTES = 256 << 10, /* with fewer taken in the proportion says nothing */
    PROPORTION_MAX = 20,       /* of bytes taken in and on disk, both ways */
};

static double disk_bytes_each(const struct gateway *gateway)
{
    double taken = (double)rawlog_stats(gateway->rawlog)->message_bytes;
    double written = 0;
    for (int i = 0; i < OUTLOOK_LOGS; i++) {
        const struct outlook_tail *tail = &gateway->outlook.tails[i];
        double grown = (double)(tail->written - tail->begun);
        written = grown > written ? grown : written;
    }
    if (taken < TELLING_BYTES || written <= 0)
        return 1;
    double each = written / taken;
    return each < 1.0 / PROPORTION_MAX ? 1.0 / PROPORTION_MAX
           : each > PROPORTION_MAX     ? PROPORTION_MAX
                                       : each;
}

void water_run(struct gateway *gateway)
{
    const struct config_journal *limits = &gateway->config_started->journal;
    struct vendor_water water = {
        .next_seq = journal_next_seq(rawlog_journal(gateway->rawlog)),
        .needed_seq = gateway->retention.held_seq,
        .capacity = (uint64_t)((double)limits->max_bytes / disk_bytes_each(gateway)),
    };
    vendor_table_mark(&gateway->vendors, &water);
}
