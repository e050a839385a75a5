/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading -> row. Separate from the codecs, because what a unit, a time or a falling counter means
 * does not depend on the format; separate from decode.c, because it is pure. Decoder thread.
 *
 * The rules, in the order in which they are applied to a reading:
 *
 *   names    empty, too long, control characters, no UTF-8: the message is refused whole
 *   time     none: received. Implausible: received, flag clock, uncertain
 *   unit     none: canonical when the format says so, else flag unit_assumed, uncertain. Not
 *            convertible: value and unit as sent, flag unit_unknown, uncertain
 *   value    beyond 18 decimals: rounded there. Beyond int64: null, bad, flag range. At 10^15 and
 *            above: flag precision
 *   range    outside what the metric can be: flag range, uncertain
 *   history  against the newest reading of the series: late, duplicate, and for counters rollover
 *            or reset (reset is uncertain). The first reading has no history
 */
#include "normalise.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "model/unit.h"
#include "series.h"

struct normaliser {
    struct normaliser_options options;
    struct series_table *series;
};

struct normaliser *normaliser_new(const struct normaliser_options *options)
{
    struct normaliser *normaliser = mem_zalloc(sizeof *normaliser);
    normaliser->options = *options;
    normaliser->series = series_table_new(options->series_max);
    return normaliser;
}

void normaliser_free(struct normaliser *normaliser)
{
    if (normaliser == NULL)
        return;
    series_table_free(normaliser->series);
    free(normaliser);
}

void normaliser_set_options(struct normaliser *normaliser, const struct normaliser_options *options)
{
    normaliser->options = *options;
}

void normaliser_save(const struct normaliser *normaliser, struct buffer *out)
{
    series_table_save(normaliser->series, out);
}

int normaliser_load(struct normaliser *normaliser, struct bytes saved, struct err *err)
{
    return series_table_load(normaliser->series, saved, err);
}

uint64_t normaliser_series(const struct normaliser *normaliser)
{
    return series_table_count(normaliser->series);
}

/* ---- names ---- */

enum { NAME_SIZE_MAX = SERIES_PART_MAX };

/* Why a name cannot stand in a store, or null. */
static const char *name_fault(struct bytes name)
{
    if (name.size > NAME_SIZE_MAX)
        return "longer than 128 bytes";
    for (size_t i = 0; i < name.size;) {
        uint8_t byte = name.data[i];
        if (byte >= 0x20 && byte < 0x7f) {
            i++;
            continue;
        }
        /* C1 controls (U+0080 to U+009F) are C2 80 to C2 9F. */
        if (byte < 0x80 || (byte == 0xc2 && i + 1 < name.size && (name.data[i + 1] & 0xe0) == 0x80))
            return "not free of control characters";
        size_t size = utf8_size(name.data + i, name.size - i);
        if (size == 0)
            return "not valid UTF-8";
        i += size;
    }
    return NULL;
}

static bool name_is_good(const char *what, struct bytes name, bool may_be_empty,
                         const char **reason, char detail[200])
{
    const char *fault = name.size == 0 && !may_be_empty ? "empty" : name_fault(name);
    if (fault == NULL)
        return true;
    *reason = "bad_name";
    snprintf(detail, 200, "the %s is %s", what, fault);
    return false;
}

/* All names of a message, before anything is changed. The readings of a message mostly share their
 * device, so the same bytes are not looked at twice. */
static bool names_are_good(const struct normalise_context *context, const struct readings *readings,
                           const char **reason, char detail[200])
{
    struct bytes device = {0};
    if (!name_is_good("vendor", context->vendor, false, reason, detail))
        return false;
    for (size_t i = 0; i < readings->count; i++) {
        const struct reading *reading = &readings->items[i];
        bool same = reading->device.data == device.data && reading->device.size == device.size;
        if ((!same || i == 0) && !name_is_good("device", reading->device, false, reason, detail))
            return false;
        device = reading->device;
        if (!name_is_good("metric", reading->metric, false, reason, detail) ||
            !name_is_good("unit", reading->unit, true, reason, detail))
            return false;
    }
    return true;
}

/* ---- one reading ---- */

static void mark(struct batch_row *row, uint32_t flag, enum quality quality)
{
    row->flags |= flag;
    if (quality > row->quality)
        row->quality = quality;
}

