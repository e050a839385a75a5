/* SPDX-License-Identifier: Apache-2.0
 *
 * Time zones: a fixed offset ("+08:00", "UTC") or a name of the IANA database, read from the
 * system's TZif files (RFC 8536) when the configuration is read. Read-only afterwards, any thread.
 */
#ifndef TIDEGATE_BASE_ZONE_H
#define TIDEGATE_BASE_ZONE_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

struct zone;
/* A fixed offset: UTC, Z, +08:00, +0800, +08, UTC+8, UTC+08:00. Other names are restricted to
 * [A-Za-z0-9_+/-] without "..", below /usr/share/zoneinfo. */
int zone_new(const char *name, struct zone **out, struct err *err);
/* From the bytes of a TZif file, which may be hostile. GW_EINVAL. */
int zone_from_tzif(const char *name, struct bytes file, struct zone **out, struct err *err);
void zone_free(struct zone *zone);
const char *zone_name(const struct zone *zone);
/* Civil time (taken as UTC milliseconds) to UTC. A time that exists twice (autumn) is the first of
 * the two; one that does not exist (spring) is shifted forward by the gap. */
int64_t zone_to_utc(const struct zone *zone, int64_t civil_ms);

#endif
