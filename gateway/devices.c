/* SPDX-License-Identifier: Apache-2.0
 *
 * See devices.h. Devices and reasons are two hash tables keyed by their texts, NUL between; within
 * a batch a device is looked up once and found by its string index afterwards.
 */
#include "devices.h"

#include <stdlib.h>
#include <uthash.h>

struct device {
    UT_hash_handle hh;
    struct device_report report;
    uint64_t last_seq; /* to count a message with several readings once */
    size_t key_size;
    char key[]; /* vendor NUL device NUL */
};

struct reason {
    UT_hash_handle hh;
    struct reason_report report;
    size_t key_size;
    char key[]; /* vendor NUL stage NUL reason NUL */
};

struct devices {
    const char *only;
    struct device *table;
    struct reason *reasons;
    /* by string index of the batch at hand */
    struct device **known;
    size_t known_capacity;
};

struct devices *devices_new(void)
{
    return mem_zalloc(sizeof(struct devices));
}

void devices_free(struct devices *devices)
{
    if (devices == NULL)
        return;
    struct device *device, *next_device;
    HASH_ITER(hh, devices->table, device, next_device)
    {
        HASH_DELETE(hh, devices->table, device);
        free(device);
    }
    struct reason *reason, *next_reason;
    HASH_ITER(hh, devices->reasons, reason, next_reason)
    {
        HASH_DELETE(hh, devices->reasons, reason);
        free(reason);
    }
    free(devices->known);
    free(devices);
}

void devices_only(struct devices *devices, const char *vendor)
{
    devices->only = vendor;
}

/* ---- adding ---- */

/* A NUL within a text would make two keys one. */
static void key_part(struct buffer *key, struct bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        buffer_u8(key, text.data[i] ? text.data[i] : ' ');
    buffer_u8(key, '\0');
}

static struct device *device_of(struct devices *devices, struct bytes vendor, struct bytes name)
{
    struct buffer key = {0};
    struct device *device;
    key_part(&key, vendor);
    key_part(&key, name);
    HASH_FIND(hh, devices->table, key.data, key.size, device);
    if (device == NULL) {
        device = mem_zalloc(sizeof *device + key.size);
        device->key_size = key.size;
        memcpy(device->key, key.data, key.size);
        device->report.vendor = device->key;
        device->report.device = device->key + vendor.size + 1;
        HASH_ADD_KEYPTR(hh, devices->table, device->key, device->key_size, device);
    }
    buffer_fini(&key);
    return device;
}

/* `late` is told of a row whose device time was believed. */
static void report_time(struct device_report *report, const struct batch *batch, uint32_t row)
{
    int64_t received = batch->received_ms[row];
    if (report->first_received_ms == 0)
        report->first_received_ms = received;
    if (received > report->last_received_ms)
        report->last_received_ms = received;
    if (batch->time_source[row] == TIME_RECEIVED || batch->flags[row] & FLAG_CLOCK)
        return;
    int64_t late = received - batch->ts_ms[row];
    report->timed++;
    report->late_sum_ms += late;
    if (late > report->late_max_ms || report->timed == 1)
        report->late_max_ms = late;
    if (batch->ts_ms[row] > report->last_ts_ms)
        report->last_ts_ms = batch->ts_ms[row];
}

static void report_row(struct device *device, const struct batch *batch, uint32_t row)
{
    struct device_report *report = &device->report;
    uint32_t flags = batch->flags[row];
    report->readings++;
    report->messages += batch->seq[row] != device->last_seq;
    device->last_seq = batch->seq[row];
    report->bad += batch->quality[row] == QUALITY_BAD;
    report->clock += (flags & FLAG_CLOCK) != 0;
    report->late += (flags & FLAG_LATE) != 0;
    report->duplicate += (flags & FLAG_DUPLICATE) != 0;
    report->resets += (flags & FLAG_RESET) != 0;
    report_time(report, batch, row);
}

static void known_clear(struct devices *devices, uint32_t strings)
{
    if (strings > devices->known_capacity) {
        devices->known_capacity = strings;
        devices->known = mem_realloc(devices->known, strings * sizeof *devices->known);
    }
    memset(devices->known, 0, strings * sizeof *devices->known);
}

void devices_add(struct devices *devices, const struct batch *batch, int64_t from_ms, int64_t to_ms)
{
    if (batch->count == 0)
        return;
    known_clear(devices, batch->string_count);
    for (uint32_t row = 0; row < batch->count; row++) {
        struct bytes vendor = batch->strings[batch->vendor[row]];
        uint32_t index = batch->device[row];
        if (batch->received_ms[row] < from_ms || batch->received_ms[row] >= to_ms ||
            (devices->only && !bytes_equal_text(vendor, devices->only)))
            continue;
        struct device *device = devices->known[index];
        /* Two vendors may have a device of one name. */
        if (device == NULL || !bytes_equal_text(vendor, device->report.vendor))
            device = devices->known[index] =
                device_of(devices, vendor, batch->strings[batch->device[row]]);
        report_row(device, batch, row);
    }
}