static void apply_time(const struct normaliser *normaliser, const struct normalise_context *context,
                       const struct reading *reading, struct batch_row *row)
{
    row->ts_ms = context->received_ms;
    row->time_source = TIME_RECEIVED;
    if (reading->time == READING_TIME_NONE)
        return;
    /* The zone is asked only about times that a zone's offset could make plausible. */
    const int64_t day_ms = 86400000;
    int64_t earliest = context->received_ms - normaliser->options.late_max_ms;
    int64_t latest = context->received_ms + normaliser->options.ahead_max_ms;
    int64_t ts_ms = reading->ts_ms;
    if (reading->time == READING_TIME_LOCAL && context->zone && ts_ms >= earliest - 2 * day_ms &&
        ts_ms <= latest + 2 * day_ms)
        ts_ms = zone_to_utc(context->zone, ts_ms);
    if (ts_ms < earliest || ts_ms > latest) {
        mark(row, FLAG_CLOCK, QUALITY_UNCERTAIN);
        return;
    }
    row->ts_ms = ts_ms;
    row->time_source = reading->time_source;
}

/* The value in the metric's unit, or as sent with a flag. */
static void apply_unit(const struct metric *metric, const struct reading *reading,
                       struct batch_row *row, struct decimal *value)
{
    struct bytes canonical = bytes_text(metric->unit);
    row->unit = canonical;
    if (bytes_equal(reading->unit, canonical))
        return;
    if (reading->unit.size == 0) {
        if (!reading->unit_implied)
            mark(row, FLAG_UNIT_ASSUMED, QUALITY_UNCERTAIN);
        return;
    }
    bool rounded = false;
    struct decimal converted;
    switch (unit_convert(*value, reading->unit, canonical, &converted, &rounded)) {
    case UNIT_OK:
        *value = converted;
        if (rounded)
            mark(row, FLAG_ROUNDED, QUALITY_GOOD);
        return;
    case UNIT_UNKNOWN: mark(row, FLAG_UNIT_UNKNOWN, QUALITY_UNCERTAIN); break;
    case UNIT_OVERFLOW: mark(row, FLAG_RANGE, QUALITY_UNCERTAIN); break;
    }
    row->unit = reading->unit;
}

/* Fewer digits where trailing zeros allow it: only then is a double exact. */
static void apply_precision(struct batch_row *row)
{
    const int64_t exact_below = 1000000000000000;
    while ((row->unscaled >= exact_below || row->unscaled <= -exact_below) && row->scale > 0 &&
           row->unscaled % 10 == 0) {
        row->unscaled /= 10;
        row->scale--;
    }
    if (row->unscaled >= exact_below || row->unscaled <= -exact_below)
        mark(row, FLAG_PRECISION, QUALITY_GOOD);
}

static void apply_value(struct decimal value, struct batch_row *row)
{
    if (!decimal_to_scaled(value, &row->unscaled, &row->scale)) {
        bool rounded = false;
        if (value.exponent >= 0 ||
            !decimal_divide(value, (struct decimal){1, 0}, 18, &value, &rounded)) {
            row->has_value = false;
            mark(row, FLAG_RANGE, QUALITY_BAD);
            return;
        }
        mark(row, FLAG_ROUNDED, QUALITY_GOOD);
        decimal_to_scaled(value, &row->unscaled, &row->scale);
    }
    apply_precision(row);
}

/* The range is in the canonical unit; what was kept as sent is not compared with it. */
static void apply_range(const struct metric *metric, struct batch_row *row)
{
    if (!metric->has_range || !row->has_value || (row->flags & FLAG_UNIT_UNKNOWN))
        return;
    struct decimal value = {row->unscaled, (int8_t)-row->scale};
    if (decimal_compare(value, metric->min) < 0 || decimal_compare(value, metric->max) > 0)
        mark(row, FLAG_RANGE, QUALITY_UNCERTAIN);
}

/* ---- history ---- */

/* A counter fell from `old` to `now`. Meters roll over behind eight BCD digits or 32 bits, counted
 * in the last place they send; it was that when the way over the top is at most a hundredth of
 * the whole range. */
static bool rolled_over(const struct series *old, const struct batch_row *now)
{
    static const int64_t ranges[] = {100000000, 4294967296};
    int scale = old->scale;
    for (int i = 0; i < 2; i++) {
        struct decimal top = {ranges[i], (int8_t)-scale};
        struct decimal most = {ranges[i], (int8_t)(-scale - 2)};
        struct decimal fall = {-old->unscaled, (int8_t)-scale};
        struct decimal way;
        if (!decimal_add(top, fall, &way) || way.mantissa <= 0 ||
            !decimal_add(way, (struct decimal){now->unscaled, (int8_t)-now->scale}, &way))
            continue;
        if (now->unscaled >= 0 && decimal_compare(way, most) <= 0)
            return true;
    }
    return false;
}

