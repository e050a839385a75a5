/* SPDX-License-Identifier: MIT
 *
 * CityHash128 of version 1.0.2, which ClickHouse kept for the checksum of its frames (later
 * versions of CityHash give other values). See city.c for its notice. Any thread.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_CITY_H
#define TIDEGATE_SINKS_CLICKHOUSE_CITY_H

#include <stdint.h>

#include "base/bytes.h"

struct city128 {
    uint64_t low, high;
};

struct city128 city_hash128(struct bytes in);

#endif
