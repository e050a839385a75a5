/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate sim`: options to publisher_options, then the publisher. One thread.
 */
#include <math.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/disk.h"
#include "cli/cli.h"
#include "cli/sim_report.h"

struct sim_options {
    char *connect, *vendors, *begin, *rate, *username, *password, *password_file, *client_id,
        *ledger;
    char *tls_ca, *tls_certificate, *tls_key;
    int64_t meters, connections, window, interval_ms, duration_ms, patience_ms, backoff_ms;
    int64_t count, speed_up, seed, qos;
    int64_t duplicates, late, clock_skew, resets, garbage;
    int mqtt;
    bool json, quiet;
};

enum { HOST_SIZE = 256 };

static const char *const mqtt_names[] = {"3.1.1", "5", NULL};

#define AT(member)     .offset = offsetof(struct sim_options, member)
#define PERMILLE(text) .type = OPTION_INT, .def = "0", .max = 1000, .help = text
static const struct option sim_rows[] = {
    {.name = "connect",
     .type = OPTION_ADDRESS,
     AT(connect),
     .def = "127.0.0.1:1883",
     .help = "The gateway."},
    {.name = "meters",
     .type = OPTION_INT,
     AT(meters),
     .def = "10000",
     .min = 1,
     .max = 10000000,
     .help = "So many simulated meters."},
    {.name = "vendors",
     .type = OPTION_STRING,
     AT(vendors),
     .def = "aqua:json:1,huaxu:cjt188:1",
     .help = "Who made them: NAME:json or NAME:cjt188, with a share, separated by commas."},
    {.name = "interval",
     .type = OPTION_DURATION,
     AT(interval_ms),
     .def = "15m",
     .min = 1,
     .max = 400LL * 86400000,
     .help = "Simulated time between two readings of a meter."},
    {.name = "begin",
     .type = OPTION_STRING,
     AT(begin),
     .help =
         "Simulated time of the first readings, RFC 3339; without it the last ones are of now."},
    {.name = "rate",
     .type = OPTION_STRING,
     AT(rate),
     .help = "Messages a second, or max: as fast as they are acknowledged."},
    {.name = "speed-up",
     .type = OPTION_INT,
     AT(speed_up),
     .def = "1",
     .min = 1,
     .max = 100000000,
     .help = "In place of --rate: simulated time runs so many times faster."},
    {.name = "count",
     .type = OPTION_INT,
     AT(count),
     .def = "0",
     .max = 1000000000000,
     .help = "End after so many messages; 0: no end."},
    {.name = "duration",
     .type = OPTION_DURATION,
     AT(duration_ms),
     .def = "0s",
     .max = 3650LL * 86400000,
     .help = "End after so long; 0s: no end."},
    {.name = "connections",
     .type = OPTION_INT,
     AT(connections),
     .def = "50",
     .min = 1,
     .max = 60000,
     .help = "The meters share so many connections, as through concentrators."},
    {.name = "window",
     .type = OPTION_INT,
     AT(window),
     .def = "64",
     .min = 1,
     .max = 65535,
     .help = "Messages in flight on a connection."},
    {.name = "qos",
     .type = OPTION_INT,
     AT(qos),
     .def = "1",
     .max = 2,
     .help = "Quality of service, 0 to 2."},
    {.name = "mqtt",
     .type = OPTION_ENUM,
     AT(mqtt),
     .def = "5",
     .names = mqtt_names,
     .help = "Protocol version."},
    {.name = "username", .type = OPTION_STRING, AT(username), .help = "Login."},
    {.name = "password",
     .type = OPTION_STRING,
     AT(password),
     .help = "Its password, which others on this machine can see: for simulations."},
    {.name = "password-file",
     .type = OPTION_PATH,
     AT(password_file),
     .help = "File with the password as its first line."},
    {.name = "tls-ca",
     .type = OPTION_PATH,
     AT(tls_ca),
     .help = "Connect with TLS; the gateway's certificate must be signed by one of this file (PEM) "
             "and have the name of --connect."},
    {.name = "tls-certificate",
     .type = OPTION_PATH,
     AT(tls_certificate),
     .help = "Own certificate (PEM), for mutual TLS."},
    {.name = "tls-key", .type = OPTION_PATH, AT(tls_key), .help = "Its key (PEM)."},
    {.name = "client-id",
     .type = OPTION_STRING,
     AT(client_id),
     .def = "sim",
     .help = "What client ids begin with."},
    {.name = "patience",
     .type = OPTION_DURATION,
     AT(patience_ms),
     .def = "30s",
     .min = 100,
     .max = 3650LL * 86400000,
     .help = "Give up when nothing is acknowledged for so long."},
    {.name = "backoff",
     .type = OPTION_DURATION,
     AT(backoff_ms),
     .def = "2s",
     .min = 1,
     .max = 3600000,
     .help = "Longest wait between two attempts to connect."},
    {.name = "duplicates", AT(duplicates), PERMILLE("Sent twice, of 1000 messages.")},
    {.name = "late", AT(late), PERMILLE("Sent one and a half intervals late, of 1000 messages.")},
    {.name = "clock-skew",
     AT(clock_skew),
     PERMILLE("Meters whose clock is eight hours off, of 1000 meters.")},
    {.name = "resets", AT(resets), PERMILLE("The counter begins again at zero, of 1000 messages.")},
    {.name = "garbage",
     AT(garbage),
     PERMILLE("A spoiled payload before the good one, of 1000 messages.")},
    {.name = "seed",
     .type = OPTION_INT,
     AT(seed),
     .def = "1",
     .max = INT64_MAX,
     .help = "Other meters, other faults."},
    {.name = "ledger",
     .type = OPTION_PATH,
     AT(ledger),
     .help = "File that gets a line for each message: acknowledged, refused or without answer."},
    {.name = "json", .type = OPTION_BOOL, AT(json), .help = "The summary as one JSON object."},
    {.name = "quiet", .type = OPTION_BOOL, AT(quiet), .help = "No progress."},
    {0},
};
#undef AT
#undef PERMILLE

static const struct cli_command sim_command = {
    .name = "sim",
    .arguments = "",
    .summary = "Publish what simulated water meters would send: households with their daily draw,\n"
               "counters that only grow, pressure, temperature, batteries; with faults to order.",
    .rows = sim_rows,
    .more = "Ends with 0 when everything was acknowledged; messages without an answer are sent\n"
            "again after a broken connection. Ctrl-C ends it in order, twice at once.\n\n"
            "  tidegate sim --count 20000 --rate 2000\n"
            "  tidegate sim --meters 500 --speed-up 60 --garbage 5 --late 20\n",
};

/* ---- what follows from the options ---- */

static int add_vendor(struct publisher_options *options, const char *text, struct err *err)
{
    struct publisher_vendor *vendor = &options->vendors[options->vendor_count];
    char format[16];
    int end = 0;
    vendor->share = 1;
    if (options->vendor_count == PUBLISHER_VENDORS_MAX)
        return err_set(err, GW_ELIMIT, "--vendors: at most %d", PUBLISHER_VENDORS_MAX);
    int fields = sscanf(text, "%63[a-z0-9_-]:%15[a-z0-9]%n:%7u%n", vendor->name, format, &end,
                        &vendor->share, &end);
    bool json = fields >= 2 && strcmp(format, "json") == 0;
    bool cjt188 = fields >= 2 && strcmp(format, "cjt188") == 0;
    if ((!json && !cjt188) || vendor->share == 0 || text[end] != '\0')
        return err_set(err, GW_EINVAL,
                       "--vendors takes NAME:json:SHARE or NAME:cjt188:SHARE, "
                       "separated by commas, not `%s`",
                       text);
    vendor->format = json ? PAYLOAD_JSON : PAYLOAD_CJT188;
    options->vendor_count++;
    return 0;
}

static int add_vendors(struct publisher_options *options, const char *list, struct err *err)
{
    char *copy = mem_strdup(list), *rest = copy, *part;
    int code = 0;
    while (code == 0 && (part = strsep(&rest, ",")))
        code = add_vendor(options, part, err);
    free(copy);
    return code;
}

static int resolve(struct publisher_options *options, const char *text, char host[HOST_SIZE],
                   struct err *err)
{
    const char *colon = strrchr(text, ':');
    bool bracket = text[0] == '[' && colon > text && colon[-1] == ']';
    snprintf(host, HOST_SIZE, "%.*s", (int)(colon - text) - (bracket ? 2 : 0),
             text + (bracket ? 1 : 0));
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int code = getaddrinfo(host, colon + 1, &hints, &found);
    if (code != 0)
        return err_set(err, GW_EINVAL, "%s: %s", text, gai_strerror(code));
    memcpy(&options->client.address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return 0;
}

static int read_tls(const struct sim_options *given, struct publisher_options *options,
                    struct err *err)
{
    if ((given->tls_certificate == NULL) != (given->tls_key == NULL))
        return err_set(err, GW_EINVAL, "--tls-certificate and --tls-key go together");
    if (given->tls_ca == NULL && given->tls_certificate)
        return err_set(err, GW_EINVAL, "--tls-certificate needs --tls-ca");
    if (given->tls_ca == NULL)
        return 0;
    return client_tls_context(given->tls_ca, given->tls_certificate, given->tls_key,
                              &options->client.tls, err);
}

static int read_rate(const struct sim_options *given, struct publisher_options *options,
                     struct err *err)
{
    double natural = (double)given->meters * 1000 / (double)given->interval_ms;
    char *end;
    options->rate = natural * (double)given->speed_up;
    if (!given->rate)
        return 0;
    options->rate = 0;
    if (strcmp(given->rate, "max") == 0)
        return 0;
    options->rate = strtod(given->rate, &end);
    if (*end || !(options->rate > 0 && options->rate <= 1e8))
        return err_set(err, GW_EINVAL, "--rate takes messages a second, or max, not `%s`",
                       given->rate);
    return 0;
}

/* Simulated time of the first reading: so that the last one is of now. */
static int read_begin(const struct sim_options *given, struct publisher_options *options,
                      struct err *err)
{
    bool bounded = options->count || options->duration_ms, zoned;
    if (given->begin) {
        if (clock_parse_rfc3339(bytes_text(given->begin), &options->begin_ms, &zoned) && zoned)
            return 0;
        return err_set(err, GW_EINVAL, "--begin takes a time such as 2026-11-21T08:00:00+08:00");
    }
    double readings = options->count ? (double)options->count
                                     : options->rate * (double)options->duration_ms / 1000;
    double rounds = ceil(readings / (double)options->meters);
    double span_ms = rounds * (double)options->interval_ms;
    if (!options->count && options->rate <= 0)
        span_ms = 300.0 * 86400000; /* nobody knows how many it will be */
    else if (!bounded) {
        /* Without an end simulated time may not outrun the clock: meters read more often. */
        options->interval_ms = (int64_t)((double)options->meters * 1000 / options->rate);
        if (options->interval_ms < 1000)
            options->interval_ms = 1000;
        span_ms = 0;
    }
    options->begin_ms = clock_wall_ms() - (int64_t)span_ms;
    return 0;
}

static int plan(const struct sim_options *given, struct publisher_options *options,
                char host[HOST_SIZE], struct err *err)
{
    *options = (struct publisher_options){
        .client = {.version = given->mqtt == 0 ? 4 : 5,
                   /* At QoS 2 a message sent again is known by its id, which the session keeps. */
                   .clean = given->qos < 2,
                   .username = given->username,
                   .password = given->password,
                   .host = host,
                   .keep_alive_s = 60,
                   .window = (uint32_t)given->window,
                   .silence_max_ms = 30000,
                   .backoff_max_ms = given->backoff_ms},
        .qos = (int)given->qos,
        .meters = (uint64_t)given->meters,
        .connections = (uint32_t)given->connections,
        .interval_ms = given->interval_ms,
        .count = (uint64_t)given->count,
        .duration_ms = given->duration_ms,
        .patience_ms = given->patience_ms,
        .seed = (uint64_t)given->seed,
        .duplicates = (double)given->duplicates,
        .late = (double)given->late,
        .skewed = (double)given->clock_skew,
        .resets = (double)given->resets,
        .garbage = (double)given->garbage,
        .ledger = given->ledger,
    };
    snprintf(options->client_prefix, sizeof options->client_prefix, "%s", given->client_id);
    int code = add_vendors(options, given->vendors, err);
    code = code ? code : resolve(options, given->connect, host, err);
    code = code ? code : read_tls(given, options, err);
    code = code ? code : read_rate(given, options, err);
    return code ? code : read_begin(given, options, err);
}

/* ---- the verb ---- */

static int finish(const struct sim_options *given, struct publisher *publisher, int result,
                  const struct err *err)
{
    struct publisher_stats stats;
    publisher_stats(publisher, &stats);
    if (given->json)
        sim_summary_json(&stats);
    else
        sim_summary_text(&stats);
    if (result == 0)
        return EXIT_CODE_OK;
    int code =
        result == GW_ECLOSED && stats.acknowledged == 0 ? EXIT_CODE_UNAVAILABLE : EXIT_CODE_FAILED;
    cli_fail("sim", code, "%s", err->text);
    if (stats.connects == 0)
        fprintf(stderr, "Is a gateway listening at %s? `tidegate run --data DIR` starts one.\n",
                given->connect);
    return code;
}

static int run(const struct sim_options *given)
{
    struct publisher_options options;
    struct publisher *publisher;
    struct err err = {""};
    char host[HOST_SIZE];
    if (plan(given, &options, host, &err) != 0)
        return cli_fail("sim", EXIT_CODE_USAGE, "%s", err.text);
    struct sim_progress progress = {.live = isatty(STDERR_FILENO), .at_ns = clock_monotonic_ns()};
    if (publisher_new(&publisher, &options, given->quiet ? NULL : sim_progress_print,
                      progress.live ? SIM_PROGRESS_LIVE_MS : SIM_PROGRESS_LINE_MS, &progress,
                      &err) != 0)
        return cli_fail("sim", EXIT_CODE_FAILED, "%s", err.text);
    int result = publisher_run(publisher, &err);
    if (!given->quiet)
        sim_progress_end(&progress);
    int code = finish(given, publisher, result, &err);
    publisher_free(publisher);
    SSL_CTX_free(options.client.tls);
    return cli_finish(code);
}

/* In place of --password. */
static int password_read(struct sim_options *given)
{
    if (given->password_file == NULL)
        return CLI_GO;
    free(given->password);
    int rc = disk_read_line(&disk_real, given->password_file, 65536, &given->password);
    return rc ? cli_fail("sim", EXIT_CODE_USAGE, "--password-file %s: %s", given->password_file,
                         strerror(-rc))
              : CLI_GO;
}

int verb_sim(int argc, char **argv)
{
    struct sim_options given = {0};
    struct cli_arguments arguments;
    int code = cli_parse(&sim_command, argc, argv, &given, &arguments);
    if (code == CLI_GO)
        code = password_read(&given);
    if (code == CLI_GO)
        code = run(&given);
    option_fini(sim_rows, &given);
    return code;
}
