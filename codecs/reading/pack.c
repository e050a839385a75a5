/* SPDX-License-Identifier: Apache-2.0
 *
 * Packing by hand: protobuf-c's generated code asks for a struct with C strings for every row, looks
 * at every field through a descriptor, and finds out the length of each string anew. In a batch the
 * strings repeat, so here they are made ready once, with their lengths before them, and a row is a
 * few copies of fixed size and five varints. Separate from the Kafka sink, which knows where records
 * go and not what is in them. Lane's thread.
 *
 * Fields stand in the order of their numbers, all of them but value and unscaled where there is no
 * value: then the bytes are those of the generated code.
 */
#include "codecs/reading/pack.h"

#include <endian.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"

/* (field number << 3) | wire type: 0 varint, 1 eight bytes, 2 length and bytes */
enum tag {
    TAG_VENDOR = 1 << 3 | 2,
    TAG_DEVICE = 2 << 3 | 2,
    TAG_METRIC = 3 << 3 | 2,
    TAG_TS = 4 << 3 | 0,
    TAG_VALUE = 5 << 3 | 1,
    TAG_UNIT = 6 << 3 | 2,
    TAG_SCALE = 7 << 3 | 0,
    TAG_QUALITY = 8 << 3 | 2,
    TAG_FLAGS = 9 << 3 | 2,
    TAG_TIME_SOURCE = 10 << 3 | 2,
    TAG_SEQ = 11 << 3 | 0,
    TAG_RECEIVED = 12 << 3 | 0,
    TAG_GATEWAY = 13 << 3 | 2,
    TAG_UNSCALED = 14 << 3 | 0,
};

enum {
    STEP = 32,           /* what is not longer is copied as so many bytes: no call, no loop */
    NUMBER_MAX = 1 + 10, /* a tag and a varint */
    TAIL_MAX = 2 * NUMBER_MAX + 2 + IDENTITY_TEXT_SIZE,
    TAIL_ROOM = 48,
    TRAITS = 256, /* a power of two */
    TRAITS_PROBES = 4,
};
_Static_assert(TAIL_MAX <= TAIL_ROOM, "the tail is copied whole");

/* A string of the batch as a field: one byte for the tag, its length, its bytes. At least STEP bytes
 * behind `data` can be read. */
struct text {
    const uint8_t *data;
    uint32_t size; /* all of it */
    uint32_t head; /* the tag and the length */
};

/* Fields 6 to 10, which are alike in very many rows. */
struct traits {
    uint64_t round; /* of the batch that it was made for; 0: never */
    uint32_t unit, flags, kind;
    struct buffer packed; /* with STEP bytes of room behind */
};

struct reading_pack {
    const struct batch *batch;
    uint64_t round; /* counts batches */
    struct buffer text_data;
    struct text *texts;
    uint32_t text_capacity;
    struct traits traits[TRAITS];

    /* Fields 11 to 13 of the row before: readings of one message share them. */
    uint64_t seq;
    int64_t received_ms;
    uint8_t tail[TAIL_ROOM];
    uint8_t tail_size; /* 0: none yet */
    char gateway[IDENTITY_TEXT_SIZE];
    struct buffer scratch;
};

struct reading_pack *reading_pack_new(struct identity gateway)
{
    struct reading_pack *pack = mem_zalloc(sizeof *pack);
    identity_format(gateway, pack->gateway);
    return pack;
}

void reading_pack_free(struct reading_pack *pack)
{
    if (pack == NULL)
        return;
    for (size_t i = 0; i < TRAITS; i++)
        buffer_fini(&pack->traits[i].packed);
    buffer_fini(&pack->text_data);
    buffer_fini(&pack->scratch);
    free(pack->texts);
    free(pack);
}

/* ---- strings of a batch ---- */

static bool is_ascii(struct bytes in)
{
    uint8_t all = 0;
    for (size_t i = 0; i < in.size; i++)
        all |= in.data[i];
    return all < 0x80;
}

/* The normaliser lets only UTF-8 through. A string field with other bytes would make every consumer
 * fail at the whole record, so what an older or damaged log may hold is repaired here. */
static struct bytes as_utf8(struct reading_pack *pack, struct bytes in)
{
    if (is_ascii(in) || utf8_valid(in))
        return in;
    buffer_clear(&pack->scratch);
    utf8_repair(in, &pack->scratch);
    return buffer_bytes(&pack->scratch);
}

