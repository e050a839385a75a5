/* SPDX-License-Identifier: Apache-2.0
 *
 * One message after the other: route -> codec -> normaliser -> row; where one of them says no, a
 * dead letter. Runs on whichever thread owns the object.
 */
#include "decode.h"

#include "deadletter.h"
#include "journal/rawlog.h"

struct normaliser_options decode_normaliser_options(const struct config *config)
{
    return (struct normaliser_options){
        .vocabulary = config->vocabulary,
        .series_max = (uint64_t)config->decode.meters_max,
        .late_max_ms = config->decode.late_days * 86400000,
        .ahead_max_ms = config->decode.ahead_ms,
    };
}

void decode_init(struct decode *decode, const struct router *router, struct normaliser *normaliser,
                 size_t readings_max)
{
    *decode = (struct decode){.router = router, .normaliser = normaliser};
    readings_init(&decode->readings, readings_max);
    decode->rows = batch_builder_new();
}

void decode_fini(struct decode *decode)
{
    readings_fini(&decode->readings);
    batch_builder_free(decode->rows);
    buffer_fini(&decode->letters);
    *decode = (struct decode){0};
}

static void message_refused(struct decode *decode, const struct deadletter *letter)
{
    batch_builder_reject(decode->rows, letter->message.seq, letter->stage, letter->message.vendor,
                         letter->codec, letter->codec_version, letter->reason, letter->detail);
    if (letter->stage == STAGE_EMPTY) {
        decode->decoded++;
        return;
    }
    decode->dead++;
    if (letter->message.seq >= decode->letters_from)
        deadletter_encode(letter, &decode->letters);
}

/* The words for codecs that refuse without one. */
static const char *reason_of(enum codec_result result, const struct codec_why *why)
{
    if (why->reason)
        return why->reason;
    switch (result) {
    case CODEC_MALFORMED: return "malformed";
    case CODEC_UNSUPPORTED: return "unsupported";
    case CODEC_NO_CONTEXT: return "no_context";
    case CODEC_FULL: return "too_many_readings";
    case CODEC_OK: break;
    }
    return "refused";
}

static bool codec_run(struct decode *decode, const struct route_match *route,
                      struct deadletter *letter, struct codec_why *why)
{
    const struct message *message = &letter->message;
    struct codec_input input = {
        .topic = message->topic,
        .payload = message->payload,
        .device = route->device,
        .properties = message->properties,
        .captures = route->captures,
        .capture_count = route->capture_count,
        .received_ms = message->received_ms,
    };
    readings_reset(&decode->readings);
    enum codec_result result =
        route->codec->decode(route->codec_config, NULL, &input, &decode->readings, why);
    if (result == CODEC_OK)
        return true;
    letter->stage = STAGE_DECODE;
    letter->reason = bytes_text(reason_of(result, why));
    letter->detail = bytes_text(why->detail);
    return false;
}

void decode_message(struct decode *decode, const struct message *message)
{
    struct deadletter letter = {.message = *message,
                                .codec = bytes_text(""),
                                .reason = bytes_text("no_route"),
                                .detail = bytes_text("no route fits this topic"),
                                .stage = STAGE_ROUTE};
    struct route_match route;
    if (!router_match(decode->router, message, &route)) {
        message_refused(decode, &letter);
        return;
    }
    letter.message.vendor = route.vendor;
    letter.codec = bytes_text(route.codec->name);
    letter.codec_version = route.codec->version;
    struct codec_why why = {0};
    if (!codec_run(decode, &route, &letter, &why)) {
        message_refused(decode, &letter);
        return;
    }
    if (decode->readings.count == 0) {
        letter.stage = STAGE_EMPTY;
        letter.reason = bytes_text("no_reading");
        letter.detail = bytes_text("");
        message_refused(decode, &letter);
        return;
    }
    struct normalise_context context = {route.vendor, route.zone, message->seq,
                                        message->received_ms};
    const char *reason = "normalise";
    char detail[200] = "";
    int rows =
        normalise(decode->normaliser, &context, &decode->readings, decode->rows, &reason, detail);
    if (rows < 0) {
        letter.stage = STAGE_NORMALISE;
        letter.reason = bytes_text(reason);
        letter.detail = bytes_text(detail);
        message_refused(decode, &letter);
        return;
    }
    decode->decoded++;
    decode->row_count += (uint64_t)rows;
}

int decode_extent(struct decode *decode, const struct extent *extent, struct err *err)
{
    struct record_reader reader;
    record_reader_init(&reader, extent);
    struct message message;
    struct session_record session;
    enum record_kind kind;
    int rc;
    while ((rc = record_reader_next(&reader, &kind, &message, &session)) > 0) {
        if (kind != RECORD_MESSAGE)
            continue;
        decode_message(decode, &message);
        if (decode->letters.size >= DECODE_LETTERS_MAX && decode->letters_full &&
            !decode->letters_full(decode->letters_arg, message.seq + 1))
            return err_set(err, GW_EFULL, "its dead letters cannot be stored");
    }
    if (rc < 0)
        return err_set(err, rc, "records of the extent at seq %llu end early",
                       (unsigned long long)extent->first_seq);
    return 0;
}

struct batch *decode_take(struct decode *decode, uint64_t *decoded, uint64_t *dead)
{
    *decoded = decode->decoded;
    *dead = decode->dead;
    decode->decoded = decode->dead = decode->row_count = 0;
    return batch_builder_finish(decode->rows);
}
