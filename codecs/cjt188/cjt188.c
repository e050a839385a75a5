/* SPDX-License-Identifier: Apache-2.0
 *
 * CJ/T 188: frames -> readings. README.md has the layout, the decisions and the sources. Pure; any
 * thread.
 *
 * A payload may hold several frames and noise around them. Frames that say nothing to be read
 * (requests, address and parameter replies) give no reading. A frame that cannot be read refuses
 * the payload only when no other frame in it gave anything.
 */
#include "codecs/cjt188/cjt188.h"

#include "codecs/cjt188/frame.h"
#include "codecs/cjt188/options.h"

enum {
    CONTROL_REPLY = 0x80,
    CONTROL_ABNORMAL = 0x40,
    CONTROL_READ_REPLY = 0x81,

    CURRENT_SIZE = 0x16, /* L of a water or gas reply to 901F */
    CURRENT_SIZE_MIN = 3 + 5,
    FREEZE_SIZE = 0x1a, /* L of a reply to D3xx and D4xx (2018) */
    DATA_HEAD = 3,      /* DI, SER */
    VOLUME_SIZE = 5,    /* four BCD bytes and the unit */
};

/* What one payload is being decoded into. */
struct decoding {
    const struct cjt188_options *options;
    const struct codec_input *in;
    struct readings *out;
    struct codec_why *why;
    struct bytes device;       /* of the frame at hand */
    struct cjt188_frame first; /* the first frame that could not be read, */
    const char *unread;        /* and why; null: there was none */
    bool full;
};

/* ---- data identifiers ---- */

enum di_kind {
    DI_CURRENT,    /* 901F */
    DI_FREEZE,     /* D3xx, D4xx: a stored moment */
    DI_NOT_READ,   /* measurements this codec does not read */
    DI_NO_READING, /* parameters and commands */
    DI_UNKNOWN,
};

static enum di_kind di_kind(uint8_t high, uint8_t low)
{
    uint16_t di = (uint16_t)(high << 8 | low);
    if (di == 0x901f)
        return DI_CURRENT;
    if (high == 0xd3 || high == 0xd4)
        return DI_FREEZE;
    if ((di >= 0x903f && di <= 0x906f && low % 16 == 15) || di == 0x911f ||
        (di >= 0xd120 && di <= 0xd12b) || high == 0xd2)
        return DI_NOT_READ;
    if ((di >= 0x8102 && di <= 0x8106) || di == 0x810a || di == 0x907f ||
        (di >= 0xa010 && di <= 0xa019) || (di >= 0xa101 && di <= 0xa107))
        return DI_NO_READING;
    return DI_UNKNOWN;
}

/* The editions of 2004 and 2018 send the two bytes in opposite order, and meters mix them. Only a
 * freeze 208 to 213 periods back (D2D3 and the like) reads in both; there the order as sent wins. */
static enum di_kind di_of(struct bytes data)
{
    enum di_kind kind = di_kind(data.data[0], data.data[1]);
    return kind != DI_UNKNOWN ? kind : di_kind(data.data[1], data.data[0]);
}

/* ---- units ---- */

/* Each code stands for times one, the next two for times ten and a hundred. */
static const struct unit_code {
    uint8_t code;
    uint8_t count; /* of the three */
    bool litre;
    const char *name;
} unit_codes[] = {
    {0x01, 1, false, "J"},    {0x02, 3, false, "Wh"},   {0x05, 3, false, "kWh"},
    {0x08, 3, false, "MWh"},  {0x0b, 3, false, "kJ"},   {0x0e, 3, false, "MJ"},
    {0x11, 3, false, "GJ"},   {0x14, 3, false, "W"},    {0x17, 3, false, "kW"},
    {0x1a, 3, false, "MW"},   {0x29, 3, true, "L"},     {0x2c, 3, false, "m3"},
    {0x32, 3, false, "L/h"},  {0x35, 3, false, "m3/h"}, {0x40, 1, false, "J/h"},
    {0x43, 3, false, "kJ/h"}, {0x46, 3, false, "MJ/h"}, {0x49, 3, false, "GJ/h"},
};

static const struct unit_code *unit_of(uint8_t byte, int *exponent)
{
    for (size_t i = 0; i < array_count(unit_codes); i++) {
        const struct unit_code *unit = &unit_codes[i];
        if (byte >= unit->code && byte < unit->code + unit->count) {
            *exponent = byte - unit->code;
            return unit;
        }
    }
    return NULL;
}

/* ---- readings ---- */

static struct reading *add(struct decoding *decoding, const char *metric)
{
    struct reading *reading = readings_add(decoding->out);
    if (reading == NULL) {
        decoding->full = true;
        return NULL;
    }
    reading->device = decoding->device;
    reading->metric = bytes_text(metric);
    return reading;
}