static void compare_counter(const struct metric *metric, const struct series *old,
                            struct batch_row *row)
{
    struct decimal before = {old->unscaled, (int8_t)-old->scale};
    struct decimal now = {row->unscaled, (int8_t)-row->scale};
    int order = decimal_compare(now, before);
    if (order > 0 && strcmp(metric->name, "volume.reverse") == 0)
        mark(row, FLAG_REVERSE, QUALITY_GOOD);
    if (order >= 0)
        return;
    if (rolled_over(old, row))
        mark(row, FLAG_ROLLOVER, QUALITY_GOOD);
    else
        mark(row, FLAG_RESET, QUALITY_UNCERTAIN);
}

static bool same_value(const struct series *old, const struct batch_row *row)
{
    if (old->has_value != row->has_value)
        return false;
    struct decimal before = {old->unscaled, (int8_t)-old->scale};
    struct decimal now = {row->unscaled, (int8_t)-row->scale};
    return !row->has_value || decimal_compare(before, now) == 0;
}

/* Values that cannot be compared with later ones: bad, or kept in a unit of the sender's. */
static bool is_raw(const struct metric *metric, const struct batch_row *row)
{
    return row->quality == QUALITY_BAD || (metric && !bytes_equal_text(row->unit, metric->unit));
}

/* Compares with the newest reading of the series and becomes it, unless it is older. A null keeps
 * the value before it: it must not hide a reset. */
static void apply_history(struct normaliser *normaliser, struct series_key key,
                          const struct metric *metric, struct batch_row *row)
{
    bool fresh = false;
    bool raw = is_raw(metric, row);
    struct series *series = series_table_touch(normaliser->series, key, row->seq, &fresh);
    if (!fresh && row->ts_ms < series->ts_ms) {
        row->flags |= FLAG_LATE;
        return;
    }
    if (!fresh && row->ts_ms == series->ts_ms) {
        if (same_value(series, row))
            row->flags |= FLAG_DUPLICATE;
    } else if (!fresh && metric && metric->kind == METRIC_COUNTER && series->has_value &&
               row->has_value && !series->raw && !raw) {
        compare_counter(metric, series, row);
    }
    series->ts_ms = row->ts_ms;
    if (row->has_value) {
        series->has_value = true;
        series->raw = raw;
        series->unscaled = row->unscaled;
        series->scale = row->scale;
    }
}

static void normalise_one(struct normaliser *normaliser, const struct normalise_context *context,
                          const struct reading *reading, struct series_key key,
                          struct batch_builder *out)
{
    struct batch_row row = {
        .vendor = context->vendor,
        .device = reading->device,
        .metric = reading->metric,
        .unit = reading->unit,
        .has_value = reading->has_value,
        .quality = reading->quality,
        .flags = reading->flags,
        .seq = context->seq,
        .received_ms = context->received_ms,
    };
    const struct metric *metric = vocabulary_find(normaliser->options.vocabulary, reading->metric);
    struct decimal value = reading->has_value ? reading->value : (struct decimal){0, 0};
    apply_time(normaliser, context, reading, &row);
    if (metric)
        apply_unit(metric, reading, &row, &value);
    else
        mark(&row, FLAG_METRIC_UNKNOWN, QUALITY_GOOD);
    if (row.has_value)
        apply_value(value, &row);
    if (metric)
        apply_range(metric, &row);
    if (metric && row.has_value && row.unscaled < 0 && strcmp(metric->name, "flow") == 0)
        mark(&row, FLAG_REVERSE, QUALITY_GOOD);
    apply_history(normaliser, key, metric, &row);
    batch_builder_add(out, &row);
}

/* A slice of the readings: names to keys first, so that the memory of all of them is on its way
 * while the first is worked on. A third of the time of a reading went into that wait. */
enum { SLICE = 16 };

static void normalise_slice(struct normaliser *normaliser, const struct normalise_context *context,
                            const struct reading *readings, size_t count, struct batch_builder *out)
{
    struct series_key keys[SLICE];
    for (size_t i = 0; i < count; i++) {
        keys[i] = series_key_of(context->vendor, readings[i].device, readings[i].metric);
        series_table_expect(normaliser->series, keys[i]);
    }
    for (size_t i = 0; i < count; i++)
        series_table_expect_soon(normaliser->series, keys[i]);
    for (size_t i = 0; i < count; i++)
        normalise_one(normaliser, context, &readings[i], keys[i], out);
}

int normalise(struct normaliser *normaliser, const struct normalise_context *context,
              const struct readings *readings, struct batch_builder *out, const char **reason,
              char detail[200])
{
    if (!names_are_good(context, readings, reason, detail))
        return -1;
    for (size_t i = 0; i < readings->count; i += SLICE) {
        size_t left = readings->count - i;
        normalise_slice(normaliser, context, &readings->items[i], left < SLICE ? left : SLICE, out);
    }
    return (int)readings->count;
}
