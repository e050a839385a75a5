/* SPDX-License-Identifier: Apache-2.0
 *
 * What differs between makers and cannot be told from a frame. Inside this codec.
 */
#ifndef TIDEGATE_CODECS_CJT188_OPTIONS_H
#define TIDEGATE_CODECS_CJT188_OPTIONS_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/option.h"

enum cjt188_device { CJT188_DEVICE_ADDRESS, CJT188_DEVICE_NUMBER, CJT188_DEVICE_ROUTE };

struct cjt188_options {
    int64_t litre_decimals;    /* decimals of a volume in litres (units 29, 2A, 2B) */
    int64_t valve_closed_mask; /* bits of ST0 + 256 * ST1; 0: the maker has none */
    int64_t valve_fault_mask;
    int64_t battery_low_mask;
    int device; /* enum cjt188_device */
};

extern const struct option cjt188_option_rows[];

/* As codec.h says of configure and config_free. */
int cjt188_configure(struct bytes yaml, const char *origin, void **config, struct buffer *errors);
void cjt188_config_free(void *config);

#endif
