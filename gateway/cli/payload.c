/* SPDX-License-Identifier: Apache-2.0
 *
 * See payload.h.
 */
#include "cli/payload.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "model/batch_json.h"

enum { READ_SIZE = 64 << 10 };

/* ---- reading ---- */

static int stream_read(FILE *file, size_t size_max, struct buffer *out, struct err *err)
{
    for (;;) {
        size_t size = fread(buffer_reserve(out, READ_SIZE), 1, READ_SIZE, file);
        out->size += size;
        if (out->size > size_max)
            return err_set(err, GW_ELIMIT, "more than %zu bytes, the most an MQTT packet can hold",
                           size_max);
        if (ferror(file))
            return err_set(err, GW_EIO, "%s", strerror(errno));
        if (size == 0)
            return 0;
    }
}

int payload_read(const char *path, size_t size_max, struct buffer *out, struct err *err)
{
    if (path == NULL || strcmp(path, "-") == 0)
        return stream_read(stdin, size_max, out, err);
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return err_set(err, GW_EIO, "%s: %s", path, strerror(errno));
    int rc = stream_read(file, size_max, out, err);
    fclose(file);
    return rc ? err_wrap(err, rc, "%s", path) : 0;
}

static int hex_digit(uint8_t letter)
{
    if (letter >= '0' && letter <= '9')
        return letter - '0';
    letter |= 0x20;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

int payload_unhex(struct bytes text, struct buffer *out, struct err *err)
{
    int high = -1;
    for (size_t i = 0; i < text.size; i++) {
        if (memchr(" \t\r\n", text.data[i], 4))
            continue;
        int digit = hex_digit(text.data[i]);
        if (digit < 0)
            return err_set(err, GW_EINVAL, "byte %zu is no hexadecimal digit", i);
        if (high < 0) {
            high = digit;
        } else {
            buffer_u8(out, (uint8_t)(high << 4 | digit));
            high = -1;
        }
    }
    return high < 0 ? 0 : err_set(err, GW_EINVAL, "an odd number of hexadecimal digits");
}

/* ---- showing ---- */

bool payload_is_text(struct bytes payload)
{
    for (size_t at = 0; at < payload.size;) {
        size_t size = utf8_size(payload.data + at, payload.size - at);
        uint8_t byte = payload.data[at];
        if (size == 0 || byte == 0x7f || (byte < 0x20 && !memchr("\t\r\n", byte, 3)))
            return false;
        at += size;
    }
    return true;
}

static void hex_add(struct bytes in, struct buffer *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < in.size; i++) {
        buffer_u8(out, (uint8_t)digits[in.data[i] >> 4]);
        buffer_u8(out, (uint8_t)digits[in.data[i] & 15]);
    }
}

void payload_json(struct bytes payload, struct buffer *out)
{
    if (payload_is_text(payload)) {
        buffer_add_text(out, "\"payload\":");
        json_string(payload, out);
        return;
    }
    buffer_add_text(out, "\"payload_hex\":\"");
    hex_add(payload, out);
    buffer_add_text(out, "\"");
}

void payload_line(struct bytes payload, size_t size_max, struct buffer *out)
{
    struct bytes shown = payload;
    bool text = payload_is_text(payload);
    if (size_max && shown.size > size_max)
        shown.size = size_max;
    if (text)
        json_string(shown, out);
    else
        hex_add(shown, out);
    if (shown.size < payload.size)
        buffer_printf(out, "... (%zu bytes)", payload.size);
}

void message_json(const struct message *message, struct buffer *out)
{
    char text[CLOCK_TEXT_SIZE];
    buffer_printf(out, "\"seq\":%" PRIu64 ",\"received\":\"%s\",\"vendor\":", message->seq,
                  clock_format_ms(message->received_ms, text));
    json_string(message->vendor, out);
    buffer_add_text(out, ",\"client\":");
    json_string(message->client, out);
    buffer_add_text(out, ",\"topic\":");
    json_string(message->topic, out);
    buffer_printf(out, ",\"qos\":%d,\"retain\":%s,\"dup\":%s,\"will\":%s,\"protocol\":%u,",
                  message->flags & MESSAGE_QOS, message->flags & MESSAGE_RETAIN ? "true" : "false",
                  message->flags & MESSAGE_DUP ? "true" : "false",
                  message->flags & MESSAGE_WILL ? "true" : "false", message->protocol);
    buffer_printf(out, "\"packet_id\":%u,", message->packet_id);
    if (message->properties.size) {
        buffer_add_text(out, "\"properties_hex\":\"");
        hex_add(message->properties, out);
        buffer_add_text(out, "\",");
    }
    payload_json(message->payload, out);
}
