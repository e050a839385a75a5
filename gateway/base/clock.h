/* SPDX-License-Identifier: Apache-2.0
 *
 * Time. Deadlines use the monotonic clock; receive times use the wall clock. A `ms` without other
 * words is UTC milliseconds since 1970. Any thread.
 */
#ifndef TIDEGATE_BASE_CLOCK_H
#define TIDEGATE_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

int64_t clock_wall_ms(void);
int64_t clock_monotonic_ns(void);

static inline int64_t clock_monotonic_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}

/* Civil date to days since 1970-01-01 and back (proleptic Gregorian; year -9999..9999). */
int64_t clock_days_from_civil(int year, int month, int day);
void clock_civil_from_days(int64_t days, int *year, int *month, int *day);
/* Milliseconds of a civil date and time taken as UTC; false when a field is out of range. A second
 * of 60 (leap second) is taken as 59.999. */
bool clock_civil_ms(int year, int month, int day, int hour, int minute, int second, int ms,
                    int64_t *out);

/* RFC 3339 text in UTC with milliseconds: 2026-11-21T08:00:00.000Z, 24 characters and a NUL.
 * Times outside the years 0..9999 are clamped. */
enum { CLOCK_TEXT_SIZE = 25 };
const char *clock_format_ms(int64_t ms, char out[CLOCK_TEXT_SIZE]);

/* RFC 3339 (date, `T`, `t` or one space, time, optional fraction, optional zone). *zoned tells
 * whether a zone was there; without one *ms is the civil time taken as UTC. The whole of `in` must
 * be used. More fraction digits than three are cut. */
bool clock_parse_rfc3339(struct bytes in, int64_t *ms, bool *zoned);

#endif
