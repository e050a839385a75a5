/* SPDX-License-Identifier: Apache-2.0
 *
 * POSIX TZ strings (POSIX.1-2017, 8.3 "TZ"; RFC 8536, 3.3.1). Separate from zone.c: a grammar of
 * its own, from bytes that are not trusted. Any thread.
 */
#include "base/zone_rule.h"

#include "base/clock.h"

static uint8_t peek(const struct reader *in)
{
    return in->at < in->end ? *in->at : 0;
}

static bool take(struct reader *in, char wanted)
{
    if (peek(in) != (uint8_t)wanted)
        return false;
    in->at++;
    return true;
}

/* A number of one to three digits within least..most. */
static int number(struct reader *in, int least, int most)
{
    int value = 0;
    int count = 0;
    while (peek(in) >= '0' && peek(in) <= '9' && count < 3) {
        value = value * 10 + (*in->at++ - '0');
        count++;
    }
    if (count == 0 || value < least || value > most)
        in->failed = true;
    return value;
}

/* Three letters or more, or anything of letters, digits and signs in angle brackets. */
static void name(struct reader *in)
{
    bool bracket = take(in, '<');
    int count = 0;
    for (;; count++) {
        uint8_t c = peek(in);
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool inside = bracket && ((c >= '0' && c <= '9') || c == '+' || c == '-');
        if (!letter && !inside)
            break;
        in->at++;
    }
    if (count < 3 || (bracket && !take(in, '>')))
        in->failed = true;
}

/* [+-]hh[:mm[:ss]] in seconds. */
static int32_t duration(struct reader *in, int hours_max)
{
    bool negative = take(in, '-');
    if (!negative)
        take(in, '+');
    int32_t value = number(in, 0, hours_max) * 3600;
    if (take(in, ':')) {
        value += number(in, 0, 59) * 60;
        if (take(in, ':'))
            value += number(in, 0, 59);
    }
    return negative ? -value : value;
}

static struct zone_day day(struct reader *in)
{
    struct zone_day out = {.time_s = 2 * 3600};
    if (take(in, 'M')) {
        out.kind = ZONE_DAY_WEEKDAY;
        out.month = number(in, 1, 12);
        in->failed |= !take(in, '.');
        out.week = number(in, 1, 5);
        in->failed |= !take(in, '.');
        out.day = number(in, 0, 6);
    } else if (take(in, 'J')) {
        out.kind = ZONE_DAY_JULIAN;
        out.day = number(in, 1, 365);
    } else {
        out.kind = ZONE_DAY_ZERO_BASED;
        out.day = number(in, 0, 365);
    }
    if (take(in, '/'))
        out.time_s = duration(in, 167);
    return out;
}

bool zone_rule_parse(struct bytes text, struct zone_rule *out)
{
    struct reader in = reader_of(text);
    *out = (struct zone_rule){0};
    name(&in);
    /* POSIX counts west of Greenwich, everybody else east. */
    out->standard_s = -duration(&in, 24);
    if (reader_left(&in)) {
        out->has_dst = true;
        name(&in);
        out->dst_s = peek(&in) == ',' ? out->standard_s + 3600 : -duration(&in, 24);
        in.failed |= !take(&in, ',');
        out->start = day(&in);
        in.failed |= !take(&in, ',');
        out->end = day(&in);
    }
    return !in.failed && reader_left(&in) == 0;
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days since 1970 of the w-th weekday of a month; week 5 is the last there is. */
static int64_t weekday_of_month(const struct zone_day *day_of, int year)
{
    int64_t first = clock_days_from_civil(year, day_of->month, 1);
    int64_t next = day_of->month == 12 ? clock_days_from_civil(year + 1, 1, 1)
                                       : clock_days_from_civil(year, day_of->month + 1, 1);
    /* 1970-01-01 was a Thursday. */
    int weekday = (int)(((first + 4) % 7 + 7) % 7);
    int64_t at = first + (day_of->day - weekday + 7) % 7 + 7 * (day_of->week - 1);
    return at < next ? at : at - 7;
}

/* Local seconds since 1970 at which the change comes. */
static int64_t local_seconds(const struct zone_day *day_of, int year)
{
    int64_t days = 0;
    int64_t new_year = clock_days_from_civil(year, 1, 1);
    switch (day_of->kind) {
    case ZONE_DAY_JULIAN:
        days = new_year + day_of->day - 1 + (is_leap(year) && day_of->day >= 60);
        break;
    case ZONE_DAY_ZERO_BASED: days = new_year + day_of->day; break;
    case ZONE_DAY_WEEKDAY: days = weekday_of_month(day_of, year); break;
    }
    return days * 86400 + day_of->time_s;
}

void zone_rule_changes(const struct zone_rule *rule, int year, struct zone_change out[2])
{
    struct zone_change start = {local_seconds(&rule->start, year) - rule->standard_s, rule->dst_s};
    struct zone_change end = {local_seconds(&rule->end, year) - rule->dst_s, rule->standard_s};
    bool north = start.at_s < end.at_s;
    out[0] = north ? start : end;
    out[1] = north ? end : start;
}
