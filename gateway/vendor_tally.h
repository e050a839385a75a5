/* SPDX-License-Identifier: Apache-2.0
 *
 * What came of each vendor's messages since start: readings by quality and flag, dead letters by
 * stage, and the newest reading. The listener counts by login (sources/mqtt/vendor.h); this counts by
 * the vendor that the route gave, and so also what came from brokers, captures and topics.
 *
 * Names may come from topics, so their number has a limit: those of the configuration always have a
 * place, further ones until VENDOR_TALLY_MAX, the rest count together. Any thread; one lock, taken
 * once a batch.
 */
#ifndef TIDEGATE_VENDOR_TALLY_H
#define TIDEGATE_VENDOR_TALLY_H

#include "config/config.h"
#include "model/batch.h"

enum { VENDOR_TALLY_MAX = 1000 };

struct vendor_tally_row {
    struct bytes name; /* "" when neither route nor login told one; lives as long as the tally */
    uint64_t messages; /* decoded, with or without readings */
    uint64_t readings[QUALITY_COUNT], flagged[FLAG_COUNT], dead[STAGE_COUNT];
    int64_t last_ms; /* receive time of its newest message with a reading; at first, our start */
    bool others;     /* all that found no place */
};

struct vendor_tally;
struct vendor_tally *vendor_tally_new(int64_t now_ms);
void vendor_tally_free(struct vendor_tally *tally); /* accepts null */
/* Every vendor that the configuration names, by vendor or route, is there from now on. */
void vendor_tally_configure(struct vendor_tally *tally, const struct config *config);
void vendor_tally_add(struct vendor_tally *tally, const struct batch *batch);
/* In the order in which they came; `each` must not call the tally. */
void vendor_tally_each(struct vendor_tally *tally,
                       void (*each)(void *arg, const struct vendor_tally_row *row), void *arg);

#endif
