/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows behind unit.h. Inside the model; nothing else includes this.
 */
#ifndef TIDEGATE_MODEL_UNIT_TABLE_H
#define TIDEGATE_MODEL_UNIT_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "model/decimal.h"

enum quantity {
    PURE, /* counts, states, pH: no unit */
    VOLUME,
    FLOW,
    PRESSURE,
    LENGTH,
    SPEED,
    TEMPERATURE,
    CONCENTRATION,
    CONDUCTIVITY,
    TURBIDITY_NTU,
    TURBIDITY_FNU,
    VOLTAGE,
    CURRENT,
    POWER,
    REACTIVE_POWER,
    APPARENT_POWER,
    ENERGY,
    FREQUENCY,
    ROTATION,
    DURATION,
    RATIO,
    LEVEL_DBM,
    LEVEL_DB,
};

/* How much of a spelling's case may differ. Where upper and lower case are different prefixes (m
 * and M), the first letter is kept; where the rest carries meaning too, all of it. */
enum fold { ANY_CASE, KEEP_FIRST, EXACT };

struct unit {
    const char *name;
    enum quantity quantity;
    int64_t numerator; /* base = (value + offset) * numerator / denominator * 10^exponent */
    int64_t denominator;
    int8_t exponent;
    struct decimal offset;
};

struct spelling {
    const char *text;
    uint8_t unit;
    uint8_t fold;
};

extern const struct unit unit_rows[];
extern const struct spelling unit_spellings[];
extern const size_t unit_spelling_count;

#endif
