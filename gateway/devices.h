/* SPDX-License-Identifier: Apache-2.0
 *
 * What each device and each vendor reported, summed up from batches and dead letters: the report that
 * is sent to a vendor (`tidegate devices`). Memory goes with the number of devices, not of readings.
 * One thread.
 */
#ifndef TIDEGATE_DEVICES_H
#define TIDEGATE_DEVICES_H

#include "deadletter.h"
#include "model/batch.h"

struct device_report {
    const char *vendor, *device; /* of the table; texts as they came, escape before printing */
    uint64_t messages, readings;
    uint64_t bad, clock, late, duplicate, resets; /* readings with that quality or flag */
    int64_t first_received_ms, last_received_ms;
    int64_t last_ts_ms;               /* the newest time that the device itself told; 0: none */
    uint64_t timed;                   /* readings with a time of the device, not corrected */
    int64_t late_sum_ms, late_max_ms; /* of these: receive time less device time */
};

struct vendor_report {
    const char *vendor;
    uint64_t devices, silent; /* silent: nothing received since the time asked for */
    struct device_report sum; /* of its devices; `device` is null */
    uint64_t dead;            /* its dead letters */
};

struct reason_report {
    const char *vendor, *stage, *reason;
    uint64_t count;
};

struct devices;
struct devices *devices_new(void);
void devices_free(struct devices *devices); /* accepts null */
/* Only this vendor counts from now on; null: all. Borrowed. */
void devices_only(struct devices *devices, const char *vendor);
/* Rows that were received within [from_ms, to_ms). */
void devices_add(struct devices *devices, const struct batch *batch, int64_t from_ms,
                 int64_t to_ms);
void devices_add_letter(struct devices *devices, const struct deadletter *letter, int64_t from_ms,
                        int64_t to_ms);

/* Sorted by vendor and device; by vendor; by vendor and count, falling. */
void devices_each(struct devices *devices,
                  void (*each)(void *arg, const struct device_report *report), void *arg);
void devices_vendors(struct devices *devices, int64_t silent_before_ms,
                     void (*each)(void *arg, const struct vendor_report *report), void *arg);
void devices_reasons(struct devices *devices,
                     void (*each)(void *arg, const struct reason_report *report), void *arg);

#endif
