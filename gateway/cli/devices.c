/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate devices`: which device reported what when, how late, with which mistakes, and by vendor;
 * from the logs of a folder, also while a gateway runs on it. What can be sent to a vendor.
 */
#include "devices.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/folder.h"
#include "model/batch_json.h"

struct devices_options {
    char *data, *vendor;
    int64_t since_ms, silent_ms;
    bool json, list;
};

#define AT(member) offsetof(struct devices_options, member)
static const struct option devices_rows[] = {
    CLI_ROW_DATA(struct devices_options),
    CLI_ROW_VENDOR(struct devices_options),
    {.name = "since",
     .type = OPTION_DURATION,
     .offset = AT(since_ms),
     .def = "0s",
     .min = 0,
     .max = INT64_C(3650) * 86400000,
     .help = "What was received within so long, as 30d; 0s: everything that is kept."},
    {.name = "silent",
     .type = OPTION_DURATION,
     .offset = AT(silent_ms),
     .def = "26h",
     .min = 1000,
     .max = INT64_C(3650) * 86400000,
     .help = "A device is silent when nothing came from it for so long."},
    {.name = "list",
     .type = OPTION_BOOL,
     .offset = AT(list),
     .def = "false",
     .help = "All devices; without it only the silent ones are listed."},
    CLI_ROW_JSON(struct devices_options),
    {0},
};
#undef AT

static const struct cli_command command = {
    .name = "devices",
    .arguments = "",
    .summary = "Who reported what and when, who is silent, and what was wrong.",
    .rows = devices_rows,
    .more =
        "By vendor: devices, how many of them reported within --silent (the read rate), how late\n"
        "readings came, clock errors, dead letters by reason. It reads the logs that are kept\n"
        "(`journal.keep`), so a device that has been silent for longer than that is unknown.\n",
};

struct telling {
    const struct devices_options *options;
    int64_t now_ms, silent_before_ms;
    struct buffer out;
    uint64_t listed;
};

/* ---- reading ---- */

struct walking {
    struct devices *devices;
    int64_t from_ms, to_ms;
};

static int on_batch(void *arg, const struct extent *extent)
{
    const struct walking *walking = arg;
    struct batch *batch;
    struct err err;
    if (extent->kind != EXTENT_BATCH || extent->received_max_ms < walking->from_ms)
        return 0;
    if (batch_decode(extent->body, &batch, &err))
        return GW_ECORRUPT;
    devices_add(walking->devices, batch, walking->from_ms, walking->to_ms);
    batch_release(batch);
    return 0;
}

static int on_letters(void *arg, const struct extent *extent)
{
    const struct walking *walking = arg;
    struct deadletter_reader reader;
    struct deadletter letter;
    int rc;
    if (extent->kind != EXTENT_DEAD)
        return 0;
    deadletter_reader_init(&reader, extent);
    while ((rc = deadletter_reader_next(&reader, &letter)) == 1)
        devices_add_letter(walking->devices, &letter, walking->from_ms, walking->to_ms);
    return rc;
}

static int log_walk(const char *data, const struct folder_log *log, struct folder_walk *walk,
                    struct err *err)
{
    struct journal *journal;
    int rc = folder_open(data, log, &journal, err);
    if (rc)
        return rc;
    rc = folder_each(journal, journal_first_seq(journal), walk, err);
    journal_close(journal);
    return rc;
}

static int logs_walk(const char *data, struct walking *walking, uint64_t *damaged, struct err *err)
{
    bool never = false;
    struct folder_walk batches = {.extent = on_batch, .arg = walking, .done = &never};
    struct folder_walk letters = {
        .extent = on_letters, .arg = walking, .done = &never, .gaps_normal = true};
    int rc = log_walk(data, &folder_logs[1], &batches, err);
    if (rc == 0)
        rc = log_walk(data, &folder_logs[2], &letters, err);
    *damaged = batches.damaged + letters.damaged;
    return rc;
}

/* ---- as text ---- */

static const char *age_text(int64_t ms, char out[32])
{
    int64_t s = ms / 1000;
    if (s >= 2 * 86400)
        snprintf(out, 32, "%" PRId64 " days", s / 86400);
    else if (s >= 7200)
        snprintf(out, 32, "%" PRId64 " h", s / 3600);
    else if (s >= 120)
        snprintf(out, 32, "%" PRId64 " min", s / 60);
    else
        snprintf(out, 32, "%" PRId64 ".%" PRId64 " s", s, ms % 1000 / 100);
    return out;
}

static int64_t late_mean_ms(const struct device_report *report)
{
    return report->timed ? report->late_sum_ms / (int64_t)report->timed : 0;
}

static void vendor_text(void *arg, const struct vendor_report *vendor)
{
    struct telling *telling = arg;
    struct log_text name;
    char mean[32], most[32];
    const struct device_report *sum = &vendor->sum;
    double rate = vendor->devices
                      ? 100.0 * (double)(vendor->devices - vendor->silent) / (double)vendor->devices
                      : 0;
    buffer_printf(
        &telling->out,
        "%-16s %9" PRIu64 " %8" PRIu64 " %7.2f%% %11" PRIu64 " %8s %9s "
        "%7" PRIu64 " %7" PRIu64 " %7" PRIu64 "\n",
        *vendor->vendor ? log_escape(&name, bytes_text(vendor->vendor)) : "(none)", vendor->devices,
        vendor->silent, rate, sum->readings, sum->timed ? age_text(late_mean_ms(sum), mean) : "-",
        sum->timed ? age_text(sum->late_max_ms, most) : "-", sum->clock, sum->bad, vendor->dead);
}

static void reason_text(void *arg, const struct reason_report *reason)
{
    struct telling *telling = arg;
    struct log_text vendor, word;
    if (telling->listed++ == 0)
        buffer_printf(&telling->out, "\n%-16s %-10s %-24s %s\n", "DEAD LETTERS", "stage", "reason",
                      "count");
    buffer_printf(&telling->out, "%-16s %-10s %-24s %" PRIu64 "\n",
                  *reason->vendor ? log_escape(&vendor, bytes_text(reason->vendor)) : "(none)",
                  reason->stage, log_escape(&word, bytes_text(reason->reason)), reason->count);
}

static void device_text(void *arg, const struct device_report *device)
{
    struct telling *telling = arg;
    struct log_text vendor, name;
    char time[CLOCK_TEXT_SIZE], age[32], late[32];
    bool silent = device->last_received_ms < telling->silent_before_ms;
    if (!silent && !telling->options->list)
        return;
    if (telling->listed++ == 0)
        buffer_printf(&telling->out, "\n%-16s %-20s %-24s %-8s %9s %8s %7s %7s\n",
                      telling->options->list ? "DEVICES" : "SILENT", "device", "last received",
                      "ago", "messages", "late", "clock", "bad");
    buffer_printf(&telling->out,
                  "%-16s %-20s %-24s %-8s %9" PRIu64 " %8s %7" PRIu64 " %7" PRIu64 "%s\n",
                  log_escape(&vendor, bytes_text(device->vendor)),
                  log_escape(&name, bytes_text(device->device)),
                  clock_format_ms(device->last_received_ms, time),
                  age_text(telling->now_ms - device->last_received_ms, age), device->messages,
                  device->timed ? age_text(late_mean_ms(device), late) : "-", device->clock,
                  device->bad, silent && telling->options->list ? "  silent" : "");
}

static void tell_text(struct devices *devices, struct telling *telling)
{
    buffer_printf(&telling->out, "%-16s %9s %8s %8s %11s %8s %9s %7s %7s %7s\n", "VENDOR",
                  "devices", "silent", "read", "readings", "late", "latest", "clock", "bad",
                  "dead");
    devices_vendors(devices, telling->silent_before_ms, vendor_text, telling);
    devices_reasons(devices, reason_text, telling);
    telling->listed = 0;
    devices_each(devices, device_text, telling);
}

/* ---- as JSON ---- */

static void report_json(const struct device_report *report, struct buffer *out)
{
    char first[CLOCK_TEXT_SIZE], last[CLOCK_TEXT_SIZE];
    buffer_printf(out,
                  "\"messages\":%" PRIu64 ",\"readings\":%" PRIu64 ",\"bad\":%" PRIu64
                  ",\"clock\":%" PRIu64 ",\"late\":%" PRIu64 ",\"duplicate\":%" PRIu64
                  ",\"resets\":%" PRIu64 ",\"late_mean_s\":%.3f,\"late_max_s\":%.3f"
                  ",\"first_received\":\"%s\",\"last_received\":\"%s\"",
                  report->messages, report->readings, report->bad, report->clock, report->late,
                  report->duplicate, report->resets, (double)late_mean_ms(report) / 1000,
                  (double)report->late_max_ms / 1000,
                  clock_format_ms(report->first_received_ms, first),
                  clock_format_ms(report->last_received_ms, last));
}

static void vendor_json(void *arg, const struct vendor_report *vendor)
{
    struct telling *telling = arg;
    buffer_add_text(&telling->out, "{\"vendor\":");
    json_string(bytes_text(vendor->vendor), &telling->out);
    buffer_printf(&telling->out,
                  ",\"devices\":%" PRIu64 ",\"silent\":%" PRIu64 ",\"dead\":%" PRIu64 ",",
                  vendor->devices, vendor->silent, vendor->dead);
    report_json(&vendor->sum, &telling->out);
    buffer_add_text(&telling->out, "}\n");
}

static void reason_json(void *arg, const struct reason_report *reason)
{
    struct telling *telling = arg;
    buffer_add_text(&telling->out, "{\"vendor\":");
    json_string(bytes_text(reason->vendor), &telling->out);
    buffer_printf(&telling->out, ",\"stage\":\"%s\",\"reason\":", reason->stage);
    json_string(bytes_text(reason->reason), &telling->out);
    buffer_printf(&telling->out, ",\"count\":%" PRIu64 "}\n", reason->count);
}

static void device_json(void *arg, const struct device_report *device)
{
    struct telling *telling = arg;
    bool silent = device->last_received_ms < telling->silent_before_ms;
    if (!silent && !telling->options->list)
        return;
    buffer_add_text(&telling->out, "{\"vendor\":");
    json_string(bytes_text(device->vendor), &telling->out);
    buffer_add_text(&telling->out, ",\"device\":");
    json_string(bytes_text(device->device), &telling->out);
    buffer_printf(&telling->out, ",\"silent\":%s,", silent ? "true" : "false");
    report_json(device, &telling->out);
    buffer_add_text(&telling->out, "}\n");
}

static void tell_json(struct devices *devices, struct telling *telling)
{
    devices_vendors(devices, telling->silent_before_ms, vendor_json, telling);
    devices_reasons(devices, reason_json, telling);
    devices_each(devices, device_json, telling);
}

/* ---- verb ---- */

static int report(const struct devices_options *options)
{
    struct telling telling = {.options = options, .now_ms = clock_wall_ms()};
    struct walking walking = {.devices = devices_new(), .to_ms = INT64_MAX};
    struct err err;
    uint64_t damaged = 0;
    telling.silent_before_ms = telling.now_ms - options->silent_ms;
    walking.from_ms = options->since_ms ? telling.now_ms - options->since_ms : INT64_MIN;
    devices_only(walking.devices, options->vendor);
    int rc = logs_walk(options->data, &walking, &damaged, &err);
    if (rc == 0) {
        if (options->json)
            tell_json(walking.devices, &telling);
        else
            tell_text(walking.devices, &telling);
        cli_print(buffer_bytes(&telling.out));
    }
    buffer_fini(&telling.out);
    devices_free(walking.devices);
    if (rc)
        return cli_fail("devices", EXIT_CODE_FAILED, "%s", err.text);
    if (damaged)
        return cli_fail("devices", EXIT_CODE_DATA,
                        "%" PRIu64 " ranges of the logs are damaged and are not in the report: "
                        "`tidegate journal verify` tells which",
                        damaged);
    return EXIT_CODE_OK;
}

int verb_devices(int argc, char **argv)
{
    struct devices_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(&command, argc, argv, &options, &arguments);
    if (code == CLI_GO && options.data == NULL)
        code = cli_fail("devices", EXIT_CODE_USAGE, "needs --data DIR");
    if (code == CLI_GO)
        code = cli_finish(report(&options));
    option_fini(devices_rows, &options);
    return code;
}