void devices_add_letter(struct devices *devices, const struct deadletter *letter, int64_t from_ms,
                        int64_t to_ms)
{
    const struct message *message = &letter->message;
    if (message->received_ms < from_ms || message->received_ms >= to_ms ||
        (devices->only && !bytes_equal_text(message->vendor, devices->only)))
        return;
    struct buffer key = {0};
    struct reason *reason;
    key_part(&key, message->vendor);
    key_part(&key, bytes_text(stage_name(letter->stage)));
    key_part(&key, letter->reason);
    HASH_FIND(hh, devices->reasons, key.data, key.size, reason);
    if (reason == NULL) {
        reason = mem_zalloc(sizeof *reason + key.size);
        reason->key_size = key.size;
        memcpy(reason->key, key.data, key.size);
        reason->report.vendor = reason->key;
        reason->report.stage = stage_name(letter->stage);
        reason->report.reason =
            reason->key + message->vendor.size + 1 + strlen(reason->report.stage) + 1;
        HASH_ADD_KEYPTR(hh, devices->reasons, reason->key, reason->key_size, reason);
    }
    reason->report.count++;
    buffer_fini(&key);
}

/* ---- telling ---- */

static int by_device(const struct device *a, const struct device *b)
{
    int order = strcmp(a->report.vendor, b->report.vendor);
    return order ? order : strcmp(a->report.device, b->report.device);
}

static int by_reason(const struct reason *a, const struct reason *b)
{
    int order = strcmp(a->report.vendor, b->report.vendor);
    if (order == 0)
        order = (a->report.count < b->report.count) - (a->report.count > b->report.count);
    return order ? order : strcmp(a->report.reason, b->report.reason);
}

void devices_each(struct devices *devices,
                  void (*each)(void *arg, const struct device_report *report), void *arg)
{
    const struct device *device, *next;
    HASH_SORT(devices->table, by_device);
    HASH_ITER(hh, devices->table, device, next)
    each(arg, &device->report);
}

void devices_reasons(struct devices *devices,
                     void (*each)(void *arg, const struct reason_report *report), void *arg)
{
    const struct reason *reason, *next;
    HASH_SORT(devices->reasons, by_reason);
    HASH_ITER(hh, devices->reasons, reason, next)
    each(arg, &reason->report);
}

static void sum_add(struct device_report *sum, const struct device_report *report)
{
    sum->messages += report->messages;
    sum->readings += report->readings;
    sum->bad += report->bad;
    sum->clock += report->clock;
    sum->late += report->late;
    sum->duplicate += report->duplicate;
    sum->resets += report->resets;
    sum->timed += report->timed;
    sum->late_sum_ms += report->late_sum_ms;
    if (report->late_max_ms > sum->late_max_ms)
        sum->late_max_ms = report->late_max_ms;
    if (report->last_ts_ms > sum->last_ts_ms)
        sum->last_ts_ms = report->last_ts_ms;
    if (sum->first_received_ms == 0 || report->first_received_ms < sum->first_received_ms)
        sum->first_received_ms = report->first_received_ms;
    if (report->last_received_ms > sum->last_received_ms)
        sum->last_received_ms = report->last_received_ms;
}

static uint64_t dead_of(const struct devices *devices, const char *vendor)
{
    uint64_t dead = 0;
    const struct reason *reason, *next;
    HASH_ITER(hh, devices->reasons, reason, next)
    if (strcmp(reason->report.vendor, vendor) == 0)
        dead += reason->report.count;
    return dead;
}

/* A vendor of whom nothing could be decoded has no devices, and is told all the same. */
static void vendors_dead_only(struct devices *devices,
                              void (*each)(void *arg, const struct vendor_report *report),
                              void *arg)
{
    const struct reason *reason, *next;
    const char *told = NULL;
    HASH_SORT(devices->reasons, by_reason);
    HASH_ITER(hh, devices->reasons, reason, next)
    {
        const struct device *device, *next_device;
        bool has_device = false;
        if (told && strcmp(told, reason->report.vendor) == 0)
            continue;
        told = reason->report.vendor;
        HASH_ITER(hh, devices->table, device, next_device)
        has_device = has_device || strcmp(device->report.vendor, told) == 0;
        if (!has_device)
            each(arg, &(struct vendor_report){.vendor = told, .dead = dead_of(devices, told)});
    }
}

void devices_vendors(struct devices *devices, int64_t silent_before_ms,
                     void (*each)(void *arg, const struct vendor_report *report), void *arg)
{
    struct vendor_report vendor = {0};
    const struct device *device, *next;
    HASH_SORT(devices->table, by_device);
    HASH_ITER(hh, devices->table, device, next)
    {
        if (vendor.vendor && strcmp(vendor.vendor, device->report.vendor) != 0) {
            each(arg, &vendor);
            vendor = (struct vendor_report){0};
        }
        if (vendor.vendor == NULL) {
            vendor.vendor = device->report.vendor;
            vendor.dead = dead_of(devices, vendor.vendor);
        }
        vendor.devices++;
        vendor.silent += device->report.last_received_ms < silent_before_ms;
        sum_add(&vendor.sum, &device->report);
    }
    if (vendor.vendor)
        each(arg, &vendor);
    vendors_dead_only(devices, each, arg);
}
