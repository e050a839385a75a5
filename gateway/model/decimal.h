/* SPDX-License-Identifier: Apache-2.0
 *
 * Exact decimals: mantissa * 10^exponent. Meters send decimals; a binary double never stands
 * between a payload and a store.
 */
#ifndef TIDEGATE_MODEL_DECIMAL_H
#define TIDEGATE_MODEL_DECIMAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct decimal {
    int64_t mantissa;
    int8_t exponent;
};

/* JSON number grammar plus a leading '+', leading zeros, and a leading or trailing '.': -12.50,
 * 1e3, .5, 007.
 * Trailing zeros of the fraction are kept in the exponent ("12.50" is 1250e-2). False when the
 * text is no number, or does not fit: more than 18 significant digits after trailing zeros were
 * taken off, or an exponent outside -128..127. */
bool decimal_parse(struct bytes text, struct decimal *out);

/* The shortest decimal that reads back as the same double; false for NaN, infinity, and what no
 * decimal of ours can hold (1e300). */
bool decimal_from_double(double value, struct decimal *out);
/* The same for a float: 0.1f gives 0.1. */
bool decimal_from_float(float value, struct decimal *out);

/* Without trailing zeros in the mantissa; zero becomes 0e0. */
struct decimal decimal_trim(struct decimal in);

/* a * b exactly; false on overflow. */
bool decimal_multiply(struct decimal a, struct decimal b, struct decimal *out);
/* a + b exactly; false on overflow. */
bool decimal_add(struct decimal a, struct decimal b, struct decimal *out);
/* a / b rounded half to even at `decimals` (0..18) decimals. *rounded tells whether anything was
 * lost. False on overflow or b = 0. */
bool decimal_divide(struct decimal a, struct decimal b, int decimals, struct decimal *out,
                    bool *rounded);
/* -1, 0, 1. Any two decimals compare. */
int decimal_compare(struct decimal a, struct decimal b);

/* As unscaled * 10^-scale with scale 0..18; false when it cannot be held so. */
bool decimal_to_scaled(struct decimal in, int64_t *unscaled, uint8_t *scale);
/* Nearest double. */
double decimal_to_double(struct decimal in);

/* Plain notation, never an exponent: "-0.125", "1200". Always fits. Returns out. */
enum { DECIMAL_TEXT_SIZE = 160 };
const char *decimal_format(struct decimal in, char out[DECIMAL_TEXT_SIZE]);

#endif
