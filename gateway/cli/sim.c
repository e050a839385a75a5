/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate sim`: options to publisher_options, a live progress line, a summary. One thread.
 */
#define option getopt_option /* <getopt.h> has a struct of the name that base/option.h uses */
#include <argp.h>
#undef option
#include <math.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/option.h"
#include "cli/sim.h"
#include "sim/publisher.h"

struct arguments {
    struct publisher_options options;
    const char *connect;
    const char *begin;
    double speed_up; /* 0: not given */
    bool rate_given, json, quiet;
};

enum {
    OPT_VENDOR = 256,
    OPT_RATE,
    OPT_SPEED_UP,
    OPT_DURATION,
    OPT_COUNT,
    OPT_INTERVAL,
    OPT_BEGIN,
    OPT_QOS,
    OPT_MQTT,
    OPT_WINDOW,
    OPT_USERNAME,
    OPT_PASSWORD,
    OPT_CLIENT_ID,
    OPT_DUPLICATES,
    OPT_LATE,
    OPT_SKEW,
    OPT_RESETS,
    OPT_GARBAGE,
    OPT_SEED,
    OPT_LEDGER,
    OPT_PATIENCE,
    OPT_JSON,
};

static const struct argp_option rows[] = {
    {NULL, 0, NULL, 0, "Meters", 1},
    {"meters", 'n', "N", 0, "so many simulated meters (10000)", 0},
    {"vendor", OPT_VENDOR, "NAME:FORMAT[:SHARE]", 0,
     "who made them, again for each; FORMAT is json or cjt188 (aqua:json:50 huaxu:cjt188:50)", 0},
    {"interval", OPT_INTERVAL, "TIME", 0, "simulated time between two readings of a meter (15m)",
     0},
    {"begin", OPT_BEGIN, "TIME", 0,
     "simulated time of the first readings, RFC 3339 (so that the "
     "last ones are of now)",
     0},
    {"seed", OPT_SEED, "N", 0, "other meters, other faults (1)", 0},
    {NULL, 0, NULL, 0, "How much", 2},
    {"rate", OPT_RATE, "N", 0, "messages a second, or `max`: as fast as acknowledged", 0},
    {"speed-up", OPT_SPEED_UP, "N", 0, "or: simulated time runs so many times faster (1)", 0},
    {"count", OPT_COUNT, "N", 0, "so many readings, then the end", 0},
    {"duration", OPT_DURATION, "TIME", 0, "or the end after so long", 0},
    {NULL, 0, NULL, 0, "Connections", 3},
    {"connect", 'c', "HOST:PORT", 0, "the gateway (127.0.0.1:1883)", 0},
    {"connections", 'k', "N", 0, "meters share so many connections (50)", 0},
    {"qos", OPT_QOS, "0|1|2", 0, "quality of service (1)", 0},
    {"mqtt", OPT_MQTT, "3.1.1|5", 0, "protocol version (5)", 0},
    {"window", OPT_WINDOW, "N", 0, "messages in flight a connection (64)", 0},
    {"username", OPT_USERNAME, "NAME", 0, "login", 0},
    {"password", OPT_PASSWORD, "WORD", 0, "its password", 0},
    {"client-id", OPT_CLIENT_ID, "PREFIX", 0, "of the client ids (sim)", 0},
    {"patience", OPT_PATIENCE, "TIME", 0, "give up when nothing is acknowledged for so long (30s)",
     0},
    {NULL, 0, NULL, 0, "Faults, in thousandths of all messages", 4},
    {"duplicates", OPT_DUPLICATES, "N", 0, "sent twice", 0},
    {"late", OPT_LATE, "N", 0, "sent one and a half intervals later", 0},
    {"clock-skew", OPT_SKEW, "N", 0, "of all meters: a clock eight hours off", 0},
    {"resets", OPT_RESETS, "N", 0, "the counter begins again at zero", 0},
    {"garbage", OPT_GARBAGE, "N", 0, "a spoiled payload before the good one", 0},
    {NULL, 0, NULL, 0, "Reports", 5},
    {"ledger", OPT_LEDGER, "FILE", 0, "a line for each message: acknowledged, refused, unknown", 0},
    {"json", OPT_JSON, NULL, 0, "the summary as one JSON object", 0},
    {"quiet", 'q', NULL, 0, "no progress", 0},
    {0},
};

/* ---- options ---- */

static double number_of(const char *text, double min, double max, struct argp_state *state,
                        const char *name)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= min && value <= max))
        argp_error(state, "--%s takes a number from %g to %g, not `%s'", name, min, max, text);
    return value;
}

static int64_t time_of(const char *text, struct argp_state *state, const char *name)
{
    int64_t ms = 0;
    if (option_parse_duration(text, &ms) != 0 || ms <= 0)
        argp_error(state, "--%s takes a time such as 500ms, 10s, 15m or 7d, not `%s'", name, text);
    return ms;
}

