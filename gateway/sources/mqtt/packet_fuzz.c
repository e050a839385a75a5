/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target of the packet reader. The first byte chooses the protocol version; the rest is a stream
 * of packets. Besides memory safety it checks what the connection relies on: a whole packet never
 * becomes unfinished again, views lie inside the input, the answer for a prefix never contradicts the
 * answer for the whole.
 */
#include "sources/mqtt/packet.h"

static const struct packet_limits limits = {
    .packet_bytes_max = 1 << 16, .topic_levels_max = 64, .user_properties_max = 16};

static void inside(struct bytes view, struct bytes whole)
{
    if (view.size)
        gw_assert(view.data >= whole.data && view.data + view.size <= whole.data + whole.size);
}

static void read_body(const struct packet_frame *frame, uint8_t version)
{
    struct packet_connect connect;
    struct packet_publish publish;
    struct packet_ack ack;
    struct packet_filters filters;
    struct packet_disconnect disconnect;
    switch (frame->type) {
    case PACKET_CONNECT:
        if (packet_connect_read(frame, &limits, &connect) == 0) {
            inside(connect.client_id, frame->body);
            inside(connect.will.payload, frame->body);
            inside(connect.password, frame->body);
        }
        break;
    case PACKET_PUBLISH:
        if (packet_publish_read(frame, version, &limits, &publish) == 0) {
            inside(publish.topic, frame->body);
            inside(publish.payload, frame->body);
            inside(publish.properties, frame->body);
            gw_assert(!publish.has_alias || publish.alias_at + 3 <= publish.properties.size);
        }
        break;
    case PACKET_SUBSCRIBE:
    case PACKET_UNSUBSCRIBE:
        if (packet_filters_read(frame, version, &limits, &filters) == 0)
            inside(filters.list, frame->body);
        break;
    case PACKET_DISCONNECT: packet_disconnect_read(frame, version, &limits, &disconnect); break;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP: packet_ack_read(frame, version, &limits, &ack); break;
    default: packet_other_read(frame, version); break;
    }
}

/* Every prefix is unfinished, or refused for the same reason as the whole. */
static void check_prefixes(struct bytes in, uint8_t version, int whole)
{
    size_t most = in.size < 8 ? in.size : 8;
    for (size_t size = 0; size < most; size++) {
        struct packet_frame frame;
        int part =
            packet_frame_read(bytes_of(in.data, size), version, limits.packet_bytes_max, &frame);
        gw_assert(part == PACKET_MORE || part == whole);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    static const uint8_t versions[] = {0, PACKET_V31, PACKET_V311, PACKET_V5};
    uint8_t version = versions[data[0] & 3];
    struct bytes in = bytes_of(data + 1, size - 1);
    while (in.size) {
        struct packet_frame frame;
        int reason = packet_frame_read(in, version, limits.packet_bytes_max, &frame);
        check_prefixes(in, version, reason);
        if (reason != PACKET_OK)
            break;
        gw_assert(frame.size >= 2 && frame.size <= in.size);
        read_body(&frame, version);
        in = bytes_of(in.data + frame.size, in.size - frame.size);
    }
    return 0;
}
