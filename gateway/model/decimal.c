/* SPDX-License-Identifier: Apache-2.0
 *
 * Exact decimals. Separate from reading.c because every layer above counts with them: codecs read
 * them from text and BCD, the normaliser converts them, the stores write them. Any thread.
 *
 * 128-bit integers hold what two 64-bit mantissas can make; whatever does not come back into 64
 * bits exactly is an overflow and is told, never rounded in silence. Nothing here depends on the
 * locale: text is read digit by digit, and strtod only sees text without a decimal point or text
 * that printf has just made in the same locale.
 */
#include "model/decimal.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef __int128 wide;
typedef unsigned __int128 uwide;

enum { POWER_MAX = 19 };
static const uint64_t powers[POWER_MAX + 1] = {
    1ULL,
    10ULL,
    100ULL,
    1000ULL,
    10000ULL,
    100000ULL,
    1000000ULL,
    10000000ULL,
    100000000ULL,
    1000000000ULL,
    10000000000ULL,
    100000000000ULL,
    1000000000000ULL,
    10000000000000ULL,
    100000000000000ULL,
    1000000000000000ULL,
    10000000000000000ULL,
    100000000000000000ULL,
    1000000000000000000ULL,
    10000000000000000000ULL,
};

static uint64_t magnitude(int64_t value)
{
    return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

/* The exact value as a decimal, or false. Zeros move between mantissa and exponent only as far as
 * they must, so "12.50" times 1 stays 1250e-2. */
static bool fit(wide mantissa, int exponent, struct decimal *out)
{
    if (mantissa == 0) {
        int clamped = exponent < INT8_MIN ? INT8_MIN : exponent > INT8_MAX ? INT8_MAX : exponent;
        *out = (struct decimal){0, (int8_t)clamped};
        return true;
    }
    while ((mantissa > INT64_MAX || mantissa < INT64_MIN || exponent < INT8_MIN)) {
        if (mantissa % 10 != 0)
            return false;
        mantissa /= 10;
        exponent++;
    }
    while (exponent > INT8_MAX) {
        if (mantissa > INT64_MAX / 10 || mantissa < INT64_MIN / 10)
            return false;
        mantissa *= 10;
        exponent--;
    }
    *out = (struct decimal){(int64_t)mantissa, (int8_t)exponent};
    return true;
}

/* ---- text ---- */

struct scan {
    const uint8_t *at;
    const uint8_t *end;
    uint64_t mantissa; /* below 10^18 */
    int taken;         /* digits that stand in the mantissa, leading zeros too */
    int dropped;       /* zeros behind 18 digits */
    bool lost;         /* a digit that is no zero stood there */
};

static void scan_digits(struct scan *scan)
{
    while (scan->at < scan->end) {
        unsigned digit = (unsigned)*scan->at - '0';
        if (digit > 9)
            return;
        scan->at++;
        if (scan->mantissa < powers[17]) {
            scan->mantissa = scan->mantissa * 10 + digit;
            scan->taken++;
        } else {
            scan->dropped++;
            scan->lost |= digit != 0;
        }
    }
}

/* The number behind 'e', clamped far outside what fits; false when there is no digit. */
static bool scan_exponent(struct scan *scan, int *out)
{
    bool negative = false;
    if (scan->at < scan->end && (*scan->at == '-' || *scan->at == '+'))
        negative = *scan->at++ == '-';
    const uint8_t *first = scan->at;
    int value = 0;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9') {
        if (value < 1000000)
            value = value * 10 + (*scan->at - '0');
        scan->at++;
    }
    *out = negative ? -value : value;
    return scan->at > first;
}

bool decimal_parse(struct bytes text, struct decimal *out)
{
    struct scan scan = {.at = text.data, .end = text.data + text.size};
    if (text.size == 0 || text.size > INT32_MAX / 2)
        return false;
    bool negative = false;
    if (*scan.at == '-' || *scan.at == '+')
        negative = *scan.at++ == '-';
    scan_digits(&scan);
    int digits = scan.taken + scan.dropped;
    int exponent = scan.dropped;
    if (scan.at < scan.end && *scan.at == '.') {
        scan.at++;
        int before = scan.taken;
        int dropped = scan.dropped;
        scan_digits(&scan);
        exponent -= scan.taken - before;
        digits += scan.taken - before + scan.dropped - dropped;
    }
    if (digits == 0 || scan.lost)
        return false;
    if (scan.at < scan.end && (*scan.at == 'e' || *scan.at == 'E')) {
        scan.at++;
        int more = 0;
        if (!scan_exponent(&scan, &more))
            return false;
        exponent += more;
    }
    if (scan.at != scan.end)
        return false;
    int64_t mantissa = negative ? -(int64_t)scan.mantissa : (int64_t)scan.mantissa;
    if (exponent >= INT8_MIN && exponent <= INT8_MAX) {
        *out = (struct decimal){mantissa, (int8_t)exponent};
        return true;
    }
    return exponent < INT8_MIN || mantissa == 0 ? fit(mantissa, exponent, out) : false;
}