static void add_text(struct reading_pack *pack, struct text *text, struct bytes in)
{
    struct buffer *data = &pack->text_data;
    size_t begin = data->size;
    in = as_utf8(pack, in);
    gw_assert(in.size < UINT32_MAX - NUMBER_MAX);
    buffer_u8(data, 0);
    buffer_varint(data, in.size);
    text->head = (uint32_t)(data->size - begin);
    buffer_add_bytes(data, in);
    text->size = (uint32_t)(data->size - begin);
}

void reading_pack_begin(struct reading_pack *pack, const struct batch *batch)
{
    pack->batch = batch;
    pack->round++;
    pack->tail_size = 0;
    buffer_clear(&pack->text_data);
    if (batch->string_count > pack->text_capacity) {
        pack->text_capacity = batch->string_count;
        pack->texts = mem_realloc(pack->texts, pack->text_capacity * sizeof *pack->texts);
    }
    for (uint32_t i = 0; i < batch->string_count; i++)
        add_text(pack, &pack->texts[i], batch->strings[i]);
    /* Only now: the buffer moves while it grows. */
    const uint8_t *at = buffer_reserve(&pack->text_data, STEP);
    memset(pack->text_data.data + pack->text_data.size, 0, STEP);
    at -= pack->text_data.size;
    for (uint32_t i = 0; i < batch->string_count; i++) {
        pack->texts[i].data = at;
        at += pack->texts[i].size;
    }
}

/* ---- fields ---- */

/* Seven bits to a byte without a loop: the five varints of a row are long (times) and of changing
 * length (values), so a loop's end is guessed wrong too often. Writes eight bytes or more. */
static inline uint8_t *put_varint(uint8_t *at, uint64_t value)
{
    if (value >> 56)
        return at + store_varint(at, value);
    unsigned more = (unsigned)(63 - __builtin_clzll(value | 1)) / 7; /* bytes behind the first */
    value = (value & 0x000000000fffffff) | (value & 0x00fffffff0000000) << 4;
    value = (value & 0x00003fff00003fff) | (value & 0x0fffc0000fffc000) << 2;
    value = (value & 0x007f007f007f007f) | (value & 0x3f803f803f803f80) << 1;
    value |= 0x8080808080808080 & ((1ULL << (8 * more)) - 1);
    value = htole64(value);
    memcpy(at, &value, sizeof value);
    return at + more + 1;
}

static inline uint8_t *put_number(uint8_t *at, enum tag tag, uint64_t value)
{
    *at = (uint8_t)tag;
    return put_varint(at + 1, value);
}

static inline uint8_t *put_copy(uint8_t *at, const uint8_t *data, size_t size)
{
    if (__builtin_expect(size <= STEP, 1))
        memcpy(at, data, STEP);
    else
        memcpy(at, data, size);
    return at + size;
}

static inline uint8_t *put_text(uint8_t *at, enum tag tag, const struct text *text)
{
    uint8_t *end = put_copy(at, text->data, text->size);
    *at = (uint8_t)tag;
    return end;
}

static void add_text_field(struct buffer *out, enum tag tag, struct bytes in)
{
    buffer_u8(out, (uint8_t)tag);
    buffer_varbytes(out, in);
}

/* ---- parts that repeat ---- */

static void traits_make(struct reading_pack *pack, struct traits *traits, uint32_t row)
{
    const struct batch *batch = pack->batch;
    const struct text *unit = &pack->texts[batch->unit[row]];
    struct buffer *out = &traits->packed;
    buffer_clear(out);
    add_text_field(out, TAG_UNIT, bytes_of(unit->data + unit->head, unit->size - unit->head));
    buffer_u8(out, TAG_SCALE);
    buffer_varint(out, batch->scale[row]);
    add_text_field(out, TAG_QUALITY, bytes_text(quality_name(batch->quality[row])));
    buffer_clear(&pack->scratch);
    flags_format(batch->flags[row], &pack->scratch);
    add_text_field(out, TAG_FLAGS, buffer_bytes(&pack->scratch));
    add_text_field(out, TAG_TIME_SOURCE, bytes_text(time_source_name(batch->time_source[row])));
    buffer_reserve(out, STEP);
}

