/* SPDX-License-Identifier: Apache-2.0
 *
 * A dead letter as a record. Its headers are text; README.md lists them. The lane's thread.
 */
#include "sinks/kafka/letters.h"

#include <inttypes.h>

#include "base/clock.h"

static void put(rd_kafka_headers_t *headers, const char *name, struct bytes value)
{
    gw_assert(rd_kafka_header_add(headers, name, -1, value.size ? (const void *)value.data : "",
                                  (ssize_t)value.size) == 0);
}

static void put_number(rd_kafka_headers_t *headers, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    put(headers, name, bytes_text(text));
}

static void put_why(rd_kafka_headers_t *headers, const struct batch *batch,
                    const struct reject *reject)
{
    put(headers, "stage", bytes_text(stage_name((enum reject_stage)reject->stage)));
    put(headers, "reason", batch->strings[reject->reason]);
    put(headers, "detail", batch->strings[reject->detail]);
    put(headers, "codec", batch->strings[reject->codec]);
    put_number(headers, "codec_version", reject->codec_version);
}

static void put_refusal(rd_kafka_headers_t *headers, const struct sink_refusal *refusal)
{
    put(headers, "stage", bytes_text(stage_name(STAGE_SINK)));
    put(headers, "reason", bytes_text(refusal->reason));
    put(headers, "detail", bytes_text(refusal->detail));
}

static void put_message(rd_kafka_headers_t *headers, const struct message *message)
{
    char time[CLOCK_TEXT_SIZE];
    put(headers, "vendor", message->vendor);
    put(headers, "topic", message->topic);
    put(headers, "client", message->client);
    put(headers, "received", bytes_text(clock_format_ms(message->received_ms, time)));
}

/* 0, GW_ENOENT or GW_EIO. */
static int message_of(struct sink_host *host, uint64_t seq, struct message *out, struct err *err)
{
    return host->message ? host->message(host, seq, out, err) : GW_ENOENT;
}

/* As it stands with a row of that message, or empty. */
static struct bytes vendor_of_rows(const struct unit *unit, uint64_t seq)
{
    for (uint32_t i = 0; i < unit->batch_count; i++) {
        const struct batch *batch = unit->batches[i];
        for (uint32_t row = 0; row < batch->count; row++)
            if (batch->seq[row] == seq)
                return batch->strings[batch->vendor[row]];
    }
    return (struct bytes){0};
}

int letter_make(struct letter *out, struct sink_host *host, const struct flight *flight,
                uint64_t ref, bool bare, struct err *err)
{
    const struct sink_refusal *refusal = NULL;
    const struct batch *batch = NULL;
    uint32_t row = 0;
    if (record_kind_of(ref) == RECORD_REFUSED)
        refusal = &flight->refusals[record_index_of(ref)];
    else
        batch = flight_row(flight, ref, &row);
    uint64_t seq = refusal ? refusal->seq : batch->rejects[row].seq;

    struct message message = {0};
    int rc = message_of(host, seq, &message, err);
    if (rc && rc != GW_ENOENT)
        return rc;
    /* The log has whoever logged in; the batch knows whom the route named. */
    struct bytes vendor =
        refusal ? vendor_of_rows(flight->unit, seq) : batch->strings[batch->rejects[row].vendor];
    if (vendor.size)
        message.vendor = vendor;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(16);
    char identity[IDENTITY_TEXT_SIZE];
    if (refusal)
        put_refusal(headers, refusal);
    else
        put_why(headers, batch, &batch->rejects[row]);
    put_number(headers, "seq", seq);
    put(headers, "gateway", bytes_text(identity_format(host->identity, identity)));
    if (rc == 0)
        put_message(headers, &message);
    if (rc == GW_ENOENT)
        put(headers, "lost", bytes_text("damage"));
    else if (bare)
        put(headers, "lost", bytes_text("too_large"));
    if (flight->unit->replay)
        put_number(headers, "tidegate-replay", flight->generation);
    out->headers = headers;
    out->value = bare ? (struct bytes){0} : message.payload;
    out->key = message.vendor.size ? message.vendor : message.topic;
    return 0;
}

rd_kafka_headers_t *replay_headers(const struct flight *flight)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
    put_number(headers, "tidegate-replay", flight->generation);
    return headers;
}
