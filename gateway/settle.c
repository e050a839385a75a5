/* SPDX-License-Identifier: Apache-2.0
 *
 * The newest mark moves on until it is a part of settle_ms behind the one before; only then a new
 * one is begun. So there are at most SETTLE_PARTS and a few within settle_ms. One thread.
 */
#include "settle.h"

#include <string.h>

void settle_init(struct settle *settle, int64_t after_ms)
{
    *settle = (struct settle){.after_ms = after_ms};
}

void settle_confirmed(struct settle *settle, uint64_t seq, int64_t now_ms)
{
    uint32_t last = settle->count - 1;
    bool close = settle->count >= 2 && settle->marks[last].at_ms - settle->marks[last - 1].at_ms <
                                           settle->after_ms / SETTLE_PARTS;
    if (!close && settle->count < SETTLE_MARKS_MAX)
        last = settle->count++;
    settle->marks[last].at_ms = now_ms;
    settle->marks[last].seq = seq;
}

uint64_t settle_reached(struct settle *settle, int64_t now_ms)
{
    uint32_t old = 0;
    while (old < settle->count && now_ms - settle->marks[old].at_ms >= settle->after_ms)
        old++;
    if (old == 0)
        return 0;
    uint64_t seq = settle->marks[old - 1].seq;
    settle->count -= old;
    memmove(settle->marks, settle->marks + old, settle->count * sizeof settle->marks[0]);
    return seq;
}

void settle_forget(struct settle *settle)
{
    settle->count = 0;
}
