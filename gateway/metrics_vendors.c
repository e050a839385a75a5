/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics with a label `vendor` that come from what was decoded; those of connections stand with the
 * listener. Separate from metrics.c, because each is a list over all vendors. Any thread.
 */
#include <inttypes.h>

#include "metrics.h"
#include "parts.h"
#include "vendor_tally.h"

/* Prometheus takes a label without text for one that is not there. */
static void label_put(const struct vendor_tally_row *row, struct buffer *out)
{
    if (row->others || row->name.size == 0) {
        buffer_add_text(out, row->others ? "(others)" : "(none)");
        return;
    }
    for (size_t i = 0; i < row->name.size; i++) {
        uint8_t byte = row->name.data[i];
        if (byte == '\\' || byte == '"')
            buffer_u8(out, '\\');
        if (byte == '\n')
            buffer_add_text(out, "\\n");
        else
            buffer_u8(out, byte);
    }
}

struct put {
    struct buffer *out;
    const char *name;
};

static void sample(const struct put *put, const struct vendor_tally_row *row, const char *label,
                   const char *value, double number)
{
    buffer_printf(put->out, "%s{vendor=\"", put->name);
    label_put(row, put->out);
    if (label)
        buffer_printf(put->out, "\",%s=\"%s", label, value);
    buffer_printf(put->out, "\"} %.17g\n", number);
}

static void messages(void *arg, const struct vendor_tally_row *row)
{
    sample(arg, row, NULL, NULL, (double)row->messages);
}

static void readings(void *arg, const struct vendor_tally_row *row)
{
    for (int i = 0; i < QUALITY_COUNT; i++)
        sample(arg, row, "quality", quality_name((enum quality)i), (double)row->readings[i]);
}

static void flagged(void *arg, const struct vendor_tally_row *row)
{
    for (int i = 0; i < FLAG_COUNT; i++)
        sample(arg, row, "flag", flag_name(i), (double)row->flagged[i]);
}

/* What a sink refuses is counted by sink, and what is empty is no dead letter. */
static void dead(void *arg, const struct vendor_tally_row *row)
{
    for (int i = STAGE_ROUTE; i <= STAGE_NORMALISE; i++)
        sample(arg, row, "stage", stage_name((enum reject_stage)i), (double)row->dead[i]);
}

static void last(void *arg, const struct vendor_tally_row *row)
{
    sample(arg, row, NULL, NULL, (double)row->last_ms / 1000);
}

static const struct {
    const char *name, *type, *help;
    void (*each)(void *arg, const struct vendor_tally_row *row);
} rows[] = {
    {"tidegate_vendor_decoded_messages_total", "counter",
     "Messages decoded since start, with or without readings, by the vendor of their route.",
     messages},
    {"tidegate_vendor_readings_total", "counter", "Readings made since start.", readings},
    {"tidegate_vendor_flagged_readings_total", "counter", "Readings with a flag since start.",
     flagged},
    {"tidegate_vendor_dead_messages_total", "counter",
     "Messages that became dead letters since start.", dead},
    {"tidegate_vendor_last_reading_timestamp_seconds", "gauge",
     "When the newest message came that gave a reading; the start of the gateway while none did.",
     last},
};

void metrics_vendors(const struct gateway *gateway, struct buffer *out)
{
    for (size_t i = 0; i < array_count(rows); i++) {
        struct put put = {out, rows[i].name};
        metrics_head(out, rows[i].name, rows[i].type, rows[i].help);
        vendor_tally_each(decoder_tally(gateway->decoder), rows[i].each, &put);
    }
}
