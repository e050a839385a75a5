/* SPDX-License-Identifier: Apache-2.0
 *
 * Thrift's compact protocol (thrift/doc/specs/thrift-compact-protocol.md). Separate because it knows
 * nothing of Parquet. Any thread.
 */
#include "sinks/parquet/thrift.h"

/* ---- writer ---- */

struct thrift_writer thrift_writer_of(struct buffer *out)
{
    return (struct thrift_writer){.out = out};
}

static void field(struct thrift_writer *writer, int16_t id, enum thrift_type type)
{
    int16_t *last = &writer->last[writer->depth];
    int delta = id - *last;
    gw_assert(delta > 0);
    if (delta <= 15) {
        buffer_u8(writer->out, (uint8_t)(delta << 4 | (int)type));
    } else {
        buffer_u8(writer->out, (uint8_t)type);
        buffer_varint(writer->out, zigzag_encode(id));
    }
    *last = id;
}

static void begin(struct thrift_writer *writer)
{
    gw_assert(writer->depth + 1 < THRIFT_DEPTH_MAX);
    writer->last[++writer->depth] = 0;
}

void thrift_bool(struct thrift_writer *writer, int16_t id, bool value)
{
    field(writer, id, value ? THRIFT_TRUE : THRIFT_FALSE);
}

void thrift_i8(struct thrift_writer *writer, int16_t id, int8_t value)
{
    field(writer, id, THRIFT_BYTE);
    buffer_u8(writer->out, (uint8_t)value);
}

void thrift_i16(struct thrift_writer *writer, int16_t id, int16_t value)
{
    field(writer, id, THRIFT_I16);
    buffer_varint(writer->out, zigzag_encode(value));
}

void thrift_i32(struct thrift_writer *writer, int16_t id, int32_t value)
{
    field(writer, id, THRIFT_I32);
    buffer_varint(writer->out, zigzag_encode(value));
}

void thrift_i64(struct thrift_writer *writer, int16_t id, int64_t value)
{
    field(writer, id, THRIFT_I64);
    buffer_varint(writer->out, zigzag_encode(value));
}

void thrift_binary(struct thrift_writer *writer, int16_t id, struct bytes value)
{
    field(writer, id, THRIFT_BINARY);
    buffer_varbytes(writer->out, value);
}

void thrift_struct(struct thrift_writer *writer, int16_t id)
{
    field(writer, id, THRIFT_STRUCT);
    begin(writer);
}

void thrift_list(struct thrift_writer *writer, int16_t id, enum thrift_type type, size_t count)
{
    field(writer, id, THRIFT_LIST);
    if (count < 15) {
        buffer_u8(writer->out, (uint8_t)(count << 4 | (size_t)type));
    } else {
        buffer_u8(writer->out, (uint8_t)(0xf0 | (int)type));
        buffer_varint(writer->out, count);
    }
}

void thrift_end(struct thrift_writer *writer)
{
    buffer_u8(writer->out, THRIFT_STOP);
    if (writer->depth > 0)
        writer->depth--;
}

void thrift_item_bool(struct thrift_writer *writer, bool value)
{
    buffer_u8(writer->out, value ? THRIFT_TRUE : THRIFT_FALSE);
}

void thrift_item_number(struct thrift_writer *writer, int64_t value)
{
    buffer_varint(writer->out, zigzag_encode(value));
}

void thrift_item_binary(struct thrift_writer *writer, struct bytes value)
{
    buffer_varbytes(writer->out, value);
}

void thrift_item_struct(struct thrift_writer *writer)
{
    begin(writer);
}

/* ---- reader ---- */

struct thrift_struct thrift_struct_of(struct reader *in)
{
    return (struct thrift_struct){.in = in};
}

bool thrift_next(struct thrift_struct *at)
{
    uint8_t head = reader_u8(at->in);
    if (at->in->failed || head == THRIFT_STOP)
        return false;
    int64_t id = at->id + (head >> 4);
    if (head >> 4 == 0)
        id = zigzag_decode(reader_varint(at->in));
    at->type = (enum thrift_type)(head & 15);
    if (id <= 0 || id > INT16_MAX || at->type == THRIFT_STOP || at->type > THRIFT_STRUCT)
        at->in->failed = true;
    at->id = (int16_t)id;
    return !at->in->failed;
}

