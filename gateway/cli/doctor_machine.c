/* SPDX-License-Identifier: Apache-2.0
 *
 * What the machine, or the container, gives: open files against connections, memory against the sum of
 * the budgets, a clock that somebody keeps right.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>

#include "base/clock_sync.h"
#include "cli/doctor.h"

#define MIB (UINT64_C(1) << 20)

enum {
    FILES_RESERVED = 64,          /* beside connections, as the listener reckons */
    BASE_BYTES = 48 << 20,        /* program, libraries, stacks, buffers of loops */
    ROW_BYTES = 130,              /* of a reading in an open unit */
    SERIES_BYTES = 100,           /* of one remembered */
    LOGIN_BYTES = 64 << 20,       /* of a password that is checked */
    CONNECTION_BYTES = 1024,      /* plain and idle */
    CONNECTION_TLS_BYTES = 17408, /* likewise, over TLS */
};

/* ---- files ---- */

static void files_tell(struct doctor *doctor)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    uint64_t most = limit.rlim_max > FILES_RESERVED ? limit.rlim_max - FILES_RESERVED : 0;
    uint64_t wanted = doctor->config ? (uint64_t)doctor->config->mqtt.connections_max : 0;
    static const char action[] =
        "raise the limit for the gateway (LimitNOFILE= of systemd, --ulimit of a container, ulimit "
        "-n)";
    if (limit.rlim_max <= 2 * FILES_RESERVED)
        doctor_tell(doctor, DOCTOR_ERROR, "open files", action,
                    "%llu files may be open, which is too few to start",
                    (unsigned long long)limit.rlim_max);
    else if (wanted > most)
        doctor_tell(doctor, DOCTOR_ERROR, "open files", action,
                    "%llu connections are configured (mqtt.connections_max), and %llu are possible",
                    (unsigned long long)wanted, (unsigned long long)most);
    else
        doctor_tell(doctor, most < 1000 ? DOCTOR_WARN : DOCTOR_OK, "open files",
                    most < 1000 ? action : NULL, "room for %llu connections",
                    (unsigned long long)(wanted ? wanted : most));
}

/* ---- memory ---- */

/* A number in a file; UINT64_MAX for "max" and for no such file. */
static uint64_t file_number(const char *path)
{
    char text[64];
    uint64_t number = UINT64_MAX;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return UINT64_MAX;
    if (fgets(text, sizeof text, file) && text[0] >= '0' && text[0] <= '9')
        number = strtoull(text, NULL, 10);
    fclose(file);
    return number;
}

/* The tightest limit of the control groups above this process (version 2, else 1), or the memory of the
 * machine. In a container its own group is the root that it sees. */
static uint64_t memory_limit(bool *group)
{
    char line[512], path[600], *own;
    struct sysinfo info;
    uint64_t limit = UINT64_MAX;
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        bool second = strncmp(line, "0::", 3) == 0;
        if (!second && strstr(line, ":memory:") == NULL)
            continue;
        for (own = strrchr(line, ':') + 1;; *strrchr(own, '/') = '\0') {
            snprintf(path, sizeof path,
                     second ? "/sys/fs/cgroup%s/memory.max"
                            : "/sys/fs/cgroup/memory%s/memory.limit_in_bytes",
                     own);
            uint64_t one = file_number(path);
            limit = one < limit ? one : limit;
            if (strrchr(own, '/') == NULL)
                break;
        }
    }
    if (file)
        fclose(file);
    sysinfo(&info);
    uint64_t machine = (uint64_t)info.totalram * info.mem_unit;
    *group = limit < machine;
    return *group ? limit : machine;
}

static uint64_t sink_budget(const struct config_sink *sink)
{
    uint64_t bytes = sink->type->unit_rows_max(sink->options) *
                     sink->type->open_units_max(sink->options) * ROW_BYTES;
    for (const struct option *row = sink->type->options; row && row->name; row++)
        if (row->type == OPTION_SIZE && strcmp(row->name, "memory") == 0)
            bytes += *(const uint64_t *)(const void *)((const char *)sink->options + row->offset);
    return bytes;
}

