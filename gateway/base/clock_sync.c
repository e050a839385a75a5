/* SPDX-License-Identifier: Apache-2.0
 *
 * adjtimex(2) without a mode only reads, and needs no right.
 */
#include "base/clock_sync.h"

#include <sys/timex.h>

void clock_sync_read(struct clock_sync *out)
{
    struct timex timex = {.modes = 0};
    int state = adjtimex(&timex);
    *out = (struct clock_sync){.known = state >= 0};
    if (state < 0)
        return;
    out->synchronised = !(timex.status & STA_UNSYNC) && state != TIME_ERROR;
    out->offset_s = (double)timex.offset / (timex.status & STA_NANO ? 1e9 : 1e6);
    out->error_s = (double)timex.maxerror / 1e6;
}
