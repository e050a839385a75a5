/* SPDX-License-Identifier: Apache-2.0
 *
 * Times as payloads write them: RFC 3339, epochs, and patterns such as yyyyMMddHHmmss. Exact
 * integers throughout. Any thread.
 */
#include "codecs/json/stamp.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/nearest.h"
#include "codecs/json/value.h"

/* Years 0 to 9999: what the text forms downstream can show. */
#define STAMP_MIN INT64_C(-62167219200000)
#define STAMP_MAX INT64_C(253402300799999)

enum { PATTERN_MAX = 64, TEXT_MAX = 128 };

static const char *const kind_names[] = {"auto",     "rfc3339",  "epoch_s", "epoch_ms",
                                         "epoch_us", "epoch_ns", NULL};

/* ---- epochs ---- */

/* value * 10^exponent, what is below the unit cut off towards the past. */
static bool scale_floor(struct decimal value, int exponent, int64_t *out)
{
    int64_t number = value.mantissa;
    for (; exponent > 0 && number != 0; exponent--)
        if (__builtin_mul_overflow(number, INT64_C(10), &number))
            return false;
    for (; exponent < 0 && number != 0 && number != -1; exponent++)
        number = number / 10 - (number % 10 < 0);
    *out = number;
    return true;
}

/* Seconds below 10^11 (the year 5138), milliseconds below 10^14, then micro- and nanoseconds. */
static enum json_stamp_kind unit_of(struct decimal value)
{
    struct decimal size = {value.mantissa < 0 ? -value.mantissa : value.mantissa, value.exponent};
    if (decimal_compare(size, (struct decimal){1, 11}) < 0)
        return JSON_STAMP_EPOCH_S;
    if (decimal_compare(size, (struct decimal){1, 14}) < 0)
        return JSON_STAMP_EPOCH_MS;
    return decimal_compare(size, (struct decimal){1, 17}) < 0 ? JSON_STAMP_EPOCH_US
                                                              : JSON_STAMP_EPOCH_NS;
}

/* Nanoseconds have 19 digits, one more than a decimal takes; the last are cut. */
static bool read_number(struct bytes text, struct decimal *out)
{
    size_t digits = 0;
    while (digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9')
        digits++;
    if (digits < text.size || digits <= 18 || digits > 24)
        return json_number_read(text, out) <= JSON_NUMBER_ROUNDED;
    if (!decimal_parse(bytes_of(text.data, 18), out))
        return false;
    out->exponent = (int8_t)(out->exponent + (int)(digits - 18));
    return true;
}

static bool read_epoch(enum json_stamp_kind kind, struct bytes text, struct json_stamp *out)
{
    struct decimal value;
    if (!read_number(text, &value))
        return false;
    if (kind == JSON_STAMP_AUTO)
        kind = unit_of(value);
    int exponent = kind == JSON_STAMP_EPOCH_S    ? 3
                   : kind == JSON_STAMP_EPOCH_MS ? 0
                   : kind == JSON_STAMP_EPOCH_US ? -3
                                                 : -6;
    out->time = READING_TIME_UTC;
    return scale_floor(value, exponent + value.exponent, &out->ms);
}

/* ---- patterns ---- */

struct fields {
    int year, month, day, hour, minute, second, ms;
    bool zoned;
    int zone_minutes;
};

/* A run of the same letter at the head of the pattern. */
static size_t run_length(const char *pattern)
{
    size_t size = 1;
    while (pattern[size] == pattern[0])
        size++;
    return size;
}

static bool take_number(struct bytes *text, size_t size, int *out)
{
    int number = 0;
    if (text->size < size)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text->data[i] < '0' || text->data[i] > '9')
            return false;
        number = number * 10 + (text->data[i] - '0');
    }
    *text = bytes_of(text->data + size, text->size - size);
    *out = number;
    return true;
}

