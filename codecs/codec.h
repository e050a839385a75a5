/* SPDX-License-Identifier: Apache-2.0
 *
 * The contract between the gateway and a payload format. A codec is one folder and one line in
 * codecs/registry.c.
 *
 * A codec is pure: the same configuration, memory and message give the same readings. It has no
 * clock, file, global, thread or event loop. The payload is hostile: decode returns in time linear
 * in its length whatever the bytes, and allocates at most a small multiple of them. A checksum
 * that fails gives no readings; a bad field in a good frame makes that reading `bad` and keeps the
 * others. Values are exact decimals, never through a double.
 */
#ifndef TIDEGATE_CODECS_CODEC_H
#define TIDEGATE_CODECS_CODEC_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/option.h"
#include "model/reading.h"

enum codec_result {
    CODEC_OK,          /* `out` holds what the message says: zero or more readings */
    CODEC_MALFORMED,   /* not what the format allows */
    CODEC_UNSUPPORTED, /* well-formed, but this codec does not read it */
    CODEC_NO_CONTEXT,  /* needs something that came before and is not there */
    CODEC_FULL,        /* more readings than `out` may hold */
};

/* Why a message was refused. `reason` is a fixed word ([a-z0-9_], static memory), used as a
 * counter label; `detail` is a sentence for people, with the place: "byte 12: ...". */
struct codec_why {
    const char *reason;
    char detail[200];
};
/* Fills `why` and returns `result`: return codec_refuse(why, CODEC_MALFORMED, "checksum", ...). */
enum codec_result codec_refuse(struct codec_why *why, enum codec_result result,
                               const char *reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* What the route knows beside the payload. All bytes are borrowed for the call. */
struct codec_input {
    struct bytes topic;
    struct bytes payload;
    struct bytes device;      /* from the route's {device}; empty: the payload must say it */
    struct bytes properties;  /* MQTT 5 properties of the message */
    const struct capture *captures; /* further {name} parts of the route's topic */
    size_t capture_count;
    int64_t received_ms; /* the receive time, for formats that send time without the year */
};
struct capture {
    struct bytes name, value;
};

/* Memory of one stream (a meter, a session), for codecs that remember. Owned by the decoder, saved
 * with the decode position; changes only in a call that returns CODEC_OK. */
struct codec_stream;

struct codec {
    const char *name;    /* as in topics and configurations: "json" */
    uint16_t version;    /* grows when readings change; stands with every dead letter */
    const char *summary; /* one line for --help */
    /* Rows of its configuration, for the reference, when that is one flat mapping; null: its README
     * tells what a mapping may hold. */
    const struct option *options;

    /* Make a configuration from the YAML text of a mapping or option file (empty: the defaults).
     * `origin` names it in errors: every error stands in `errors` as "file:line:column: text", one
     * a line. Returns GW_EINVAL then. The result is read-only and shared by threads. */
    int (*configure)(struct bytes yaml, const char *origin, void **config, struct buffer *errors);
    void (*config_free)(void *config);

    /* Appends readings to `out` (reset by the caller). On any result but CODEC_OK the caller
     * ignores what `out` holds. `stream` is null for codecs without memory. */
    enum codec_result (*decode)(const void *config, struct codec_stream *stream,
                                const struct codec_input *in, struct readings *out,
                                struct codec_why *why);

    /* For codecs that remember; all null otherwise. The key of the stream a message belongs to is
     * appended to `key`; new memory is made by load with empty bytes. */
    void (*stream_key)(const void *config, const struct codec_input *in, struct buffer *key);
    struct codec_stream *(*stream_load)(const void *config, struct bytes saved);
    void (*stream_save)(const struct codec_stream *stream, struct buffer *out);
    void (*stream_free)(struct codec_stream *stream);
};

/* The registry, in codecs/registry.c. */
const struct codec *codec_find(struct bytes name); /* null when unknown */
const struct codec *codec_at(size_t index);        /* null past the end */

#endif