/* BCD with that many decimals. Fill is a null: the meter has no such field. */
static void set_bcd(struct reading *reading, struct bytes in, int decimals)
{
    int64_t digits = 0;
    switch (cjt188_bcd(in, &digits)) {
    case CJT188_BCD_OK:
        reading->has_value = true;
        reading->value = (struct decimal){digits, (int8_t)-decimals};
        return;
    case CJT188_BCD_BAD: reading->flags |= FLAG_BAD_FIELD; break;
    case CJT188_BCD_FILL: break;
    }
    reading->quality = QUALITY_BAD;
}

/* A quantity followed by its unit byte. An unknown unit keeps the digits as they were sent. */
static void set_quantity(struct decoding *decoding, struct reading *reading, const uint8_t *at,
                         int decimals)
{
    int exponent = 0;
    uint8_t byte = at[VOLUME_SIZE - 1];
    const struct unit_code *unit = unit_of(byte, &exponent);
    if (unit && unit->litre)
        decimals = (int)decoding->options->litre_decimals;
    set_bcd(reading, bytes_of(at, VOLUME_SIZE - 1), unit ? decimals - exponent : 0);
    if (unit) {
        reading->unit = bytes_text(unit->name);
        return;
    }
    static const char digits[] = "0123456789ABCDEF";
    char text[] = {'0', 'x', digits[byte >> 4], digits[byte & 15]};
    reading->unit = arena_copy(&decoding->out->arena, bytes_of(text, sizeof text));
    reading->flags |= FLAG_UNIT_UNKNOWN;
    if (reading->quality == QUALITY_GOOD)
        reading->quality = QUALITY_UNCERTAIN;
}

/* A state of ours, told by status bits; null where the status is all fill. */
static void add_state(struct decoding *decoding, const char *metric, bool fill, int value)
{
    struct reading *reading = add(decoding, metric);
    if (reading == NULL)
        return;
    reading->unit_implied = true;
    reading->has_value = !fill;
    reading->value = (struct decimal){fill ? 0 : value, 0};
    reading->quality = fill ? QUALITY_BAD : QUALITY_GOOD;
}

static void add_status(struct decoding *decoding, const uint8_t *at)
{
    const struct cjt188_options *options = decoding->options;
    int64_t status = at[0] | at[1] << 8;
    bool fill = status == 0xffff;
    if (options->valve_closed_mask || options->valve_fault_mask) {
        bool closed = status & options->valve_closed_mask;
        bool fault = status & options->valve_fault_mask;
        add_state(decoding, "valve.state", fill, fault ? 2 : closed ? 0 : 1);
    }
    if (options->battery_low_mask)
        add_state(decoding, "alarm.battery_low", fill, (status & options->battery_low_mask) != 0);
}

/* The meter's clock goes to every reading of its frame. */
static void set_times(struct decoding *decoding, size_t from, const uint8_t *at)
{
    int64_t ms = 0;
    enum cjt188_clock clock = cjt188_clock(at, &ms);
    for (size_t i = from; i < decoding->out->count; i++) {
        struct reading *reading = &decoding->out->items[i];
        if (clock == CJT188_CLOCK_OK) {
            reading->time = READING_TIME_LOCAL;
            reading->time_source = TIME_DEVICE;
            reading->ts_ms = ms;
        } else if (clock == CJT188_CLOCK_BAD) {
            reading->flags |= FLAG_CLOCK;
            if (reading->quality == QUALITY_GOOD)
                reading->quality = QUALITY_UNCERTAIN;
        }
    }
}

static void set_uncertain(struct decoding *decoding, size_t from, uint32_t flag)
{
    for (size_t i = from; i < decoding->out->count; i++) {
        struct reading *reading = &decoding->out->items[i];
        reading->flags |= flag;
        if (reading->quality == QUALITY_GOOD)
            reading->quality = QUALITY_UNCERTAIN;
    }
}

/* ---- frames ---- */

static void unread(struct decoding *decoding, const struct cjt188_frame *frame, const char *reason)
{
    if (decoding->unread)
        return;
    decoding->unread = reason;
    decoding->first = *frame;
}

static void add_quantity(struct decoding *decoding, const char *metric, const uint8_t *at,
                         int decimals)
{
    struct reading *reading = add(decoding, metric);
    if (reading)
        set_quantity(decoding, reading, at, decimals);
}

/* 901F of another length: only the current volume can be where the standard has it, and only a
 * known unit behind it makes that likely. */