/* Z, +08:00 or +0800. */
static bool take_zone(struct bytes *text, struct fields *fields)
{
    int hours, minutes;
    fields->zoned = true;
    if (text->size == 0)
        return false;
    uint8_t sign = text->data[0];
    *text = bytes_of(text->data + 1, text->size - 1);
    if (sign == 'Z' || sign == 'z')
        return true;
    if ((sign != '+' && sign != '-') || !take_number(text, 2, &hours))
        return false;
    if (text->size && text->data[0] == ':')
        *text = bytes_of(text->data + 1, text->size - 1);
    if (!take_number(text, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    fields->zone_minutes = (sign == '-' ? -1 : 1) * (hours * 60 + minutes);
    return true;
}

static bool take_literal(struct bytes *text, char literal)
{
    if (text->size == 0 || text->data[0] != (uint8_t)literal)
        return false;
    *text = bytes_of(text->data + 1, text->size - 1);
    return true;
}

/* Text between quotes in a pattern; '' is a quote itself. Returns what follows, null: no match. */
static const char *take_quoted(const char *pattern, struct bytes *text)
{
    pattern++;
    if (*pattern == '\'')
        return take_literal(text, '\'') ? pattern + 1 : NULL;
    for (; *pattern && *pattern != '\''; pattern++)
        if (!take_literal(text, *pattern))
            return NULL;
    return *pattern ? pattern + 1 : NULL;
}

/* The fraction of a second: S counts digits, what is finer than a millisecond is cut. */
static bool take_fraction(struct bytes *text, size_t size, int *ms)
{
    int digit;
    *ms = 0;
    for (size_t i = 0; i < size; i++) {
        if (!take_number(text, 1, &digit))
            return false;
        *ms += i == 0 ? digit * 100 : i == 1 ? digit * 10 : i == 2 ? digit : 0;
    }
    return true;
}

static bool take_field(char letter, size_t size, struct bytes *text, struct fields *fields)
{
    switch (letter) {
    case 'y':
        if (!take_number(text, size, &fields->year))
            return false;
        fields->year += size == 2 ? 2000 : 0;
        return true;
    case 'M': return take_number(text, size, &fields->month);
    case 'd': return take_number(text, size, &fields->day);
    case 'H': return take_number(text, size, &fields->hour);
    case 'm': return take_number(text, size, &fields->minute);
    case 's': return take_number(text, size, &fields->second);
    case 'S': return take_fraction(text, size, &fields->ms);
    case 'X': return take_zone(text, fields);
    default: return false;
    }
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool read_pattern(const char *pattern, struct bytes text, struct json_stamp *out)
{
    struct fields fields = {.year = 1970, .month = 1, .day = 1};
    while (pattern && *pattern) {
        if (*pattern == '\'') {
            pattern = take_quoted(pattern, &text);
        } else if (is_letter(*pattern)) {
            size_t size = run_length(pattern);
            pattern = take_field(*pattern, size, &text, &fields) ? pattern + size : NULL;
        } else {
            pattern = take_literal(&text, *pattern) ? pattern + 1 : NULL;
        }
    }
    if (pattern == NULL || text.size)
        return false;
    out->time = fields.zoned ? READING_TIME_UTC : READING_TIME_LOCAL;
    if (!clock_civil_ms(fields.year, fields.month, fields.day, fields.hour, fields.minute,
                        fields.second, fields.ms, &out->ms))
        return false;
    out->ms -= (int64_t)fields.zone_minutes * 60000;
    return true;
}

/* ---- the format ---- */

static bool letter_is_allowed(char letter, size_t size)
{
    switch (letter) {
    case 'y': return size == 4 || size == 2;
    case 'M':
    case 'd':
    case 'H':
    case 'm':
    case 's': return size == 2;
    case 'S': return size <= 9;
    case 'X': return size == 3;
    default: return false;
    }
}

/* Every run is known, quotes are closed, and a date is there. */
static int check_pattern(const char *text, struct err *err)
{
    bool year = false, month = false, day = false;
    if (strlen(text) > PATTERN_MAX)
        return err_set(err, GW_EINVAL, "a time pattern has at most %d characters", PATTERN_MAX);
    for (const char *at = text; *at;) {
        if (*at == '\'') {
            at = strchr(at + 1, '\'');
            if (at == NULL)
                return err_set(err, GW_EINVAL, "time pattern \"%s\": a quote is not closed", text);
            at++;
            continue;
        }
        size_t size = is_letter(*at) ? run_length(at) : 1;
        if (is_letter(*at) && !letter_is_allowed(*at, size))
            return err_set(err, GW_EINVAL,
                           "time pattern \"%s\": \"%.*s\" is none of yyyy yy MM dd HH mm ss SSS "
                           "XXX; put other letters in single quotes",
                           text, (int)size, at);
        year = year || *at == 'y';
        month = month || *at == 'M';
        day = day || *at == 'd';
        at += size;
    }
    if (!year || !month || !day)
        return err_set(err, GW_EINVAL, "time pattern \"%s\": year, month and day are needed", text);
    return 0;
}

int json_stamp_format_parse(struct json_stamp_format *format, const char *text, struct err *err)
{
    for (int i = 0; kind_names[i]; i++)
        if (strcmp(kind_names[i], text) == 0) {
            format->kind = (enum json_stamp_kind)i;
            return 0;
        }
    if (strstr(text, "yy") == NULL) {
        const char *nearest = nearest_name(kind_names, text);
        return err_set(err, GW_EINVAL,
                       "\"%s\" must be auto, rfc3339, epoch_s, epoch_ms, epoch_us, epoch_ns or a "
                       "pattern such as \"yyyy-MM-dd HH:mm:ss\"%s%s%s",
                       text, nearest ? ": did you mean \"" : "", nearest ? nearest : "",
                       nearest ? "\"?" : "");
    }
    if (check_pattern(text, err))
        return GW_EINVAL;
    free(format->pattern);
    format->pattern = mem_strdup(text);
    format->kind = JSON_STAMP_PATTERN;
    return 0;
}

void json_stamp_format_fini(struct json_stamp_format *format)
{
    free(format->pattern);
    zone_free(format->zone);
    *format = (struct json_stamp_format){0};
}

static bool read_rfc3339(struct bytes text, struct json_stamp *out)
{
    bool zoned;
    if (!clock_parse_rfc3339(text, &out->ms, &zoned))
        return false;
    out->time = zoned ? READING_TIME_UTC : READING_TIME_LOCAL;
    return true;
}

static bool read_text(const struct json_stamp_format *format, struct bytes text,
                      struct json_stamp *out)
{
    switch (format->kind) {
    case JSON_STAMP_AUTO: return read_epoch(JSON_STAMP_AUTO, text, out) || read_rfc3339(text, out);
    case JSON_STAMP_RFC3339: return read_rfc3339(text, out);
    case JSON_STAMP_PATTERN: return read_pattern(format->pattern, text, out);
    case JSON_STAMP_EPOCH_S:
    case JSON_STAMP_EPOCH_MS:
    case JSON_STAMP_EPOCH_US:
    case JSON_STAMP_EPOCH_NS: return read_epoch(format->kind, text, out);
    }
    return false;
}

bool json_stamp_read(const struct json_stamp_format *format, const struct json_node *node,
                     struct json_stamp *out)
{
    *out = (struct json_stamp){.time = READING_TIME_NONE};
    if (node == NULL || node->kind == JSON_NULL)
        return true;
    if ((node->kind != JSON_STRING && node->kind != JSON_NUMBER) || node->text.size > TEXT_MAX)
        return false;
    struct bytes text = json_trim(node->text);
    if (text.size == 0)
        return true;
    bool good = read_text(format, text, out);
    if (good && out->time == READING_TIME_LOCAL && format->zone && out->ms >= STAMP_MIN &&
        out->ms <= STAMP_MAX) {
        out->ms = zone_to_utc(format->zone, out->ms);
        out->time = READING_TIME_UTC;
    }
    good = good && out->ms >= STAMP_MIN && out->ms <= STAMP_MAX;
    if (!good)
        *out = (struct json_stamp){.time = READING_TIME_NONE};
    return good;
}