const char *decimal_format(struct decimal in, char out[DECIMAL_TEXT_SIZE])
{
    char digits[24];
    int count = snprintf(digits, sizeof digits, "%llu", (unsigned long long)magnitude(in.mantissa));
    int exponent = in.mantissa == 0 && in.exponent > 0 ? 0 : in.exponent;
    char *at = out;
    if (in.mantissa < 0)
        *at++ = '-';
    if (count + exponent <= 0) {
        /* Only a fraction: zeros up to the first digit. */
        *at++ = '0';
        *at++ = '.';
        for (int i = count + exponent; i < 0; i++)
            *at++ = '0';
        memcpy(at, digits, (size_t)count);
        at += count;
    } else {
        int whole = exponent < 0 ? count + exponent : count;
        memcpy(at, digits, (size_t)whole);
        at += whole;
        for (int i = 0; i < exponent; i++)
            *at++ = '0';
        if (exponent < 0) {
            *at++ = '.';
            memcpy(at, digits + whole, (size_t)(count - whole));
            at += count - whole;
        }
    }
    *at = '\0';
    return out;
}

/* ---- binary floating point ---- */

/* "d.ddde-dd" with whatever decimal point the locale has: the mantissa is the digits before the
 * 'e', and the point stands behind the first of them. */
static bool from_scientific(const char *text, struct decimal *out)
{
    bool negative = *text == '-';
    int64_t mantissa = 0;
    int digits = 0;
    const char *at = text;
    for (; *at && *at != 'e'; at++) {
        if (*at >= '0' && *at <= '9') {
            mantissa = mantissa * 10 + (*at - '0');
            digits++;
        }
    }
    int exponent = (int)strtol(at + 1, NULL, 10) - (digits - 1);
    while (mantissa && mantissa % 10 == 0) {
        mantissa /= 10;
        exponent++;
    }
    return fit(negative ? -mantissa : mantissa, exponent, out);
}

/* A decimal of at most 15 digits that reads back as `value` is the only one of that length, so it
 * is the shortest. m / 10^k is correctly rounded when both are exact doubles: what strtod gives. */
static bool short_double(double value, struct decimal *out)
{
    for (int decimals = 0; decimals <= 9; decimals++) {
        double power = (double)powers[decimals];
        double scaled = value * power;
        if (!(fabs(scaled) < 1e15))
            return false;
        double whole = nearbyint(scaled);
        if (whole / power == value) {
            *out = (struct decimal){(int64_t)whole, (int8_t)-decimals};
            return true;
        }
    }
    return false;
}

bool decimal_from_double(double value, struct decimal *out)
{
    if (!isfinite(value))
        return false;
    struct decimal short_one;
    if (short_double(value, &short_one)) {
        *out = short_one.exponent == 0 ? decimal_trim(short_one) : short_one;
        return true;
    }
    char text[40];
    for (int precision = 14; precision <= 16; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, value);
        if (precision == 16 || strtod(text, NULL) == value)
            break;
    }
    return from_scientific(text, out);
}

bool decimal_from_float(float value, struct decimal *out)
{
    if (!isfinite(value))
        return false;
    char text[40];
    /* Six digits are always told apart, but for the smallest floats, which have fewer. */
    int least = fabsf(value) < FLT_MIN ? 0 : 5;
    for (int precision = least; precision <= 8; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, (double)value);
        if (precision == 8 || strtof(text, NULL) == value)
            break;
    }
    return from_scientific(text, out);
}

double decimal_to_double(struct decimal in)
{
    /* Both exact, so one correctly rounded operation. */
    if (magnitude(in.mantissa) <= 1ULL << 53) {
        if (in.exponent >= -POWER_MAX && in.exponent <= 0)
            return (double)in.mantissa / (double)powers[-in.exponent];
        if (in.exponent > 0 && in.exponent <= POWER_MAX)
            return (double)in.mantissa * (double)powers[in.exponent];
    }
    char text[40];
    snprintf(text, sizeof text, "%llde%d", (long long)in.mantissa, in.exponent);
    return strtod(text, NULL);
}

/* ---- arithmetic ---- */

struct decimal decimal_trim(struct decimal in)
{
    if (in.mantissa == 0)
        return (struct decimal){0, 0};
    while (in.mantissa % 10 == 0 && in.exponent < INT8_MAX) {
        in.mantissa /= 10;
        in.exponent++;
    }
    return in;
}