static void decode_other_length(struct decoding *decoding, const struct cjt188_frame *frame)
{
    int exponent = 0;
    const uint8_t *volume = frame->data.data + DATA_HEAD;
    if (frame->data.size < CURRENT_SIZE_MIN || !unit_of(volume[VOLUME_SIZE - 1], &exponent)) {
        unread(decoding, frame, "length");
        return;
    }
    size_t from = decoding->out->count;
    add_quantity(decoding, "volume.total", volume, 2);
    set_uncertain(decoding, from, FLAG_LENGTH);
}

/* DI SER | current volume, unit | volume at settlement day, unit | clock | status. */
static void decode_current(struct decoding *decoding, const struct cjt188_frame *frame)
{
    if (frame->data.size != CURRENT_SIZE) {
        decode_other_length(decoding, frame);
        return;
    }
    const uint8_t *at = frame->data.data + DATA_HEAD;
    size_t from = decoding->out->count;
    add_quantity(decoding, "volume.total", at, 2);
    add_quantity(decoding, "volume.settlement", at + VOLUME_SIZE, 2);
    add_status(decoding, at + 2 * VOLUME_SIZE + CJT188_CLOCK_SIZE);
    set_times(decoding, from, at + 2 * VOLUME_SIZE);
}

/* DI SER | clock | volume | flow, 4 decimals | temperature, 3 bytes | pressure, 3 bytes without a
 * stated unit. No real frame was found, so everything in it is uncertain. */
static void decode_freeze(struct decoding *decoding, const struct cjt188_frame *frame)
{
    if (frame->data.size != FREEZE_SIZE) {
        unread(decoding, frame, "length");
        return;
    }
    const uint8_t *clock = frame->data.data + DATA_HEAD;
    const uint8_t *at = clock + CJT188_CLOCK_SIZE;
    size_t from = decoding->out->count;
    add_quantity(decoding, "volume.total", at, 2);
    add_quantity(decoding, "flow", at + VOLUME_SIZE, 4);
    struct reading *temperature = add(decoding, "temperature.water");
    if (temperature) {
        set_bcd(temperature, bytes_of(at + 2 * VOLUME_SIZE, 3), 2);
        temperature->unit = bytes_text("degC");
    }
    struct reading *pressure = add(decoding, "pressure");
    if (pressure) {
        set_bcd(pressure, bytes_of(at + 2 * VOLUME_SIZE + 3, 3), 2);
        pressure->unit = bytes_text("?");
        pressure->flags |= FLAG_UNIT_UNKNOWN;
    }
    set_times(decoding, from, clock);
    set_uncertain(decoding, from, 0);
}

static bool counts_volume(uint8_t type)
{
    return (type >= 0x10 && type <= 0x13) || type == 0x30;
}

static void decode_reply(struct decoding *decoding, const struct cjt188_frame *frame)
{
    enum di_kind kind = di_of(frame->data);
    if (kind == DI_NO_READING)
        return;
    if (kind == DI_UNKNOWN || kind == DI_NOT_READ)
        unread(decoding, frame, "data_id");
    else if (frame->type >= 0x20 && frame->type <= 0x22)
        unread(decoding, frame, "heat_meter");
    else if (!counts_volume(frame->type))
        unread(decoding, frame, "meter_type");
    else if (kind == DI_CURRENT)
        decode_current(decoding, frame);
    else
        decode_freeze(decoding, frame);
}

static void decode_frame(struct decoding *decoding, const struct cjt188_frame *frame)
{
    static const uint8_t quiet[] = {0x83, 0x84, 0x89, 0x95, 0x96};
    if (!(frame->control & CONTROL_REPLY))
        return;
    if (frame->control & CONTROL_ABNORMAL)
        unread(decoding, frame, "error_reply");
    else if (memchr(quiet, frame->control, sizeof quiet))
        return;
    else if (frame->control != CONTROL_READ_REPLY)
        unread(decoding, frame, "control");
    else if (frame->data.size < DATA_HEAD)
        unread(decoding, frame, "length");
    else
        decode_reply(decoding, frame);
}

/* ---- devices ---- */

static const char hex_digits[] = "0123456789ABCDEF";

/* Addresses are opaque: mostly BCD, but a maker's byte may be anything, so they are shown in hex. */
static struct bytes device_of(struct decoding *decoding, const struct cjt188_frame *frame)
{
    char text[2 * CJT188_ADDRESS_SIZE];
    for (int i = 0; i < CJT188_ADDRESS_SIZE; i++) {
        text[2 * i] = hex_digits[frame->address[i] >> 4];
        text[2 * i + 1] = hex_digits[frame->address[i] & 15];
    }
    struct bytes whole = bytes_of(text, sizeof text);
    if (decoding->options->device == CJT188_DEVICE_NUMBER)
        whole = bytes_of(text + 4, sizeof text - 4);
    return arena_copy(&decoding->out->arena, whole);
}

