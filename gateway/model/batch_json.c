/* SPDX-License-Identifier: Apache-2.0
 *
 * A row of a batch as a line of JSON, for people and their scripts. Separate because only `decode`
 * and `tail` need it. Any thread.
 */
#include "model/batch_json.h"

#include <inttypes.h>

#include "base/clock.h"
#include "model/decimal.h"

static void member_string(const char *name, struct bytes value, struct buffer *out)
{
    buffer_printf(out, "\"%s\":", name);
    json_string(value, out);
    buffer_u8(out, ',');
}

static void member_time(const char *name, int64_t ms, struct buffer *out)
{
    char text[CLOCK_TEXT_SIZE];
    buffer_printf(out, "\"%s\":\"%s\",", name, clock_format_ms(ms, text));
}

static void member_value(const struct batch *batch, uint32_t row, struct buffer *out)
{
    char text[DECIMAL_TEXT_SIZE] = "null";
    struct decimal value = {batch->unscaled[row], (int8_t)-batch->scale[row]};
    if (batch->has_value[row])
        decimal_format(value, text);
    buffer_printf(out, "\"value\":%s,", text);
}

static void member_flags(uint32_t flags, struct buffer *out)
{
    const char *comma = "";
    buffer_add_text(out, "\"flags\":[");
    for (int i = 0; i < FLAG_COUNT; i++) {
        if (flags & 1U << i) {
            buffer_printf(out, "%s\"%s\"", comma, flag_name(i));
            comma = ",";
        }
    }
    buffer_add_text(out, "],");
}

void batch_row_json(const struct batch *batch, uint32_t row, const char *gateway,
                    struct buffer *out)
{
    gw_assert(row < batch->count);
    buffer_u8(out, '{');
    member_string("vendor", batch->strings[batch->vendor[row]], out);
    member_string("device", batch->strings[batch->device[row]], out);
    member_string("metric", batch->strings[batch->metric[row]], out);
    member_time("ts", batch->ts_ms[row], out);
    member_value(batch, row, out);
    member_string("unit", batch->strings[batch->unit[row]], out);
    buffer_printf(out, "\"scale\":%u,\"quality\":\"%s\",", batch->scale[row],
                  quality_name(batch->quality[row]));
    member_flags(batch->flags[row], out);
    buffer_printf(out, "\"time_source\":\"%s\",\"seq\":%" PRIu64 ",",
                  time_source_name(batch->time_source[row]), batch->seq[row]);
    member_time("received", batch->received_ms[row], out);
    buffer_add_text(out, "\"gateway\":");
    json_string(bytes_text(gateway), out);
    buffer_add_text(out, "}\n");
}