static void add_vendor(struct publisher_options *options, const char *text,
                       struct argp_state *state)
{
    char name[64], format[16];
    unsigned share = 1;
    int fields = sscanf(text, "%63[a-z0-9_-]:%15[a-z0-9]:%u", name, format, &share);
    bool json = fields >= 2 && strcmp(format, "json") == 0;
    bool cjt188 = fields >= 2 && strcmp(format, "cjt188") == 0;
    if ((!json && !cjt188) || share == 0 || share > 1000000)
        argp_error(state, "--vendor takes NAME:json or NAME:cjt188 and a share, not `%s'", text);
    if (options->vendor_count == PUBLISHER_VENDORS_MAX)
        argp_error(state, "at most %d vendors", PUBLISHER_VENDORS_MAX);
    struct publisher_vendor *vendor = &options->vendors[options->vendor_count++];
    snprintf(vendor->name, sizeof vendor->name, "%s", name);
    vendor->format = json ? PAYLOAD_JSON : PAYLOAD_CJT188;
    vendor->share = share;
}

static int protocol_version(const char *text, struct argp_state *state)
{
    if (strcmp(text, "3.1.1") == 0 || strcmp(text, "4") == 0)
        return 4;
    if (strcmp(text, "5") != 0 && strcmp(text, "5.0") != 0)
        argp_error(state, "--mqtt takes 3.1.1 or 5, not `%s'", text);
    return 5;
}

