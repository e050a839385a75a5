/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate run`: the configuration from a file or the built-in one, the command line on top of it,
 * and the gateway. SIGHUP makes the configuration anew in the same way.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/dumps.h"
#include "base/log.h"
#include "cli/cli.h"
#include "gateway.h"

struct run_options {
    char *data, *listen, *admin, *config, *kafka, *clickhouse, *broker, *capture, *capture_speed;
    int log_format;
    bool insecure;
};

#define AT(member) offsetof(struct run_options, member)
static const struct option run_rows[] = {
    {.name = "data",
     .type = OPTION_PATH,
     .offset = AT(data),
     .help = "Folder of journal, dead letters, state and Parquet files; made when absent."},
    {.name = "listen",
     .type = OPTION_ADDRESS,
     .offset = AT(listen),
     .help = "Where MQTT clients connect; without a configuration 127.0.0.1:1883. Port 0 takes a "
             "free one."},
    {.name = "admin",
     .type = OPTION_ADDRESS,
     .offset = AT(admin),
     .help = "Where metrics, health and status are served; without a configuration "
             "127.0.0.1:9464."},
    {.name = "insecure",
     .type = OPTION_BOOL,
     .offset = AT(insecure),
     .help = "MQTT without TLS may be listened for beyond this machine, as mqtt.insecure."},
    CLI_ROW_KAFKA(struct run_options,
                  "HOST:PORT[,HOST:PORT...]: send to Kafka too, with that sink's defaults."),
    CLI_ROW_CLICKHOUSE(
        struct run_options,
        "http://HOST:PORT/DATABASE[,URL...]: send to ClickHouse too; further URLs are "
        "replicas."),
    CLI_ROW_BROKER(struct run_options,
                   "mqtt://HOST:PORT: take messages to v1/# from that broker, too."),
    {.name = "capture",
     .type = OPTION_PATH,
     .offset = AT(capture),
     .help = "Play a file of `tidegate journal export`, once, also over restarts."},
    {.name = "capture-speed",
     .type = OPTION_STRING,
     .offset = AT(capture_speed),
     .help = "max, or how many times as fast as it was received: 1, 10, 0.5; default max."},
    {.name = "config",
     .type = OPTION_PATH,
     .offset = AT(config),
     .help = "Configuration file in place of the built-in one (`tidegate validate --embedded`)."},
    {.name = "log-format",
     .type = OPTION_ENUM,
     .offset = AT(log_format),
     .def = "auto",
     .names = log_format_names,
     .help = "text or json; auto is what `log.format` of the configuration says, else text on a "
             "terminal and JSON otherwise."},
    {0},
};
#undef AT

static const struct cli_command run_command = {
    .name = "run",
    .arguments = "",
    .summary = "Run the gateway until SIGTERM or SIGINT.",
    .rows = run_rows,
    .more =
        "Without --config: anonymous clients of this machine publish to v1/VENDOR/CODEC or\n"
        "v1/VENDOR/DEVICE/CODEC, readings are in DIR/parquet/dt=YYYY-MM-DD/. Options win over\n"
        "the configuration; --kafka and --clickhouse are for the built-in one only (with a\n"
        "file, `sinks` says where readings go; `tidegate validate --embedded --kafka ...` prints\n"
        "one to begin with). SIGHUP reads configuration, mappings and passwords again, all or\n"
        "nothing.\n",
};

/* The file was checked alone; an address of the command line was not. */
static int listen_check(const struct run_options *options, struct config *config,
                        struct buffer *errors)
{
    struct err err;
    config->mqtt.insecure = config->mqtt.insecure || options->insecure;
    int rc = listener_options_check(&config->mqtt, &err);
    if (rc)
        buffer_printf(errors, "%s\n", err.text);
    return rc;
}

/* Also the reload function of gateway_run. */
static int config_make(void *arg, struct config **out, struct buffer *errors)
{
    const struct run_options *options = arg;
    const struct config_places places = {
        .data = options->data,
        .listen = options->listen,
        .admin = options->admin,
        .kafka = options->kafka,
        .clickhouse = options->clickhouse,
        .broker = options->broker,
        .capture = options->capture,
        .capture_speed = options->capture_speed,
    };
    int rc = options->config ? config_load(options->config, &disk_real, out, errors)
                             : config_embedded(&places, out, errors);
    if (rc)
        return rc;
    if (options->config)
        rc = config_override(*out, options->data, options->listen, options->admin, errors);
    if (rc == 0)
        rc = listen_check(options, *out, errors);
    if (rc == 0 && (*out)->data == NULL) {
        buffer_printf(errors, "%s: no folder to work in: give --data DIR, or `data: DIR` there\n",
                      options->config);
        rc = GW_EINVAL;
    }
    if (rc)
        config_free(*out);
    return rc;
}

/* An option that is given and is for the built-in configuration; null: none. */
static const char *embedded_only(const struct run_options *options)
{
    return options->kafka        ? "kafka"
           : options->clickhouse ? "clickhouse"
           : options->broker     ? "broker"
           : options->capture    ? "capture"
                                 : NULL;
}

static int run(struct run_options *options)
{
    struct config *config;
    struct buffer errors = {0};
    if (options->config == NULL && options->data == NULL)
        return cli_fail("run", EXIT_CODE_USAGE, "needs --data DIR, or --config FILE");
    const char *misplaced = embedded_only(options);
    if (options->config && misplaced)
        return cli_sink_flag_misplaced("run", misplaced, options->config);
    if (options->capture_speed && options->capture == NULL)
        return cli_fail("run", EXIT_CODE_USAGE, "--capture-speed needs --capture FILE");
    int rc = config_make(options, &config, &errors);
    if (errors.size)
        fwrite(errors.data, 1, errors.size, stderr);
    buffer_fini(&errors);
    if (rc)
        return cli_fail("run", EXIT_CODE_CONFIG,
                        "the configuration has errors: nothing was started");
    struct log_text file;
    if (config->core_dumps)
        dumps_allow();
    if (options->log_format != LOG_FORMAT_AUTO)
        config->log_format = options->log_format;
    log_set_level((enum log_level)config->log_level);
    log_set_format((enum log_format)config->log_format);
    log_event(LOG_INFO, "configuration", "file=\"%s\" routes=%zu vendors=%zu digest=%016" PRIx64,
              options->config ? log_escape(&file, bytes_text(options->config)) : "built-in",
              config->route_count, config->vendor_count, config->digest);
    return gateway_run(config, config_make, options);
}

int verb_run(int argc, char **argv)
{
    struct run_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(&run_command, argc, argv, &options, &arguments);
    if (code == CLI_GO)
        code = run(&options);
    option_fini(run_rows, &options);
    return code;
}
