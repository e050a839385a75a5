/* SPDX-License-Identifier: Apache-2.0
 *
 * Units of measure and exact conversion to a canonical unit. The table is fixed; its sources are
 * named in unit.c. Any thread.
 */
#ifndef TIDEGATE_MODEL_UNIT_H
#define TIDEGATE_MODEL_UNIT_H

#include <stdbool.h>

#include "base/bytes.h"
#include "model/decimal.h"

/* The canonical spelling of a known unit ("m3" for "m³", "M3", "吨"; "kPa" for "kpa"), or an empty
 * result for an unknown one. The result is static. */
struct bytes unit_canonical(struct bytes name);

enum unit_result {
    UNIT_OK,
    UNIT_UNKNOWN,  /* one of the two is not known, or they measure different quantities */
    UNIT_OVERFLOW, /* the converted value cannot be held */
};
/* value in `from` -> *out in `to`. *rounded is set when the conversion has no finite result (by 24,
 * by 9.80665): then *out is rounded half to even to three decimals more than `value` has. */
enum unit_result unit_convert(struct decimal value, struct bytes from, struct bytes to,
                              struct decimal *out, bool *rounded);

#endif
