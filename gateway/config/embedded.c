/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration that `tidegate run` has without a file, as text: it goes through the same reader
 * as a file, and people can print it to begin with. One topic form for every codec there is.
 */
#include <pthread.h>

#include "config/config.h"

static const char head[] =
    "# What `tidegate run` does without a configuration file.\n"
    "data: tidegate-data\n"
    "\n"
    "# Device times without a zone: Chinese meters send local time.\n"
    "timezone: \"+08:00\"\n"
    "\n"
    "# Without a login, from this machine only. Vendors with passwords: see `vendors`.\n"
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

static struct buffer text; /* made once, lives as long as the process */

static void text_make(void)
{
    buffer_add_text(&text, head);
    for (size_t i = 0; codec_at(i); i++) {
        const char *name = codec_at(i)->name;
        buffer_printf(&text, "  # %s\n", codec_at(i)->summary);
        buffer_printf(&text, "  - {topic: \"v1/{vendor}/%s\", codec: %s}\n", name, name);
        buffer_printf(&text, "  - {topic: \"v1/{vendor}/{device}/%s\", codec: %s}\n", name, name);
    }
    buffer_add_text(&text, tail);
    buffer_u8(&text, '\0');
}

const char *config_embedded_text(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, text_make);
    return (const char *)text.data;
}
