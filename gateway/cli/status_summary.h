/* SPDX-License-Identifier: Apache-2.0
 *
 * What an operator wants to know of GET /status at one look: is it ready, how fast, how far behind.
 */
#ifndef TIDEGATE_CLI_STATUS_SUMMARY_H
#define TIDEGATE_CLI_STATUS_SUMMARY_H

#include "base/bytes.h"
#include "base/yaml.h"

/* Lines for `now`, appended; rates come from what changed since `before`, an answer of the same gateway
 * seconds earlier, or null: then no rates. A member that is not there leaves its part out. */
void status_summary(const struct yaml_node *before, const struct yaml_node *now, double seconds,
                    struct buffer *out);

/* "1.5 GiB". Returns out. */
enum { SIZE_TEXT_SIZE = 32 };
const char *size_text(double bytes, char out[SIZE_TEXT_SIZE]);
/* "3 h 20 min", appended. */
void age_print(double seconds, struct buffer *out);

#endif
