/* SPDX-License-Identifier: Apache-2.0
 *
 * See properties.h. Worker's process, Paho's thread.
 */
#include "sources/paho/properties.h"

static void put_text(const MQTTLenString *text, struct buffer *out)
{
    size_t size = text->len > 0 ? (size_t)text->len : 0;
    if (size > UINT16_MAX) /* cannot have come so */
        size = UINT16_MAX;
    buffer_u16_be(out, (uint16_t)size);
    buffer_add(out, text->data, size);
}

static void put_one(const MQTTProperty *property, struct buffer *out)
{
    buffer_varint(out, property->identifier);
    switch (MQTTProperty_getType(property->identifier)) {
    case MQTTPROPERTY_TYPE_BYTE: buffer_u8(out, property->value.byte); break;
    case MQTTPROPERTY_TYPE_TWO_BYTE_INTEGER: buffer_u16_be(out, property->value.integer2); break;
    case MQTTPROPERTY_TYPE_FOUR_BYTE_INTEGER: buffer_u32_be(out, property->value.integer4); break;
    case MQTTPROPERTY_TYPE_VARIABLE_BYTE_INTEGER:
        buffer_varint(out, property->value.integer4);
        break;
    case MQTTPROPERTY_TYPE_UTF_8_STRING_PAIR:
        put_text(&property->value.data, out);
        put_text(&property->value.value, out);
        break;
    default: put_text(&property->value.data, out); break; /* strings and binary data */
    }
}

void properties_write(const MQTTProperties *properties, struct buffer *out)
{
    for (int i = 0; i < properties->count; i++) {
        const MQTTProperty *property = &properties->array[i];
        if (property->identifier != MQTTPROPERTY_CODE_TOPIC_ALIAS &&
            property->identifier != MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER)
            put_one(property, out);
    }
}
