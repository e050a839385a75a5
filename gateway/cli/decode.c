/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate decode`: one payload through route, codec and normaliser as in the gateway, with an empty
 * memory; what would be a dead letter is told on standard error.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/identity.h"
#include "cli/cli.h"
#include "cli/payload.h"
#include "config/config.h"
#include "model/batch_json.h"
#include "normalise.h"
#include "route.h"

enum { PAYLOAD_MAX = 268435455 /* MQTT 5.0, 2.1.4: the largest packet */, SERIES_MAX = 100000 };

struct decode_options {
    char *codec, *config, *vendor, *device, *received, *topic;
    bool hex;
};

#define AT(member) offsetof(struct decode_options, member)
static const struct option decode_rows[] = {
    {.name = "codec", .type = OPTION_STRING, .offset = AT(codec), .help = "The payload format."},
    {.name = "config",
     .type = OPTION_PATH,
     .offset = AT(config),
     .help = "Take mappings, zones and metrics from this configuration, not from the built-in "
             "one."},
    {.name = "vendor",
     .type = OPTION_STRING,
     .offset = AT(vendor),
     .help = "As if it came from this vendor."},
    {.name = "device",
     .type = OPTION_STRING,
     .offset = AT(device),
     .help = "As if the topic named this device."},
    {.name = "received",
     .type = OPTION_STRING,
     .offset = AT(received),
     .help = "As if it came at this time, RFC 3339; default: now."},
    {.name = "topic",
     .type = OPTION_STRING,
     .offset = AT(topic),
     .help = "As if it came on this topic: the routes decide about vendor, device and codec."},
    {.name = "hex",
     .type = OPTION_BOOL,
     .offset = AT(hex),
     .def = "false",
     .help = "The input is hexadecimal text; white space is passed over."},
    {0},
};
#undef AT

static void codecs_print(struct buffer *out)
{
    buffer_add_text(out, "Codecs:\n");
    for (size_t i = 0; codec_at(i); i++)
        buffer_printf(out, "  %-12s %s\n", codec_at(i)->name, codec_at(i)->summary);
}

static const struct cli_command decode_command = {
    .name = "decode",
    .arguments = "[FILE|-]",
    .summary = "Show the readings of one payload, one JSON object a line, or why there are none.",
    .rows = decode_rows,
    .arguments_max = 1,
    .more =
        "Reads standard input without FILE. Needs --codec or --topic. A payload that would be\n"
        "a dead letter prints `reason: detail` on standard error and ends with exit code 65.\n\n",
    .more_print = codecs_print,
};

/* ---- what the route says ---- */

/* Where the payload goes; the match borrows from all of it. */
struct target {
    struct route_match match;
    struct router *router; /* with --topic */
    struct zone *zone;     /* without */
};

static int refuse(const char *reason, const char *detail)
{
    fprintf(stderr, "%s: %s\n", reason, detail);
    return EXIT_CODE_DATA;
}

static bool route_fits(const struct decode_options *options, const struct config_route *route)
{
    return strcmp(route->codec, options->codec) == 0 &&
           (!options->vendor || !route->vendor || strcmp(options->vendor, route->vendor) == 0);
}

/* As in the gateway: the route's zone, else the vendor's, else the general one. */
static int zone_make(const struct config *config, const struct config_route *route,
                     const char *vendor, struct target *out)
{
    const char *name = config->timezone ? config->timezone : "UTC";
    struct err err;
    for (size_t i = 0; i < config->vendor_count; i++)
        if (strcmp(config->vendors[i].name, vendor) == 0 && config->vendors[i].timezone)
            name = config->vendors[i].timezone;
    if (route->timezone)
        name = route->timezone;
    if (zone_new(name, &out->zone, &err))
        return cli_fail("decode", EXIT_CODE_CONFIG, "timezone: %s", err.text);
    out->match.zone = out->zone;
    return CLI_GO;
}

/* Without a topic: the first route with that codec, which may be of that vendor. */
static int match_by_codec(const struct decode_options *options, const struct config *config,
                          struct target *out)
{
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        if (!route_fits(options, route))
            continue;
        const char *vendor = options->vendor ? options->vendor
                             : route->vendor ? route->vendor
                                             : "unknown";
        out->match = (struct route_match){
            .codec = route->codec_type,
            .codec_config = route->codec_config,
            .vendor = bytes_text(vendor),
            .device = bytes_text(""),
        };
        return zone_make(config, route, vendor, out);
    }
    return cli_fail("decode", EXIT_CODE_USAGE,
                    "no route of the configuration has the codec `%s`%s%s", options->codec,
                    options->vendor ? " for vendor " : "", options->vendor ? options->vendor : "");
}

static int match_by_topic(const struct decode_options *options, const struct config *config,
                          struct target *out)
{
    struct err err;
    struct message message = {
        .topic = bytes_text(options->topic),
        .vendor = bytes_text(options->vendor ? options->vendor : ""),
    };
    if (router_new(config, &out->router, &err))
        return cli_fail("decode", EXIT_CODE_CONFIG, "%s", err.text);
    if (!router_match(out->router, &message, &out->match))
        return refuse("no_route", "no route fits this topic and vendor");
    if (options->codec && strcmp(out->match.codec->name, options->codec) != 0)
        return cli_fail("decode", EXIT_CODE_USAGE, "that topic is decoded with the codec `%s`",
                        out->match.codec->name);
    return CLI_GO;
}

/* ---- decoding ---- */

static void rows_print(struct batch_builder *builder)
{
    char gateway[IDENTITY_TEXT_SIZE];
    struct buffer out = {0};
    struct batch *batch = batch_builder_finish(builder);
    identity_format((struct identity){0}, gateway);
    for (uint32_t row = 0; row < batch->count; row++)
        batch_row_json(batch, row, gateway, &out);
    cli_print(buffer_bytes(&out));
    buffer_fini(&out);
    batch_release(batch);
}

static int normalise_print(const struct config *config, const struct target *target,
                           int64_t received_ms, const struct readings *readings)
{
    const char *reason = "";
    char detail[200] = "";
    struct normaliser *normaliser = normaliser_new(&(struct normaliser_options){
        .vocabulary = config->vocabulary,
        .series_max = SERIES_MAX,
        .late_max_ms = config->decode.late_days * 24 * 3600 * 1000,
        .ahead_max_ms = config->decode.ahead_ms,
    });
    struct batch_builder *builder = batch_builder_new();
    struct normalise_context context = {
        .vendor = target->match.vendor,
        .zone = target->match.zone,
        .seq = 1,
        .received_ms = received_ms,
    };
    int count = normalise(normaliser, &context, readings, builder, &reason, detail);
    int code = EXIT_CODE_OK;
    if (count < 0)
        code = refuse(reason, detail);
    else if (count == 0)
        fprintf(stderr, "decoded well, and holds no reading\n");
    else
        rows_print(builder);
    batch_builder_free(builder);
    normaliser_free(normaliser);
    return code;
}

static int payload_decode(const struct decode_options *options, const struct config *config,
                          const struct target *target, struct bytes payload, int64_t received_ms)
{
    const struct route_match *match = &target->match;
    struct codec_why why = {.reason = "malformed"};
    struct readings readings;
    struct codec_input in = {
        .topic = bytes_text(options->topic ? options->topic : ""),
        .payload = payload,
        .device = options->device ? bytes_text(options->device) : match->device,
        .properties = bytes_text(""),
        .captures = match->captures,
        .capture_count = match->capture_count,
        .received_ms = received_ms,
    };
    struct codec_stream *stream =
        match->codec->stream_load ? match->codec->stream_load(match->codec_config, bytes_text(""))
                                  : NULL;
    readings_init(&readings, (size_t)config->decode.readings_max);
    int code = match->codec->decode(match->codec_config, stream, &in, &readings, &why) == CODEC_OK
                   ? normalise_print(config, target, received_ms, &readings)
                   : refuse(why.reason, why.detail);
    readings_fini(&readings);
    if (stream)
        match->codec->stream_free(stream);
    return code;
}

/* ---- verb ---- */

static int config_get(const struct decode_options *options, struct config **out)
{
    struct buffer errors = {0};
    int rc = options->config ? config_load(options->config, &disk_real, out, &errors)
                             : config_embedded(&(struct config_places){0}, out, &errors);
    if (errors.size)
        fwrite(errors.data, 1, errors.size, stderr);
    buffer_fini(&errors);
    return rc ? EXIT_CODE_CONFIG : CLI_GO;
}

static int input_get(const struct decode_options *options, const char *path, struct buffer *out)
{
    struct buffer text = {0};
    struct err err;
    int rc = payload_read(path, PAYLOAD_MAX, options->hex ? &text : out, &err);
    int code = rc ? cli_fail("decode", EXIT_CODE_FAILED, "%s", err.text) : CLI_GO;
    if (rc == 0 && options->hex && payload_unhex(buffer_bytes(&text), out, &err))
        code = cli_fail("decode", EXIT_CODE_DATA, "--hex: %s", err.text);
    buffer_fini(&text);
    return code;
}

static int decode_with(const struct decode_options *options, const struct config *config,
                       const char *path, int64_t received_ms)
{
    struct target target = {0};
    struct buffer payload = {0};
    int code = options->topic ? match_by_topic(options, config, &target)
                              : match_by_codec(options, config, &target);
    if (code == CLI_GO)
        code = input_get(options, path, &payload);
    if (code == CLI_GO)
        code = payload_decode(options, config, &target, buffer_bytes(&payload), received_ms);
    buffer_fini(&payload);
    router_free(target.router);
    zone_free(target.zone);
    return code;
}

static int decode(const struct decode_options *options, const char *path)
{
    int64_t received_ms = clock_wall_ms();
    bool zoned = true;
    struct config *config;
    if (options->codec == NULL && options->topic == NULL)
        return cli_fail("decode", EXIT_CODE_USAGE, "needs --codec NAME or --topic TOPIC");
    if (options->codec && codec_find(bytes_text(options->codec)) == NULL)
        return cli_fail("decode", EXIT_CODE_USAGE,
                        "unknown codec `%s`; `tidegate decode --help` lists them", options->codec);
    if (options->received &&
        !clock_parse_rfc3339(bytes_text(options->received), &received_ms, &zoned))
        return cli_fail("decode", EXIT_CODE_USAGE,
                        "--received: `%s` is no time of RFC 3339, as 2026-11-21T08:00:00Z",
                        options->received);
    int code = config_get(options, &config);
    if (code != CLI_GO)
        return code;
    code = decode_with(options, config, path, received_ms);
    config_free(config);
    return code;
}

int verb_decode(int argc, char **argv)
{
    struct decode_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(&decode_command, argc, argv, &options, &arguments);
    if (code == CLI_GO)
        code = cli_finish(decode(&options, arguments.count ? arguments.values[0] : NULL));
    option_fini(decode_rows, &options);
    return code;
}
