/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of metrics share. Any thread.
 */
#ifndef TIDEGATE_METRICS_H
#define TIDEGATE_METRICS_H

#include <stdint.h>

#include "base/bytes.h"

struct gateway;

/* "# HELP" and "# TYPE". */
void metrics_head(struct buffer *out, const char *name, const char *type, const char *help);
/* Buckets hold powers of two (i: below 2^i, the last: above) in units of `unit`; Prometheus wants
 * them summed up. `label` is `name="value"`, or empty. */
void metrics_histogram(struct buffer *out, const char *name, const char *label,
                       const _Atomic uint64_t *buckets, int count, double unit, double sum);
/* Everything that has a label `sink` (metrics_lanes.c). */
void metrics_lanes(const struct gateway *gateway, struct buffer *out);
/* Disk, files, clock (metrics_machine.c). */
void metrics_machine(const struct gateway *gateway, struct buffer *out);
/* What came of each vendor's messages (metrics_vendors.c). */
void metrics_vendors(const struct gateway *gateway, struct buffer *out);

#endif
