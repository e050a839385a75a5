/* SPDX-License-Identifier: Apache-2.0
 *
 * Which events of the gateway as a whole are entries of the audit log. Those of publishers are
 * written where they sign in, those of the admin interface where its requests come in. Main thread
 * but where the header says otherwise.
 */
#include "trail.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "metrics.h"
#include "parts.h"

static void add(struct gateway *gateway, enum audit_what what, enum audit_result result,
                const char *why)
{
    char who[32];
    snprintf(who, sizeof who, "uid %u", (unsigned)getuid());
    struct audit_entry entry = {.what = what,
                                .result = result,
                                .who = bytes_text(who),
                                .object = bytes_text(gateway->paths.data),
                                .why = why};
    audit_log_add(gateway->audit, &entry);
}

int trail_open(struct gateway *gateway, struct err *err)
{
    const struct config_audit *config = &gateway->config->audit;
    char *dir = config->dir ? mem_strdup(config->dir) : mem_printf("%s/audit", gateway->paths.data);
    struct audit_log_options options = {.disk = &disk_real, .dir = dir, .keep_ms = config->keep_ms};
    int rc = audit_log_open(&gateway->audit, &options, err);
    free(dir);
    add(gateway, AUDIT_START, AUDIT_OK, NULL);
    return rc;
}

void trail_close(struct gateway *gateway, const char *why)
{
    add(gateway, AUDIT_STOP, why ? AUDIT_FAILED : AUDIT_OK, why);
    audit_log_close(gateway->audit);
    gateway->audit = NULL;
}

void trail_metrics(const struct gateway *gateway, struct buffer *out)
{
    const struct audit_log *log = gateway->audit;
    metrics_head(out, "tidegate_audit_entries_total", "counter",
                 "Entries of the audit log that are on disk.");
    buffer_printf(out, "tidegate_audit_entries_total %" PRIu64 "\n", audit_log_written(log));
    metrics_head(out, "tidegate_audit_lost_total", "counter",
                 "Entries of the audit log that a full queue or the disk lost.");
    buffer_printf(out, "tidegate_audit_lost_total %" PRIu64 "\n", audit_log_lost(log));
    metrics_head(out, "tidegate_audit_failing", "gauge",
                 "1 while the disk refuses the audit log; entries wait in memory.");
    buffer_printf(out, "tidegate_audit_failing %d\n", audit_log_failing(log));
}