/* All of it at once, which is the worst that can be. */
static uint64_t budgets(const struct config *config)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    uint64_t connections = config->mqtt.connections_max ? (uint64_t)config->mqtt.connections_max
                                                        : (uint64_t)limit.rlim_max;
    uint64_t bytes =
        BASE_BYTES + 2 * config->journal.memory_bytes +
        (uint64_t)config->decode.meters_max * SERIES_BYTES +
        connections * (config->mqtt.tls.listen ? CONNECTION_TLS_BYTES : CONNECTION_BYTES);
    bytes += (uint64_t)config->mqtt.login_threads * LOGIN_BYTES;
    for (size_t i = 0; i < config->sink_count; i++)
        bytes += sink_budget(&config->sinks[i]);
    for (size_t i = 0; i < config->broker_count; i++)
        bytes += (uint64_t)config->brokers[i].workers * BASE_BYTES / 4;
    return bytes;
}

static void memory_tell(struct doctor *doctor)
{
    bool group;
    uint64_t limit = memory_limit(&group), wanted = budgets(doctor->config);
    const char *whose = group ? "this control group may have" : "this machine has";
    if (wanted > limit)
        doctor_tell(doctor, DOCTOR_WARN, "memory",
                    "raise the limit, or lower journal.memory, decode.meters_max, "
                    "mqtt.connections_max or the sinks' units; the kernel would end the gateway, "
                    "which then starts again",
                    "all budgets used at once would be about %llu MiB, and %s %llu MiB",
                    (unsigned long long)(wanted / MIB), whose, (unsigned long long)(limit / MIB));
    else
        doctor_tell(doctor, DOCTOR_OK, "memory", NULL,
                    "all budgets used at once are about %llu MiB; %s %llu MiB",
                    (unsigned long long)(wanted / MIB), whose, (unsigned long long)(limit / MIB));
}

static void kernel_tell(struct doctor *doctor)
{
    struct sysinfo info;
    if (sysinfo(&info) == 0 && info.totalswap && file_number("/proc/sys/vm/swappiness") > 10)
        doctor_tell(doctor, DOCTOR_WARN, "swap",
                    "set vm.swappiness to 1 or MemorySwapMax=0: an acknowledgement would wait for "
                    "pages to come back",
                    "this machine swaps (%llu MiB)",
                    (unsigned long long)((uint64_t)info.totalswap * info.mem_unit / MIB));
    if (file_number("/proc/sys/vm/overcommit_memory") == 2)
        doctor_tell(doctor, DOCTOR_WARN, "memory",
                    "set vm.overcommit_memory to 0, or leave room for what is reserved and never "
                    "used",
                    "the kernel refuses memory beyond a fixed limit (vm.overcommit_memory is 2)");
}

/* ---- clock ---- */

static void clock_tell(struct doctor *doctor)
{
    struct clock_sync sync;
    clock_sync_read(&sync);
    if (!sync.known || !sync.synchronised)
        doctor_tell(doctor, DOCTOR_WARN, "clock",
                    "run chrony or systemd-timesyncd (in a container: on its host): receive times "
                    "and the check of device times go by this clock",
                    "no time service keeps this machine's clock, as far as the kernel knows");
    else if (fabs(sync.offset_s) > 0.5)
        doctor_tell(doctor, DOCTOR_WARN, "clock",
                    "wait until it is corrected, or see why not: `chronyc tracking`",
                    "the clock is %.3f s off and being corrected", sync.offset_s);
    else
        doctor_tell(doctor, DOCTOR_OK, "clock", NULL,
                    "kept by a time service; %.6f s off, at most %.3f s", sync.offset_s,
                    sync.error_s);
}

void doctor_machine(struct doctor *doctor)
{
    clock_tell(doctor);
    files_tell(doctor);
    if (doctor->config)
        memory_tell(doctor);
    kernel_tell(doctor);
}
