/* SPDX-License-Identifier: Apache-2.0
 *
 * UTF-8 as the Unicode Standard defines it (15.0, table 3-7). Any thread.
 */
#ifndef TIDEGATE_BASE_UTF8_H
#define TIDEGATE_BASE_UTF8_H

#include <stdbool.h>

#include "base/bytes.h"

/* Size of the well-formed sequence that begins at `at`, 0 when none does. left > 0. */
size_t utf8_size(const uint8_t *at, size_t left);
bool utf8_valid(struct bytes in);
/* Append `in`, each byte that is part of no well-formed sequence replaced by U+FFFD. */
void utf8_repair(struct bytes in, struct buffer *out);

#endif