/* Where the route's device names the meter, it does so unless the payload has frames of several:
 * then only their addresses can tell the meters apart. */
static bool several_meters(struct bytes payload)
{
    struct cjt188_scan scan = {.payload = payload};
    struct cjt188_frame first;
    struct cjt188_frame other;
    if (!cjt188_next(&scan, &first))
        return false;
    while (cjt188_next(&scan, &other))
        if (memcmp(first.address, other.address, sizeof first.address) != 0)
            return true;
    return false;
}

/* ---- payloads ---- */

static int nibble(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

/* A frame holds 68, which is the letter h: so a payload of nothing but hexadecimal digits and white
 * space holds none, and is text. Returns the number of digits, 0 when it is not text. */
static size_t text_digits(struct bytes payload)
{
    size_t digits = 0;
    for (size_t i = 0; i < payload.size; i++) {
        if (nibble(payload.data[i]) >= 0)
            digits++;
        else if (!is_space(payload.data[i]))
            return 0;
    }
    return digits;
}

static struct bytes text_bytes(struct bytes payload, size_t digits, struct arena *arena)
{
    uint8_t *out = arena_alloc(arena, digits / 2);
    size_t count = 0;
    for (size_t i = 0; i < payload.size; i++) {
        int value = nibble(payload.data[i]);
        if (value < 0)
            continue;
        if (count % 2 == 0)
            out[count / 2] = (uint8_t)(value << 4);
        else
            out[count / 2] |= (uint8_t)value;
        count++;
    }
    return bytes_of(out, digits / 2);
}

static enum codec_result refuse_unread(const struct decoding *decoding)
{
    const struct cjt188_frame *frame = &decoding->first;
    struct bytes data = frame->data;
    return codec_refuse(decoding->why, CODEC_UNSUPPORTED, decoding->unread,
                        "byte %zu: a frame of meter type %02X, control %02X, data %02X %02X, "
                        "length %zu is not read (%s)",
                        frame->offset, frame->type, frame->control,
                        data.size > 0 ? data.data[0] : 0, data.size > 1 ? data.data[1] : 0,
                        data.size, decoding->unread);
}

static enum codec_result refuse_empty(const struct cjt188_scan *scan, struct codec_why *why)
{
    if (scan->bad_checksum)
        return codec_refuse(why, CODEC_MALFORMED, "checksum",
                            "byte %zu: a frame begins here, but its checksum is wrong",
                            scan->bad_checksum_at);
    return codec_refuse(why, CODEC_MALFORMED, "no_frame", "no whole frame (68 ... 16) in %zu bytes",
                        scan->payload.size);
}

static enum codec_result decode_payload(struct decoding *decoding, struct bytes payload)
{
    struct cjt188_scan scan = {.payload = payload};
    struct cjt188_frame frame;
    bool named = decoding->options->device == CJT188_DEVICE_ROUTE &&
                 decoding->in->device.size > 0 && !several_meters(payload);
    size_t frames = 0;
    size_t before = decoding->out->count;
    for (; cjt188_next(&scan, &frame) && !decoding->full; frames++) {
        decoding->device = named ? arena_copy(&decoding->out->arena, decoding->in->device)
                                 : device_of(decoding, &frame);
        decode_frame(decoding, &frame);
    }
    if (decoding->full)
        return codec_refuse(decoding->why, CODEC_FULL, "too_many",
                            "more than %zu readings in one payload", decoding->out->count_max);
    if (frames == 0)
        return refuse_empty(&scan, decoding->why);
    if (decoding->out->count == before && decoding->unread)
        return refuse_unread(decoding);
    return CODEC_OK;
}

static enum codec_result cjt188_decode(const void *config, struct codec_stream *stream,
                                       const struct codec_input *in, struct readings *out,
                                       struct codec_why *why)
{
    (void)stream;
    struct decoding decoding = {.options = config, .in = in, .out = out, .why = why};
    size_t digits = text_digits(in->payload);
    if (digits == 0)
        return decode_payload(&decoding, in->payload);
    if (digits % 2)
        return codec_refuse(why, CODEC_MALFORMED, "hex", "an odd number of hexadecimal digits: %zu",
                            digits);
    return decode_payload(&decoding, text_bytes(in->payload, digits, &out->arena));
}

const struct codec codec_cjt188 = {
    .name = "cjt188",
    .version = 1,
    .summary = "CJ/T 188 frames of water and gas meters, as bytes or hexadecimal text",
    .options = cjt188_option_rows,
    .configure = cjt188_configure,
    .config_free = cjt188_config_free,
    .decode = cjt188_decode,
};