static void expect(struct thrift_struct *at, bool condition)
{
    if (!condition)
        at->in->failed = true;
}

static int64_t number_of(struct reader *in, enum thrift_type type)
{
    if (type == THRIFT_BYTE)
        return (int8_t)reader_u8(in);
    return zigzag_decode(reader_varint(in));
}

int64_t thrift_number(struct thrift_struct *at)
{
    expect(at, at->type >= THRIFT_BYTE && at->type <= THRIFT_I64);
    return at->in->failed ? 0 : number_of(at->in, at->type);
}

bool thrift_flag(struct thrift_struct *at)
{
    expect(at, at->type == THRIFT_TRUE || at->type == THRIFT_FALSE);
    return at->type == THRIFT_TRUE;
}

struct bytes thrift_bytes(struct thrift_struct *at)
{
    expect(at, at->type == THRIFT_BINARY);
    return reader_varbytes(at->in);
}

/* Depth is bounded so that hostile nesting cannot use up the stack in thrift_skip. */
static struct thrift_struct inner_of(struct thrift_struct *at)
{
    expect(at, at->depth + 1 < THRIFT_DEPTH_MAX);
    return (struct thrift_struct){.in = at->in, .depth = at->depth + 1};
}

struct thrift_struct thrift_inner(struct thrift_struct *at)
{
    expect(at, at->type == THRIFT_STRUCT);
    return inner_of(at);
}

static size_t list_head(struct thrift_struct *at, enum thrift_type *type)
{
    uint8_t head = reader_u8(at->in);
    uint64_t count = head >> 4;
    if (count == 15)
        count = reader_varint(at->in);
    *type = (enum thrift_type)(head & 15);
    /* Every item takes at least a byte, so a larger count is a lie. */
    expect(at, count <= reader_left(at->in));
    return at->in->failed ? 0 : (size_t)count;
}

size_t thrift_items(struct thrift_struct *at, enum thrift_type type)
{
    expect(at, at->type == THRIFT_LIST);
    enum thrift_type found;
    size_t count = list_head(at, &found);
    bool both_bool = (type == THRIFT_TRUE || type == THRIFT_FALSE) &&
                     (found == THRIFT_TRUE || found == THRIFT_FALSE);
    expect(at, count == 0 || found == type || both_bool);
    return at->in->failed ? 0 : count;
}

int64_t thrift_next_number(struct thrift_struct *at)
{
    return number_of(at->in, THRIFT_I64);
}

bool thrift_next_flag(struct thrift_struct *at)
{
    return reader_u8(at->in) == THRIFT_TRUE;
}

struct bytes thrift_next_bytes(struct thrift_struct *at)
{
    return reader_varbytes(at->in);
}

struct thrift_struct thrift_next_struct(struct thrift_struct *at)
{
    return inner_of(at);
}

static void skip_value(struct thrift_struct *at, enum thrift_type type, bool in_list);

static void skip_list(struct thrift_struct *at)
{
    enum thrift_type type;
    struct thrift_struct inner = inner_of(at);
    size_t count = list_head(at, &type);
    for (size_t i = 0; i < count && !at->in->failed; i++)
        skip_value(&inner, type, true);
}

static void skip_value(struct thrift_struct *at, enum thrift_type type, bool in_list)
{
    if (at->in->failed)
        return;
    switch (type) {
    case THRIFT_TRUE:
    case THRIFT_FALSE:
        if (in_list)
            reader_u8(at->in);
        break;
    case THRIFT_BYTE: reader_u8(at->in); break;
    case THRIFT_I16:
    case THRIFT_I32:
    case THRIFT_I64: reader_varint(at->in); break;
    case THRIFT_DOUBLE: reader_bytes(at->in, 8); break;
    case THRIFT_BINARY: reader_varbytes(at->in); break;
    case THRIFT_LIST:
    case THRIFT_SET: skip_list(at); break;
    case THRIFT_STRUCT: {
        struct thrift_struct inner = inner_of(at);
        while (thrift_next(&inner))
            thrift_skip(&inner);
        break;
    }
    case THRIFT_MAP: /* Parquet's metadata has none */
    case THRIFT_STOP:
    default: at->in->failed = true;
    }
}

void thrift_skip(struct thrift_struct *at)
{
    skip_value(at, at->type, false);
}