bool decimal_multiply(struct decimal a, struct decimal b, struct decimal *out)
{
    return fit((wide)a.mantissa * b.mantissa, a.exponent + b.exponent, out);
}

bool decimal_add(struct decimal a, struct decimal b, struct decimal *out)
{
    if (a.exponent < b.exponent) {
        struct decimal swap = a;
        a = b;
        b = swap;
    }
    if (a.mantissa == 0 || b.mantissa == 0) {
        *out = a.mantissa == 0 ? b : a;
        return true;
    }
    int shift = a.exponent - b.exponent;
    int exponent = b.exponent;
    while (shift > POWER_MAX && b.mantissa % 10 == 0) {
        b.mantissa /= 10;
        exponent++;
        shift--;
    }
    /* Further apart than that, the sum has more digits than any mantissa. */
    if (shift > POWER_MAX)
        return false;
    return fit((wide)a.mantissa * (wide)powers[shift] + b.mantissa, exponent, out);
}

/* A quotient of non-negative numbers with what was left of it. */
struct quotient {
    uwide whole;
    uwide rest;
    uwide divisor;
};

/* a * 10^shift / b, digit by digit where the numerator would pass 128 bits. False when the result
 * cannot come back into 64 bits. */
static bool long_divide(uint64_t a, uint64_t b, int shift, struct quotient *out)
{
    if (shift < -POWER_MAX) {
        *out = (struct quotient){0, a ? 1 : 0, 4}; /* far below one half */
        return true;
    }
    if (shift < 0) {
        uwide divisor = (uwide)b * powers[-shift];
        *out = (struct quotient){a / divisor, a % divisor, divisor};
        return true;
    }
    int first = shift > POWER_MAX ? POWER_MAX : shift;
    uwide numerator = (uwide)a * powers[first];
    *out = (struct quotient){numerator / b, numerator % b, b};
    for (int i = first; i < shift && (out->whole || out->rest); i++) {
        uwide rest = out->rest * 10;
        out->whole = out->whole * 10 + rest / b;
        out->rest = rest % b;
        if (out->whole > INT64_MAX)
            return false;
    }
    return out->whole <= INT64_MAX;
}

bool decimal_divide(struct decimal a, struct decimal b, int decimals, struct decimal *out,
                    bool *rounded)
{
    *rounded = false;
    if (b.mantissa == 0 || decimals < 0 || decimals > 18)
        return false;
    bool negative = (a.mantissa < 0) != (b.mantissa < 0);
    struct quotient quotient;
    if (!long_divide(magnitude(a.mantissa), magnitude(b.mantissa),
                     a.exponent - b.exponent + decimals, &quotient))
        return false;
    *rounded = quotient.rest != 0;
    uwide twice = quotient.rest * 2;
    if (twice > quotient.divisor || (twice == quotient.divisor && (quotient.whole & 1)))
        quotient.whole++;
    if (quotient.whole > INT64_MAX)
        return false;
    int64_t mantissa = (int64_t)quotient.whole;
    *out = (struct decimal){negative ? -mantissa : mantissa, (int8_t)-decimals};
    return true;
}

int decimal_compare(struct decimal a, struct decimal b)
{
    int sign_a = (a.mantissa > 0) - (a.mantissa < 0);
    int sign_b = (b.mantissa > 0) - (b.mantissa < 0);
    if (sign_a != sign_b)
        return sign_a < sign_b ? -1 : 1;
    if (sign_a == 0)
        return 0;
    int shift = a.exponent - b.exponent;
    if (shift > POWER_MAX || shift < -POWER_MAX)
        return shift > 0 ? sign_a : -sign_a;
    wide left = a.mantissa;
    wide right = b.mantissa;
    if (shift > 0)
        left *= (wide)powers[shift];
    else
        right *= (wide)powers[-shift];
    return (left > right) - (left < right);
}

bool decimal_to_scaled(struct decimal in, int64_t *unscaled, uint8_t *scale)
{
    if (in.mantissa == 0 && in.exponent > 0)
        in.exponent = 0;
    while (in.exponent < -18 && in.mantissa % 10 == 0) {
        if (in.mantissa == 0) {
            in.exponent = -18;
            break;
        }
        in.mantissa /= 10;
        in.exponent++;
    }
    if (in.exponent < -18 || in.exponent > 18)
        return false;
    if (in.exponent > 0) {
        wide whole = (wide)in.mantissa * (wide)powers[in.exponent];
        if (whole > INT64_MAX || whole < INT64_MIN)
            return false;
        in = (struct decimal){(int64_t)whole, 0};
    }
    *unscaled = in.mantissa;
    *scale = (uint8_t)-in.exponent;
    return true;
}
