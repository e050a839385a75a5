/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics of what the gateway is given and how much of it is left: disk, room of the logs, open files,
 * a clock that somebody keeps right. Separate from metrics.c, which tells what the gateway does. Any
 * thread.
 */
#include <dirent.h>
#include <inttypes.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/clock_sync.h"
#include "metrics.h"
#include "parts.h"

static void gauge(struct buffer *out, const char *name, const char *help, double value)
{
    metrics_head(out, name, "gauge", help);
    buffer_printf(out, "%s %.17g\n", name, value);
}

static void disk_put(const struct gateway *gateway, struct buffer *out)
{
    struct disk_space space;
    if (disk_real.space(&disk_real, gateway->paths.data, &space))
        return; /* the next scrape may tell */
    gauge(out, "tidegate_disk_free_bytes", "Free space on the volume of the data folder.",
          (double)space.available);
    gauge(out, "tidegate_disk_size_bytes", "Size of the volume of the data folder.",
          (double)space.total);
    gauge(out, "tidegate_disk_reserve_bytes", "Free space that the logs leave alone.",
          (double)gateway->config_started->journal.reserve_bytes);
}

static void logs_put(const struct gateway *gateway, struct buffer *out)
{
    static const char *const logs[OUTLOOK_LOGS] = {"raw", "readings"};
    const struct config_journal *limits = &gateway->config_started->journal;
    metrics_head(out, "tidegate_journal_needed_bytes", "gauge",
                 "Bytes of a log that some sink still needs.");
    for (int i = 0; i < OUTLOOK_LOGS; i++)
        buffer_printf(out, "tidegate_journal_needed_bytes{log=\"%s\"} %" PRIu64 "\n", logs[i],
                      (uint64_t)gateway->outlook.needed[i]);
    metrics_head(out, "tidegate_journal_limit_bytes", "gauge",
                 "Limit of a log, at which nothing more is taken in.");
    for (int i = 0; i < OUTLOOK_LOGS; i++)
        buffer_printf(out, "tidegate_journal_limit_bytes{log=\"%s\"} %" PRIu64 "\n", logs[i],
                      limits->max_bytes);
    gauge(out, "tidegate_rawlog_memory_limit_bytes",
          "Limit of the bytes that wait to be made durable; at it, sockets are not read.",
          (double)limits->memory_bytes);
}

static double open_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    double count = -3; /* "." and "..", and the folder itself */
    if (folder == NULL)
        return 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void files_put(struct buffer *out)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    gauge(out, "process_open_fds", "Number of open file descriptors.", open_files());
    gauge(out, "process_max_fds", "Maximum number of open file descriptors.",
          (double)limit.rlim_cur);
}

static void clock_put(struct buffer *out)
{
    struct clock_sync sync;
    clock_sync_read(&sync);
    gauge(out, "tidegate_clock_synchronised",
          "1 while a time service keeps the machine's clock, as the kernel knows it.",
          sync.synchronised);
    gauge(out, "tidegate_clock_time_seconds", "The machine's time, since unix epoch.",
          (double)clock_wall_ms() / 1000);
    gauge(out, "tidegate_clock_offset_seconds", "What the time service still has to correct.",
          sync.offset_s);
    gauge(out, "tidegate_clock_error_seconds",
          "How far from true time the clock may be, as the kernel reckons.", sync.error_s);
}

/* The listener tells of its own; none without TLS here. */
static void certificate_put(const struct gateway *gateway, struct buffer *out)
{
    int64_t ends_ms = gateway->admin ? admin_certificate_ends_ms(gateway->admin) : 0;
    if (ends_ms == 0)
        return;
    metrics_head(out, "tidegate_admin_tls_expiry_seconds", "gauge",
                 "Until the first certificate of the admin interface is over.");
    buffer_printf(
        out, "tidegate_admin_tls_expiry_seconds{file=\"admin.certificate_file\"} %" PRId64 "\n",
        (ends_ms - clock_wall_ms()) / 1000);
}

static void gateway_put(const struct gateway *gateway, struct buffer *out)
{
    char identity[IDENTITY_TEXT_SIZE];
    metrics_head(out, "tidegate_gateway_info", "gauge",
                 "Always 1; the identity of the journal, which stands in every reading, and the "
                 "version of the program.");
    buffer_printf(out, "tidegate_gateway_info{gateway=\"%s\",version=\"%s\"} 1\n",
                  identity_format(journal_identity(rawlog_journal(gateway->rawlog)), identity),
                  TIDEGATE_VERSION);
}

void metrics_machine(const struct gateway *gateway, struct buffer *out)
{
    gateway_put(gateway, out);
    disk_put(gateway, out);
    logs_put(gateway, out);
    files_put(out);
    clock_put(out);
    certificate_put(gateway, out);
}
