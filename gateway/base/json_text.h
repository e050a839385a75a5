/* SPDX-License-Identifier: Apache-2.0
 *
 * Strings as JSON (RFC 8259, section 7), for whoever writes JSON by hand. Pure.
 */
#ifndef TIDEGATE_BASE_JSON_TEXT_H
#define TIDEGATE_BASE_JSON_TEXT_H

#include <stdbool.h>

#include "base/bytes.h"

/* A JSON string literal with quotes. Invalid UTF-8 becomes U+FFFD. What a terminal would act upon
 * (control characters, also those of ISO 6429 above U+007F, and what turns the direction of
 * writing) is escaped, so a line is safe to look at. */
void json_string(struct bytes in, struct buffer *out);
/* Of one well-formed sequence of UTF-8 above U+007F: would a terminal act upon it? */
bool text_acts_on_terminals(const uint8_t *at, size_t size);

#endif
