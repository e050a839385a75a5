/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration that `tidegate run` has without a file, as text: it goes through the same reader
 * as a file, and people can print it to begin with. One topic form for every codec there is.
 */
#include "config/load.h"
#include "config/vendor_files.h"
#include "model/batch_json.h"

static const char head[] =
    "# What `tidegate run` does without a configuration file.\n"
    "data: tidegate-data\n"
    "\n"
    "# Device times without a zone: Chinese meters send local time.\n"
    "timezone: \"+08:00\"\n"
    "\n"
    "# Without a login, from this machine only. `tidegate vendor add NAME --data DIR` makes "
    "vendors\n"
    "# with a login: they may publish to the routes below with their name, from anywhere.\n"
    "anonymous: loopback\n"
    "\n"
    "mqtt:\n"
    "  listen: 127.0.0.1:1883\n"
    "\n"
    "admin:\n"
    "  listen: 127.0.0.1:9464\n"
    "\n"
    "routes:\n";

static const char tail[] = "\n"
                           "# Files under <data>/parquet/dt=YYYY-MM-DD/.\n"
                           "sinks:\n"
                           "  - type: parquet\n";

/* A sink beside Parquet. Whatever the command line holds, it stays one text: the escapes of JSON are
 * those of YAML in double quotes. */
static void sink_add(const char *type, const char *option, const char *value, struct buffer *out)
{
    if (value == NULL)
        return;
    buffer_printf(out, "  - type: %s\n    %s: ", type, option);
    json_string(bytes_text(value), out);
    buffer_u8(out, '\n');
}

/* What a broker has below the same topics as ours. */
static void broker_add(const char *url, struct buffer *out)
{
    if (url == NULL)
        return;
    buffer_add_text(out, "\nbrokers:\n  - name: broker\n    url: ");
    json_string(bytes_text(url), out);
    buffer_add_text(out, "\n    topics: [\"v1/#\"]\n");
}

static void capture_add(const struct config_places *places, struct buffer *out)
{
    if (places->capture == NULL)
        return;
    buffer_add_text(out, "\ncaptures:\n  - file: ");
    json_string(bytes_text(places->capture), out);
    buffer_add_text(out, "\n    speed: ");
    json_string(bytes_text(places->capture_speed ? places->capture_speed : "max"), out);
    buffer_u8(out, '\n');
}

void config_embedded_text(const struct config_places *places, struct buffer *out)
{
    buffer_add_text(out, head);
    for (size_t i = 0; codec_at(i); i++) {
        const char *name = codec_at(i)->name;
        buffer_printf(out, "  # %s\n", codec_at(i)->summary);
        buffer_printf(out, "  - {topic: \"v1/{vendor}/%s\", codec: %s}\n", name, name);
        buffer_printf(out, "  - {topic: \"v1/{vendor}/{device}/%s\", codec: %s}\n", name, name);
    }
    buffer_add_text(out, tail);
    sink_add("kafka", "brokers", places->kafka, out);
    sink_add("clickhouse", "url", places->clickhouse, out);
    broker_add(places->broker, out);
    capture_add(places, out);
}

int config_embedded_vendors(const char *data, struct buffer *out, struct buffer *errors)
{
    struct vendor_files files = {0};
    struct err err;
    if (data && vendor_files_of_data(data, &disk_real, &files, &err)) {
        buffer_printf(errors, "%s\n", err.text);
        return GW_EINVAL;
    }
    for (size_t i = 0; i < files.count; i++) {
        buffer_printf(out, "%s  - name: \"%s\"\n    passwords: ", i ? "" : "\nvendors:\n",
                      files.files[i].vendor);
        json_string(bytes_text(files.files[i].path), out);
        buffer_u8(out, '\n');
    }
    vendor_files_fini(&files);
    return 0;
}
