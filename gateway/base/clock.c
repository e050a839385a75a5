/* SPDX-License-Identifier: Apache-2.0
 *
 * Clocks, civil dates and RFC 3339. Pure but for the two readings of the clock. Any thread.
 */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

int64_t clock_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Both directions count in eras of 400 years that begin on 1 March, so the leap day comes last. */
int64_t clock_days_from_civil(int year, int month, int day)
{
    int64_t shifted = month <= 2 ? (int64_t)year - 1 : year;
    int64_t era = (shifted >= 0 ? shifted : shifted - 399) / 400;
    int64_t of_era = shifted - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    return era * 146097 + day_of_era - 719468;
}

void clock_civil_from_days(int64_t days, int *year, int *month, int *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * shifted_month + 2) / 5 + 1);
    *month = (int)(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2));
}

static int days_in_month(int year, int month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

bool clock_civil_ms(int year, int month, int day, int hour, int minute, int second, int ms,
                    int64_t *out)
{
    if (year < -9999 || year > 9999 || month < 1 || month > 12 || day < 1 ||
        day > days_in_month(year, month) || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
        second < 0 || second > 60 || ms < 0 || ms > 999)
        return false;
    if (second == 60) {
        second = 59;
        ms = 999;
    }
    int64_t seconds = clock_days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 +
                      second;
    *out = seconds * 1000 + ms;
    return true;
}

const char *clock_format_ms(int64_t ms, char out[CLOCK_TEXT_SIZE])
{
    const int64_t first = -62167219200000; /* 0000-01-01 */
    const int64_t last = 253402300799999;  /* 9999-12-31T23:59:59.999 */
    ms = ms < first ? first : ms > last ? last : ms;
    int64_t days = ms >= 0 ? ms / 86400000 : (ms - 86399999) / 86400000;
    int in_day = (int)(ms - days * 86400000);
    int year, month, day;
    clock_civil_from_days(days, &year, &month, &day);
    char text[96]; /* the compiler counts with every int being huge */
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", year, month, day,
             in_day / 3600000, in_day / 60000 % 60, in_day / 1000 % 60, in_day % 1000);
    memcpy(out, text, CLOCK_TEXT_SIZE - 1);
    out[CLOCK_TEXT_SIZE - 1] = '\0';
    return out;
}

/* Exactly `count` decimal digits, or the reader fails. */
static int digits(struct reader *in, int count)
{
    int value = 0;
    for (int i = 0; i < count; i++) {
        uint8_t byte = reader_u8(in);
        if (byte < '0' || byte > '9')
            in->failed = true;
        value = value * 10 + (byte - '0');
    }
    return in->failed ? 0 : value;
}

static void expect(struct reader *in, char wanted)
{
    if (reader_u8(in) != (uint8_t)wanted)
        in->failed = true;
}

static int fraction_ms(struct reader *in)
{
    int ms = 0;
    int count = 0;
    while (in->at < in->end && *in->at >= '0' && *in->at <= '9') {
        if (count < 3)
            ms = ms * 10 + (*in->at - '0');
        in->at++;
        count++;
    }
    if (count == 0)
        in->failed = true;
    for (; count < 3; count++)
        ms *= 10;
    return ms;
}

/* Z, z, +HH:MM, -HH:MM, +HHMM or +HH; minutes east of UTC. */
static int zone_minutes(struct reader *in)
{
    uint8_t sign = reader_u8(in);
    if (sign == 'Z' || sign == 'z')
        return 0;
    if (sign != '+' && sign != '-') {
        in->failed = true;
        return 0;
    }
    int hours = digits(in, 2);
    int minutes = 0;
    if (reader_left(in)) {
        if (*in->at == ':')
            in->at++;
        minutes = digits(in, 2);
    }
    if (hours > 23 || minutes > 59)
        in->failed = true;
    return (sign == '-' ? -1 : 1) * (hours * 60 + minutes);
}

bool clock_parse_rfc3339(struct bytes text, int64_t *ms, bool *zoned)
{
    struct reader in = reader_of(text);
    int year = digits(&in, 4);
    expect(&in, '-');
    int month = digits(&in, 2);
    expect(&in, '-');
    int day = digits(&in, 2);
    uint8_t separator = reader_u8(&in);
    if (separator != 'T' && separator != 't' && separator != ' ')
        in.failed = true;
    int hour = digits(&in, 2);
    expect(&in, ':');
    int minute = digits(&in, 2);
    expect(&in, ':');
    int second = digits(&in, 2);
    int fraction = 0;
    if (!in.failed && in.at < in.end && (*in.at == '.' || *in.at == ',')) {
        in.at++;
        fraction = fraction_ms(&in);
    }
    *zoned = !in.failed && reader_left(&in) > 0;
    int minutes = *zoned ? zone_minutes(&in) : 0;
    if (in.failed || reader_left(&in) ||
        !clock_civil_ms(year, month, day, hour, minute, second, fraction, ms))
        return false;
    *ms -= (int64_t)minutes * 60000;
    return true;
}
