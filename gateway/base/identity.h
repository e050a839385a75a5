/* SPDX-License-Identifier: Apache-2.0
 *
 * The random identity of a journal: 16 hexadecimal digits in names and in the column `gateway`.
 */
#ifndef TIDEGATE_BASE_IDENTITY_H
#define TIDEGATE_BASE_IDENTITY_H

#include <stdint.h>

struct identity {
    uint64_t bits; /* 0: none */
};
enum { IDENTITY_TEXT_SIZE = 17 };

struct identity identity_random(void);
const char *identity_format(struct identity identity, char out[IDENTITY_TEXT_SIZE]);

#endif
