/* SPDX-License-Identifier: Apache-2.0
 *
 * What a configuration may say and seldom should: open to strangers, readable by others on the way,
 * without limits, or with a journal that bridges no outage. Pure but for telling.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/doctor.h"

#define MIB (UINT64_C(1) << 20)

enum { OUTAGE_BYTES_MIN = 1 << 30 };

static bool beyond_loopback(const char *listen)
{
    return listen && strncmp(listen, "127.", 4) != 0 && strncmp(listen, "[::1]:", 6) != 0 &&
           strncmp(listen, "localhost:", 10) != 0;
}

static void access_tell(struct doctor *doctor)
{
    const struct config *config = doctor->config;
    const struct listener_options *mqtt = &config->mqtt;
    bool open = beyond_loopback(mqtt->listen) || beyond_loopback(mqtt->tls.listen);
    if (config->anonymous == ANONYMOUS_ALLOW && open)
        doctor_tell(doctor, DOCTOR_WARN, "access",
                    "set `anonymous: refuse` and give each vendor a login (tidegate vendor add)",
                    "anybody who reaches the port may publish for any vendor (anonymous: allow)");
    if (beyond_loopback(mqtt->listen))
        doctor_tell(doctor, DOCTOR_WARN, "access",
                    "use TLS (section `tls`) and set mqtt.listen to none or to loopback",
                    "%s speaks MQTT without TLS: passwords and readings can be read on the way",
                    mqtt->listen);
    if (beyond_loopback(config->admin.listen))
        doctor_tell(doctor, DOCTOR_WARN, "access",
                    "keep admin.listen on loopback or in a private network that only monitoring "
                    "reaches",
                    "the admin interface listens on %s", config->admin.listen);
}

static bool unlimited(const struct access_quota *quota)
{
    return quota->rate == 0 && quota->byte_rate == 0 && quota->journal_share == 0;
}

static void quota_tell(struct doctor *doctor)
{
    const struct config *config = doctor->config;
    size_t free_vendors = 0;
    const char *first = NULL;
    for (size_t i = 0; i < config->vendor_count; i++)
        if (unlimited(&config->vendors[i].quota)) {
            first = first ? first : config->vendors[i].name;
            free_vendors++;
        }
    if (config->vendor_count > 1 && free_vendors)
        doctor_tell(doctor, DOCTOR_WARN, "quota",
                    "set rate and journal_share in section `quota`, so that one vendor's mistake "
                    "holds nobody else",
                    "vendors without any limit: %zu of %zu, as %s", free_vendors,
                    config->vendor_count, first);
}

/* What a sink's outage may fill before it hurts. */
static void journal_tell(struct doctor *doctor)
{
    const struct config *config = doctor->config;
    const struct config_journal *journal = &config->journal;
    if (journal->max_bytes < OUTAGE_BYTES_MIN)
        doctor_tell(doctor, DOCTOR_WARN, "journal",
                    "raise journal.max_size: deploy/sizing.md says what a day of so many meters "
                    "takes",
                    "the logs hold %" PRIu64 " MiB each: a sink that is away longer than that "
                    "lasts stops the intake",
                    journal->max_bytes / MIB);
    for (size_t i = 0; i < config->sink_count; i++) {
        const struct config_sink *sink = &config->sinks[i];
        int64_t settle_ms = sink->type->settle_ms ? sink->type->settle_ms(sink->options) : 0;
        if (settle_ms > journal->keep_ms && journal->keep_ms)
            doctor_tell(doctor, DOCTOR_WARN, "journal", "raise journal.keep above it",
                        "journal.keep is shorter than `settle` of sink %s", sink->name);
        if (sink->when_full == WHEN_FULL_PARK && journal->keep_bytes < journal->max_bytes / 4)
            doctor_tell(doctor, DOCTOR_WARN, "journal",
                        "raise journal.keep_size, so that what it was passed over for can be "
                        "replayed while it is kept",
                        "sink %s parks when the journal is full, and little history is kept beyond "
                        "that",
                        sink->name);
    }
    bool stores = false;
    for (size_t i = 0; i < config->sink_count; i++)
        stores = stores || strcmp(config->sinks[i].type->name, "discard") != 0;
    if (!stores)
        doctor_tell(doctor, DOCTOR_WARN, "sinks",
                    "add a sink that stores: parquet, kafka, clickhouse",
                    "no sink stores anything: readings are forgotten with the journal");
}

void doctor_config(struct doctor *doctor)
{
    access_tell(doctor);
    quota_tell(doctor);
    journal_tell(doctor);
}
