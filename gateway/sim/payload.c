/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON in the plain format of the embedded default; CJ/T 188-2004 replies to 901F with a preamble,
 * as collectors pass them on. Separate from the codecs, which must read this without having
 * written it. Pure.
 */
#include "sim/payload.h"

#include "base/clock.h"
#include "sim/random.h"

const char *payload_format_name(enum payload_format format)
{
    return format == PAYLOAD_JSON ? "json" : "cjt188";
}

/* ---- JSON ---- */

static void write_json(const struct meter_sample *sample, struct buffer *out, int64_t *ts_ms)
{
    char time[CLOCK_TEXT_SIZE];
    clock_format_ms(sample->ts_ms + METER_ZONE_MS, time);
    time[CLOCK_TEXT_SIZE - 2] = '\0'; /* without the Z: the zone follows */
    /* The usual fault: local time marked as UTC. */
    *ts_ms = sample->ts_ms + (sample->clock_skewed ? METER_ZONE_MS : 0);
    buffer_printf(out,
                  "{\"time\":\"%s%s\",\"volume.total\":%lld.%03d,\"flow\":%lld.%03d,"
                  "\"pressure\":{\"value\":0.%03d,\"unit\":\"MPa\"},\"temperature.water\":%d.%d,"
                  "\"battery.voltage\":%d.%02d,\"signal.rssi\":%d}",
                  time, sample->clock_skewed ? "Z" : "+08:00", (long long)(sample->litres / 1000),
                  (int)(sample->litres % 1000), (long long)(sample->flow_lph / 1000),
                  (int)(sample->flow_lph % 1000), sample->pressure_kpa % 1000,
                  sample->temperature_dc / 10, sample->temperature_dc % 10,
                  sample->battery_cv / 100, sample->battery_cv % 100, sample->rssi_dbm);
}

/* ---- CJ/T 188 ---- */

/* `size` bytes of binary coded decimal, low byte first. */
static void add_bcd(struct buffer *out, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++, value /= 100) {
        uint8_t pair = (uint8_t)(value % 100);
        uint8_t byte = (uint8_t)(pair / 10 << 4 | pair % 10);
        buffer_add(out, &byte, 1);
    }
}

/* ss mm HH DD MM YY CC */
static void add_clock(struct buffer *out, int64_t civil_ms)
{
    int year, month, day;
    clock_civil_from_days(civil_ms / 86400000, &year, &month, &day);
    int64_t second = civil_ms / 1000 % 86400;
    const int fields[] = {
        (int)(second % 60), (int)(second / 60 % 60), (int)(second / 3600), day, month, year % 100,
        year / 100};
    for (size_t i = 0; i < array_count(fields); i++)
        add_bcd(out, (uint64_t)fields[i], 1);
}

static void add_checksum(struct buffer *out, size_t from)
{
    uint8_t tail[2] = {0, 0x16};
    for (size_t i = from; i < out->size; i++)
        tail[0] = (uint8_t)(tail[0] + out->data[i]);
    buffer_add(out, tail, sizeof tail);
}

static void write_cjt188(const struct meter_sample *sample, struct buffer *out, int64_t *ts_ms)
{
    static const uint8_t head[] = {0xfe, 0xfe, 0xfe, 0x68, 0x10};
    static const uint8_t reply[] = {0x81, 0x16, 0x90, 0x1f, 0x00};
    static const uint8_t cubic_metres = 0x2c;
    size_t begin = out->size + 3;
    int64_t second_ms = sample->ts_ms / 1000 * 1000;
    /* The usual fault: a clock that runs in UTC where everybody expects local time. */
    *ts_ms = second_ms - (sample->clock_skewed ? METER_ZONE_MS : 0);
    buffer_add(out, head, sizeof head);
    add_bcd(out, sample->number, 7);
    buffer_add(out, reply, sizeof reply);
    add_bcd(out, (uint64_t)(sample->litres / 10), 4);
    buffer_add(out, &cubic_metres, 1);
    add_bcd(out, (uint64_t)(sample->settlement_litres / 10), 4);
    buffer_add(out, &cubic_metres, 1);
    add_clock(out, *ts_ms + METER_ZONE_MS);
    uint8_t status[2] = {sample->battery_low ? 0x04 : 0x00, 0x00};
    buffer_add(out, status, sizeof status);
    add_checksum(out, begin);
}

void payload_write(enum payload_format format, const struct meter_sample *sample,
                   struct buffer *out, int64_t *ts_ms)
{
    if (format == PAYLOAD_JSON)
        write_json(sample, out, ts_ms);
    else
        write_cjt188(sample, out, ts_ms);
}

/* ---- garbage ---- */

void payload_spoil(enum payload_format format, uint64_t *random, struct buffer *payload)
{
    switch (random_below(random, 3)) {
    case 0: /* cut in the middle */
        payload->size = 8 + random_below(random, payload->size - 10);
        break;
    case 1: /* noise; the frame's start byte and the object's brace are kept out */
        for (size_t i = 0; i < payload->size; i++)
            payload->data[i] = (uint8_t)(0x80 | (random_next(random) & 0x3f));
        break;
    default: /* one byte turned: the checksum, or the closing brace */
        payload->data[payload->size - (format == PAYLOAD_JSON ? 1 : 2)] ^= 0x55;
    }
}
