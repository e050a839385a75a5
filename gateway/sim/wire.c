/* SPDX-License-Identifier: Apache-2.0
 *
 * Builds a packet behind its fixed header, reads the answers. Separate from client.c, because it is
 * pure and the load generator's floor reads the same bytes. Any thread.
 */
#include "sim/wire.h"

#include <string.h>

/* ---- writing ---- */

static void add_u8(struct buffer *out, uint8_t value)
{
    buffer_add(out, &value, 1);
}

static void add_text(struct buffer *out, struct bytes text)
{
    buffer_u16_be(out, (uint16_t)text.size);
    buffer_add_bytes(out, text);
}

/* The bytes of a string field with its length: 2 and the text; nothing for null. */
static size_t text_size(const char *text)
{
    return text ? 2 + strlen(text) : 0;
}

static uint8_t connect_flags(const struct wire_connect *connect)
{
    return (uint8_t)((connect->clean ? 0x02 : 0) | (connect->password ? 0x40 : 0) |
                     (connect->username ? 0x80 : 0));
}

void wire_connect(struct buffer *out, const struct wire_connect *connect)
{
    bool v5 = connect->version == 5;
    bool keep = v5 && !connect->clean;
    size_t properties = keep ? 5 : 0;
    size_t size = 10 + (v5 ? 1 + properties : 0) + text_size(connect->client_id) +
                  text_size(connect->username) + text_size(connect->password);
    add_u8(out, WIRE_CONNECT << 4);
    buffer_varint(out, size);
    add_text(out, bytes_text("MQTT"));
    add_u8(out, (uint8_t)connect->version);
    add_u8(out, connect_flags(connect));
    buffer_u16_be(out, connect->keep_alive_s);
    if (v5)
        add_u8(out, (uint8_t)properties);
    if (keep) {
        add_u8(out, 0x11); /* Session Expiry Interval, MQTT 5.0 3.1.2.11.2 */
        buffer_u32_be(out, 3600);
    }
    add_text(out, bytes_text(connect->client_id));
    if (connect->username)
        add_text(out, bytes_text(connect->username));
    if (connect->password)
        add_text(out, bytes_text(connect->password));
}

void wire_publish(struct buffer *out, const struct wire_publish *publish)
{
    size_t size = 2 + publish->topic.size + (publish->qos ? 2 : 0) +
                  (publish->version == 5 ? 1 : 0) + publish->payload.size;
    add_u8(out, (uint8_t)(WIRE_PUBLISH << 4 | publish->qos << 1 | (publish->retain ? 1 : 0)));
    buffer_varint(out, size);
    add_text(out, publish->topic);
    if (publish->qos)
        buffer_u16_be(out, publish->id);
    if (publish->version == 5)
        add_u8(out, 0); /* no properties */
    buffer_add_bytes(out, publish->payload);
}

void wire_set_dup(struct buffer *publish)
{
    publish->data[0] |= 0x08;
}

void wire_pubrel(struct buffer *out, uint16_t id)
{
    add_u8(out, WIRE_PUBREL << 4 | 2);
    add_u8(out, 2);
    buffer_u16_be(out, id);
}

void wire_pingreq(struct buffer *out)
{
    add_u8(out, WIRE_PINGREQ << 4);
    add_u8(out, 0);
}

void wire_disconnect(struct buffer *out)
{
    add_u8(out, WIRE_DISCONNECT << 4);
    add_u8(out, 0);
}

/* ---- reading ---- */

/* Properties of CONNACK (MQTT 5.0 3.2.2.3): only two matter to a publisher, the rest is passed over
 * by the size of its type. */
static void parse_properties(struct reader *in, struct wire_packet *out)
{
    uint64_t size = reader_varint(in);
    struct reader properties = reader_of(reader_bytes(in, (size_t)size));
    while (!properties.failed && reader_left(&properties) > 0) {
        uint8_t id = reader_u8(&properties);
        switch (id) {
        case 0x21: out->receive_max = reader_u16_be(&properties); break;
        case 0x27: out->packet_max = reader_u32_be(&properties); break;
        case 0x11: reader_bytes(&properties, 4); break;
        case 0x13:
        case 0x22: reader_bytes(&properties, 2); break;
        case 0x24:
        case 0x25:
        case 0x28:
        case 0x29:
        case 0x2a: reader_bytes(&properties, 1); break;
        case 0x26:
            reader_bytes(&properties, reader_u16_be(&properties));
            reader_bytes(&properties, reader_u16_be(&properties));
            break;
        case 0x12:
        case 0x15:
        case 0x16:
        case 0x1a:
        case 0x1c:
        case 0x1f: reader_bytes(&properties, reader_u16_be(&properties)); break;
        default: in->failed = true; return;
        }
    }
    in->failed |= properties.failed;
}

static void parse_body(struct reader *in, int version, struct wire_packet *out)
{
    switch (out->type) {
    case WIRE_CONNACK:
        out->session_present = reader_u8(in) & 1;
        out->reason = reader_u8(in);
        if (version == 5 && reader_left(in) > 0)
            parse_properties(in, out);
        break;
    case WIRE_PUBACK:
    case WIRE_PUBREC:
    case WIRE_PUBCOMP:
        out->id = reader_u16_be(in);
        if (reader_left(in) > 0)
            out->reason = reader_u8(in);
        break;
    case WIRE_DISCONNECT:
        if (reader_left(in) > 0)
            out->reason = reader_u8(in);
        break;
    case WIRE_PINGRESP: break;
    default: in->failed = true;
    }
}

long wire_parse(struct bytes in, int version, struct wire_packet *out)
{
    size_t size = 0, used = 1;
    unsigned shift = 0;
    for (;; shift += 7, used++) {
        if (used >= in.size)
            return used > 4 ? -1 : 0;
        size |= (size_t)(in.data[used] & 0x7f) << shift;
        if (!(in.data[used] & 0x80))
            break;
        if (shift == 21)
            return -1;
    }
    used++;
    if (size > 65536)
        return -1;
    if (in.size - used < size)
        return 0;
    *out = (struct wire_packet){.type = (enum wire_type)(in.data[0] >> 4), .receive_max = 65535};
    struct reader body = reader_of(bytes_of(in.data + used, size));
    parse_body(&body, version, out);
    return body.failed ? -1 : (long)(used + size);
}
