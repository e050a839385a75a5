/* SPDX-License-Identifier: Apache-2.0
 *
 * A will in one allocation. One thread at a time.
 */
#include "sources/mqtt/will.h"

#include <stdlib.h>

#include "base/clock.h"

/* The delay is between us and the client; what is published is the list without it. */
static uint8_t *put_properties(uint8_t *at, const struct packet_will *will)
{
    size_t before = will->has_delay ? will->delay_at : will->properties.size;
    size_t after = will->has_delay ? before + 5 : before;
    if (before)
        memcpy(at, will->properties.data, before);
    if (will->properties.size > after)
        memcpy(at + before, will->properties.data + after, will->properties.size - after);
    return at + before + (will->properties.size - after);
}

struct will *will_new(const struct packet_connect *connect, const struct access_grant *grant)
{
    const struct packet_will *from = &connect->will;
    size_t size = from->topic.size + from->payload.size + from->properties.size;
    struct will *will = mem_zalloc(sizeof *will + size);
    will->grant = *grant;
    will->delay_s = from->delay_s;
    will->protocol = connect->version;
    will->flags = (uint8_t)(from->qos | MESSAGE_WILL | (from->retain ? MESSAGE_RETAIN : 0));
    will->topic_size = (uint32_t)from->topic.size;
    will->payload_size = (uint32_t)from->payload.size;
    uint8_t *at = will->data;
    memcpy(at, from->topic.data, from->topic.size);
    at += from->topic.size;
    if (from->payload.size)
        memcpy(at, from->payload.data, from->payload.size);
    at += from->payload.size;
    will->properties_size = (uint32_t)(put_properties(at, from) - at);
    return will;
}

void will_free(struct will *will)
{
    free(will);
}

struct bytes will_topic(const struct will *will)
{
    return bytes_of(will->data, will->topic_size);
}

struct message will_message(const struct will *will, struct bytes client)
{
    const uint8_t *payload = will->data + will->topic_size;
    return (struct message){
        .received_ms = clock_wall_ms(),
        .vendor = bytes_text(will->grant.vendor),
        .client = client,
        .topic = will_topic(will),
        .payload = bytes_of(payload, will->payload_size),
        .properties = bytes_of(payload + will->payload_size, will->properties_size),
        .flags = will->flags,
        .protocol = will->protocol,
    };
}
