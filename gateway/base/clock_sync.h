/* SPDX-License-Identifier: Apache-2.0
 *
 * Does anybody keep this machine's clock right? What the kernel was told by chrony, ntpd or
 * systemd-timesyncd; no network. Separate from clock.h, which tells the time. Any thread.
 */
#ifndef TIDEGATE_BASE_CLOCK_SYNC_H
#define TIDEGATE_BASE_CLOCK_SYNC_H

#include <stdbool.h>

struct clock_sync {
    bool known;        /* the kernel could be asked */
    bool synchronised; /* adjtimex(2): not STA_UNSYNC */
    double offset_s;   /* that is still being corrected */
    double error_s;    /* at most so far from true time; grows while nobody corrects */
};
void clock_sync_read(struct clock_sync *out);

#endif
