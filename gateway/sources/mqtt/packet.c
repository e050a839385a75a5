/* SPDX-License-Identifier: Apache-2.0
 *
 * The fixed header of MQTT: type, flags, length. It is judged byte by byte as it comes, so that a
 * wrong first byte or a length beyond the limit ends the connection before the body is read. Pure,
 * any thread.
 */
#include "sources/mqtt/packet.h"

/* The flags each type must have (table 2-2); PUBLISH has its own rule. */
static const uint8_t flags_wanted[16] = {
    [PACKET_PUBREL] = 2, [PACKET_SUBSCRIBE] = 2, [PACKET_UNSUBSCRIBE] = 2};

static bool flags_valid(uint8_t type, uint8_t flags)
{
    if (type != PACKET_PUBLISH)
        return flags == flags_wanted[type];
    uint8_t qos = flags >> 1 & 3;
    bool dup = flags & 8;
    return qos != 3 && !(dup && qos == 0); /* [MQTT-3.3.1-4], [MQTT-3.3.1-2] */
}

static int check_first_byte(uint8_t type, uint8_t flags, uint8_t version)
{
    if (version == 0) /* [MQTT-3.1.0-1] */
        return type != PACKET_CONNECT ? REASON_NOT_MQTT : flags ? REASON_MALFORMED : 0;
    /* [MQTT-2.1.3-1]; type 15 is reserved before 5.0 [3.1.1: MQTT-2.2.2-2]. */
    bool known = type != 0 && (type != PACKET_AUTH || version == PACKET_V5);
    return known && flags_valid(type, flags) ? 0 : REASON_MALFORMED;
}

int packet_frame_read(struct bytes in, uint8_t version, uint64_t size_max, struct packet_frame *out)
{
    *out = (struct packet_frame){0};
    if (in.size == 0)
        return PACKET_MORE;
    out->type = in.data[0] >> 4;
    out->flags = in.data[0] & 15;
    int reason = check_first_byte(out->type, out->flags, version);
    if (reason)
        return reason;
    uint32_t length = 0;
    size_t used = 1;
    uint8_t byte;
    do {
        if (used == 5) /* 1.5.5: at most four bytes */
            return REASON_MALFORMED;
        if (used == in.size)
            return PACKET_MORE;
        byte = in.data[used];
        length |= (uint32_t)(byte & 0x7f) << (7 * (used - 1));
        used++;
    } while (byte & 0x80);
    out->minimal = byte != 0 || used == 2;
    if (!out->minimal && version == PACKET_V5) /* [MQTT-1.5.5-1] */
        return REASON_MALFORMED;
    out->header_size = (uint32_t)used;
    out->size = (uint32_t)used + length;
    if (out->size > size_max) /* [MQTT-3.2.2-15] */
        return REASON_TOO_LARGE;
    if (in.size < out->size)
        return PACKET_MORE;
    out->body = bytes_of(in.data + used, length);
    return PACKET_OK;
}
