/* SPDX-License-Identifier: Apache-2.0
 *
 * Quality, its reasons, and where a time came from. The names stand in every store; the numbers
 * stand in the reading log (gateway/journal/FORMAT.md), so neither changes, and new ones are added
 * at the end.
 */
#ifndef TIDEGATE_MODEL_QUALITY_H
#define TIDEGATE_MODEL_QUALITY_H

#include <stdint.h>

#include "base/bytes.h"

enum quality { QUALITY_GOOD = 0, QUALITY_UNCERTAIN = 1, QUALITY_BAD = 2, QUALITY_COUNT };

enum time_source {
    TIME_DEVICE = 0,   /* the meter's own clock */
    TIME_PLATFORM = 1, /* a vendor platform's stamp */
    TIME_RECEIVED = 2, /* ours */
    TIME_SOURCE_COUNT
};

/* Reasons, as bits. The list of names in quality.c is in the same order. */
enum reading_flag {
    FLAG_CLOCK = 1 << 0,        /* the device time was not plausible; ts is the receive time */
    FLAG_UNIT_ASSUMED = 1 << 1, /* no unit was sent where one is usual */
    FLAG_UNIT_UNKNOWN = 1 << 2, /* a unit that cannot be converted; value and unit are as sent */
    FLAG_ROLLOVER = 1 << 3,     /* a counter passed its last digit */
    FLAG_RESET = 1 << 4,        /* a counter went back */
    FLAG_REVERSE = 1 << 5,      /* water ran backwards */
    FLAG_RANGE = 1 << 6,        /* outside what the metric or the number format can hold */
    FLAG_DEVICE_FAULT = 1 << 7, /* the device says that it or its sensor is faulty */
    FLAG_MAINTENANCE = 1 << 8,
    FLAG_LATE = 1 << 9,       /* older than the newest reading of this device and metric */
    FLAG_DUPLICATE = 1 << 10, /* the newest reading again: same time, same value */
    FLAG_ROUNDED = 1 << 11,   /* a conversion without finite result */
    FLAG_WITHDRAWN = 1 << 12, /* decoding again no longer yields this key */
    FLAG_METRIC_UNKNOWN = 1 << 13, /* a name outside the vocabulary */
    FLAG_BAD_FIELD = 1 << 14,      /* the field could not be read in a good frame (non-BCD ...) */
    FLAG_PRECISION = 1 << 15,      /* more than 15 digits: not exact as a double */
    FLAG_LENGTH = 1 << 16,         /* a vendor length of a known frame: only part was read */
};
enum { FLAG_COUNT = 17 };

const char *quality_name(enum quality quality);
const char *time_source_name(enum time_source source);
/* `index` 0..FLAG_COUNT-1. */
const char *flag_name(int index);
/* Names joined by commas, in the order of the bits, appended. */
void flags_format(uint32_t flags, struct buffer *out);

#endif