static const struct traits *traits_of(struct reading_pack *pack, uint32_t row)
{
    const struct batch *batch = pack->batch;
    uint32_t unit = batch->unit[row], flags = batch->flags[row];
    uint32_t kind = (uint32_t)batch->scale[row] | (uint32_t)batch->quality[row] << 8 |
                    (uint32_t)batch->time_source[row] << 16;
    uint32_t hash = (unit * 0x9e3779b1U ^ flags * 0x85ebca77U ^ kind * 0xc2b2ae3dU) >> 16;
    struct traits *traits = NULL;
    for (uint32_t i = 0; i < TRAITS_PROBES; i++) {
        traits = &pack->traits[(hash + i) % TRAITS];
        if (traits->round != pack->round)
            break;
        if (traits->unit == unit && traits->flags == flags && traits->kind == kind)
            return traits;
    }
    traits->round = pack->round;
    traits->unit = unit;
    traits->flags = flags;
    traits->kind = kind;
    traits_make(pack, traits, row);
    return traits;
}

static void tail_make(struct reading_pack *pack, uint64_t seq, int64_t received_ms)
{
    uint8_t *at = pack->tail;
    pack->seq = seq;
    pack->received_ms = received_ms;
    at = put_number(at, TAG_SEQ, seq);
    at = put_number(at, TAG_RECEIVED, (uint64_t)received_ms);
    *at++ = TAG_GATEWAY;
    *at++ = IDENTITY_TEXT_SIZE - 1;
    memcpy(at, pack->gateway, IDENTITY_TEXT_SIZE - 1);
    pack->tail_size = (uint8_t)(at + IDENTITY_TEXT_SIZE - 1 - pack->tail);
}

/* ---- a row ---- */

static inline uint8_t *put_value(uint8_t *at, const struct batch *batch, uint32_t row)
{
    double value = batch_value(batch, row);
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits = htole64(bits);
    *at = TAG_VALUE;
    memcpy(at + 1, &bits, sizeof bits);
    return at + 1 + sizeof bits;
}

void reading_pack_row(struct reading_pack *pack, uint32_t row, struct buffer *out)
{
    const struct batch *batch = pack->batch;
    gw_assert(row < batch->count);
    const struct text *vendor = &pack->texts[batch->vendor[row]];
    const struct text *device = &pack->texts[batch->device[row]];
    const struct text *metric = &pack->texts[batch->metric[row]];
    const struct traits *traits = traits_of(pack, row);
    if (pack->tail_size == 0 || batch->seq[row] != pack->seq ||
        batch->received_ms[row] != pack->received_ms)
        tail_make(pack, batch->seq[row], batch->received_ms[row]);

    size_t need = (size_t)vendor->size + device->size + metric->size + traits->packed.size +
                  3 * NUMBER_MAX + TAIL_ROOM + STEP;
    uint8_t *at =
        out->capacity - out->size >= need ? out->data + out->size : buffer_reserve(out, need);
    at = put_text(at, TAG_VENDOR, vendor);
    at = put_text(at, TAG_DEVICE, device);
    at = put_text(at, TAG_METRIC, metric);
    at = put_number(at, TAG_TS, (uint64_t)batch->ts_ms[row]);
    if (batch->has_value[row])
        at = put_value(at, batch, row);
    at = put_copy(at, traits->packed.data, traits->packed.size);
    memcpy(at, pack->tail, TAIL_ROOM);
    at += pack->tail_size;
    if (batch->has_value[row])
        at = put_number(at, TAG_UNSCALED, zigzag_encode(batch->unscaled[row]));
    out->size = (size_t)(at - out->data);
}

void reading_pack_key(struct reading_pack *pack, uint32_t row, struct buffer *out)
{
    const struct batch *batch = pack->batch;
    gw_assert(row < batch->count);
    const struct text *vendor = &pack->texts[batch->vendor[row]];
    const struct text *device = &pack->texts[batch->device[row]];
    size_t vendor_size = vendor->size - vendor->head, device_size = device->size - device->head;
    uint8_t *at = buffer_reserve(out, vendor_size + 1 + device_size + STEP);
    at = put_copy(at, vendor->data + vendor->head, vendor_size);
    *at++ = '/';
    at = put_copy(at, device->data + device->head, device_size);
    out->size = (size_t)(at - out->data);
}
