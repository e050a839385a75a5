/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a TZif file: refused, or a zone whose answers lie within a day and a half of the
 * question.
 */
#include "base/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t times[] = {-2000000000000, 0, 1795334400000, 4102444800000};
    struct zone *zone = NULL;
    struct err err;
    if (zone_from_tzif("fuzz", bytes_of(data, size), &zone, &err) != 0)
        return 0;
    for (size_t i = 0; i < array_count(times); i++) {
        int64_t apart = times[i] - zone_to_utc(zone, times[i]);
        gw_assert(apart > -36 * 3600000 && apart < 36 * 3600000);
    }
    zone_free(zone);
    return 0;
}