static error_t parse_faults(int key, char *text, struct argp_state *state)
{
    struct publisher_options *options = &((struct arguments *)state->input)->options;
    switch (key) {
    case OPT_DUPLICATES: options->duplicates = number_of(text, 0, 1000, state, "duplicates"); break;
    case OPT_LATE: options->late = number_of(text, 0, 1000, state, "late"); break;
    case OPT_SKEW: options->skewed = number_of(text, 0, 1000, state, "clock-skew"); break;
    case OPT_RESETS: options->resets = number_of(text, 0, 1000, state, "resets"); break;
    case OPT_GARBAGE: options->garbage = number_of(text, 0, 1000, state, "garbage"); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static error_t parse_connection(int key, char *text, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    struct publisher_options *options = &arguments->options;
    switch (key) {
    case 'c': arguments->connect = text; break;
    case 'k':
        options->connections = (uint32_t)number_of(text, 1, 60000, state, "connections");
        break;
    case OPT_QOS: options->qos = (int)number_of(text, 0, 2, state, "qos"); break;
    case OPT_MQTT: options->client.version = protocol_version(text, state); break;
    case OPT_WINDOW:
        options->client.window = (uint32_t)number_of(text, 1, 65535, state, "window");
        break;
    case OPT_USERNAME: options->client.username = text; break;
    case OPT_PASSWORD: options->client.password = text; break;
    case OPT_CLIENT_ID:
        snprintf(options->client_prefix, sizeof options->client_prefix, "%s", text);
        break;
    case OPT_PATIENCE: options->patience_ms = time_of(text, state, "patience"); break;
    default: return parse_faults(key, text, state);
    }
    return 0;
}

static void set_rate(struct arguments *arguments, const char *text, struct argp_state *state)
{
    arguments->rate_given = true;
    arguments->options.rate =
        strcmp(text, "max") == 0 ? 0 : number_of(text, 0.001, 10000000, state, "rate");
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    struct publisher_options *options = &arguments->options;
    switch (key) {
    case 'n': options->meters = (uint64_t)number_of(text, 1, 1e7, state, "meters"); break;
    case 'q': arguments->quiet = true; break;
    case OPT_JSON: arguments->json = true; break;
    case OPT_VENDOR: add_vendor(options, text, state); break;
    case OPT_INTERVAL: options->interval_ms = time_of(text, state, "interval"); break;
    case OPT_BEGIN: arguments->begin = text; break;
    case OPT_SEED: options->seed = (uint64_t)number_of(text, 0, 1e15, state, "seed"); break;
    case OPT_RATE: set_rate(arguments, text, state); break;
    case OPT_SPEED_UP: arguments->speed_up = number_of(text, 0.001, 1e9, state, "speed-up"); break;
    case OPT_COUNT: options->count = (uint64_t)number_of(text, 1, 1e12, state, "count"); break;
    case OPT_DURATION: options->duration_ms = time_of(text, state, "duration"); break;
    case OPT_LEDGER: options->ledger = text; break;
    case ARGP_KEY_ARG: argp_error(state, "`%s' is not expected here", text); break;
    default: return parse_connection(key, text, state);
    }
    return 0;
}

static const struct argp argp = {
    .options = rows,
    .parser = parse,
    .doc = "Publish what simulated water meters would send: households with their daily draw, "
           "counters that only grow, pressure, temperature, batteries; with faults to order. Ends "
           "with 0 when everything was acknowledged.\v"
           "tidegate sim --count 10000 --rate 2000\n"
           "tidegate sim --meters 500 --speed-up 60 --garbage 5 --late 20",
};

/* ---- what follows from the options ---- */

static int resolve(struct publisher_options *options, const char *text, struct err *err)
{
    char host[256];
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || colon - text >= (long)sizeof host)
        return err_set(err, GW_EINVAL, "--connect takes HOST:PORT, not `%s'", text);
    bool bracket = text[0] == '[' && colon[-1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(colon - text) - (bracket ? 2 : 0),
             text + (bracket ? 1 : 0));
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int code = getaddrinfo(host, colon + 1, &hints, &found);
    if (code != 0)
        return err_set(err, GW_EINVAL, "%s: %s", text, gai_strerror(code));
    memcpy(&options->client.address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return 0;
}

/* The rate from the speed-up or the other way round, and the simulated time of the first reading. */
static int plan(struct arguments *arguments, struct err *err)
{
    struct publisher_options *options = &arguments->options;
    double natural = (double)options->meters * 1000 / (double)options->interval_ms;
    bool bounded = options->count || options->duration_ms;
    int64_t now_ms = clock_wall_ms();
    bool zoned;
    if (!arguments->rate_given)
        options->rate = natural * (arguments->speed_up > 0 ? arguments->speed_up : 1);
    if (!bounded && options->rate > 0 && !arguments->begin) {
        /* Without an end simulated time may not outrun the clock: meters report more often. */
        options->interval_ms = (int64_t)((double)options->meters * 1000 / options->rate);
        if (options->interval_ms < 1000)
            options->interval_ms = 1000;
    }
    double readings = options->count ? (double)options->count
                                     : options->rate * (double)options->duration_ms / 1000;
    double span_ms = ceil(readings / (double)options->meters) * (double)options->interval_ms;
    if (options->rate <= 0 && !options->count)
        span_ms = 300.0 * 86400000; /* nobody knows how many it will be */
    options->begin_ms = now_ms - (int64_t)(bounded || options->rate <= 0 ? span_ms : 0);
    if (arguments->begin &&
        (!clock_parse_rfc3339(bytes_text(arguments->begin), &options->begin_ms, &zoned) || !zoned))
        return err_set(err, GW_EINVAL, "--begin takes a time such as 2026-11-21T08:00:00+08:00");
    return 0;
}

static void defaults(struct arguments *arguments)
{
    *arguments = (struct arguments){
        .connect = "127.0.0.1:1883",
        .options = {.client = {.version = 5,
                               .clean = true,
                               .keep_alive_s = 60,
                               .window = 64,
                               .silence_max_ms = 30000,
                               .backoff_max_ms = 2000},
                    .client_prefix = "sim",
                    .qos = 1,
                    .meters = 10000,
                    .connections = 50,
                    .interval_ms = 15 * 60000,
                    .patience_ms = 30000,
                    .seed = 1},
    };
}

static void default_vendors(struct publisher_options *options)
{
    if (options->vendor_count > 0)
        return;
    options->vendors[0] = (struct publisher_vendor){"aqua", PAYLOAD_JSON, 1};
    options->vendors[1] = (struct publisher_vendor){"huaxu", PAYLOAD_CJT188, 1};
    options->vendor_count = 2;
}

/* ---- reports ---- */

struct progress {
    bool live; /* standard error is a terminal: one line, rewritten */
    uint64_t acknowledged;
    int64_t at_ns;
    int64_t told_ns;
};

static double ms(int64_t ns)
{
    return (double)ns / 1e6;
}

static void on_progress(void *arg, const struct publisher_stats *stats)
{
    struct progress *progress = arg;
    int64_t span_ns = stats->now_ns - progress->at_ns;
    if (!progress->live && stats->now_ns - progress->told_ns < 5000000000LL)
        return;
    double rate =
        span_ns > 0 ? (double)(stats->acknowledged - progress->acknowledged) * 1e9 / (double)span_ns
                    : 0;
    progress->told_ns = progress->at_ns = stats->now_ns;
    progress->acknowledged = stats->acknowledged;
    fprintf(stderr,
            "%spublished %llu  acknowledged %llu  %.0f/s  ack p50 %.1f ms p99 %.1f ms  "
            "in flight %llu  connections %u%s",
            progress->live ? "\r\033[K" : "", (unsigned long long)stats->published,
            (unsigned long long)stats->acknowledged, rate,
            ms(histogram_quantile(stats->latency, 0.5)),
            ms(histogram_quantile(stats->latency, 0.99)), (unsigned long long)stats->in_flight,
            stats->connections_up, progress->live ? "" : "\n");
}

static void print_json(const struct publisher_stats *stats, double seconds)
{
    printf("{\"published\":%llu,\"acknowledged\":%llu,\"refused\":%llu,\"unanswered\":%llu,"
           "\"sent_again\":%llu,\"connects\":%llu,\"breaks\":%llu,\"payload_bytes\":%llu,"
           "\"duplicates\":%llu,\"late\":%llu,\"garbage\":%llu,\"resets\":%llu,\"seconds\":%.3f,"
           "\"rate\":%.1f,\"ack_p50_ms\":%.3f,\"ack_p99_ms\":%.3f,\"ack_max_ms\":%.3f}\n",
           (unsigned long long)stats->published, (unsigned long long)stats->acknowledged,
           (unsigned long long)stats->refused, (unsigned long long)stats->in_flight,
           (unsigned long long)stats->resent, (unsigned long long)stats->connects,
           (unsigned long long)stats->breaks, (unsigned long long)stats->payload_bytes,
           (unsigned long long)stats->duplicates, (unsigned long long)stats->late,
           (unsigned long long)stats->garbage, (unsigned long long)stats->resets, seconds,
           (double)stats->published / seconds, ms(histogram_quantile(stats->latency, 0.5)),
           ms(histogram_quantile(stats->latency, 0.99)), ms(stats->latency->max_ns));
}

static void print_text(const struct publisher_stats *stats, double seconds)
{
    printf("published     %llu messages, %llu bytes of payload, in %.1f s (%.0f/s)\n",
           (unsigned long long)stats->published, (unsigned long long)stats->payload_bytes, seconds,
           (double)stats->published / seconds);
    printf("acknowledged  %llu, refused %llu, without answer %llu, sent again %llu\n",
           (unsigned long long)stats->acknowledged, (unsigned long long)stats->refused,
           (unsigned long long)stats->in_flight, (unsigned long long)stats->resent);
    printf("ack latency   p50 %.1f ms, p99 %.1f ms, max %.1f ms\n",
           ms(histogram_quantile(stats->latency, 0.5)),
           ms(histogram_quantile(stats->latency, 0.99)), ms(stats->latency->max_ns));
    if (stats->duplicates + stats->late + stats->garbage + stats->resets)
        printf("faults        %llu duplicates, %llu late, %llu garbage, %llu resets\n",
               (unsigned long long)stats->duplicates, (unsigned long long)stats->late,
               (unsigned long long)stats->garbage, (unsigned long long)stats->resets);
}

static int report(const struct arguments *arguments, struct publisher *publisher, int result,
                  const struct err *err)
{
    struct publisher_stats stats;
    publisher_stats(publisher, &stats);
    double seconds = (double)(stats.now_ns - stats.began_ns) / 1e9;
    if (arguments->json)
        print_json(&stats, seconds);
    else
        print_text(&stats, seconds);
    if (result == 0)
        return EXIT_CODE_OK;
    fprintf(stderr, "tidegate sim: %s\n", err->text);
    if (result == GW_ECLOSED && stats.connects == 0)
        fprintf(stderr, "Is a gateway listening at %s? `tidegate run --data DIR` starts one.\n",
                arguments->connect);
    return result == GW_ECLOSED && stats.acknowledged == 0 ? EXIT_CODE_UNAVAILABLE
                                                           : EXIT_CODE_FAILED;
}

int verb_sim(int argc, char **argv)
{
    struct arguments arguments;
    struct err err = {""};
    defaults(&arguments);
    argp_err_exit_status = EXIT_CODE_USAGE;
    if (argp_parse(&argp, argc, argv, 0, NULL, &arguments) != 0)
        return EXIT_CODE_USAGE;
    default_vendors(&arguments.options);
    /* At QoS 2 a message that is sent again is known by its id, which lives in the session. */
    arguments.options.client.clean = arguments.options.qos < 2;
    if (resolve(&arguments.options, arguments.connect, &err) != 0 || plan(&arguments, &err) != 0) {
        fprintf(stderr, "tidegate sim: %s\n", err.text);
        return EXIT_CODE_USAGE;
    }
    struct progress progress = {.live = isatty(STDERR_FILENO), .at_ns = clock_monotonic_ns()};
    struct publisher *publisher;
    if (publisher_new(&publisher, &arguments.options, arguments.quiet ? NULL : on_progress, 250,
                      &progress, &err) != 0) {
        fprintf(stderr, "tidegate sim: %s\n", err.text);
        return EXIT_CODE_FAILED;
    }
    int result = publisher_run(publisher, &err);
    if (progress.live && !arguments.quiet)
        fputs("\r\033[K", stderr);
    int code = report(&arguments, publisher, result, &err);
    publisher_free(publisher);
    return code;
}
